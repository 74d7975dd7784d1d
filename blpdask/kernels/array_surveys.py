"""The array backend's expectations of functions of agents and choices.

One source for CPUs and GPUs. Equations are in :mod:`blpdask.kernels.contract`; slopes
are taken as :mod:`blpdask.kernels.loop_surveys` takes them, by what E_i moves with
stretched utilities, B ``(B, i, J)``, and with ρ. Second choices are in
:mod:`blpdask.kernels.array_second_choices`.
"""

from __future__ import annotations

import numpy as np

from ..records import ChoiceFunctions, Floats, InversionControls, MarketBlock, Tastes
from .array_adjoints import Adjoint, adjoint
from .array_batches import Array, PreparedBlock, gather, to_host
from .array_choice_functions import BatchFunctions, move_functions, of_batch
from .array_second_choices import second_expectation
from .array_shares import (
    Probabilities,
    ShareMap,
    move_tastes,
    product_coefficients_by_theta,
)


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
    there = move_functions(functions, xp)
    sums = np.zeros(functions.size)
    by_theta = np.zeros((functions.size, n_parameters))
    scratch_bytes = InversionControls().scratch_bytes
    with np.errstate(all="ignore"):
        for batch in prepared.batches(scratch_bytes):
            own = of_batch(there, block, batch, xp)
            own_delta = gather(at, batch, xp)
            share_map = ShareMap(batch, moved, own_delta, scratch_bytes, xp)
            by_delta = [gather(column, batch, xp) for column in slopes]
            _add_batch(share_map, own, own_delta, by_delta, sums, by_theta)
    return sums, by_theta


def _add_batch(
    share_map: ShareMap,
    own: BatchFunctions,
    delta: Array,
    by_delta: list[Array],
    sums: Floats,
    by_theta: Floats,
) -> None:
    """Add what a batch of markets adds to E and to ∂E/∂θ."""
    xp, functions = share_map.xp, own.functions
    for chunk in share_map.probabilities(delta, slice(None)):
        moved = moved_utilities(share_map, chunk, by_delta)
        for s in range(functions.choice_terms.shape[0]):
            if functions.removals.size and functions.removals[s] >= 0:
                found = second_expectation(share_map, chunk, own, s)
            else:
                found = _first_expectation(share_map, chunk, own, s)
            slopes = _by_theta(share_map, found, moved)
            for el in np.flatnonzero(functions.shapes == s):
                weights = share_map.batch.weights[:, chunk.agents]
                w = own.weigh(int(el), chunk.agents, weights)
                sums[el] += float(to_host((w * found.E).sum(), xp))
                for p, slope in enumerate(slopes):
                    by_theta[el, p] += float(to_host((w * slope).sum(), xp))


def _first_expectation(
    share_map: ShareMap, chunk: Probabilities, own: BatchFunctions, s: int
) -> Adjoint:
    """Average a shape of first choices."""
    f = own.first(s, chunk.agents)
    p = share_map.xp.concatenate([chunk.P0[..., None], chunk.P], axis=2)
    return adjoint(share_map, chunk, p * f)


def moved_utilities(
    share_map: ShareMap, chunk: Probabilities, by_delta: list[Array]
) -> list[Array]:
    """Compute how stretched utilities ``(B, i, J)`` move along δ(θ)."""
    if not by_delta:
        return []
    xp, batch, tastes = share_map.xp, share_map.batch, share_map.tastes
    places = [int(k) for k in to_host(tastes.rows, xp)]
    v = product_coefficients_by_theta(batch, chunk.agents, tastes, xp)
    found = []
    for p, of_delta in enumerate(by_delta):
        moved = of_delta[:, None, :]
        if p < len(places):
            moved = moved + v[p] * batch.X2[:, places[p]][:, None, :]
        if share_map.nests is not None:
            moved = moved * share_map.nests.stretch[:, None, :]
        found.append(moved)
    return found


def _by_theta(share_map: ShareMap, found: Adjoint, moved: list[Array]) -> list[Array]:
    """Compute dE_i ``(B, i)`` by every free parameter."""
    n_tastes = int(share_map.tastes.rows.size)
    slopes = []
    for p, u in enumerate(moved):
        slope = (found.B * u).sum(axis=2)
        slopes.append(slope if p < n_tastes else slope + found.by_rho[p - n_tastes])
    return slopes
