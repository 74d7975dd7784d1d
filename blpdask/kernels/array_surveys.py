"""The array backend's expectations of functions of agents and choices.

One source for CPUs and GPUs. Equations are in :mod:`blpdask.kernels.contract`. Since
probabilities, the outside option's among them, add up to one,

    E_i = f_i0 + Σ_j P_ij (f_ij - f_i0),   dE_i = Σ_j dP_ij (f_ij - f_i0).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from ..records import ChoiceFunctions, Floats, InversionControls, MarketBlock, Tastes
from .array_batches import Array, Batch, PreparedBlock, gather, to_host
from .array_nests import log_slopes, rho_slopes
from .array_shares import (
    Probabilities,
    ShareMap,
    move_tastes,
    product_coefficients_by_theta,
)


@dataclass(frozen=True, slots=True)
class BatchFunctions:
    """Functions of a batch of markets.

    Attributes
    ----------
    functions
        Those of the block, factors on the device.
    people
        ``(B, I)`` places of agents among the block's.
    options
        ``(B, 1 + J)`` places of choices, the outside option's where padded.
    cells
        ``(B, I, 1 + J)`` places in tables, likewise.
    """

    functions: ChoiceFunctions
    people: Array
    options: Array
    cells: Array

    def shape(self, s: int, agents: slice) -> Array:
        """Compute h_s ``(B, i, 1 + J)``, or ``(B, 1, 1 + J)`` where it is common."""
        functions, found = self.functions, 1.0 + 0.0 * self.options[:, None, :]
        for term in functions.choice_terms[s]:
            if term >= 0:
                found = found * functions.choices[int(term)][self.options][:, None, :]
        for term in functions.table_terms[s]:
            if term >= 0:
                found = found * functions.tables[int(term)][self.cells[:, agents]]
        return found

    def weigh(self, el: int, agents: slice, weights: Array) -> Array:
        """Multiply weights ``(B, i)`` by what function l has of agents."""
        for term in self.functions.agent_terms[el]:
            if term >= 0:
                weights = (
                    weights * self.functions.agents[int(term)][self.people[:, agents]]
                )
        return weights


def expectations(
    prepared: PreparedBlock,
    block: MarketBlock,
    tastes: Tastes,
    functions: ChoiceFunctions,
    delta: Floats,
    delta_by_theta: Floats,
    derivatives: bool,
) -> tuple[Floats, Floats]:
    """Compute E ``(L,)`` of functions and, along δ(θ), ∂E/∂θ ``(L, P)``.

    Parameters
    ----------
    prepared, block
        The markets, on the device and off it.
    tastes, functions
        θ and the functions.
    delta, delta_by_theta
        ``(N,)`` and ``(N, P)`` of the inversion at θ.
    derivatives
        Whether derivatives are wanted; ``(L, 0)`` where not.
    """
    xp = prepared.xp
    n_parameters = tastes.size if derivatives else 0
    moved, at = move_tastes(tastes, xp), xp.asarray(delta)
    slopes = [xp.asarray(delta_by_theta[:, p]) for p in range(n_parameters)]
    there = _on_device(functions, xp)
    sums = np.zeros(functions.size)
    by_theta = np.zeros((functions.size, n_parameters))
    scratch_bytes = InversionControls().scratch_bytes
    with np.errstate(all="ignore"):
        for batch in prepared.batches(scratch_bytes):
            own = _of_batch(there, block, batch, xp)
            own_delta = gather(at, batch, xp)
            share_map = ShareMap(batch, moved, own_delta, scratch_bytes, xp)
            by_delta = [gather(column, batch, xp) for column in slopes]
            for chunk in share_map.probabilities(own_delta, slice(None)):
                P, agents = chunk.P, chunk.agents
                tangents = list(_tangents(share_map, chunk, by_delta))
                for s in range(functions.choice_terms.shape[0]):
                    f = own.shape(s, agents)
                    contrast = f[..., 1:] - f[..., :1]
                    E = f[..., 0] + (P * contrast).sum(axis=2)
                    dE = [(dP * contrast).sum(axis=2) for dP in tangents]
                    for el in np.flatnonzero(functions.shapes == s):
                        w = own.weigh(int(el), agents, batch.weights[:, agents])
                        sums[el] += float(to_host((w * E).sum(), xp))
                        for p, slope in enumerate(dE):
                            by_theta[el, p] += float(to_host((w * slope).sum(), xp))
    return sums, by_theta


def _tangents(
    share_map: ShareMap, chunk: Probabilities, by_delta: list[Array]
) -> Iterator[Array]:
    """Compute dP ``(B, i, J)`` by every free parameter, along δ(θ)."""
    xp, batch, tastes = share_map.xp, share_map.batch, share_map.tastes
    nests, P = share_map.nests, chunk.P
    if not by_delta:
        return
    places = [int(k) for k in to_host(tastes.rows, xp)]
    v = product_coefficients_by_theta(batch, chunk.agents, tastes, xp)
    for p, of_delta in enumerate(by_delta):
        moved = of_delta[:, None, :]
        if p < len(places):
            moved = moved + v[p] * batch.X2[:, places[p]][:, None, :]
        if nests is None:
            yield P * (moved - (P * moved).sum(axis=2)[..., None])
            continue
        logs, _ = log_slopes(nests.stretch[:, None, :] * moved, chunk.Q, chunk.M, nests)
        if p >= len(places):
            which = tastes.free_nests[p - len(places)][batch.nest_codes]
            available = batch.available(chunk.agents)
            logs = logs + rho_slopes(chunk.Q, chunk.M, available, nests, which, xp)[0]
        yield P * logs


def _on_device(functions: ChoiceFunctions, xp: ModuleType) -> ChoiceFunctions:
    """Move factors to the device; what says which is which stays."""
    return ChoiceFunctions(
        agents=xp.asarray(functions.agents),
        choices=xp.asarray(functions.choices),
        tables=xp.asarray(functions.tables),
        agent_terms=functions.agent_terms,
        shapes=functions.shapes,
        choice_terms=functions.choice_terms,
        table_terms=functions.table_terms,
    )


def _of_batch(
    functions: ChoiceFunctions, block: MarketBlock, batch: Batch, xp: ModuleType
) -> BatchFunctions:
    """Find a batch's markets among the block's factors."""
    markets = to_host(batch.markets, xp)
    _, n_agents, n_products = batch.shape
    J, people = np.diff(block.product_offsets), np.diff(block.agent_offsets)
    firsts = np.cumsum((J + 1) * people) - (J + 1) * people
    choice, agent = np.arange(n_products + 1), np.arange(n_agents)
    J, firsts = J[markets][:, None], firsts[markets][:, None, None]
    inside = np.where(choice <= J, choice, 0)
    there = np.where(agent < people[markets][:, None], agent, 0)
    options = (block.product_offsets[markets] + markets)[:, None] + inside
    cells = firsts + there[..., None] * (J + 1)[..., None] + inside[:, None, :]
    return BatchFunctions(
        functions,
        people=xp.asarray(block.agent_offsets[markets][:, None] + there),
        options=xp.asarray(options),
        cells=xp.asarray(cells),
    )
