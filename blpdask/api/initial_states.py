"""First states of panels with habit, for a likelihood that has them in it.

The mathematics is in :mod:`blpdask.moments.initial_states`.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..choice_records import ChoiceBlock, LikelihoodEstimates
from ..errors import Faults
from ..moments.initial_states import InitialBlock, equal_first_states
from ..partitions.source import HeldBlocks
from ..problem.choice_paths import PathColumns, take_people
from ..problem.fields import some
from ..problem.initial_states import InitialTable, read_initial_states
from .choice_paths import people_by_block

if TYPE_CHECKING:
    from .choice_problem import ChoiceProblem


@dataclass(frozen=True, eq=False)
class InitialStates:
    """How people of a panel with habit came to be where they are first seen.

    Who likes an alternative has chosen it before. A likelihood that takes first states
    as given, draws of tastes being as likely for all, mistakes such liking for habit:
    the coefficient of the lag is too large, most of all in short panels. Here each draw
    of tastes is weighted by the model's own chance of the first state, which is
    computed exactly, by recursion over the situations before.

    Parameters
    ----------
    choice_data
        Table of a burn-in and of what comes after it, with the formulation's columns,
        ``person_ids``, ``chosen``, the columns named below, and optionally
        ``situation_ids``, ``alternative_ids`` and ``availability``.
    kept
        ``(N,)`` flags of the rows that come after the burn-in, which are those of the
        problem: ``kept`` of :func:`blpdask.build_lagged_choices`. The group chosen in
        the last situation of the burn-in is a person's first state.
    before
        Situations before the burn-in, in which nothing has been seen: a person's own
        are taken in a circle. The first begins without habit, which some tens of
        situations forget.
    lag
        Column of the formulation that is one where the choice before was of the row's
        group. The model makes it itself.
    periods, same, gap, outside
        As in :func:`blpdask.build_lagged_choices` of the lag.

    Examples
    --------
    >>> import numpy as np
    >>> rows = {"person_ids": np.repeat([1, 2], 4), "chosen": [1, 0, 0, 1] * 2}
    >>> InitialStates(rows, kept=np.tile([False, False, True, True], 2)).before
    50
    """

    choice_data: Any
    kept: Any
    before: int = 50
    lag: str = "lag"
    periods: str = "period_ids"
    same: str = "alternative_ids"
    gap: float | None = 1
    outside: Collection[Any] = ()


def place_initial_states(problem: ChoiceProblem, given: Any) -> HeldBlocks:
    """Put what came before to the blocks of a problem.

    Raises
    ------
    InputError
        With every fault of the table and the arguments.
    """
    faults = Faults("initial_states")
    _check_arguments(given, faults)
    faults.check()
    table = read_initial_states(
        given.choice_data,
        given.kept,
        problem.formulation.parsed,
        problem.table.labels,
        PathColumns(given.lag, given.periods, given.same, given.gap, given.outside),
        int(given.before),
        faults,
    )
    if table is not None:
        _check_people(table, problem, faults)
    faults.check()
    assert table is not None
    found = people_by_block(problem, table.person_ids)
    blocks = [_join(block, people, table) for block, _, people in found]
    labels = [f"block {index} of people" for index in range(len(blocks))]
    return HeldBlocks(blocks, labels=labels)


def with_first_states(
    estimates: LikelihoodEstimates, source: HeldBlocks
) -> LikelihoodEstimates:
    """Let the likelihood of all alternatives alike be one of first states too."""
    chances = [equal_first_states(source.load(index)) for index in range(len(source))]
    return replace(
        estimates,
        log_likelihood_at_zero=estimates.log_likelihood_at_zero + math.fsum(chances),
    )


def _join(block: ChoiceBlock, people: Any, table: InitialTable) -> InitialBlock:
    """Add to a block what came before."""
    own = {field.name: getattr(block, field.name) for field in fields(ChoiceBlock)}
    return InitialBlock(
        **own,
        before=take_people(table.paths, people),
        observed=table.observed[people],
    )


def _check_arguments(given: Any, faults: Faults) -> None:
    """Check what needs no table."""
    if not isinstance(given, InitialStates):
        faults.add(
            f"initial_states of type {type(given).__name__}",
            "InitialStates or None",
            "say, for example, InitialStates(choice_data, lags.kept)",
        )
        return
    before = given.before
    whole = isinstance(before, int | np.integer) and not isinstance(before, bool)
    if not (whole and before >= 0):
        faults.add(f"before={before!r}", "a whole number from 0 on", "correct before")


def _check_people(table: InitialTable, problem: ChoiceProblem, faults: Faults) -> None:
    """Check that all people of a problem have a first state."""
    known = set(table.person_ids)
    lost = [name for name in problem.table.person_ids if name not in known]
    if lost:
        faults.add(
            f"{len(lost)} people of the problem without situations before "
            f"({some(lost)})",
            "a first state of each person",
            "give the whole table, of which the problem's is the part that is kept",
        )
