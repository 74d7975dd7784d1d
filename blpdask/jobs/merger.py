"""What a job asks about a merger, and where a run writes the answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from .fields import Options, Text, Whole
from .kept_files import written

if TYPE_CHECKING:
    from ..api.problem import Problem
    from ..api.results import ProblemResults
    from .schema import Job

#: Tables of products and of markets, and averages as they are printed.
PRODUCTS, MARKETS, PRINTED = "merger.csv", "merger_markets.csv", "merger.txt"


class MergerOptions(Options):
    """Which firms merge; what that does is computed at the estimates."""

    firms: dict[Whole | Text, Whole | Text] = Field(min_length=1)
    """Which firms become which, say {2: 1}: firm 2's products become firm 1's."""


def check_merger(job: Job, problem: Problem) -> None:
    """Refuse a merger of firms that are not there, before anything is estimated.

    Raises
    ------
    blpdask.errors.InputError
        With every fault.
    """
    from ..api.merger import check_mergers
    from ..api.stored import firms_of

    if job.merger is not None:
        check_mergers(firms_of(problem.demand), job.merger.firms)


def write_merger(job: Job, results: ProblemResults, partial: Path) -> dict[str, Any]:
    """Compute what the job's merger does and write it down.

    Parameters
    ----------
    job, results
        The job and its results.
    partial
        Where.

    Returns
    -------
    dict
        Averages before and after by name, for the run's summary; empty without any.
    """
    if job.merger is None:
        return {}
    effects = results.simulate_merger(dict(job.merger.firms))
    with written(partial / PRODUCTS) as path:
        effects.to_frame().to_csv(path, index=False)
    with written(partial / MARKETS) as path:
        effects.markets_frame().to_csv(path, index=False)
    with written(partial / PRINTED) as path:
        path.write_text(f"{effects}\n", encoding="utf-8")
    plain: dict[str, Any] = json.loads(json.dumps(effects.summary()))
    return {"merger": plain}
