"""Second derivatives of firms' profits by prices, without J x J x J tensors.

With m = p - c, t_h = 1 / (1 - ρ_h), or one without nests, and what the owner of k earns
on agent i, of all products and within a nest g,

    a_ik = Σ_j H_kj P_ij m_j,     b_ikg = Σ_{j∈g} H_kj Q_ij m_j,     b_ik = b_ikh(k),
    n_ik = t_h H_kk m_k - a_ik - (t_h - 1) b_ik,

the derivative by p_k of that owner's profits is H_kk s_k + Σ_i w_i α_ik P_ik n_ik. With

    ∂s_k/∂p_l = 1[k=l] t_h Σ_i w_i α_ik P_ik - Σ_i w_i α_il P_il P_ik
                - 1[k~l] (t_h - 1) Σ_i w_i α_il P_il Q_ik,

where k ~ l are of one nest, its derivative by p_l is

    H_kk ∂s_k/∂p_l + H_kl ∂s_l/∂p_k
    + 1[k=l] Σ_i w_i (α'_ik + t_h α_ik²) P_ik n_ik
    - Σ_i w_i α_ik P_ik α_il X_ikl (t_h(k) H_kk m_k + t_h(l) H_kl m_l)
    + Σ_i w_i α_ik P_ik α_il P_il (2 a_ik + (t_h(k) - 1) b_ik + (t_h(l) - 1) b_ikh(l))
    + 1[k~l] (t_h - 1) Σ_i w_i α_ik P_ik α_il Q_il (a_ik + (2 t_h - 1) b_ik),

where α' = ∂α/∂p and X_ikl = P_il + 1[k~l] (t_h - 1) Q_il. Sums over agents are products
of matrices, three and, with nests, four more of each nest's columns. Prices of an owner
are a local best response where his rows and columns are negative definite.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from ..kernels.array_batches import prepare
from ..kernels.array_nests import NestTastes, inclusive_values, shift
from ..kernels.array_shares import (
    DeviceTastes,
    move_tastes,
    product_coefficient,
    random_coefficients,
)
from ..records import Floats, Integers, MarketBlock, Tastes, TrialPrices
from .inversion import one_market

#: Probabilities held at a time.
HELD = 2**20


@dataclass(frozen=True, slots=True, eq=False)
class _Market:
    """One market: tastes and weights of its agents, and what prices move.

    ``coefficients`` (I, K2), ``weights`` (I,), ``curvature`` (J,) and (R, J),
    ``margins`` (J,), ``H`` (J, J), ``available`` (I, J) a_ij or None, and ``moved``
    (K2, I, J) by how much coefficients of products differ from ``coefficients``, or
    None.
    """

    coefficients: Floats
    weights: Floats
    trial: TrialPrices
    curvature: tuple[Floats, Floats]
    margins: Floats
    H: Floats
    nests: NestTastes | None
    available: Floats | None
    moved: Floats | None = None

    @property
    def stretch(self) -> Floats:
        """Give t_h of each product, ``(J,)``."""
        if self.nests is None:
            return np.ones(self.margins.size)
        found: Floats = self.nests.stretch[0]
        return found

    def take(self, agents: slice) -> _Market:
        """Keep some agents."""
        available, moved = self.available, self.moved
        return replace(
            self,
            coefficients=self.coefficients[agents],
            weights=self.weights[agents],
            available=None if available is None else available[agents],
            moved=None if moved is None else moved[:, agents],
        )

    def along(self, places: Integers, values: Floats) -> Floats:
        """Add values ``(R, J)`` of some columns up by coefficients, ``(I, J)``."""
        found: Floats = self.coefficients[:, places] @ values
        if self.moved is not None:
            found += np.einsum("rij,rj->ij", self.moved[places], values)
        return found


@dataclass(frozen=True, slots=True, eq=False)
class _Sums:
    """Sums over agents, filled in place.

    Attributes
    ----------
    Lambda, bend
        ``(J,)`` Σ_i w_i α_ik P_ik, and the second line of the derivative.
    cross
        ``(J, J)`` what is subtracted in ∂s_k/∂p_l.
    gram, earned
        ``(J, J)`` Σ_i w_i α_ik P_ik α_il X_ikl, and the last two lines.
    """

    Lambda: Floats
    bend: Floats
    cross: Floats
    gram: Floats
    earned: Floats


def profit_hessians(
    block: MarketBlock,
    tastes: Tastes,
    trial: TrialPrices,
    curvature: tuple[Floats, Floats],
    margins: Floats,
) -> Floats:
    """Compute the Hessians of all markets, row-major, one after another, ``(F,)``.

    Parameters
    ----------
    block, tastes
        Markets with their owners, and θ.
    trial
        Utilities at the prices where Hessians are wanted.
    curvature
        Second derivatives by prices there: ``(N,)`` of what is linear in β, ``(R, N)``
        of the columns of X2 that depend on prices.
    margins
        ``(N,)`` m.
    """
    assert block.supply is not None
    owners, ownership = block.supply.owners, block.supply.ownership
    on_host = move_tastes(tastes, np)
    people = list(pairwise(block.agent_offsets))
    found, place, first_available = [], 0, 0
    for t, (first, stop) in enumerate(pairwise(block.product_offsets)):
        rows, n = slice(first, stop), int(stop - first)
        H = (owners[rows, None] == owners[None, rows]).astype(np.float64)
        if ownership.size:
            H = ownership[place : place + n * n].reshape(n, n)
        place += n * n
        agents = slice(*people[t])
        n_agents = int(agents.stop - agents.start)
        available = block.availability
        if available is not None:
            last = first_available + n_agents * n
            available = available[first_available:last].reshape(n_agents, n)
            first_available = last
        coefficients = random_coefficients(block.draws[agents], on_host, np)
        market = _Market(
            coefficients,
            block.weights[agents],
            _rows_of(trial, rows),
            (curvature[0][rows], curvature[1][:, rows]),
            margins[rows],
            H,
            None if block.nests is None else _nests(block.nests[rows], tastes),
            available,
            _moved(block, t, coefficients, on_host),
        )
        found.append(_hessian(market).ravel())
    return np.concatenate(found)


def _rows_of(trial: TrialPrices, rows: slice) -> TrialPrices:
    """Keep one market's products."""
    return TrialPrices(
        prices=trial.prices[rows],
        delta=trial.delta[rows],
        alpha=trial.alpha[rows],
        X2=trial.X2[:, rows],
        X2_by_prices=trial.X2_by_prices[:, rows],
        X2_priced=trial.X2_priced,
    )


