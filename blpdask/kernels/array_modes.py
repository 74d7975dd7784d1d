"""Where are a person's tastes likeliest, given what the person chose: modes.

The density of standard normal variates n of person i, given choices, is proportional to

    e^{f_i(n)},   f_i(n) = Σ_t log P_it(β(n)) - n'n / 2,

whose mode m_i is found by Newton's method. The curvature there is taken to be what it
is on average over choices,

    -f'' ≈ Σ_t Var_{P_it}(x'∂β/∂n) + I,

which is positive definite, and exact where β is linear. Where it is not, steps are made
with differences of f' if these are positive definite, since with an average curvature
that is too low they go back and forth. Steps are halved until f grows by a part of what
its slope promises. People are worked on side by side, each
until its own steps are too small to matter; a person who is not done after the last
step keeps the highest point, with its curvature. Where f is not finite at zero, it is
taken for the prior's.

References
----------
Pinheiro and Bates (1995) for the use of modes in integrals over random effects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import ModuleType

import numpy as np

from ..choice_records import ChoiceBlock, MixedTastes
from ..records import Floats
from .array_backend import array_namespace
from .array_batches import CACHE_BYTES, Array, to_host
from .array_choices import (
    DEVICE_BYTES,
    choice_logs,
    pad_people,
    person_means,
)
from .drawn_coefficients import (
    TRUNCATED,
    scale_coefficients,
    shape_coefficients,
    special_functions,
)
from .standard_variates import variate_slopes, variates_of_normals

#: Squared Newton decrement below which a mode is found.
TOLERANCE = 1e-18
MAX_STEPS = 60
MAX_HALVINGS = 30
#: Part of what a slope promises that a step must gain.
_GAIN = 1e-4
#: By how much n moves for differences, and what is not too little curvature.
_SPREAD = 1e-5
_LEAST = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Modes:
    """Modes of people's variates given their choices.

    Attributes
    ----------
    places
        ``(I, D)`` m_i, in normal variates.
    curvatures
        ``(I, D, D)`` -f'' there, positive definite.
    found
        ``(I,)`` whether Newton's method got there.
    """

    places: Floats
    curvatures: Floats
    found: np.ndarray[tuple[int], np.dtype[np.bool_]]


def find_modes(
    block: ChoiceBlock, tastes: MixedTastes, kinds: Sequence[str], *, backend: str
) -> Modes:
    """Find the modes of a block's people.

    Parameters
    ----------
    block
        Choices of people; draws are not used.
    tastes
        θ.
    kinds
        ``(D,)`` of the random coefficients.
    backend
        ``cupy``, or any other for arrays of NumPy.
    """
    xp = array_namespace("cupy" if backend == "cupy" else "numpy")
    n_people, D = block.n_people, tastes.loadings.shape[1]
    modes = Modes(
        np.empty((n_people, D)), np.empty((n_people, D, D)), np.empty(n_people, bool)
    )
    without = replace(block, draws=np.empty((1, 1, D)), log_weights=np.empty((0, 0)))
    means = person_means(block, tastes)
    limit = CACHE_BYTES if xp is np else DEVICE_BYTES
    with np.errstate(all="ignore"):  # points that are not finite are stepped back from
        for group in pad_people(without, xp):
            step = max(1, limit // (8 * group.differences.shape[1] * (D + 1)))
            for first in range(0, group.people.size, step):
                some = slice(first, first + step)
                people = group.people[some]
                hills = _Hills(
                    X=group.differences[some],
                    present=group.present[some],
                    means=xp.asarray(
                        np.broadcast_to(means, (n_people, means.shape[1]))[people]
                    ),
                    tastes=tastes,
                    kinds=tuple(kinds),
                )
                best, done = _climb(hills, xp)
                modes.places[people] = to_host(best.places, xp)
                modes.curvatures[people] = to_host(best.curvature, xp)
                modes.found[people] = to_host(done, xp)
    lost = ~np.isfinite(modes.curvatures).all(axis=(1, 2))
    modes.places[lost], modes.curvatures[lost] = 0.0, np.eye(D)
    return modes


@dataclass(frozen=True, slots=True)
class _Hills:
    """What f of B people is made of: padded choices, ``(B, K)`` b + Π d, θ."""

    X: Array
    present: Array
    means: Array
    tastes: MixedTastes
    kinds: tuple[str, ...]

    @property
    def linear(self) -> bool:
        """Whether β is linear in n."""
        shapes = bool(np.any(self.tastes.shapes))
        variates = set(self.kinds) & {"uniform", "triangular", "exponential"}
        return not (shapes or variates or self.tastes.scale >= 0)

    def of(self, some: Array) -> _Hills:
        """Take those of some people."""
        return replace(
            self, X=self.X[some], present=self.present[some], means=self.means[some]
        )


@dataclass(slots=True)
class _Points:
    """``places`` (B, D) n, ``value`` (B,) f there, its ``slope`` and ``curvature``."""

    places: Array
    value: Array
    slope: Array
    curvature: Array

    def put(self, some: Array, others: _Points, taken: Array) -> None:
        """Overwrite some people's points by ``taken`` ones of ``others``."""
        for name in ("places", "value", "slope", "curvature"):
            getattr(self, name)[some] = getattr(others, name)[taken]


