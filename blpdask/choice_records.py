"""What passes between floors about choices of people: blocks of them, coefficients.

People i choose in situations t among alternatives j, with utility x_ijt'β_i + ε_ijt and
ε extreme value (McFadden and Train 2000). The coefficient of column k of X is

    β_ik = h_k(η_ik),     η_ik = b_k + Σ_l L_kl z_il,

with standard variates z, L diagonal or lower triangular, and h by kind. Parameters θ
are b, then the free entries of L row by row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .records import Floats, Integers

#: Kinds of coefficients. Of those after the first, up to johnson, z is standard normal
#: and h is η, e^η, max(η, 0), e^η/(1 + e^η). Of the last two h is η, and z uniform and
#: triangular on [-1, 1].
KINDS = (
    "fixed",
    "normal",
    "lognormal",
    "censored",
    "johnson",
    "uniform",
    "triangular",
)


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
        ``(I, R, D)`` standard variates z, a column for each random coefficient.
    """

    X: Floats
    chosen: Integers
    situation_offsets: Integers
    person_offsets: Integers
    weights: Floats
    draws: Floats

    @property
    def n_people(self) -> int:
        """Count the people, I."""
        return self.weights.size


@dataclass(frozen=True, slots=True, eq=False)
class MixedTastes:
    """θ as kernels of choices read it: β_ik = h_k(b_k + Σ_d Λ_kd z_id).

    Attributes
    ----------
    b
        ``(K,)``.
    loadings
        ``(K, D)`` Λ: the rows of L, and rows of zeros where coefficients are fixed.
    shapes
        ``(K,)`` h_k: 0 identity, 1 exponential, 2 positive part, 3 logistic.
    rows, columns
        ``(E,)`` entries of Λ that are parameters: θ is b, then those.
    """

    b: Floats
    loadings: Floats
    shapes: Integers
    rows: Integers
    columns: Integers

    @property
    def size(self) -> int:
        """Count the parameters, P = K + E."""
        return self.b.size + self.rows.size


@dataclass(frozen=True, slots=True)
class MixedCoefficients:
    """How coefficients vary over people, and where parameters stand in θ.

    Attributes
    ----------
    labels
        ``(K,)`` names of the columns of X.
    kinds
        ``(K,)`` of :data:`KINDS`.
    correlated
        Whether L is lower triangular over the random coefficients, not diagonal.
    """

    labels: tuple[str, ...]
    kinds: tuple[str, ...]
    correlated: bool = False

    @property
    def random(self) -> Integers:
        """Places of the columns whose coefficients vary, ``(D,)``."""
        places = [k for k, kind in enumerate(self.kinds) if kind != "fixed"]
        return np.array(places, np.int64)

    @property
    def entries(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of L, among the D, that are parameters, row by row."""
        D = self.random.size
        return tuple(
            (d, c)
            for d in range(D)
            for c in (range(d + 1) if self.correlated else (d,))
        )

    @property
    def size(self) -> int:
        """Count the parameters, P = K + entries of L."""
        return len(self.labels) + len(self.entries)

    @property
    def parameter_labels(self) -> tuple[str, ...]:
        """Name the parameters, ``(P,)``."""
        names = [self.labels[k] for k in self.random.tolist()]
        spreads = [
            f"sd.{names[d]}" if not self.correlated else f"chol.{names[d]}:{names[c]}"
            for d, c in self.entries
        ]
        return (*self.labels, *spreads)


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
        ``(I, P)`` ∂ log P_i / ∂θ, weighted, people in the order of the blocks.
    covariances
        ``(P, P)`` of θ, of the kind that was asked for.
    se_type
        ``hessian``, ``bhhh`` (of people), ``robust`` or ``clustered``.
    log_likelihood_at_zero
        Of all alternatives alike.
    converged, iterations, evaluations, message, seconds
        How the search ended.
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
