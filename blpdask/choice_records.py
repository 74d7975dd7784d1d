"""What passes between floors about choices of people: blocks of them, coefficients.

People i choose in situations t among alternatives j, with utility x_ijt'β_i + ε_ijt and
ε extreme value (McFadden and Train 2000). The coefficient of column k of X is

    β_ik = h_k(η_ik),     η_ik = b_k + Σ_m Π_km d_im + Σ_l L_kl z_il,

with demographics d, standard variates z, L triangular by groups of coefficients, and h
by kind. Where a coefficient λ_i scales the others, as in willingness-to-pay space
(Train and Weeks 2005) or where the scale itself is random (Fiebig, Keane, Louviere and
Wasi 2010), theirs is λ_i h_k(η_ik). Parameters θ are the free b, then the free entries
of Π and of L row by row.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from .records import Floats, Integers

#: Kinds of coefficients. Of those after the first, up to johnson, z is standard normal
#: and h is η, e^η, max(η, 0), e^η/(1 + e^η); so it is of truncated, a normal given that
#: it is positive, and component, a normal of mean zero. Of the others h is η, and z
#: uniform and triangular on [-1, 1], and exponential of mean one, with b = 0.
KINDS = (
    "fixed",
    "normal",
    "lognormal",
    "censored",
    "johnson",
    "uniform",
    "triangular",
    "truncated",
    "exponential",
    "component",
)
#: Kinds without a parameter b: what they add to utility is L z.
CENTRED = ("exponential", "component")
#: What scales the coefficients where no column's does: e^(τ z - τ²/2), of mean one.
SCALE = "scale"
#: What coefficients that a column's coefficient scales are called.
WTP = "wtp"


def _nothing() -> Floats:
    return np.empty((0, 0))


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class ChoiceBlock:
    """People, their choice situations, and the alternatives of each: what is placed.

    Attributes
    ----------
    X
        ``(N, K)`` characteristics, alternatives in the order of situations, these in
        the order of people.
    chosen
        ``(S,)`` row of each situation's chosen alternative.
    situation_offsets, person_offsets
        ``(S + 1,)`` first row of each situation, then N; ``(I + 1,)`` first situation
        of each person, then S.
    weights
        ``(I,)`` of people in the likelihood.
    draws
        ``(I, R, D)`` standard variates z, a column for each random coefficient; ``(1,
        R, D)`` where people share them.
    log_weights
        ``(I, R)`` or ``(1, R)`` logarithms of draws' weights, whose sum is R, of
        importance sampling on average; of no rows where all weigh one.
    demographics
        ``(I, M)`` d; of no rows where there are none.
    """

    X: Floats
    chosen: Integers
    situation_offsets: Integers
    person_offsets: Integers
    weights: Floats
    draws: Floats
    log_weights: Floats = field(default_factory=_nothing)
    demographics: Floats = field(default_factory=_nothing)

    @property
    def n_people(self) -> int:
        """Count the people, I."""
        return self.weights.size


@dataclass(frozen=True, slots=True, eq=False)
class MixedTastes:
    """θ as kernels of choices read it: η_ik = b_k + Σ_m Π_km d_im + Σ_l Λ_kl z_il.

    Attributes
    ----------
    b
        ``(K,)``; one more than X has columns where the scale is no column's.
    loadings
        ``(K, D)`` Λ: the rows of L, and rows of zeros where coefficients are fixed.
    shapes
        ``(K,)`` h_k: 0 identity, 1 exponential, 2 positive part, 3 logistic, 4
        truncated.
    rows, columns
        ``(E,)`` entries of Λ that are parameters.
    shifts
        ``(K, M)`` Π.
    shift_rows, shift_columns
        Entries of Π that are parameters.
    scale, own_scale
        Place of the coefficient that scales the others, or -1; whether it is the last
        and X has no column of it.
    jacobian
        ``(K + entries of Π + E, P)`` derivatives of b and those entries by θ; None
        where θ is these.
    """

    b: Floats
    loadings: Floats
    shapes: Integers
    rows: Integers
    columns: Integers
    shifts: Floats = field(default_factory=_nothing)
    shift_rows: Integers = field(default_factory=lambda: np.empty(0, np.int64))
    shift_columns: Integers = field(default_factory=lambda: np.empty(0, np.int64))
    scale: int = -1
    own_scale: bool = False
    jacobian: Floats | None = None

    @property
    def n_columns(self) -> int:
        """Count the columns of X."""
        return len(self.b) - self.own_scale

    @property
    def size(self) -> int:
        """Count the parameters, P."""
        if self.jacobian is not None:
            return int(self.jacobian.shape[1])
        return self.b.size + self.shift_rows.size + self.rows.size


@dataclass(frozen=True)
class MixedCoefficients:
    """How coefficients vary over people, and where parameters stand in θ.

    Attributes
    ----------
    labels
        ``(K,)`` names of the columns of X.
    kinds
        ``(K,)`` of :data:`KINDS`.
    correlated
        Whether L is lower triangular over the random coefficients, not diagonal; or
        groups of places of columns within which it is. Truncated coefficients and a
        scale that is no column's are independent of all others.
    demographics
        ``(M,)`` names of what shifts means.
    shifted
        Places of a column and a demographic, of the entries of Π that are free.
    scale
        ``""``, the label of the column whose coefficient scales the others, or
        :data:`SCALE` where a scale that is no column's does.
    """

    labels: tuple[str, ...]
    kinds: tuple[str, ...]
    correlated: bool | tuple[tuple[int, ...], ...] = False
    demographics: tuple[str, ...] = ()
    shifted: tuple[tuple[int, int], ...] = ()
    scale: str = ""

    @property
    def random_scale(self) -> bool:
        """Whether the scale is a coefficient of its own, after the columns'."""
        return self.scale == SCALE

    @cached_property
    def scaling(self) -> int:
        """Place of the coefficient that scales the others, or -1."""
        if self.random_scale:
            return len(self.labels)
        return self.labels.index(self.scale) if self.scale else -1

    @cached_property
    def all_kinds(self) -> tuple[str, ...]:
        """Kinds of all coefficients, of the scale last where it is no column's."""
        return (*self.kinds, *(("lognormal",) if self.random_scale else ()))

    @cached_property
    def random(self) -> Integers:
        """Places of the coefficients that vary, ``(D,)``."""
        places = [k for k, kind in enumerate(self.all_kinds) if kind != "fixed"]
        return np.array(places, np.int64)

    @property
    def random_kinds(self) -> tuple[str, ...]:
        """Kinds of the coefficients that vary, ``(D,)``."""
        return tuple(self.all_kinds[k] for k in self.random)

    @cached_property
    def free(self) -> Integers:
        """Places of the columns whose b is a parameter."""
        places = [k for k, kind in enumerate(self.kinds) if kind not in CENTRED]
        return np.array(places, np.int64)

    @cached_property
    def entries(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of L, among the D, that are parameters, row by row."""
        return tuple(
            (d, c)
            for d, k in enumerate(self.random.tolist())
            for c, other in enumerate(self.random.tolist()[: d + 1])
            if d == c or self._together(k, other)
        )

    def _together(self, k: int, other: int) -> bool:
        """Say whether two coefficients may be correlated."""
        if "truncated" in (self.all_kinds[k], self.all_kinds[other]):
            return False
        if isinstance(self.correlated, bool):
            return self.correlated and len(self.labels) not in (k, other)
        return any(k in group and other in group for group in self.correlated)

    @property
    def size(self) -> int:
        """Count the parameters, P: of b, of Π and of L."""
        return self.free.size + len(self.shifted) + len(self.entries)

    @property
    def components(self) -> tuple[int, ...]:
        """Places of the columns without a mean that are not of one sign."""
        return tuple(k for k, kind in enumerate(self.kinds) if kind == "component")

    @property
    def in_wtp(self) -> bool:
        """Whether all coefficients but one column's are times that one."""
        return bool(self.scale) and not self.random_scale

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Name all coefficients, the scale last where it is no column's."""
        own = tuple(
            f"{WTP}.{label}" if self.in_wtp and label != self.scale else label
            for label in self.labels
        )
        return (*own, *((SCALE,) if self.random_scale else ()))

    @property
    def parameter_labels(self) -> tuple[str, ...]:
        """Name the parameters, ``(P,)``; an exponential's only one is its mean."""
        every, kinds = self.names, self.random_kinds
        names = [every[k] for k in self.random.tolist()]
        alone = [
            sum(row == d for row, _ in self.entries) == 1 for d in range(len(names))
        ]
        used = [
            sum(column == d for _, column in self.entries) for d in range(len(names))
        ]
        spreads = [
            f"{'mean' if kinds[d] == 'exponential' else 'sd'}.{names[d]}"
            if d == c and alone[d] and used[d] == 1
            else f"chol.{names[d]}:{names[c]}"
            for d, c in self.entries
        ]
        shifts = [f"{every[k]}:{self.demographics[m]}" for k, m in self.shifted]
        return (*(every[k] for k in self.free), *shifts, *spreads)


@dataclass(frozen=True, slots=True, eq=False)
class PersonLikelihoods:
    """Probabilities of what people chose, and derivatives; weights of people in none.

    With p_ir a person's probability at draw r, w_r its weight, ω_ir = w_r p_ir / Σ_s
    w_s p_is:

    Attributes
    ----------
    logs
        ``(I,)`` log P_i.
    scores
        ``(I, P)`` ∂log P_i/∂θ = Σ_r ω_ir ∂log p_ir/∂θ; of no columns where not asked
        for, as the last two are.
    concentrations
        ``(I,)`` Σ_r ω_ir²: one over the effective number of draws.
    squared_scores
        ``(I, P)`` Σ_r ω_ir² ∂log p_ir/∂θ.
    draw_logs
        ``(I, R)`` log(w_r p_ir).
    """

    logs: Floats
    scores: Floats
    concentrations: Floats
    squared_scores: Floats
    draw_logs: Floats


@dataclass(frozen=True, slots=True, eq=False)
class LikelihoodSearch:
    """Where a search for a maximum led from one of several starts.

    Attributes
    ----------
    start, theta
        ``(P,)`` where it began and ended.
    log_likelihood
        At θ; NaN where the search failed.
    converged, evaluations, message
        How it ended.
    """

    start: Floats
    theta: Floats
    log_likelihood: float
    converged: bool
    evaluations: int
    message: str


@dataclass(frozen=True, slots=True, eq=False)
class LikelihoodEstimates:
    """A maximum of a simulated log-likelihood.

    Attributes
    ----------
    coefficients
        What varies and how.
    theta
        ``(P,)``.
    log_likelihood, gradient, hessian
        At θ: ``()``, ``(P,)``, ``(P, P)``.
    scores
        ``(I, P)`` ∂ log P_i / ∂θ, weighted, people in the order of the blocks; of no
        rows where sums of their products were enough.
    covariances
        ``(P, P)`` of θ, of the kind that was asked for.
    se_type
        ``hessian``, ``bhhh`` (of people), ``robust`` or ``clustered``.
    log_likelihood_at_zero
        Of all alternatives alike.
    converged, iterations, evaluations, message, seconds
        How the search ended.
    searches
        Of all starts in their order, where there were several.
    method
        ``msl``, ``corrected``, ``msm`` or ``mss``. Of the last two g, ∂g/∂θ' and
        w_i m_i stand for gradient, Hessian and scores.
    simulation_covariances
        ``(P, P)`` what of the covariances is due to draws; of no rows where not known.
    concentrations
        ``(I,)`` Σ_r ω_ir² of people at θ: one over their effective numbers of draws.
    """

    coefficients: MixedCoefficients
    theta: Floats
    log_likelihood: float
    gradient: Floats
    hessian: Floats
    scores: Floats
    covariances: Floats
    se_type: str
    log_likelihood_at_zero: float
    converged: bool
    iterations: int
    evaluations: int
    message: str
    seconds: float
    searches: tuple[LikelihoodSearch, ...] = ()
    method: str = "msl"
    simulation_covariances: Floats = field(default_factory=_nothing)
    concentrations: Floats = field(default_factory=lambda: np.empty(0))