def _climb(hills: _Hills, xp: ModuleType) -> tuple[_Points, Array]:
    """Climb from zero to the modes, and say of whom they were found."""
    B, D = hills.means.shape[0], len(hills.kinds)
    best = _look(hills, xp.zeros((B, D)), xp)
    done, stuck = xp.zeros(B, bool), xp.zeros(B, bool)
    for _ in range(MAX_STEPS):
        (live,) = xp.nonzero(~(done | stuck))
        if not live.size:
            break
        slope = best.slope[live]
        curvature = best.curvature[live]
        if not hills.linear:
            curvature = _differences(hills.of(live), best.places[live], curvature, xp)
        step = xp.linalg.solve(curvature, slope[..., None])[..., 0]
        gain = (slope * step).sum(axis=1)
        done[live[gain <= TOLERANCE]] = True
        going = gain > TOLERANCE
        stuck[live[xp.isnan(gain)]] = True
        left = _search_lines(hills, best, (live[going], step[going], gain[going]), xp)
        stuck[left] = True
    return best, done


def _search_lines(
    hills: _Hills, best: _Points, steps: tuple[Array, Array, Array], xp: ModuleType
) -> Array:
    """Halve people's steps until f grows, and give those of whom it never does."""
    live, step, gain = steps
    length = 1.0
    for _ in range(MAX_HALVINGS):
        if not live.size:
            break
        tried = _look(hills.of(live), best.places[live] + length * step, xp)
        before = best.value[live]
        slack = 1e-14 * xp.abs(before)
        higher = tried.value >= before + _GAIN * length * gain - slack
        best.put(live[higher], tried, higher)
        live, step, gain = live[~higher], step[~higher], gain[~higher]
        length *= 0.5
    return live


def _look(hills: _Hills, n: Array, xp: ModuleType) -> _Points:
    """Compute f, f' and the expected -f'' at n ``(B, D)``."""
    beta, by_n = _coefficients(hills, n, xp)
    logs, P = choice_logs(hills.X, hills.present, beta[:, None, :], xp)
    B, T, J, _ = hills.present.shape
    moved = hills.X @ by_n
    weighted = P * moved
    means = weighted.reshape(B, T, J, -1).sum(axis=2)
    curvature = weighted.transpose(0, 2, 1) @ moved
    curvature = curvature - means.transpose(0, 2, 1) @ means + xp.eye(n.shape[1])
    value = logs[:, 0] - 0.5 * (n * n).sum(axis=1)
    return _Points(n, value, -means.sum(axis=1) - n, curvature)


def _differences(hills: _Hills, n: Array, average: Array, xp: ModuleType) -> Array:
    """Compute -f'' by differences of f', or its ``average`` where they won't serve."""
    D, columns = n.shape[1], []
    for d in range(D):
        step = _SPREAD * xp.eye(D)[d]
        up, down = (_look(hills, n + sign * step, xp).slope for sign in (1.0, -1.0))
        columns.append((down - up) / (2.0 * _SPREAD))
    found = xp.stack(columns, axis=2)
    found = 0.5 * (found + found.transpose(0, 2, 1))
    finite = xp.isfinite(found).all(axis=(1, 2))
    found = xp.where(finite[:, None, None], found, xp.eye(D))
    serves = finite & (xp.linalg.eigvalsh(found)[:, 0] > _LEAST)
    return xp.where(serves[:, None, None], found, average)


def _coefficients(hills: _Hills, n: Array, xp: ModuleType) -> tuple[Array, Array]:
    """Compute β ``(B, K)`` of X's columns and ∂β/∂n ``(B, K, D)``."""
    tastes = hills.tastes
    z = variates_of_normals(n, hills.kinds, xp)
    drawn = shape_coefficients(hills.means, z, tastes, xp)
    slopes = drawn.slopes[..., None] * xp.asarray(tastes.loadings)
    for k in np.flatnonzero(tastes.shapes == TRUNCATED).tolist():
        slopes[:, k] = 0.0
        column = int(tastes.columns[tastes.rows.tolist().index(k)])
        slopes[:, k, column] = _truncated_slope(
            drawn.beta[:, k],
            hills.means[:, k],
            z[:, column],
            abs(float(tastes.loadings[k, column])),
            xp,
        )
    slopes = slopes * variate_slopes(n, hills.kinds, xp)[:, None, :]
    s = tastes.scale
    if s >= 0:
        own = slopes[:, s].copy()
        of_scale = drawn.beta[..., None] * own[:, None, :]
        slopes = slopes * drawn.beta[:, s, None, None] + of_scale
        slopes[:, s] = own
    beta = scale_coefficients(drawn.beta, tastes)
    return beta, slopes[:, : tastes.n_columns]


def _truncated_slope(
    beta: Array, m: Array, z: Array, s: float, xp: ModuleType
) -> Array:
    """Compute ∂β/∂z = s φ(z) Φ(m / s) / φ(ζ) of β = m + s ζ."""
    if s == 0.0:
        return 0.0 * z
    zeta = (beta - m) / s
    log_share = special_functions(xp).log_ndtr(m / s)
    return s * xp.exp(0.5 * (zeta * zeta - z * z) + log_share)
