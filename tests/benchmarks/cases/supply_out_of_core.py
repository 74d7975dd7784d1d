"""How long demand and supply take, and how much memory, on data that stay on disk.

Stores of N = 10⁵ and N = 10⁶ products are simulated; then a fresh process makes the
problem of each, absorbs two effects out of both equations and estimates in one step on
two workers of 2 GiB. What ``blpdask plan`` says of the same job is beside what was
measured.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from ..measure import Settings, Stopwatch, run_child, time_process
from ..stores import WORKER_MEMORY, WORKERS
from ..supply import simulate_supply_store, write_supply_job
from ..table import Row
from .out_of_core import BYTES, MEBI, PLAN, Measured, in_mebi

SIZES, QUICK_SIZES = (100_000, 1_000_000), (5_000, 10_000)
#: Passes over the blocks, by their names.
_PASSES = (
    (("survey_pass", "sums_pass", "squares_pass"), "absorbing effects"),
    (("stored_sums_pass",), "sums of X and Z"),
    (("demand_pass",), "evaluations with gradients"),
    (("moments_pass",), "covariance of moments"),
)


def run(case: str, settings: Settings) -> list[Row]:
    """Measure peaks of driver and workers, and seconds."""
    sizes = QUICK_SIZES if settings.quick else SIZES
    samples: dict[int, list[Measured]] = {size: [] for size in sizes}
    for _ in settings.repeats(1):
        for size in sizes:
            settings.say(f"  N = {size:,}")
            samples[size].append(_measure(size))
    return [row for size in sizes for row in _rows(case, size, samples[size])]


def _measure(size: int) -> Measured:
    """Simulate a store, plan and estimate, and leave nothing behind."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        watch = Stopwatch()
        size_on_disk = simulate_supply_store(folder / "store", size)
        seconds = watch.read().wall
        write_supply_job(folder / "job.yaml", folder / "store")
        machines = ("--workers", f"{WORKERS}", "--worker-memory", WORKER_MEMORY)
        job = str(folder / "job.yaml")
        _, text = time_process([*PLAN, job, *machines, "--format", "json"])
        found = run_child("supply", {"store": str(folder / "store")})[1]
    assert abs(found["products"] / size - 1) < 0.01
    assert found["converged"]
    return Measured(size_on_disk, seconds, found, json.loads(text))


def _rows(case: str, size: int, samples: list[Measured]) -> list[Row]:
    """Make the rows of one size."""
    first = samples[0]
    memory, time = first.planned["memory"], first.planned["time"]
    n = first.found["evaluations"]
    notes = {
        "driver": f"blpdask plan says {in_mebi(memory['driver'])}",
        "held": f"blpdask plan says {in_mebi(memory['held'])} of blocks, of memories "
        f"{in_mebi(memory['memories'])} where they fit",
        "evaluations with gradients": f"{n} in the search; blpdask plan says "
        f"{time['cold'] + (n - 1) * time['warm']:.3g} of them",
    }

    def row(measure: str, unit: str, values: list[float], note: str = "") -> Row:
        title = f"N={size:.0e}: {measure}"
        return Row(case, title, unit, blpdask=tuple(values), note=note)

    held = [
        row(title, "MiB", [s.found[key] / MEBI for s in samples], notes.get(key, ""))
        for key, title in BYTES
    ]
    passes = [
        row(
            title,
            "s",
            [sum(s.found["seconds"].get(k, 0.0) for k in names) for s in samples],
            notes.get(title, ""),
        )
        for names, title in _PASSES
    ]
    positive = f"{first.found['positive']:.2%} of marginal costs are positive"
    note = f"{first.bytes / MEBI:.0f} MiB on disk"
    return [
        *held,
        *passes,
        row("all, wall", "s", [s.found["wall"] for s in samples], "cluster included"),
        row("objective", "", [s.found["objective"] for s in samples], positive),
        row("store simulated, wall", "s", [s.seconds for s in samples], note),
    ]
