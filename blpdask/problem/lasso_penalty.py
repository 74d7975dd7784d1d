"""Which instruments move the endogenous variable, among many that could.

The first stage y_i = f_i'β + v_i is fitted by LASSO with the penalty of Belloni, Chen,
Chernozhukov and Hansen (2012), which allows for heteroskedasticity,

    min_β  (1/n) Σ_i (y_i - f_i'β)² + (λ/n) Σ_l ψ_l |β_l|,
    λ = 2 c √n Φ⁻¹(1 - γ/(2 k p)),   ψ_l² = (1/n) Σ_i f_il² v̂_i²,

c = 1.1, γ = 0.1 / log max(p, n), for k endogenous variables, p candidates and n rows.
With clusters (Belloni, Chernozhukov, Hansen and Kozbur 2016) λ is the same and

    ψ_l² = (1/n) Σ_g (Σ_{i ∈ g} f_il v̂_i)².

v̂ are residuals of post-LASSO, least squares on what was selected (at first on nothing);
loadings ψ and selection are iterated until the selection stands. Controls and fixed
effects are taken out of y and f before (Frisch and Waugh 1933). In the notation of
:mod:`blpdask.problem.lasso`, τ_l = λ ψ_l / (2 n).

References
----------
Belloni, Chen, Chernozhukov and Hansen (2012), "Sparse Models and Methods for Optimal
Instruments with an Application to Eminent Domain", algorithm A.1; Belloni,
Chernozhukov, Hansen and Kozbur (2016), "Inference in High-Dimensional Panel Models with
an Application to Gun Control".
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import NumericalWarning
from ..records import Floats, Integers
from .absorption import absorb
from .absorption_options import AbsorptionControls
from .lasso import minimise_lasso
from .rival_sums import sum_groups

Flags = NDArray[np.bool_]

#: A column that controls leave less of, relative to its length, is collinear with them.
COLLINEAR = 1e-9
#: Candidates whose correlation is nearer to one or minus one are the same.
TWINS = 1e-13


@dataclass(frozen=True, slots=True, eq=False)
class PartialledOut:
    """Variables net of controls and fixed effects.

    Attributes
    ----------
    values
        ``(N, K)`` residuals, zeros in columns that the controls span.
    collinear
        ``(K,)`` whether they do.
    n_controls
        Dimension of the space of controls and effects, which counts one dependency
        for every effect after the first.
    """

    values: Floats
    collinear: Flags
    n_controls: int


@dataclass(frozen=True, slots=True, eq=False)
class PenaltyRule:
    """How hard LASSO penalises, and how long loadings are iterated.

    Attributes
    ----------
    c
        Slack, above one.
    gamma
        Probability of selecting a regressor that is of no use; None for
        0.1 / log max(p, n).
    n_endogenous
        k, the first stages that are selected for.
    penalty
        λ itself, in place of the rule.
    max_iterations
        Iterations of loadings allowed.
    """

    c: float = 1.1
    gamma: float | None = None
    n_endogenous: int = 1
    penalty: float | None = None
    max_iterations: int = 15

    def level(self, n_rows: int, n_candidates: int) -> float:
        """Compute λ."""
        from scipy.special import ndtri

        if self.penalty is not None:
            return self.penalty
        if n_candidates == 0:
            return float("nan")
        gamma = self.gamma
        if gamma is None:
            gamma = 0.1 / np.log(max(n_candidates, n_rows))
        tail = gamma / (2 * self.n_endogenous * n_candidates)
        return float(-2 * self.c * np.sqrt(n_rows) * ndtri(tail))


@dataclass(frozen=True, slots=True, eq=False)
class FirstStage:
    """A first stage selected by LASSO.

    Attributes
    ----------
    coefficients
        ``(P,)`` LASSO's.
    post_coefficients
        ``(P,)`` of least squares on the selected regressors, zero elsewhere.
    loadings
        ``(P,)`` ψ, zero for regressors that are zero.
    penalty
        λ.
    iterations
        Iterations of loadings.
    converged
        Whether the selection stood, and LASSO met its conditions.
    """

    coefficients: Floats
    post_coefficients: Floats
    loadings: Floats
    penalty: float
    iterations: int
    converged: bool

    @property
    def selected(self) -> Integers:
        """Places of the regressors with coefficients, ``(S,)``."""
        return np.flatnonzero(self.coefficients)


def partial_out(
    values: Floats,
    controls: Floats,
    effects: Sequence[Integers] = (),
    absorption: AbsorptionControls | None = None,
) -> PartialledOut:
    """Take controls and fixed effects out of variables by least squares.

    Parameters
    ----------
    values
        ``(N, K)`` variables.
    controls
        ``(N, C)``, collinear or not.
    effects
        For each effect, ``(N,)`` codes.
    absorption
        Tolerance and iterations, where there are several effects.
    """
    how = absorption or AbsorptionControls()
    both = np.hstack([values, controls])
    if effects:
        both = absorb(both, effects, how.tolerance, how.max_iterations).values
    K = values.shape[1]
    left, basis = both[:, :K], _basis(both[:, K:], controls)
    for _ in range(2):
        left = left - basis @ (basis.T @ left)
    lengths = np.linalg.norm(values, axis=0)
    collinear = np.linalg.norm(left, axis=0) <= COLLINEAR * lengths
    n_levels = sum(int(codes.max()) + 1 for codes in effects)
    n_controls = basis.shape[1] + n_levels - max(len(effects) - 1, 0)
    return PartialledOut(np.where(collinear, 0.0, left), collinear, n_controls)


def find_twins(f: Floats) -> Flags:
    """Tell which columns ``(N, P)`` are multiples of earlier ones, ``(P,)``.

    LASSO has many minima where there are any.
    """
    lengths = np.linalg.norm(f, axis=0)
    unit = f / np.where(lengths > 0, lengths, 1.0)
    return np.asarray(np.triu(np.abs(unit.T @ unit) >= 1 - TWINS, k=1).any(axis=0))


def select(
    y: Floats, f: Floats, clusters: Integers | None, rule: PenaltyRule
) -> FirstStage:
    """Select regressors by LASSO, loadings iterated.

    Parameters
    ----------
    y
        ``(N,)`` endogenous variable, controls taken out.
    f
        ``(N, P)`` candidates, controls taken out; columns of zeros stay out.
    clusters
        ``(N,)`` codes, or None if errors are independent.
    rule
        Gives λ.

    Warns
    -----
    NumericalWarning
        If the selection did not stand after the iterations allowed.
    """
    n = y.size
    penalty = rule.level(n, int(np.count_nonzero(f.any(axis=0))))
    gram, covariances = f.T @ f / n, f.T @ y / n
    beta = np.zeros(f.shape[1])
    post, iterations, stands, ended = beta, 0, False, True
    loadings = penalty_loadings(f, y, clusters)
    while f.any() and not stands and iterations < rule.max_iterations:
        loadings = penalty_loadings(f, y - f @ post, clusters)
        thresholds = penalty * loadings / (2 * n)
        found = minimise_lasso(gram, covariances, thresholds, start=beta)
        # Loadings depend on what was selected alone.
        stands = np.array_equal(found.coefficients != 0, beta != 0)
        beta, ended = found.coefficients, found.converged
        post = least_squares(y, f, np.flatnonzero(beta))
        iterations += 1
    if not stands and f.any():
        warnings.warn(
            f"the selection still changed after {iterations} iterations of loadings; "
            "the last one is reported",
            NumericalWarning,
            stacklevel=3,
        )
    stands = stands or not f.any()
    return FirstStage(beta, post, loadings, penalty, iterations, stands and ended)


def penalty_loadings(f: Floats, errors: Floats, clusters: Integers | None) -> Floats:
    """Compute ψ, the standard deviations of scores f_il v_i, ``(P,)``."""
    if clusters is None:
        squares = np.einsum("nl,nl,n->l", f, f, errors**2)
        return np.asarray(np.sqrt(squares / errors.size))
    scores = sum_groups(f * errors[:, None], clusters)
    return np.asarray(np.sqrt(np.sum(scores**2, axis=0) / errors.size))


def least_squares(y: Floats, f: Floats, chosen: Integers) -> Floats:
    """Regress on some columns; coefficients ``(P,)``, zero elsewhere."""
    coefficients = np.zeros(f.shape[1])
    if chosen.size:
        coefficients[chosen] = np.linalg.lstsq(f[:, chosen], y)[0]
    return coefficients


def first_stage_F(
    y: Floats, f: Floats, clusters: Integers | None, n_controls: int
) -> float:
    """Test that no instrument matters, robust to heteroskedasticity or clusters.

    F = b'V⁻¹b / S with V the sandwich of the scores f_i v̂_i, summed within clusters,
    times n / (n - S - n_controls), or G/(G - 1) (n - 1)/(n - S - n_controls) with G
    clusters. NaN with no instrument, or where V cannot be had: fewer rows, or clusters,
    than it takes, or collinear instruments.

    Parameters
    ----------
    y
        ``(N,)`` endogenous variable, controls taken out.
    f
        ``(N, S)`` instruments, controls taken out.
    clusters
        ``(N,)`` codes, or None.
    n_controls
        Dimension of the space of controls and effects.
    """
    n, S = f.shape
    n_groups = n if clusters is None else int(clusters.max()) + 1
    left = n - S - n_controls
    if S == 0 or left <= 0 or n_groups <= S or np.linalg.matrix_rank(f) < S:
        return float("nan")
    Q = np.linalg.qr(f)[0]
    errors = y - Q @ (Q.T @ y)
    scores = Q * errors[:, None]
    scale = n / left
    if clusters is not None:
        scores = sum_groups(scores, clusters)
        scale = n_groups / (n_groups - 1) * (n - 1) / left
    meat = scores.T @ scores
    if np.linalg.matrix_rank(meat) < S:
        return float("nan")
    # With f = QR, b'V⁻¹b is the same for coefficients on Q, whose bread is I.
    b = Q.T @ y
    return float(b @ np.linalg.solve(meat * scale, b) / S)


def _basis(left: Floats, controls: Floats) -> Floats:
    """Make an orthonormal basis of controls net of effects, ``(N, R)``."""
    lengths = np.linalg.norm(left, axis=0)
    kept = lengths > COLLINEAR * np.linalg.norm(controls, axis=0)
    if not kept.any():
        return np.empty((left.shape[0], 0))
    vectors, scales, _ = np.linalg.svd(left[:, kept] / lengths[kept], False)
    return np.asarray(vectors[:, scales > 1e-10 * scales[0]])
