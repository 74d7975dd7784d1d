"""Seconds of an evaluation, measured on the cheapest blocks and scaled up.

With the operations of a share map and a curvature as cost
(:func:`blpdask.partitions.plan.market_costs`),

    seconds = seconds measured / cost measured x cost of the busiest worker + overhead.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..partitions.source import BlockSource
from .plan_machines import Machines, deal_out, is_from_store, keep_first_come

if TYPE_CHECKING:
    from ..model.parameters import Parameters
    from ..moments.demand import DemandState
    from ..records import Floats

#: Seconds that a round of tasks costs on a Dask cluster.
DASK_SECONDS = 0.015
#: Blocks that are evaluated, and seconds after which no further one is.
MEASURED_BLOCKS = 3
MEASURING_SECONDS = 20.0
#: How far θ moves, relative to itself, between the two evaluations that are timed.
MOVE = 0.05


@dataclass(frozen=True, slots=True)
class TimePlan:
    """Seconds, measured here and scaled.

    Attributes
    ----------
    measured
        Numbers of the blocks that were evaluated.
    cold, warm
        An evaluation with its gradient, from nothing and from the one before.
    here
        A warm one on threads of this process, one a core.
    reading
        Of each, what is spent on reading blocks again.
    passes
        Passes over the blocks that an evaluation with its gradient takes.
    hundred
        A hundred evaluations, the first one cold.
    """

    measured: tuple[int, ...]
    cold: float
    warm: float
    here: float
    reading: float
    passes: int
    hundred: float


@dataclass(frozen=True, slots=True)
class _Timing:
    """Seconds of a block: loading, evaluating from nothing, and from a memory."""

    reading: float
    cold: float
    warm: float


def plan_time(
    source: BlockSource,
    costs: Floats,
    parameters: Parameters,
    state: DemandState,
    machines: Machines,
    *,
    passes: int = 1,
    from_memory: bool = True,
) -> TimePlan:
    """Evaluate the cheapest blocks, compiled by now, and scale their time up.

    Parameters
    ----------
    source
        Loads the blocks.
    costs
        ``(B,)`` operations of each.
    parameters, state
        Where they are evaluated.
    machines
        Who will work on them.
    passes
        Passes over the blocks per evaluation.
    from_memory
        Whether evaluations start from what blocks remember of earlier ones.
    """
    import numpy as np

    from ..driver.cores import single_threaded_libraries

    order = [int(block) for block in np.argsort(costs, kind="stable")]
    with single_threaded_libraries():
        timings = _measure(source, order, parameters, state, from_memory)
    measured = tuple(order[: len(timings)])
    cost = float(sum(costs[block] for block in measured))
    size = max(1, sum(source.size(block) for block in measured))
    again = sum(t.reading for t in timings) / size * _read_by_one(source, machines)
    overhead = DASK_SECONDS if machines.kind == "dask" else 0.0
    scale = passes * _busiest(costs, machines) / cost
    cold = scale * sum(t.cold for t in timings) + passes * (overhead + again)
    warm = scale * sum(t.warm for t in timings) + passes * (overhead + again)
    one_process = passes * _busiest_thread(costs, machines.cores) / cost
    return TimePlan(
        measured=measured,
        cold=cold,
        warm=warm,
        here=one_process * sum(t.warm for t in timings),
        reading=passes * again,
        passes=passes,
        hundred=cold + 99 * warm,
    )


def _measure(
    source: BlockSource,
    order: Sequence[int],
    parameters: Parameters,
    state: DemandState,
    from_memory: bool,
) -> list[_Timing]:
    """Time blocks in an order, a few of them."""
    from ..model.parameters import tastes_at
    from ..moments.demand import demand_pass
    from ..partitions.residency import RESIDENT

    theta = parameters.theta * (1 + MOVE)
    moved = replace(
        state,
        theta=theta[: parameters.n_nonlinear],
        tastes=tastes_at(parameters, theta),
    )
    RESIDENT.drop(lambda owner: owner == source.name)
    timings: list[_Timing] = []
    began = time.perf_counter()
    for index in order[:MEASURED_BLOCKS]:
        start = time.perf_counter()
        block = source.load(index)
        loaded = time.perf_counter()
        _, memory = demand_pass(block, state, None)
        cold = time.perf_counter()
        demand_pass(block, moved, memory if from_memory else None)
        end = time.perf_counter()
        timings.append(_Timing(loaded - start, cold - loaded, end - cold))
        if end - began > MEASURING_SECONDS:
            break
    return timings


def _busiest(costs: Floats, machines: Machines) -> float:
    """Add up the operations of the worker, or the thread, that has most."""
    if machines.kind != "dask":
        return _busiest_thread(costs, min(machines.count, machines.cores))
    bundles = deal_out(costs.size, machines)
    return max(float(sum(costs[block] for block in bundle)) for bundle in bundles)


def _busiest_thread(costs: Floats, n_threads: int) -> float:
    """Do the same for threads, which take the next block when they are free."""
    return max(float(costs.sum()) / n_threads, float(costs.max()))


def _read_by_one(source: BlockSource, machines: Machines) -> int:
    """Count the bytes that the worker, or thread, who reads most reads again."""
    if not is_from_store(source):
        return 0
    bundles = deal_out(len(source), machines)
    sizes = [[source.size(block) for block in bundle] for bundle in bundles]
    most = max(sum(own) - keep_first_come(own, machines.room) for own in sizes)
    return most if machines.kind == "dask" else most // machines.count
