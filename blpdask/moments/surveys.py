"""What surveys average, as the model predicts it, and how it moves with θ.

Of those whom dataset d surveys, agent i is met with weight w_i and, having chosen j, is
recorded with probability proportional to W_dij. Part p of it averages values v_pij:

    v_p = Σ_t Σ_i w_i Σ_j P_ij W_dij v_pij / Σ_t Σ_i w_i Σ_j P_ij W_dij = n_p / n_d,
    ∂v_p/∂θ = (∂n_p/∂θ - v_p ∂n_d/∂θ) / n_d,

j = 0 being the outside option (Conlon and Gortmaker 2025, Journal of Econometrics). A
micro moment m compares a function f_m of several parts with what was observed,

    ḡ_m = f̄_m - f_m(v),

and N_d observations of d have the covariance, of parts p and q of it,

    Cov(v̄_p, v̄_q) = (n_pq / n_d - v_p v_q) / N_d,
    n_pq = Σ_t Σ_i w_i Σ_j P_ij W_dij v_pij v_qij,

zero between datasets; that of moments follows by the delta method.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..model.inversion import InversionMemory
from ..model.surveys import expectations
from ..records import Floats, Integers, MarketBlock, Tastes


@dataclass(frozen=True, slots=True, eq=False)
class SurveyLayout:
    """Which functions of blocks are whose.

    Attributes
    ----------
    datasets
        ``(PM,)`` place of each part's dataset.
    observations
        ``(D,)`` N_d of each dataset.
    """

    datasets: Integers
    observations: Integers

    @property
    def n_parts(self) -> int:
        """Count the parts, PM, whose numerators come first among functions."""
        return self.datasets.size

    @property
    def pairs(self) -> Integers:
        """Give parts p ≤ q of one dataset, in the order of squares, ``(L2, 2)``."""
        p, q = np.triu_indices(self.n_parts)
        same = self.datasets[p] == self.datasets[q]
        return np.column_stack([p[same], q[same]])


@dataclass(frozen=True, slots=True, eq=False)
class MicroTargets:
    """What is compared with what.

    Attributes
    ----------
    layout
        Of the parts.
    values
        ``(MM,)`` f̄.
    parts
        For each moment, the places of its parts.
    functions, gradients
        For each moment, f_m and ∂f_m/∂v of those parts' values.
    """

    layout: SurveyLayout
    values: Floats
    parts: tuple[tuple[int, ...], ...]
    functions: tuple[Callable[[Floats], float], ...]
    gradients: tuple[Callable[[Floats], Floats], ...]


@dataclass(frozen=True, slots=True)
class SurveyState:
    """θ as the kernels read it, where, and what is wanted.

    Attributes
    ----------
    tastes
        θ.
    derivatives
        Whether derivatives are wanted.
    squares
        Whether squares are, and not the functions themselves.
    backend
        ``numba``, ``numpy`` or ``cupy``.
    """

    tastes: Tastes
    derivatives: bool
    squares: bool
    backend: str


@dataclass(frozen=True, slots=True)
class SurveySums:
    """What a block adds.

    Attributes
    ----------
    sums
        ``(L,)`` Σ_i w_i Σ_j P_ij f_l(i, j).
    by_theta
        ``(L, P)`` along δ(θ), by the free parameters of Σ, Π and ρ; ``(L, 0)`` where
        not wanted.
    """

    sums: Floats
    by_theta: Floats


@dataclass(frozen=True, slots=True, eq=False)
class MicroValues:
    """Parts and moments at one θ.

    Attributes
    ----------
    parts
        ``(PM,)`` v.
    values
        ``(MM,)`` f(v).
    by_theta
        ``(MM, P)`` ∂f/∂θ.
    gradients
        ``(MM, PM)`` ∂f/∂v.
    denominators
        ``(D,)`` n_d.
    """

    parts: Floats
    values: Floats
    by_theta: Floats
    gradients: Floats
    denominators: Floats


def surveys_pass(
    block: MarketBlock, state: SurveyState, memory: InversionMemory
) -> tuple[SurveySums, None]:
    """Sum what surveys ask of a block, at the evaluation that it remembers."""
    assert block.surveys is not None
    surveys = block.surveys
    sums, by_theta = expectations(
        block,
        state.tastes,
        surveys.squares if state.squares else surveys.functions,
        memory.delta,
        memory.delta_by_theta if state.derivatives else memory.delta_by_theta[:, :0],
        derivatives=state.derivatives,
        backend=state.backend,
    )
    return SurveySums(sums, by_theta), None


def micro_values(targets: MicroTargets, sums: SurveySums) -> MicroValues:
    """Turn sums over all blocks into parts and moments.

    Parameters
    ----------
    targets
        Which parts, and which functions of them.
    sums
        Of the functions of all blocks.
    """
    layout = targets.layout
    PM, d = layout.n_parts, layout.datasets
    with np.errstate(divide="ignore", invalid="ignore"):
        denominators = sums.sums[PM:]
        v = sums.sums[:PM] / denominators[d]
        below = sums.by_theta[PM:][d]
        v_by_theta = (sums.by_theta[:PM] - v[:, None] * below) / denominators[d, None]
    values = np.empty(len(targets.parts))
    gradients = np.zeros((values.size, PM))
    for m, own in enumerate(map(list, targets.parts)):
        values[m] = targets.functions[m](v[own])
        gradients[m, own] = targets.gradients[m](v[own])
    return MicroValues(v, values, gradients @ v_by_theta, gradients, denominators)


def micro_covariances(
    targets: MicroTargets, found: MicroValues, squares: Floats
) -> Floats:
    """Compute covariances of observed moments, ``(MM, MM)``, from sums of squares.

    Parameters
    ----------
    targets
        Which parts, and which functions of them.
    found
        Values at the same θ.
    squares
        ``(L2,)`` n_pq of the layout's pairs.
    """
    layout = targets.layout
    p, q = layout.pairs.T
    d = layout.datasets[p]
    v = found.parts
    own = (squares / found.denominators[d] - v[p] * v[q]) / layout.observations[d]
    covariances = np.zeros((layout.n_parts, layout.n_parts))
    covariances[p, q] = own
    covariances[q, p] = own
    return np.asarray(found.gradients @ covariances @ found.gradients.T)
