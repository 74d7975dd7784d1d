"""What a reduction costs on a Dask cluster, beside what Dask itself costs.

A pass that does nothing over 128 blocks (see :mod:`.overhead`) on two workers is one
task each, a record a block back, and memories kept. The floor is two tasks of Dask's
own that are given nothing and give nothing back. Both are measured in turns on the same
cluster; CPU seconds are the driver's, where the scheduler is too.
"""

from __future__ import annotations

from typing import Any

from blpdask.driver.clusters import local_client
from blpdask.driver.dask_engine import DaskEngine, DaskPlacement

from ..measure import Settings, Span, Stopwatch
from ..table import Row, time_rows
from .overhead import BLOCKS, do_nothing

WORKERS = 2
REDUCTIONS = 100


def run(case: str, settings: Settings) -> list[Row]:
    """Time reductions of nothing and pairs of empty tasks."""
    count = 10 if settings.quick else REDUCTIONS
    engine: list[Span] = []
    floor: list[Span] = []
    with local_client(WORKERS) as client:
        placement = DaskEngine(client).place(range(BLOCKS))
        try:
            _reduce(placement, 2)
            _submit_pairs(client, 2)
            for _ in settings.repeats(5):
                engine.append(_reduce(placement, count))
                floor.append(_submit_pairs(client, count))
        finally:
            placement.close()
    note = f"{BLOCKS} blocks, a pass that does nothing, {WORKERS} workers of 1 thread"
    dask = f"{WORKERS} empty tasks, submitted and gathered"
    scaled: dict[str, Any] = {"scale": 1e3, "unit": "ms"}
    return [
        *time_rows(case, "a reduction", [], engine, note=note, **scaled),
        *time_rows(case, "floor of Dask", [], floor, note=dask, **scaled),
        *[
            Row(
                case,
                f"a reduction : floor, {kind}",
                "",
                blpdask=tuple(
                    getattr(ours, name) / getattr(bare, name)
                    for ours, bare in zip(engine, floor, strict=True)
                ),
                digits=3,
            )
            for kind, name in (("wall", "wall"), ("CPU", "cpu"))
        ],
    ]


def give_nothing() -> None:
    """Do nothing, as a task."""


def _reduce(placement: DaskPlacement, count: int) -> Span:
    """Time reductions one after another, each a mean."""
    watch = Stopwatch()
    for _ in range(count):
        placement.reduce(do_nothing, None, keep="last")
    return watch.read() / count


def _submit_pairs(client: Any, count: int) -> Span:
    """Time as many tasks as there are workers, submitted and gathered, each a mean."""
    workers = list(client.scheduler_info()["workers"])
    watch = Stopwatch()
    for _ in range(count):
        futures = [
            client.submit(give_nothing, workers=[worker], pure=False)
            for worker in workers
        ]
        client.gather(futures)
    return watch.read() / count
