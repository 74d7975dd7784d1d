"""Follow people through time at estimates: probabilities that make their own lags.

The mathematics is in :mod:`blpdask.analysis.choice_paths` and
:mod:`blpdask.model.choice_states`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..analysis.choice_paths import paths_pass
from ..analysis.choice_probabilities import At
from ..analysis.choice_stock_paths import Fading, StockBlock, stock_paths_pass
from ..choice_records import ChoiceBlock, MixedCoefficients
from ..errors import BlpdaskError, Faults
from ..partitions.source import HeldBlocks
from ..problem.choice_paths import (
    PathColumns,
    PathTable,
    read_paths,
    rows_of_people,
    take_people,
    visits_of_people,
)
from ..problem.fields import some
from ..records import Floats, Integers
from .asked_blocks import require_problem
from .choice_lags import check_lag
from .solve_checks import check_engine

if TYPE_CHECKING:
    from .choice_problem import ChoiceProblem
    from .choice_results import ChoiceResults


@dataclass(frozen=True, slots=True)
class AskedPaths:
    """How a lag is made, and of stocks, how paths are simulated.

    Attributes
    ----------
    kind, decay
        As in :func:`blpdask.build_lagged_choices`.
    size, seed
        Paths of a person, at least, and where uniform numbers come from.
    """

    kind: str = "lag"
    decay: float | None = None
    size: int = 512
    seed: int = 0


def path_probabilities(
    results: ChoiceResults,
    choice_data: Any,
    names: PathColumns,
    asked: AskedPaths,
    *,
    engine: Any,
    threads: int | None,
) -> Floats:
    """Compute probabilities over time, a row of ``choice_data`` each, ``(N,)``.

    Raises
    ------
    InputError
        With every fault of the table and the arguments.
    BlpdaskError
        Where the results have lost their problem.
    """
    problem: ChoiceProblem = require_problem(results.problem)
    coefficients = results.estimates.coefficients
    if not isinstance(coefficients, MixedCoefficients):
        raise BlpdaskError(
            f"found: compute_path_probabilities of {type(results).__name__}\n"
            "  expected: results of a ChoiceProblem\n"
            "  what to do: ask for compute_probabilities, at lags that are given"
        )
    faults = Faults("compute_path_probabilities")
    chosen = check_engine(engine, threads, faults)
    _check_asked(asked, names.gap, faults)
    table = read_paths(
        choice_data,
        problem.formulation.parsed,
        problem.table.labels,
        names,
        faults,
    )
    if table is not None:
        _check_people(table, problem, faults)
    faults.check()
    assert chosen is not None and table is not None
    blocks, order = _place_people(table, problem)
    placement = chosen.place(HeldBlocks(blocks))
    at = At(coefficients, results.theta)
    try:
        if asked.decay is None:
            found = placement.reduce(paths_pass, at)
        else:
            gain = 1.0 - asked.decay if asked.kind == "loyalty" else 1.0
            fading = Fading(at, asked.decay, gain, int(asked.size), int(asked.seed))
            found = placement.reduce(stock_paths_pass, fading)
    finally:
        placement.close()
    answer = np.zeros(table.panel.situations.size)
    answer[table.rows[order]] = found.probabilities
    return answer


def _check_asked(asked: AskedPaths, gap: Any, faults: Faults) -> None:
    """Check how a lag is made, and how paths are simulated."""
    check_lag(asked.kind, asked.decay, gap, faults)
    for name, least in (("size", 1), ("seed", 0)):
        value = getattr(asked, name)
        if not isinstance(value, int | np.integer) or value < least:
            faults.add(
                f"{name}={value!r}",
                f"a whole number, at least {least}",
                f"correct {name}",
            )


def _check_people(table: PathTable, problem: ChoiceProblem, faults: Faults) -> None:
    """Check that a table's people are the problem's, who have draws."""
    known = set(problem.table.person_ids)
    strange = [name for name in table.panel.person_ids if name not in known]
    if strange:
        faults.add(
            f"{len(strange)} people whom the problem does not know ({some(strange)})",
            "people of its choice_data, who have draws",
            "leave them out, or make a problem with them",
        )


def people_by_block(
    problem: ChoiceProblem, names: Any
) -> list[tuple[ChoiceBlock, Integers, Integers]]:
    """Find people, by their ids ``(I',)``, in each block of a problem.

    Returns
    -------
    list
        Of each block: it, places in it of people who are named, and their places among
        the names.
    """
    places = {name: place for place, name in enumerate(names)}
    own = np.array([places.get(name, -1) for name in problem.table.person_ids])
    found, first = [], 0
    for index in range(len(problem.prior_source)):
        block = problem.prior_source.load(index)
        of_block = own[first : first + block.n_people]
        first += block.n_people
        inside = np.flatnonzero(of_block >= 0)
        found.append((block, inside, of_block[inside]))
    return found


def _place_people(
    table: PathTable, problem: ChoiceProblem
) -> tuple[list[StockBlock], Integers]:
    """Make blocks of paths, and say in which order their rows come."""
    blocks, orders = [], []
    first = 0
    for block, inside, people in people_by_block(problem, table.panel.person_ids):
        keys = first + inside
        first += block.n_people
        if not people.size:
            continue
        blocks.append(
            StockBlock(
                paths=take_people(table.paths, people),
                draws=_own(block.draws, inside),
                log_weights=_own(block.log_weights, inside),
                demographics=_own(block.demographics, inside),
                elapsed=table.elapsed[visits_of_people(table.paths, people)],
                stocks=table.stocks[people],
                keys=keys,
            )
        )
        orders.append(rows_of_people(table.paths, people))
    return blocks, np.concatenate(orders)


def _own(values: Floats, people: Integers) -> Floats:
    """Take the named people's rows, or the one that all share, or none."""
    return values[people] if len(values) > 1 else values
