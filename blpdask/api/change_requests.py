"""What all changes of an economy are asked with: costs, owners, how prices settle.

Marginal costs are held. They are those given, those already known of a changed economy,
or else those at which prices are optimal for the owners of the data,

    c = p - η,   Δη = s,

for which the firms given stand in where the data have none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import options
from ..errors import Faults
from ..problem.fields import some
from ..problem.other_products import with_firms
from ..records import Floats
from .changed_economy import Settling
from .economy_questions import Question
from .estimated_economy import EstimatedEconomy
from .simulation_checks import check_column, check_price_iteration

if TYPE_CHECKING:
    from .economy_methods import EconomyMethods


@dataclass(frozen=True, slots=True, eq=False)
class ChangeRequest:
    """Arguments that all changes share.

    See :meth:`.economy_methods.EconomyMethods.change_products`.
    """

    what: str
    equilibrium: Any
    costs: Any
    firm_ids: Any
    iteration: Any
    engine: Any
    threads: Any
    backend: Any


@dataclass(frozen=True, slots=True, eq=False)
class Opening:
    """A change whose common arguments were read.

    Attributes
    ----------
    question
        About the economy before; its faults are those of the change.
    economy
        The same economy, of the firms given.
    settling
        How prices come to rest; its engine is not chosen yet.
    costs
        ``(N,)`` as given, or None.
    """

    question: Question
    economy: EstimatedEconomy
    settling: Settling
    costs: Floats | None


def open_change(results: EconomyMethods, request: ChangeRequest) -> Opening:
    """Read the arguments that all changes share; faults are added, not raised."""
    asked = results.estimated_economy(request.what)
    engine, backend = request.engine, request.backend
    question = Question(asked, request.what, None, engine, request.threads, backend)
    faults = question.faults
    if request.equilibrium is not True and request.equilibrium is not False:
        faults.add(
            f"equilibrium={request.equilibrium!r}", "True or False", "correct it"
        )
    controls = check_price_iteration(request.iteration, options.scratch_bytes, faults)
    costs = check_column(request.costs, "costs", asked.demand.n_products, faults)
    economy = asked
    if request.firm_ids is not None:
        before = len(faults)
        question.firms(request.firm_ids)
        if len(faults) == before:
            firms = np.ravel(np.asarray(request.firm_ids, dtype=object))
            economy = replace(asked, demand=with_firms(asked.demand, firms))
    elif request.equilibrium:
        question.owners(None, None)
    settling = Settling(
        request.what, bool(request.equilibrium), controls, engine, backend
    )
    return Opening(question, economy, settling, costs)


def held_costs(results: EconomyMethods, opening: Opening, engine: Any) -> Floats | None:
    """Give the costs ``(N,)`` that products keep, None where nothing says them.

    Parameters
    ----------
    results
        What is changed.
    opening
        Of :func:`open_change`.
    engine
        Where they are computed.
    """
    ids = results.estimated_economy("costs").demand.products.ids
    known = opening.economy.costs if opening.costs is None else opening.costs
    if known is not None:
        return known
    firms = None
    if "firm_ids" not in ids and "ownership" not in ids:
        firms = opening.economy.demand.products.ids.get("firm_ids")
        if firms is None:
            return None
    backend = opening.settling.backend
    return results.compute_costs(firms, engine=engine, backend=backend)[:, 0]


def check_known_costs(opening: Opening, kept: NDArray[np.bool_]) -> None:
    """Refuse to look for an equilibrium where costs of products are not known."""
    known = opening.economy.costs
    if known is None or opening.costs is not None or not opening.settling.equilibrium:
        return
    lost = np.flatnonzero(np.isnan(known) & kept)
    if lost.size:
        opening.question.faults.add(
            f"{lost.size} products whose costs are not known (rows {some(lost)})",
            "costs of all products that stay",
            "pass costs, or equilibrium=False",
        )


def read_flags(given: Any, name: str, N: int, faults: Faults) -> NDArray[np.bool_]:
    """Read true or false for each product, ``(N,)``.

    Parameters
    ----------
    given
        What was passed.
    name
        Of the argument.
    N
        How many products there are.
    faults
        What every fault is added to.
    """
    try:
        values = np.asarray(given)
    except ValueError:
        values = np.empty(0)
    if values.shape not in ((N,), (N, 1)) or values.dtype != np.bool_:
        faults.add(
            f"{name} of shape {values.shape} and type {values.dtype}",
            f"{N} times True or False, in the order of the products",
            f"pass a mask, such as product_ids == 'a', as {name}",
        )
        return np.zeros(N, np.bool_)
    return values.reshape(N)
