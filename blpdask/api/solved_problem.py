"""The problem that results are of, which those read from disk have lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import BlpdaskError

if TYPE_CHECKING:
    from .problem import Problem
    from .results import ProblemResults


def problem_of(results: ProblemResults, what: str | None = None) -> Problem:
    """Give the problem that results are of.

    Parameters
    ----------
    results
        Of :meth:`blpdask.Problem.solve`.
    what
        Is asked for, for the message.

    Raises
    ------
    BlpdaskError
        Where the results have lost their problem.
    """
    if results.problem is None:
        asked = "" if what is None else f"{what} of "
        raise BlpdaskError(
            f"found: {asked}results without their problem\n  expected: results of "
            "Problem.solve, not read from disk\n  what to do: solve again, starting "
            "from the saved estimates with Optimization('return')"
        )
    return results.problem
