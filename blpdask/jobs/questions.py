"""What a job asks beyond estimates: checked before a run, answered and shown after."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import choice_questions, conduct, counterfactuals, merger

if TYPE_CHECKING:
    from ..api.problem import Problem
    from ..api.results import ProblemResults
    from .data import JobData
    from .schema import Job

#: Files of answers as they are printed, in the order in which they are shown.
PRINTED = (
    merger.PRINTED,
    counterfactuals.PRINTED,
    conduct.PRINTED,
    choice_questions.PRINTED,
)


def check_questions(job: Job, data: JobData, problem: Problem) -> None:
    """Refuse questions that cannot be answered, before anything is estimated.

    Raises
    ------
    blpdask.errors.InputError
        With every fault of the first question that has any.
    """
    merger.check_merger(job, problem)
    counterfactuals.check_counterfactuals(job, data, problem)
    conduct.check_conduct(job, data, problem)


def write_answers(
    job: Job, data: JobData, results: ProblemResults, partial: Path
) -> dict[str, Any]:
    """Answer what a job asks, and write it down.

    Parameters
    ----------
    job, data, results
        The job, its data and its results.
    partial
        Where.

    Returns
    -------
    dict
        Numbers for the run's summary.
    """
    return {
        **merger.write_merger(job, results, partial),
        **counterfactuals.write_counterfactuals(job, data, results, partial),
        **conduct.write_conduct(job, data, results, partial),
    }


def show_answers(directory: Path) -> str:
    """Read a run's answers as they are printed; nothing where it asked nothing."""
    paths = [directory / name for name in PRINTED]
    texts = [path.read_text(encoding="utf-8") for path in paths if path.exists()]
    return "".join(f"\n\n{text.rstrip()}" for text in texts)
