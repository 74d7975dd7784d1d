"""Bootstrap results parametrically: draw parameters, and solve for what they imply.

Draws are worked on one after another, each as an economy at its own parameters
(:mod:`blpdask.analysis.bootstrap`).
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .. import options
from ..analysis.bootstrap import (
    DrawnParameters,
    Firms,
    Realized,
    draw_parameters,
    failed_draws,
    realize,
)
from ..errors import Faults, NumericalWarning
from ..problem.at_prices import at_prices
from ..problem.fields import some
from ..progress import BlocksEvent, Listener
from ..records import Floats, InversionControls
from .economy_questions import Question
from .estimated_economy import EstimatedEconomy
from .printing import choose_listener
from .simulation_checks import check_price_iteration
from .solve_checks import check_choices, check_engine, check_numbers

if TYPE_CHECKING:
    from .bootstrapped_results import BootstrappedResults
    from .results import ProblemResults

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, eq=False)
class BootstrapRequest:
    """Arguments of a bootstrap, see :meth:`blpdask.ProblemResults.bootstrap`."""

    draws: int
    seed: int | None
    iteration: Any
    constant_costs: bool
    engine: Any
    threads: int | None
    backend: str
    progress: Listener | None


def bootstrap(
    results: ProblemResults, request: BootstrapRequest
) -> BootstrappedResults:
    """Bootstrap results; see :meth:`blpdask.ProblemResults.bootstrap`."""
    from .bootstrapped_results import BootstrappedResults

    began = time.perf_counter()
    economy = results.estimated_economy("bootstrap")
    controls, engine = _check(request)
    talks = options.verbose and request.progress is None
    if talks:
        options.verbose_output("Bootstrapping results ...")
    drawn = draw_parameters(results.estimates, int(request.draws), request.seed)

    def solve(d: int) -> Realized:
        moved = at_draw(economy, drawn, d)
        question = Question(moved, "bootstrap", None, engine, None, request.backend)
        firms = None
        if economy.demand.products.supply is not None:
            costs = _costs(results, economy, drawn, d)
            owners = question.owners(None, None)
            firms = Firms(owners, costs, controls, bool(request.constant_costs))
        return realize(question.economy(), firms)

    found = each_draw(int(request.draws), solve, request.progress)
    _warn(np.column_stack([own.status for own in found]))
    seconds = time.perf_counter() - began
    bootstrapped = BootstrappedResults(results, drawn, found, seconds)
    if talks:
        options.verbose_output(f"\n{bootstrapped}")
    return bootstrapped


def at_draw(
    economy: EstimatedEconomy, drawn: DrawnParameters, d: int
) -> EstimatedEconomy:
    """Give an economy the parameters of a draw, with ξ held, at the data's prices."""
    own, X1 = drawn.matrices[d], economy.demand.products.X1
    beta = own.beta[:, 0]
    return replace(
        economy,
        theta=drawn.theta[d],
        beta=beta,
        gamma=own.gamma[:, 0],
        delta=economy.delta + X1 @ (beta - economy.beta),
    )


def at_equilibrium(
    economy: EstimatedEconomy, prices: Floats, shares: Floats, delta: Floats
) -> EstimatedEconomy:
    """Give an economy prices, shares and δ ``(N,)`` in the place of the data's."""
    products = economy.demand.products
    data = {**products.variables, **products.ids, "shares": products.shares}
    demand = at_prices(economy.demand, data, prices, shares)
    return replace(economy, demand=demand, delta=delta)


def each_draw(
    draws: int, work: Callable[[int], Found], progress: Listener | None
) -> list[Found]:
    """Work on each draw, and tell a listener how far that has come."""
    listener, began = choose_listener(progress), time.perf_counter()
    found = []
    for d in range(draws):
        found.append(work(d))
        seconds = time.perf_counter() - began
        listener(BlocksEvent(d + 1, draws, seconds, unit="draw"))
    return found


def _check(request: BootstrapRequest) -> tuple[InversionControls, Any]:
    """Check the arguments: how prices iterate, and the engine."""
    faults, draws, seed = Faults("bootstrap"), request.draws, request.seed
    whole = isinstance(draws, int | np.integer) and not isinstance(draws, bool)
    if not whole or draws < 1:
        faults.add(f"draws={draws!r}", "a whole number, at least 1", "correct draws")
    check_choices({"backend": request.backend}, faults)
    check_numbers(0, request.threads, None, 0 if seed is None else seed, faults)
    controls = check_price_iteration(request.iteration, options.scratch_bytes, faults)
    engine = check_engine(request.engine, request.threads, faults)
    faults.check()
    return controls, engine


def _costs(
    results: ProblemResults, economy: EstimatedEconomy, drawn: DrawnParameters, d: int
) -> Floats:
    """Compute costs of a draw at the shares of the data, with ω held, ``(N,)``."""
    supply = economy.demand.products.supply
    assert supply is not None
    change = supply.X3 @ (drawn.matrices[d].gamma[:, 0] - economy.gamma)
    costs = np.asarray(results.tilde_costs)[:, 0] + change
    return np.exp(costs) if economy.log_costs else costs


def _warn(status: np.ndarray[Any, Any]) -> None:
    """Warn of draws in which prices were not found."""
    for kind, draws in failed_draws(status).items():
        warnings.warn(
            f"bootstrap: in markets of {draws.size} draws ({some(draws)}) "
            f"{kind.sentence}",
            NumericalWarning,
            stacklevel=4,
        )
