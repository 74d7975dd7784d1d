"""Prices that a fixed-point iteration tries next, market by market.

With g(p) = c + ζ(p), f_n = g(p_n) - p_n, and the last few differences of f and of g in
the columns of ΔF and ΔG,

    p_{n+1} = g(p_n) - ΔG γ,   γ = argmin |f_n - ΔF γ|

(Anderson 1965; Walker and Ni 2011): the secant step of as many dimensions as there are
columns. It is cut where it is many times as long as f_n, and not taken where it goes
back on f_n, which is where plain iteration flees a fixed point. Where f_n is larger
than it was, the market goes back to the best g(p) so far, forgets its differences and
iterates plainly for a while. Nor is such a market done: far away, where nobody buys,
gradients of profits are as small as in equilibrium, and f is not. A market that is lost
or takes long starts again and iterates plainly to the end, so that what converges
plainly converges.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.loop_secant_limits import (
    BOLDNESS,
    DEPTH,
    GROWTH,
    PATIENCE,
    RIDGE,
    TRIALS,
)
from ..records import Floats, Integers

Flags = NDArray[np.bool_]


class Past:
    """What the markets of a block remember of their iterations."""

    def __init__(self, offsets: Integers, start: Floats) -> None:
        """Remember where iteration starts.

        Parameters
        ----------
        offsets
            ``(T + 1,)`` first product of each market, then N.
        start
            ``(N,)`` prices.
        """
        self._offsets, self._start = offsets, start
        self._sizes = np.diff(offsets)
        n, n_markets = int(offsets[-1]), self._sizes.size
        self._F, self._G = np.zeros((DEPTH, n)), np.zeros((DEPTH, n))
        self._f, self._g = np.zeros(n), np.zeros(n)
        self._known = np.zeros(n_markets, np.bool_)
        self._smallest = np.full(n_markets, np.inf)
        self._wait = np.zeros(n_markets, np.int64)
        self._patience = np.full(n_markets, PATIENCE)
        self._plain = np.zeros(n_markets, np.bool_)
        self._n_proposed = self._place = 0
        self.best = np.zeros(n)

    @property
    def bound(self) -> Floats:
        """Give the sup norms of f above which markets go back, ``(T,)``."""
        free = (self._wait > 0) | self._plain
        return np.where(free, np.inf, GROWTH * self._smallest)

    @property
    def can_retry(self) -> Flags:
        """Tell which markets go elsewhere from where they fail, ``(T,)``."""
        found: Flags = np.isfinite(self._smallest) & ~self._plain
        return found

    def propose(self, before: Floats, moved: Floats, size: Floats) -> Floats:
        """Give the prices to try next, ``(N,)``.

        Parameters
        ----------
        before, moved
            ``(N,)`` p_n and g(p_n).
        size
            ``(T,)`` sup norms of f_n; NaN where p_n was no good.
        """
        self._n_proposed += 1
        lost = np.isnan(size) & (self._wait > 0)
        anew = ~self._plain & (lost | (self._n_proposed >= TRIALS))
        self._plain |= anew
        back = ~(size <= self.bound)
        better = size < self._smallest
        self._smallest = np.where(better, size, self._smallest)
        self.best = np.where(self._spread(better), moved, self.best)
        f = moved - before
        self._learn(f, moved, back)
        self._wait = np.where(back, self._patience, np.maximum(self._wait - 1, 0))
        self._patience = np.where(back, 2 * self._patience, self._patience)
        ahead = moved - self._cut(self._correction(), size)
        forward = self._sums((ahead - before) * f) > 0.0
        ahead = np.where(
            self._spread((self._wait > 0) | self._plain | ~forward), moved, ahead
        )
        ahead = np.where(self._spread(back), self.best, ahead)
        return np.where(self._spread(anew), self._start, ahead)

    def _learn(self, f: Floats, g: Floats, back: Flags) -> None:
        """Take the newest differences in; forget those of markets that go back."""
        fresh = self._spread(self._known & ~back)
        self._F[self._place] = np.where(fresh, f - self._f, 0.0)
        self._G[self._place] = np.where(fresh, g - self._g, 0.0)
        self._place = (self._place + 1) % DEPTH
        gone = self._spread(back)
        self._F[:, gone] = 0.0
        self._G[:, gone] = 0.0
        self._f, self._g = f, g
        self._known = ~back

    def _correction(self) -> Floats:
        """Compute ΔG γ, ``(N,)``."""
        A = np.empty((self._sizes.size, DEPTH, DEPTH))
        b = np.empty((self._sizes.size, DEPTH))
        for i in range(DEPTH):
            b[:, i] = self._sums(self._F[i] * self._f)
            for j in range(i + 1):
                A[:, i, j] = A[:, j, i] = self._sums(self._F[i] * self._F[j])
        # Columns that are not there are zero, and so is their γ.
        length = np.sqrt(np.einsum("tii->ti", A))
        length = np.where(length > 0.0, length, 1.0)
        A, b = A / (length[:, :, None] * length[:, None, :]), b / length
        A += np.where(np.eye(DEPTH) * (A == 0.0), 1.0, RIDGE * np.eye(DEPTH))
        usable = np.isfinite(A).all(axis=(1, 2)) & np.isfinite(b).all(axis=1)
        A[~usable], b[~usable] = np.eye(DEPTH), 0.0
        gamma = np.linalg.solve(A, b[..., None])[..., 0] / length
        found = np.zeros(self._f.size)
        for i in range(DEPTH):
            found += self._spread(gamma[:, i]) * self._G[i]
        return found

    def _cut(self, correction: Floats, size: Floats) -> Floats:
        """Shorten what is longer than is bold."""
        length = np.maximum.reduceat(np.abs(correction), self._offsets[:-1])
        most = BOLDNESS * size
        scale = np.divide(most, length, out=np.ones_like(most), where=length > most)
        found: Floats = self._spread(scale) * correction
        return found

    def _sums(self, values: Floats) -> Floats:
        """Add up over the products of each market, ``(T,)``."""
        found: Floats = np.add.reduceat(values, self._offsets[:-1])
        return found

    def _spread(self, values: NDArray[Any]) -> NDArray[Any]:
        """Repeat a value a market for each of its products."""
        return np.repeat(values, self._sizes)
