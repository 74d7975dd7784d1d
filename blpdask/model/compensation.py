"""How much money makes up for other prices: its distribution, agent by agent.

Agent i has utility V_ij(p) + ε_ij of product j at the price p, and of nothing that is
for sale ε_i0. Money m lowers the price of whatever is bought, and is worth g_i(q - m) -
g_i(q) to those who buy outside at a price q. Where prices become p', compensating
variation is the m at which

    max_j b_j(m) + ε_ij = max_j a_j + ε_ij,
    a_j = V_ij(p_j),         b_j(m) = V_ij(p'_j - m),
    a_0 = 0,                 b_0(m) = g_i(q - m) - g_i(q).

It is above m where the best of h_j = max(a_j, b_j(m)) is one that was better before
(Dagsvik and Karlström 2005; de Palma and Kilani 2011):

    P(CV_i > m) = Σ_{j: m < m_j} P_ij(h),   m_j = p'_j - p_j,   m_0 = 0,
    E CV_i = ∫_0^∞ P(CV_i > m) dm - ∫_{-∞}^0 P(CV_i <= m) dm,

for utility that falls in prices, so that b_j(m) < a_j just where m < m_j. The integral
ends where every choice is as good as before, and its integrand is smooth between the
m_j. There Gauss and Legendre's nodes are doubled, piece by piece, until nothing changes
any more: pieces are short where products are many, and few nodes do. A long piece is
smooth too, but all that happens in it may happen within a few units of utility of an
end, where few nodes see none of it: it is halved towards both ends.

References
----------
Dagsvik and Karlström (2005), "Compensating Variation and Hicksian Choice Probabilities
in Random Utility Models That Are Nonlinear in Income"; de Palma and Kilani (2011),
"Transition Choice Probabilities and Welfare Analysis in Additive Random Utility
Models".
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..kernels.array_batches import Batch
from ..kernels.array_nests import (
    NestTastes,
    inclusive_values,
    nest_tastes,
    shift,
)
from ..kernels.array_shares import DeviceTastes, price_slopes, utilities
from ..records import Floats, Integers, TrialPrices

#: Nodes of a piece, doubled until its integral moves by no more than this part of it.
NODES = (3, 6, 12, 24, 48, 96)
TOLERANCE = 1e-10
#: Units of utility that money is worth over a piece which is not cut; and most cuts.
FAR = 16.0
MOST_CUTS = 40
#: Places at least where it is checked that utility falls in prices.
CHECKED = 8
#: What rounding may do to utilities; and what part of its length an integral may err by
#: whatever it is.
ROUNDING = 1e-12
NEGLIGIBLE = 1e-20
Flags = NDArray[np.bool_]


class UtilityRows(Protocol):
    """Evaluates what of products' utilities, over ε, moves with prices."""

    def __call__(self, prices: Floats) -> TrialPrices:
        """Evaluate δ, X2 and their derivatives by prices at prices ``(N,)``."""
        ...

    def take(self, rows: Integers) -> UtilityRows:
        """Keep some rows."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class PriceChange:
    """Markets of a batch whose prices change; nothing that is for sale comes first.

    Attributes
    ----------
    batch
        The markets, of B, I and J.
    choices
        The same with 1 + J choices: the first is a copy of the first product, which
        money outside is worth as much as.
    utility
        Of the choices, ``(B (1 + J),)``.
    before, after
        ``(B, 1 + J)`` p and p', with q as the first of each.
    tastes
        θ.
    """

    batch: Batch
    choices: Batch
    utility: UtilityRows
    before: Floats
    after: Floats
    tastes: DeviceTastes

    @property
    def changes(self) -> Floats:
        """Give m_j, ``(B, 1 + J)``."""
        return self.after - self.before


@dataclass(frozen=True, slots=True, eq=False)
class Compensation:
    """E CV_i of some agents, ``(B, i)``, and what is wrong with them.

    Attributes
    ----------
    mean
        E CV_i, NaN where utility rises or is undefined.
    rising
        Whether utility rises with some price where it should fall.
    undefined
        Whether utility is not finite at prices that compensation leads to.
    unfinished
        Whether the integral still moved at the last of :data:`NODES`.
    """

    mean: Floats
    rising: Flags
    undefined: Flags
    unfinished: Flags


@dataclass(frozen=True, slots=True, eq=False)
class _Agents:
    """Agents of a change, what they know of it, and what they had before.

    Attributes
    ----------
    change
        The change.
    some
        Which agents.
    there
        ``(B, i, 1 + J)`` (1 - ρ) log a_ij, which is part of utility; None where all is
        there for all.
    nests
        None without nests.
    a, g
        ``(B, i, 1 + J)`` a_j, and ``(B, i)`` g_i(q).
    """

    change: PriceChange
    some: slice
    there: Floats | None
    nests: NestTastes | None
    a: Floats
    g: Floats


def change_prices(
    batch: Batch,
    tastes: DeviceTastes,
    utility: UtilityRows,
    *,
    before: Floats,
    after: Floats,
    outside_prices: Floats,
) -> PriceChange:
    """Put the outside option first among the choices of a batch.

    Parameters
    ----------
    batch
        Some markets of a block.
    tastes
        θ.
    utility
        Of the block's rows.
    before, after
        ``(N,)`` p and p' of the block's rows.
    outside_prices
        ``(T,)`` q of the block's markets.
    """
    padded = batch.padding > 0
    rows = np.where(padded, batch.rows[:, :1], batch.rows)
    choices = np.concatenate([rows[:, :1], rows], axis=1)
    own = batch.product_draws
    q = outside_prices[batch.markets][:, None]
    return PriceChange(
        batch=batch,
        choices=replace(
            batch,
            rows=choices,
            padding=np.pad(batch.padding, ((0, 0), (1, 0))),
            product_draws=np.concatenate([own[..., :1], own], axis=3),
        ),
        utility=utility.take(choices.ravel()),
        before=np.concatenate([q, before[rows]], axis=1),
        after=np.concatenate([q, after[rows]], axis=1),
        tastes=tastes,
    )


def expected_compensation(
    change: PriceChange, breaks: Floats, beyond: Floats, some: slice
) -> Compensation:
    """Compute E CV_i of some agents.

    Parameters
    ----------
    change
        Of prices.
    breaks
        ``(B, K + 1)`` where pieces of the integral begin and end, zero and all m_j
        among them.
    beyond
        ``(B,)`` how far m would go on beyond the last break, if formulas were finite.
    some
        Which agents.
    """
    agents = _before(change, some)
    ends, unfinished = _integrate(agents, breaks)
    sizes = ends.sum(axis=0)
    rising = np.logical_or.reduce([_rises(agents, m) for m in _places(breaks)])
    rising &= np.ptp(breaks, axis=1)[:, None] > 0
    undefined = ~np.isfinite(sizes)
    if beyond.any():
        left = beyond[:, None] * _exceed(agents, breaks[:, -1])
        undefined |= (beyond[:, None] > 0) & ~(left <= TOLERANCE * sizes)
    undefined &= ~rising
    lost = rising | undefined
    mean = np.where(lost, np.nan, ends[0] - ends[1])
    return Compensation(mean, rising, undefined, unfinished & ~lost)


def _before(change: PriceChange, some: slice) -> _Agents:
    """Evaluate utilities of some agents before the change."""
    nests = nest_tastes(change.batch, change.tastes.rho)
    there, available = None, change.batch.available(some)
    if available is not None:
        within = np.log(available)
        if nests is not None:
            within /= nests.stretch[:, None, :]
        there = np.pad(within, ((0, 0), (0, 0), (1, 0)))
    a, _ = _utilities(change, change.before, some)
    g = a[..., 0].copy()
    a[..., 0] = 0.0
    if there is not None:
        a += there
    return _Agents(change, some, there, nests, a, g)


def _integrate(agents: _Agents, breaks: Floats) -> tuple[Floats, Flags]:
    """Integrate P(CV > m) over m > 0 and P(CV <= m) over m < 0, ``(2, B, i)``.

    Says too, ``(B, i)``, which pieces still moved at the last of the nodes.
    """
    found = np.zeros((2, *agents.g.shape))
    unfinished = np.zeros(agents.g.shape, np.bool_)
    far = _worth(agents, breaks[:, 0], breaks[:, -1]) > FAR
    for k in _pieces(breaks):
        first, last = breaks[:, k], breaks[:, k + 1]
        up = (first + last > 0)[:, None]
        edges = _halve(agents, first, last) if far else [first, last]
        for low, high in itertools.pairwise(edges):
            part, moving = _integrate_piece(agents, low, high - low)
            found[0] += np.where(up, part, 0.0)
            found[1] += np.where(up, 0.0, part)
            unfinished |= moving
    return found, unfinished


def _worth(agents: _Agents, first: Floats, last: Floats) -> float:
    """Find what more money, ``(B,)`` each, is worth at most, in units of utility."""
    gains = _after(agents, last)[0] - _after(agents, first)[0]
    return float(np.nan_to_num(np.abs(gains), nan=0.0).max(initial=0.0))


def _halve(agents: _Agents, first: Floats, last: Floats) -> list[Floats]:
    """Cut a piece into ever shorter ones towards both its ends, ``(B,)`` each."""
    cuts = math.ceil(math.log2(max(1.0, _worth(agents, first, last) / FAR)))
    parts = 0.5 ** np.arange(min(cuts, MOST_CUTS), 0, -1)
    length = last - first
    near = [first + part * length for part in parts]
    far = [last - part * length for part in parts[-2::-1]]
    return [first, *near, *far, last]


def _integrate_piece(
    agents: _Agents, first: Floats, length: Floats
) -> tuple[Floats, Flags]:
    """Integrate over one piece of each market; of length zero where it has fewer."""
    found = np.zeros(agents.g.shape)
    moving = np.ones(found.shape, np.bool_)
    there = (length > 0)[:, None]
    for n in NODES:
        last, found = found, np.zeros(found.shape)
        for node, weight in zip(*np.polynomial.legendre.leggauss(n), strict=True):
            tail = _exceed(agents, first + length * (1.0 + node) / 2)
            found += (weight / 2 * length)[:, None] * tail
        found = np.where(there, found, 0.0)
        allowed = TOLERANCE * found + NEGLIGIBLE * length[:, None]
        moving = np.abs(found - last) > allowed
        if n > NODES[0] and not moving.any():
            break
    return found, moving


def _exceed(agents: _Agents, m: Floats) -> Floats:
    """Compute P(CV > m) where m > 0 and P(CV <= m) elsewhere, ``(B, i)``."""
    h, _ = _after(agents, m)
    better_before = m[:, None] < agents.change.changes
    np.copyto(h, agents.a, where=better_before[:, None, :])
    counted = np.where(m[:, None] > 0, better_before, ~better_before)
    return _choose(h, counted.astype(np.float64), agents.nests)


def _choose(h: Floats, counted: Floats, nests: NestTastes | None) -> Floats:
    """Sum P_ij at utilities h over choices that count one, ``(B, i)``; spoils h."""
    if nests is None:
        h -= h.max(axis=2, keepdims=True)
        np.exp(h, out=h)
        both = h @ np.stack([counted, np.ones_like(counted)], axis=2)
        return np.asarray(both[..., 0] / both[..., 1])
    v = h[..., 1:] - h[..., :1]
    v *= nests.stretch[:, None, :]
    o, f = shift(v, nests, np)
    np.exp(v, out=v)
    _, per_G, P0 = inclusive_values(nests.sums(v), o, f, nests, np)
    of_nests = v @ (nests.members * counted[:, 1:, None])
    return np.asarray((of_nests * per_G).sum(axis=2) + counted[:, :1] * P0)


def _rises(agents: _Agents, m: Floats) -> Flags:
    """Tell whose utility rises with prices where b_j(m) is compared with a_j.

    Where m is above m_j it must fall in the price; below, it may not be above a_j.
    """
    b, trial = _after(agents, m)
    choices, shape = agents.change.choices, agents.change.choices.rows.shape
    by_prices = trial.X2_by_prices.reshape(-1, *shape)
    slopes = price_slopes(
        choices,
        agents.some,
        trial.alpha.reshape(shape),
        dict(zip(trial.X2_priced.tolist(), by_prices, strict=True)),
        agents.change.tastes,
        np,
    )
    better_before = (m[:, None] < agents.change.changes)[:, None, :]
    above = b > agents.a + ROUNDING * (1.0 + np.abs(agents.a))
    wrong = np.where(better_before, above, slopes > 0.0)
    wrong &= np.isfinite(agents.a)
    return np.asarray(wrong.any(axis=2))


def _after(agents: _Agents, m: Floats) -> tuple[Floats, TrialPrices]:
    """Evaluate b_j(m), ``(B, i, 1 + J)``."""
    change = agents.change
    b, trial = _utilities(change, change.after - m[:, None], agents.some)
    b[..., 0] -= agents.g
    if agents.there is not None:
        b += agents.there
    return b, trial


def _utilities(
    change: PriceChange, prices: Floats, some: slice
) -> tuple[Floats, TrialPrices]:
    """Evaluate V of choices at prices ``(B, 1 + J)``, ``(B, i, 1 + J)``."""
    choices, shape = change.choices, prices.shape
    trial = change.utility(prices.ravel())
    X2 = trial.X2.reshape(-1, *shape).transpose(1, 0, 2)
    at = replace(choices, X2=X2)
    return utilities(at, trial.delta.reshape(shape), some, change.tastes, np), trial


def _pieces(breaks: Floats) -> list[int]:
    """List the pieces that have a length in some market."""
    return np.flatnonzero((np.diff(breaks) > 0).any(axis=0)).tolist()


def _places(breaks: Floats) -> list[Floats]:
    """List where utility is looked at: where pieces begin and end, and within."""
    pieces = _pieces(breaks)
    n = max(1, CHECKED // max(1, len(pieces)))
    found = [breaks[:, 0], breaks[:, -1]]
    for k in pieces:
        first, length = breaks[:, k], np.diff(breaks)[:, k]
        found += [first + length * part for part in np.arange(n + 1) / (n + 1)]
    return found
