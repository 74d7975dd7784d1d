"""Simulated moments of choices and their derivatives, in arrays of NumPy and CuPy.

Of people padded as in :mod:`blpdask.kernels.array_choices`, with x̃ and W̃ differences
to what was chosen,

    m_r = -Σ_t Σ_j W̃_jt P_jt,
    ∂m_r/∂β' = -Σ_t [Σ_j W̃_jt P_jt x̃_jt' - (Σ_j W̃_jt P_jt)(Σ_j P_jt x̃_jt')],

both products of matrices over a person's alternatives and situations. Draws are worked
on some at a time: memory does not grow with R.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from types import ModuleType
from weakref import WeakKeyDictionary

import numpy as np

from ..choice_records import ChoiceBlock, MixedTastes
from .array_backend import array_namespace
from .array_batches import CACHE_BYTES, Array, to_host
from .array_choices import (
    DEVICE_BYTES,
    WIDTH,
    PaddedPeople,
    choice_logs,
    pad_people,
    person_means,
)
from .choice_moments import PersonMoments
from .drawn_coefficients import (
    DrawnCoefficients,
    parameter_slopes,
    scale_coefficients,
    shape_coefficients,
)


class ArrayChoiceMoments:
    """Array kernels of moments; people stay on the device as long as their block."""

    def __init__(self, xp: ModuleType) -> None:
        """Compute with the arrays of ``xp``."""
        self._xp = xp
        self._padded: WeakKeyDictionary[ChoiceBlock, tuple[PaddedPeople, ...]] = (
            WeakKeyDictionary()
        )

    def choice_moments(
        self,
        block: ChoiceBlock,
        tastes: MixedTastes,
        *,
        derivatives: bool,
        variances: bool,
    ) -> PersonMoments:
        """Compute moments, and derivatives by b and Λ's entries ``(I, M, K + E)``."""
        xp = self._xp
        groups = self._padded.get(block)
        if groups is None:
            groups = self._padded[block] = pad_people(block, xp)
        M = block.X.shape[1] - tastes.n_columns
        width = tastes.b.size + tastes.rows.size if derivatives else 0
        found = PersonMoments(
            moments=np.empty((block.n_people, M)),
            jacobians=np.empty((block.n_people, M, width)),
            variances=np.empty((block.n_people if variances else 0, M, M)),
        )
        means = person_means(block, tastes)
        limit = 8 * CACHE_BYTES if xp is np else DEVICE_BYTES
        with np.errstate(all="ignore"):  # what is not finite is counted, not hidden
            for group in groups:
                rows = group.differences.shape[1]
                held = 8 * WIDTH * max(rows, M * width)
                step = max(1, limit // held)
                for first in range(0, group.people.size, step):
                    some = slice(first, first + step)
                    people = group.people[some]
                    own = xp.asarray(means[people] if len(means) > 1 else means)
                    _keep(_work(group, some, own, tastes, found, xp), people, found, xp)
        return found


@functools.cache
def array_choice_moments(name: str) -> ArrayChoiceMoments:
    """Give the kernels of the backend ``"numpy"`` or ``"cupy"``."""
    return ArrayChoiceMoments(array_namespace(name))


@dataclass(slots=True)
class _Worked:
    """Sums over R draws of B people.

    ``moments`` (B, M) Σ_r w_r m_r, ``jacobians`` (B, M, width) those of derivatives,
    ``crossed`` (B, M, M) Σ_r w_r² m_r m_r', ``squared`` (B, M) Σ_r w_r² m_r and
    ``weights`` (B or 1, 1) Σ_r w_r².
    """

    n_draws: int
    moments: Array
    jacobians: Array
    crossed: Array
    squared: Array
    weights: Array


@dataclass(frozen=True, slots=True)
class _Differences:
    """Differences of B people to what they chose, by rows ``(B, T J)``.

    ``X`` (B, T J, K), ``W`` (B, T J, M), ``WX`` (B, T J, M K) their products, of no
    columns where derivatives are not wanted, and ``present`` (B, T, J, 1).
    """

    X: Array
    W: Array
    WX: Array
    present: Array


def _work(
    group: PaddedPeople,
    some: slice,
    means: Array,
    tastes: MixedTastes,
    found: PersonMoments,
    xp: ModuleType,
) -> _Worked:
    """Sum over draws, for some of a group with ``means`` ``(B or 1, K)``."""
    M, width = found.jacobians.shape[1:]
    differences = _split(group, some, tastes.n_columns, width > 0)
    draws = group.draws[some] if group.draws.shape[0] > 1 else group.draws
    weights = group.log_weights
    weights = weights[some] if weights.shape[0] > 1 else weights
    B, R = differences.X.shape[0], draws.shape[1]
    worked = _no_sums(B, R, M, width, xp)
    for first in range(0, R, WIDTH):
        here = slice(first, first + WIDTH)
        z = draws[:, here]
        w = xp.exp(weights[:, here]) if weights.shape[0] else xp.ones((1, z.shape[1]))
        drawn = shape_coefficients(means[:, None, :], z, tastes, xp)
        beta = scale_coefficients(drawn.beta, tastes)
        P = choice_logs(differences.X, differences.present, beta, xp)[1]
        m = -(P.transpose(0, 2, 1) @ differences.W)
        weighted = w[:, :, None] * m
        worked.moments = worked.moments + weighted.sum(axis=1)
        if found.variances.shape[0]:
            worked.crossed = worked.crossed + weighted.transpose(0, 2, 1) @ weighted
            worked.squared = worked.squared + (w[:, :, None] * weighted).sum(axis=1)
            worked.weights = worked.weights + (w * w).sum(axis=1)[:, None]
        if width:
            slopes = _moment_slopes(P, differences, xp)
            added = _sum_slopes(slopes, w, drawn, z, tastes, xp)
            worked.jacobians = worked.jacobians + added
    return worked


def _no_sums(B: int, R: int, M: int, width: int, xp: ModuleType) -> _Worked:
    """Begin sums at zero."""
    return _Worked(
        n_draws=R,
        moments=xp.zeros((B, M)),
        jacobians=xp.zeros((B, M, width)),
        crossed=xp.zeros((B, M, M)),
        squared=xp.zeros((B, M)),
        weights=xp.zeros((1, 1)),
    )


def _split(group: PaddedPeople, some: slice, K: int, wanted: bool) -> _Differences:
    """Split differences into those of characteristics and of instruments."""
    both = group.differences[some]
    X, W = both[..., :K], both[..., K:]
    WX = W[..., :, None] * X[..., None, :] if wanted else W[..., :0]
    return _Differences(
        X=X, W=W, WX=WX.reshape(*both.shape[:2], -1), present=group.present[some]
    )


def _moment_slopes(P: Array, differences: _Differences, xp: ModuleType) -> Array:
    """Compute ∂m_r/∂β', ``(B, r, M, K)``, from P ``(B, T J, r)``."""
    B, T, J, _ = differences.present.shape
    X, W = differences.X, differences.W
    M, K, r = W.shape[-1], X.shape[-1], P.shape[-1]
    by_situation = P.reshape(B, T, J, r).transpose(0, 1, 3, 2)
    mean_X = by_situation @ X.reshape(B, T, J, K)
    mean_W = by_situation @ W.reshape(B, T, J, M)
    apart = mean_W.transpose(0, 2, 3, 1) @ mean_X.transpose(0, 2, 1, 3)
    together = P.transpose(0, 2, 1) @ differences.WX
    return apart - together.reshape(B, r, M, K)


def _sum_slopes(
    slopes: Array,
    w: Array,
    drawn: DrawnCoefficients,
    z: Array,
    tastes: MixedTastes,
    xp: ModuleType,
) -> Array:
    """Sum w_r ∂m_r/∂(b, Λ) over draws, ``(B, M, K + E)``."""
    each = DrawnCoefficients(
        beta=drawn.beta[:, :, None],
        slopes=drawn.slopes[:, :, None],
        by_spread={k: own[:, :, None] for k, own in drawn.by_spread.items()},
    )
    parts = parameter_slopes(slopes, each, z[:, :, None], tastes, xp)
    weights = w[:, :, None, None]
    return xp.concatenate([(weights * part).sum(axis=1) for part in parts], axis=-1)


def _keep(worked: _Worked, people: Array, found: PersonMoments, xp: ModuleType) -> None:
    """Write means over draws of some people, and their variances, into ``found``."""
    R = worked.n_draws
    mean = worked.moments / R
    found.moments[people] = to_host(mean, xp)
    if found.jacobians.shape[2]:
        found.jacobians[people] = to_host(worked.jacobians / R, xp)
    if found.variances.shape[0]:
        cross = mean[:, :, None] * worked.squared[:, None, :]
        spread = worked.crossed - cross - cross.transpose(0, 2, 1)
        own = mean[:, :, None] * mean[:, None, :] * worked.weights[:, :, None]
        variances = (spread + own) / (R * (R - 1) if R > 1 else np.nan)
        found.variances[people] = to_host(variances, xp)
