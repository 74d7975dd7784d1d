"""How much memory it takes to evaluate once on data that stay on disk.

Stores of N = 10⁵ and N = 10⁷ products are simulated; then a fresh process makes the
problem of each and evaluates objective, gradient and standard errors on two workers of
2 GiB. The driver must not grow with N, beyond what markets' counts need. What
``blpdask plan`` says of the same job is beside what was measured.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..measure import Settings, Stopwatch, run_child, time_process
from ..stores import WORKER_MEMORY, WORKERS, simulate_store, write_job
from ..table import Row

SIZES, QUICK_SIZES = (100_000, 10_000_000), (10_000, 100_000)
PLAN = (sys.executable, "-m", "blpdask.cli", "plan")
MEBI = 2**20
BYTES = (
    ("before", "driver, peak before the problem"),
    ("driver", "driver, peak"),
    ("worker", "peak of the larger worker"),
    ("held", "held by workers: blocks, memories"),
    ("read", "blocks read by workers"),
)
#: Passes over the blocks, by their names.
_PASSES = (
    ("stored_sums_pass", "sums of X and Z"),
    ("demand_pass", "evaluation with gradient"),
    ("moments_pass", "covariance of moments"),
)


@dataclass(frozen=True, slots=True)
class Measured:
    """A store: its bytes, seconds to simulate it, what was measured, what planned."""

    bytes: int
    seconds: float
    found: dict[str, Any]
    planned: dict[str, Any]


def run(case: str, settings: Settings) -> list[Row]:
    """Measure peaks of driver and workers."""
    sizes = QUICK_SIZES if settings.quick else SIZES
    samples: dict[int, list[Measured]] = {size: [] for size in sizes}
    for _ in settings.repeats(1):
        for size in sizes:
            settings.say(f"  N = {size:,}")
            samples[size].append(_measure(size))
    rows = [row for size in sizes for row in _rows(case, size, samples[size])]
    small, large = (samples[size] for size in sizes)
    ratios = tuple(
        after.found["driver"] / before.found["driver"]
        for before, after in zip(small, large, strict=True)
    )
    measure = f"driver, peaks at N={sizes[1]:.0e} : {sizes[0]:.0e}"
    return [*rows, Row(case, measure, "", blpdask=ratios)]


def _measure(size: int) -> Measured:
    """Simulate a store, plan and evaluate, and leave nothing behind."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        watch = Stopwatch()
        size_on_disk = simulate_store(folder / "store", size)
        seconds = watch.read().wall
        planned = _plan(folder / "job.yaml", folder / "store")
        found = run_child("stored", {"store": str(folder / "store")})[1]
    assert found["products"] == size
    return Measured(size_on_disk, seconds, found, planned)


def _plan(job: Path, store: Path) -> dict[str, Any]:
    """Ask ``blpdask plan`` what the job takes."""
    write_job(job, store)
    machines = ("--workers", f"{WORKERS}", "--worker-memory", WORKER_MEMORY)
    _, text = time_process([*PLAN, str(job), *machines, "--format", "json"])
    plan: dict[str, Any] = json.loads(text)
    return plan


def _rows(case: str, size: int, samples: list[Measured]) -> list[Row]:
    """Make the rows of one size."""
    first = samples[0]
    memory, time = first.planned["memory"], first.planned["time"]
    notes = {
        "driver": f"of a solve, blpdask plan says {in_mebi(memory['driver'])}",
        "held": f"blpdask plan says {in_mebi(memory['held'])} of blocks, of memories "
        f"{in_mebi(memory['memories'])} where they fit",
        "read": "raw ones for the sums of X and Z, then those of the evaluation",
        "demand_pass": f"from nothing; blpdask plan says {time['cold']:.3g}",
    }

    def row(measure: str, unit: str, values: list[float], note: str = "") -> Row:
        title = f"N={size:.0e}: {measure}"
        return Row(case, title, unit, blpdask=tuple(values), note=note)

    held = [
        row(title, "MiB", [s.found[key] / MEBI for s in samples], notes.get(key, ""))
        for key, title in BYTES
    ]
    passes = [
        row(title, "s", [s.found["seconds"][key] for s in samples], notes.get(key, ""))
        for key, title in _PASSES
    ]
    whole = row(
        "all, wall", "s", [s.found["wall"] for s in samples], "cluster included"
    )
    note = f"{first.bytes / MEBI:.0f} MiB on disk"
    made = row("store simulated, wall", "s", [s.seconds for s in samples], note)
    return [*held, *passes, whole, made]


def in_mebi(n_bytes: float) -> str:
    return f"{n_bytes / MEBI:.1f}"
