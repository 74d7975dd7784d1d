"""Ask passes over blocks of choices for answers, a row of the table as given."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..driver.engine import Pass
from ..errors import BlpdaskError, Faults
from ..partitions.source import BlockSource
from ..problem.choice_table import ChoiceTable
from ..problem.stored_choices import StoredChoiceTable
from ..records import Floats
from .solve_checks import check_engine


def ask_blocks(
    name: str, source: BlockSource, pass_: Pass, state: Any, where: tuple[Any, Any]
) -> Any:
    """Reduce a pass over blocks on an engine and threads, ``where``, of a user's."""
    faults = Faults(name)
    engine, threads = where
    chosen = check_engine(engine, threads, faults)
    faults.check()
    assert chosen is not None
    placement = chosen.place(source)
    try:
        return placement.reduce(pass_, state)
    finally:
        placement.close()


def place_probabilities(
    table: ChoiceTable | StoredChoiceTable, probabilities: Floats
) -> Floats:
    """Put probabilities ``(N,)`` of sorted rows where the given rows are.

    Those of rows that are not available are zero, and one where nothing else is.
    """
    answer = np.zeros(table.n_given)
    answer[table.rows] = probabilities
    answer[table.single_rows] = 1.0
    return answer


def check_in_memory(table: Any, faults: Faults) -> ChoiceTable:
    """Give the table of choices that are in memory; others are refused at once."""
    if not isinstance(table, ChoiceTable):
        faults.add(
            f"choices of type {type(table).__name__}, which are not in memory",
            "a table: a DataFrame, a mapping of arrays or a structured array",
            "read the choices, or as many people of them as memory holds",
        )
        faults.check()
    found: ChoiceTable = table
    return found


def require_problem(problem: Any) -> Any:
    """Give the problem of results that still have one."""
    if problem is None:
        raise BlpdaskError(
            "found: results without their problem, as from a pickle\n"
            "  expected: results that solve() gave in this session\n"
            "  what to do: solve again, from start=results.theta"
        )
    return problem
