"""Bytes of a job's blocks, of what they remember and of what they send back.

All but the driver's are counted and not estimated: they are those of the run. Of an
evaluation a block remembers δ, ∂δ/∂θ and factors, in all 8 (N + N P) + 4 Σ_t J_t
(J_t + 1) bytes, and with a supply side c̃, ∂c̃/∂θ and flags, 8 (N + N (P + B)) + N
bytes, where B coefficients on prices are in θ.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from ..partitions.source import count_bytes
from .plan_machines import Machines, deal_out, is_from_store, keep_first_come

if TYPE_CHECKING:
    from ..model.parameters import Parameters
    from ..moments.demand import DemandState
    from ..problem.prepared import PreparedDemand


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Bytes of one evaluation.

    Attributes
    ----------
    data
        All blocks.
    from_store
        Whether workers read them from a store, or are sent them.
    held, read_again
        Of them, what workers keep, and what they read again at every evaluation.
    busiest
        Blocks of the worker that has most.
    delta, delta_by_theta, factor, costs
        What blocks remember of an evaluation; costs with their derivatives.
    memories
        All of that, with what it is kept in.
    carried
        Whether that travels to the driver; else it is written beside the store.
    records
        What blocks send back.
    driver
        Estimate of the driver's memory: what it has now, then memories of evaluations.
    """

    data: int
    from_store: bool
    held: int
    read_again: int
    busiest: int
    delta: int
    delta_by_theta: int
    factor: int
    costs: int
    memories: int
    carried: bool
    records: int
    driver: int


def plan_memory(
    prepared: PreparedDemand,
    parameters: Parameters,
    machines: Machines,
    *,
    state: DemandState,
    record: Any,
) -> MemoryPlan:
    """Count the bytes of blocks, memories and records.

    Parameters
    ----------
    prepared
        The problem.
    parameters
        Its parameters.
    machines
        Who works on the blocks.
    state
        What a solve sends to every block.
    record
        What the first block sends back.
    """
    from ..driver.dask_worker import CARRIED_BYTES
    from ..estimators.gmm import factor_bytes
    from ..estimators.gmm_objective import KEPT

    source = prepared.source
    B, N, P = len(source), prepared.n_products, parameters.n_nonlinear
    sizes = [source.size(block) for block in range(B)]
    bundles = deal_out(B, machines)
    from_store = is_from_store(source)
    held = sum(sizes)
    if from_store:
        held = sum(
            keep_first_come([sizes[b] for b in bundle], machines.room)
            for bundle in bundles
        )
    delta, slopes = 8 * N, 8 * N * P
    factor = factor_bytes(prepared) if state.keep_factor and prepared.n_random else 0
    of_costs = _cost_bytes(state)
    memories = delta + slopes + factor + of_costs * N + 8 * P * B
    largest = 8 * P + _largest_memory(prepared, P, factor > 0, of_costs)
    # Workers of this machine see a directory whether or not the data are in a store.
    carried = machines.kind != "dask" or largest * B <= CARRIED_BYTES
    records = _record_bytes(record, prepared)
    # The anchor's memories, those of a step's start, and of evaluations not yet taken.
    driver = _memory_now() + (KEPT + 2) * memories * carried + 2 * records
    if from_store and machines.kind != "dask":
        driver += held
    if not from_store and machines.kind == "dask":
        driver += sum(sizes)  # on their way through the scheduler
    return MemoryPlan(
        data=sum(sizes),
        from_store=from_store,
        held=held,
        read_again=sum(sizes) - held,
        busiest=max(sum(sizes[b] for b in bundle) for bundle in bundles),
        delta=delta,
        delta_by_theta=slopes,
        factor=factor,
        costs=of_costs * N,
        memories=memories,
        carried=carried,
        records=records,
        driver=driver,
    )


def _memory_now() -> int:
    """Give the bytes that this process holds, but for blocks read for the plan."""
    import psutil

    from ..partitions.residency import RESIDENT

    return int(psutil.Process().memory_info().rss) - RESIDENT.held_bytes


def _record_bytes(record: Any, prepared: PreparedDemand) -> int:
    """Count the bytes of all records from the first: what is joined grows with T."""
    joined = sum(
        getattr(record, field.name).nbytes
        for field in fields(record)
        if field.metadata.get("combine") == "join"
    )
    edges = prepared.block_edges
    fixed = count_bytes(record) - joined
    return int(fixed * (edges.size - 1) + joined // edges[1] * prepared.n_markets)


def _cost_bytes(state: DemandState) -> int:
    """Count the bytes of a product's c̃, ∂c̃/∂θ and flag; none without a supply side."""
    if state.costs is None:
        return 0
    n_slopes = state.theta.size + state.costs.tastes.free.size
    return 8 * (1 + n_slopes) + 1


def _largest_memory(
    prepared: PreparedDemand, P: int, has_factor: bool, of_costs: int
) -> int:
    """Count the bytes of the longest δ, ∂δ/∂θ, factor and costs of a block."""
    import numpy as np

    J = prepared.product_counts
    factors = np.add.reduceat(J * (J + 1) // 2, prepared.block_edges[:-1])
    sizes = 8 * (prepared.block_sizes * (1 + P) + factors * has_factor)
    return int((sizes + prepared.block_sizes * of_costs).max())
