"""How likely agents of a market are to choose what, and how that moves with θ.

Each agent i and choice j, the outside option first, is a cell. Its probability is

    P_ij = Q_ij M_ih,   P_i0 = 1 - Σ_h M_ih,

where Q is the probability within nest h and M that of the nest
(:mod:`blpdask.kernels.contract`); without nests all products are one with ρ = 0. Its
logarithm moves with utilities along δ(θ), and with ρ, by

    dlog P_ij = u_ij - ρ_h ū_ih - Σ_g (1 - ρ_g) M_ig ū_ig,   u_ij = t_h dV_ij,
    dlog Q_ij = u_ij - ū_ih,                                 ū_ih = Σ_{k∈h} Q_ik u_ik.

What is summed over agents at once is :mod:`blpdask.model.surveys`; here are the cells
themselves, for those who ask of single choices. Second choices are in
:mod:`.second_choice_cells`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..kernels.array_batches import gather, prepare
from ..kernels.array_nests import NestTastes, log_slopes, rho_slopes
from ..kernels.array_shares import Probabilities, ShareMap, move_tastes
from ..kernels.array_surveys import moved_utilities
from ..records import Floats, Integers, MarketBlock, Tastes


@dataclass(frozen=True, slots=True, eq=False)
class Slope:
    """What moves with one parameter along δ(θ).

    Attributes
    ----------
    log_P
        ``(I, 1 + J)`` dlog P.
    log_Q
        ``(I, J)`` dlog Q.
    rho
        ``(H,)`` dρ_h, one where the parameter is it.
    """

    log_P: Floats
    log_Q: Floats
    rho: Floats


@dataclass(frozen=True, slots=True, eq=False)
class FirstChoices:
    """Probabilities of a market's agents.

    Attributes
    ----------
    P
        ``(I, 1 + J)``, the outside option first.
    Q
        ``(I, J)`` within nests.
    M
        ``(I, H)`` of nests.
    nests
        ``(J,)`` which nest each product is in, from zero.
    rho
        ``(H,)``.
    slopes
        For each free parameter that kernels see; none where not wanted.
    """

    P: Floats
    Q: Floats
    M: Floats
    nests: Integers
    rho: Floats
    slopes: tuple[Slope, ...]


def first_choices(
    market: MarketBlock, tastes: Tastes, delta: Floats, delta_by_theta: Floats
) -> FirstChoices:
    """Compute probabilities of all cells of a market, and their slopes.

    Parameters
    ----------
    market
        A block of one market, with whichever agents.
    tastes
        θ.
    delta
        ``(J,)`` δ.
    delta_by_theta
        ``(J, P)`` ∂δ/∂θ; ``(J, 0)`` where no slopes are wanted.
    """
    if market.nests is None:
        one = np.zeros(market.n_products, np.int64)
        market = replace(market, nests=one)
        nothing = np.empty(0, np.int64)
        tastes = replace(tastes, rho=np.empty(0), rho_places=nothing)
    scale = market.epsilon_scale
    (batch,) = prepare(market).groups
    at = gather(delta / scale, batch, np)
    by_delta = [gather(column, batch, np) for column in delta_by_theta.T / scale]
    _, n_agents, n_products = batch.shape
    with np.errstate(all="ignore"):
        share_map = ShareMap(
            batch, move_tastes(tastes, np), at, 8 * n_agents * n_products, np
        )
        (found,) = share_map.probabilities(at, slice(None))
        slopes = _slopes(share_map, found, by_delta)
    nests = share_map.nests
    assert nests is not None and found.Q is not None and found.M is not None
    return FirstChoices(
        P=np.hstack([found.P0[0, :, None], found.P[0]]),
        Q=found.Q[0],
        M=found.M[0],
        nests=np.asarray(nests.members[0].argmax(axis=1)),
        rho=nests.rho[0],
        slopes=slopes,
    )


def _slopes(
    share_map: ShareMap, found: Probabilities, by_delta: list[Floats]
) -> tuple[Slope, ...]:
    """Differentiate logarithms of probabilities by every free parameter."""
    nests, Q, M = share_map.nests, found.Q, found.M
    assert nests is not None and Q is not None and M is not None
    slopes = []
    for p, u in enumerate(moved_utilities(share_map, found, by_delta)):
        inside, outside = log_slopes(u, Q, M, nests)
        within = u - nests.expand(nests.sums(Q * u))
        rho = np.zeros(nests.rho.shape[1])
        r = p - share_map.tastes.rows.size
        if r >= 0:
            which = share_map.tastes.free_nests[r][share_map.batch.nest_codes]
            of_P, of_P0, of_Q = _of_rho(share_map, found, nests, which)
            inside, outside, within = inside + of_P, outside + of_P0, within + of_Q
            rho = which[0]
        logs = np.hstack([outside[0, :, None], inside[0]])
        slopes.append(Slope(logs, np.asarray(within[0]), rho))
    return tuple(slopes)


def _of_rho(
    share_map: ShareMap, found: Probabilities, nests: NestTastes, which: Floats
) -> tuple[Floats, Floats, Floats]:
    """Differentiate log P, log P_0 and log Q by ρ at fixed utilities."""
    available = share_map.batch.available(found.agents)
    assert found.Q is not None and found.M is not None
    return rho_slopes(found.Q, found.M, available, nests, which, np)
