"""How S moves with the parameters, as the continuously updated objective needs it.

With h = S⁻¹ḡ the objective c ḡ'S⁻¹ḡ (Hansen, Heaton and Yaron 1996) has the gradient

    ∂q/∂ψ = 2 c (∂ḡ/∂ψ)'h - c h'(∂S/∂ψ)h,

and of ∂S/∂ψ = Γ + Γ' only Γh is needed. Errors u_e = M_e(y_e - X_e b) of equation e,
effects absorbed by M_e, move by M_e D_e, D_e = ∂(y_e - X_e b)/∂ψ'. With N rows, and
t_j = h'(g_j - ḡ), the rows of Γh that belong to the moments of e are

    (Γh)_e = (1/N) A_e'M_e D_e,         where row j of A_e (M_e columns) is

    robust       t_j z_ej,
    clustered    (s_j - s̄) z_ej,     s_j = Σ_A (-1)^(|A|+1) Σ_i t_i,
    unadjusted   Σ_d (u_dj - ū_d) Z_e'Z_d h_d / N;

in s_j the sum is over the rows i that share j's cluster of A (:mod:`.clusters`). Where
moments are not centred, neither is t, and s̄ is left out.

Products of errors (:mod:`.error_products`) are a third equation, whose rows of D are
those of ω_j M_D D_ξ + ξ_j M_S D_ω, so that ω ∘ A_C h_C and ξ ∘ A_C h_C are added to the
two equations' own.

M is symmetric: of h'Γh = (1/N) Σ_e (M_e A_e h_e)'D_e, which the gradient needs, effects
are taken out of one column an equation, A_e h_e, and not of the columns of D_e. All of
Γh serves an optimiser's steps alone; there effects are taken out within each block.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..model.inversion import InversionMemory
from ..model.linear_places import LinearPlaces
from ..records import Floats, Integers, LinearRows, MarketBlock
from .clusters import look_up
from .error_products import moment_errors, remember_scores, slopes_of
from .errors import ErrorState, block_errors
from .grouped_sums import subtract_levels

#: How often several effects are taken out within a block, one after the other.
_SWEEPS = 5


@dataclass(frozen=True, slots=True, eq=False)
class ScoreState:
    """What A_e is computed from, as sent to every block.

    Attributes
    ----------
    errors
        β, γ and the absorbed levels.
    places
        Which of β and γ are in ψ.
    h
        ``(M,)`` S⁻¹ḡ.
    centre
        h'ḡ where moments are centred, else zero.
    clusters, scores
        ``(C,)`` or ``(C, W)`` clusters, and ``(C,)`` Σ t of each; of size zero where S
        is not clustered.
    mean_score
        s̄.
    kappa, means
        ``(M, E)`` Z_e'Z_d h_d / N of moments of e and equations d, and ``(E,)`` ū; of
        size zero where S is not unadjusted.
    product_mean
        m of products of errors.
    """

    errors: ErrorState
    places: LinearPlaces
    h: Floats
    centre: float
    clusters: Integers
    scores: Floats
    mean_score: float
    kappa: Floats
    means: Floats
    product_mean: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class AbsorbState:
    """Levels of effects in A_e h_e of each equation, and which of β and γ are in ψ."""

    levels: tuple[tuple[Floats, ...], ...]
    places: LinearPlaces


@dataclass(frozen=True, slots=True)
class ScoreSums:
    """What a block adds to derivatives of S.

    Attributes
    ----------
    by_psi
        ``(P,)`` Σ_e D_e'A_e h_e.
    crossed
        ``(M, P)`` A_e'D_e, effects taken out within the block; of size zero where
        effects were taken out of A_e h_e.
    """

    by_psi: Floats
    crossed: Floats


def score_pass(
    block: MarketBlock, state: ScoreState, memory: InversionMemory
) -> tuple[ScoreSums, InversionMemory]:
    """Compute A_e of a block, sum it with D_e, and remember A_e h_e in y's place."""
    found = block_errors(block, state.errors, memory)
    u, Z = moment_errors(found, state.product_mean)
    linear = found.linear
    with np.errstate(over="ignore", invalid="ignore"):
        A = _scores(u, Z, linear, state)
        h = np.split(state.h, _ends(Z))
        a = np.column_stack([A_e @ h_e for A_e, h_e in zip(A, h, strict=True)])
        D = slopes_of(linear, state.places, memory)
        left = [
            _take_out(D_e, equation.effects)
            for D_e, equation in zip(D, linear.equations, strict=True)
        ]
        if linear.ZC is not None:
            left.append(u[:, [1]] * left[0] + u[:, [0]] * left[1])
            a = a[:, :2] + a[:, [2]] * u[:, 1::-1]
        crossed = [A_e.T @ D_e for A_e, D_e in zip(A, left, strict=True)]
        sums = ScoreSums(_times(D, a), np.vstack(crossed))
    of_supply = a[:, 1] if a.shape[1] > 1 else None
    return sums, remember_scores(memory, a[:, 0], of_supply)


def absorbed_score_pass(
    block: MarketBlock, state: AbsorbState, memory: InversionMemory
) -> tuple[ScoreSums, None]:
    """Sum Σ_e D_e'M_e A_e h_e of a block that remembers A_e h_e in y's place."""
    assert block.linear is not None
    linear = block.linear()
    columns = []
    for e, equation in enumerate(linear.equations):
        a = memory.costs if e else memory.delta
        assert a is not None
        columns.append(subtract_levels(a[:, None], equation.effects, state.levels[e]))
    both = np.hstack(columns)
    with np.errstate(over="ignore", invalid="ignore"):
        D = slopes_of(linear, state.places, memory)
        return ScoreSums(_times(D, both), np.empty((0, D[0].shape[1]))), None


def _scores(
    u: Floats, Z: list[Floats], linear: LinearRows, state: ScoreState
) -> list[Floats]:
    """Compute A_e of a block's rows, ``(N, M_e)`` each."""
    if state.kappa.size:
        return np.split((u - state.means) @ state.kappa.T, _ends(Z), axis=1)
    if state.scores.size:
        assert linear.clusters is not None
        s = look_up(linear.clusters, state.clusters, state.scores) - state.mean_score
    else:
        h = np.split(state.h, _ends(Z))
        t = [u[:, e] * (Z_e @ h[e]) for e, Z_e in enumerate(Z)]
        s = np.sum(t, axis=0) - state.centre
    return [s[:, None] * Z_e for Z_e in Z]


def _ends(Z: list[Floats]) -> Integers:
    """Give the first moment of every equation but demand's."""
    return np.cumsum([Z_e.shape[1] for Z_e in Z])[:-1]


def _times(D: list[Floats], a: Floats) -> Floats:
    """Compute Σ_e D_e'a_e, ``(P,)``."""
    return np.asarray(sum(D_e.T @ a_e for D_e, a_e in zip(D, a.T, strict=True)))


def _take_out(D: Floats, effects: tuple[Integers, ...]) -> Floats:
    """Take the means of groups within a block out of columns, a few times."""
    left = D.copy()
    for _ in range(_SWEEPS if len(effects) > 1 else 1):
        for codes in effects:
            _, places, sizes = np.unique(codes, return_inverse=True, return_counts=True)
            for k, column in enumerate(left.T):
                means = np.bincount(places, column) / sizes
                left[:, k] = column - means[places]
    return left