def _moved(
    block: MarketBlock, t: int, coefficients: Floats, tastes: DeviceTastes
) -> Floats | None:
    """Say how coefficients of products differ from those of agents, ``(K2, I, J)``."""
    if not block.product_columns:
        return None
    (batch,) = prepare(one_market(block, t)).groups
    own = coefficients[None]
    return np.concatenate(
        [
            product_coefficient(batch, slice(None), own, k, tastes, np) - own[..., [k]]
            for k in range(coefficients.shape[1])
        ]
    )


def _nests(codes: Integers, tastes: Tastes) -> NestTastes:
    """Give one market's nests, of products with ``codes`` (J,), their ρ."""
    unique, own = np.unique(codes, return_inverse=True)
    rho = np.where(tastes.rho[unique] < 1.0, tastes.rho[unique], np.nan)
    members = np.eye(unique.size)[own]
    return NestTastes(
        members[None], rho[None], rho[own][None], 1 / (1 - rho[own])[None]
    )


def _hessian(market: _Market) -> Floats:
    """Compute one market's Hessian ``(J, J)``, some agents at a time."""
    n = market.margins.size
    sums = _Sums(*np.zeros((2, n)), *np.zeros((3, n, n)))
    tile = max(1, HELD // n)
    for first in range(0, market.weights.size, tile):
        _add(market.take(slice(first, first + tile)), sums)
    H, stretched = market.H, market.stretch * market.margins
    shares_by_prices = np.diag(market.stretch * sums.Lambda) - sums.cross
    own = np.diag(H) * stretched
    return (
        np.diag(H)[:, None] * shares_by_prices
        + H * shares_by_prices.T
        + np.diag(sums.bend)
        - sums.gram * (own[:, None] + H * stretched)
        + sums.earned
    )


def _add(market: _Market, sums: _Sums) -> None:
    """Add what some agents add to the sums."""
    w, trial, priced = market.weights[:, None], market.trial, market.trial.X2_priced
    m, H, stretch = market.margins, market.H, market.stretch
    P, Q = _probabilities(market)
    alpha = trial.alpha + market.along(priced, trial.X2_by_prices)
    alpha_by_prices = market.curvature[0] + market.along(priced, market.curvature[1])
    a = (P * m) @ H.T
    net = stretch * np.diag(H) * m - a
    moved = alpha * P
    weighted = w * moved
    sums.Lambda[:] += weighted.sum(axis=0)
    sums.cross[:] += P.T @ weighted
    sums.gram[:] += weighted.T @ moved
    sums.earned[:] += 2 * ((weighted * a).T @ moved)
    for own in () if market.nests is None else market.nests.members[0].T > 0.0:
        k = np.flatnonzero(own)
        t, inside = stretch[k[0]], np.ix_(k, k)
        b = (Q[:, k] * m[k]) @ H[:, k].T
        net[:, k] -= (t - 1) * b[:, k]
        mine, within = weighted[:, k], (t - 1) * alpha[:, k] * Q[:, k]
        sums.cross[inside] += (t - 1) * (Q[:, k].T @ mine)
        sums.gram[inside] += mine.T @ within
        sums.earned[k] += (t - 1) * ((mine * b[:, k]).T @ moved)
        sums.earned[:, k] += (t - 1) * ((weighted * b).T @ moved[:, k])
        worth = a[:, k] + (2 * t - 1) * b[:, k]
        sums.earned[inside] += (mine * worth).T @ within
    curved = alpha_by_prices + stretch * alpha**2
    sums.bend[:] += (w * curved * P * net).sum(axis=0)


def _probabilities(market: _Market) -> tuple[Floats, Floats]:
    """Compute P and Q ``(I, J)`` without overflow; Q is P without nests."""
    X2 = market.trial.X2
    utilities = market.along(np.arange(len(X2)), X2) + market.trial.delta
    available = 1.0 if market.available is None else market.available
    nests = market.nests
    if nests is None:
        highest = np.maximum(utilities.max(axis=1, keepdims=True), 0.0)
        odds = available * np.exp(utilities - highest)
        P: Floats = odds / (np.exp(-highest) + odds.sum(axis=1, keepdims=True))
        return P, P
    utilities = (market.stretch * utilities)[None]
    o, f = shift(utilities, nests, np)
    odds = available * np.exp(utilities)
    G = nests.sums(odds)
    M, _, _ = inclusive_values(G, o, f, nests, np)
    Q: Floats = odds * nests.expand(1.0 / np.where(G > 0.0, G, 1.0))
    return (Q * nests.expand(M))[0], Q[0]
