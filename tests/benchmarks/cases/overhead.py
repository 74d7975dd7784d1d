"""What an engine itself costs an evaluation: a pass that does nothing over 128 blocks.

128 is the most blocks that data are cut into. The record that is added is as large as
that of a problem with 20 instruments and 10 parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from blpdask.driver.engine import Engine
from blpdask.driver.serial import SerialEngine
from blpdask.driver.threads import ThreadsEngine
from blpdask.records import Floats

from ..measure import Settings, Span, Stopwatch
from ..table import Row, time_rows

BLOCKS = 128
REDUCTIONS = 200


@dataclass(frozen=True, slots=True)
class Sums:
    """As much as a block says: Z'δ ``(M,)`` and Z'∂δ/∂θ ``(M, P)``."""

    ZtDelta: Floats
    ZtDelta_by_theta: Floats


NOTHING = Sums(np.zeros(20), np.zeros((20, 10)))


def run(case: str, settings: Settings) -> list[Row]:
    """Time a reduction of nothing on both engines."""
    engines: dict[str, Engine] = {
        "serial engine": SerialEngine(),
        "threads engine, 2 threads": ThreadsEngine(2),
    }
    spans: dict[str, list[Span]] = {name: [] for name in engines}
    reductions = 10 if settings.quick else REDUCTIONS
    for _ in settings.repeats(5):
        for name, engine in engines.items():
            spans[name].append(_time_reductions(engine, reductions))
    note = f"{BLOCKS} blocks, a pass that does nothing, an evaluation"
    rows: list[Row] = []
    for name, samples in spans.items():
        rows += time_rows(case, name, [], samples, scale=1e3, unit="ms", note=note)
    return rows


def do_nothing(block: Any, state: Any, anchor: Any) -> tuple[Sums, None]:
    """Pass over a block without looking at it."""
    del block, state, anchor
    return NOTHING, None


def _time_reductions(engine: Engine, reductions: int) -> Span:
    placement = engine.place(range(BLOCKS))
    try:
        placement.reduce(do_nothing, None)
        watch = Stopwatch()
        for _ in range(reductions):
            placement.reduce(do_nothing, None, keep="last")
        return watch.read() / reductions
    finally:
        placement.close()
