"""The cases by name, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..measure import Settings
from ..table import Row
from . import (
    automobiles,
    choices,
    choices_out_of_core,
    choices_scaling,
    dask_drift,
    dask_overhead,
    dask_scaling,
    effects,
    equilibrium,
    evaluation,
    memory,
    nevo_solve,
    optimal_instruments,
    out_of_core,
    overhead,
    petrin,
    recording,
    solve_large,
    start_up,
    substitution,
    supply_out_of_core,
    threads,
)


@dataclass(frozen=True, slots=True)
class Case:
    """A name to ask for, what it measures in a line, and what measures it."""

    name: str
    summary: str
    run: Callable[[str, Settings], list[Row]]


CASES = (
    Case("nevo-solve", "Nevo's problem, estimated in one step", nevo_solve.run),
    Case("evaluation-nevo", "q and gradient: T=94 J=24 I=20 K2=4", evaluation.run_nevo),
    Case("evaluation-many", "q and gradient: many small markets", evaluation.run_many),
    Case("evaluation-large", "q and gradient: large markets", evaluation.run_large),
    Case("solve-large", "large markets, estimated; minutes", solve_large.run),
    Case("automobiles", "demand and supply in two steps; minutes", automobiles.run),
    Case("petrin", "demand, supply and ten micro moments", petrin.run),
    Case("effects", "absorbed effects of 10⁵ levels", effects.run),
    Case("equilibrium", "equilibrium prices: T=1000 J=50 I=200", equilibrium.run),
    Case(
        "optimal-instruments",
        "optimal instruments with supply: T=1000 J=50 I=200",
        optimal_instruments.run,
    ),
    Case("substitution", "elasticities, diversion, mergers", substitution.run),
    Case("choices", "mixed logit of electricity beside xlogit", choices.run),
    Case("threads", "two threads against two processes", threads.run),
    Case("overhead", "what an engine costs at 128 blocks", overhead.run),
    Case("memory", "peak memory of one evaluation", memory.run),
    Case("start-up", "imports, help, first solve", start_up.run),
    Case("recording", "a solve recorded, and replayed", recording.run),
    Case("dask-overhead", "a reduction on a Dask cluster", dask_overhead.run),
    Case("dask-drift", "2000 evaluations on a Dask cluster", dask_drift.run),
    Case("dask-scaling", "two workers against two processes", dask_scaling.run),
    Case("out-of-core", "10⁷ products on two workers of 2 GiB", out_of_core.run),
    Case(
        "supply-out-of-core",
        "10⁶ products with supply, estimated on two workers of 2 GiB",
        supply_out_of_core.run,
    ),
    Case(
        "choices-out-of-core",
        "mixed logit of choices on disk, two workers of 2 GiB; minutes",
        choices_out_of_core.run,
    ),
    Case(
        "choices-scaling",
        "mixed logit: two workers against two processes",
        choices_scaling.run,
    ),
)
