"""Jobs about markets: how they are read, solved and summed up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Faults
from .build import build_problem, check_shapes, configure, solve_arguments
from .consistency import find_conflicts
from .data import JobData, read_data
from .kinds import JobKind
from .questions import check_questions, write_answers
from .report import hansen_sentence, summarise
from .resolve import resolve_job
from .schema import Job
from .simulated import add_design_faults
from .sources import add_missing_sources

if TYPE_CHECKING:
    from ..api.problem import Problem
    from ..api.results import ProblemResults


def _add_faults(job: Job, directory: Path, faults: Faults) -> None:
    """Look for configurations that cannot be made, and for data that are not there."""
    configure(job, faults)
    if job.data.simulated is not None:
        add_design_faults(job.data.simulated, faults)
    add_missing_sources(job.data, directory, faults)


def _check(job: Job, data: JobData, problem: Problem) -> None:
    """Refuse parameters of wrong shapes, and questions that cannot be answered."""
    check_shapes(job, problem)
    check_questions(job, data, problem)


def _trial(job: Job) -> dict[str, Any]:
    """Evaluate the objective once."""
    from ..api.optimization import Optimization

    arguments = solve_arguments(job) | {
        "method": "1s",
        "optimization": Optimization("return"),
        "check_optimality": "gradient",
    }
    arguments.pop("starts", None)
    return arguments


def _tell_trial(results: ProblemResults) -> str:
    """Say what the objective is at the starting values."""
    return (
        f"objective {results.objective:.9e}, "
        f"gradient norm {float(results.projected_gradient_norm):.3e}, "
        f"{int(results.contraction_evaluations.sum())} share maps"
    )


def _starts(results: ProblemResults) -> Any:
    """List what each start led to."""
    return results.starts_frame()


def _read_results(directory: Path) -> ProblemResults:
    """Read saved results."""
    from ..api.results import read_results

    found: ProblemResults = read_results(directory)
    return found


KIND = JobKind(
    schema=Job,
    placeholders={"name": "job", "data": {}, "formulations": {"linear": "1"}},
    find_conflicts=find_conflicts,
    add_faults=_add_faults,
    resolve=resolve_job,
    read=read_data,
    build=build_problem,
    check=_check,
    arguments=solve_arguments,
    trial=_trial,
    tell_trial=_tell_trial,
    summarise=summarise,
    answer=write_answers,
    starts=_starts,
    read_results=_read_results,
    conclude=hansen_sentence,
)
