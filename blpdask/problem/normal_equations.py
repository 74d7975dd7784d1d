"""Which levels of fixed effects fit a variable best, whoever multiplies by D'D.

With the largest effect taken out exactly, by its group means, the normal equations of
the other effects are

    S α = D₂'r,   S = D₂'(I - P₁) D₂,   P₁ = D₁ n₁⁻¹ D₁',

in the space of levels, which is small. Conjugate gradients, scaled by group sizes,
solve them, and the whole is repeated on what is left over until nothing more comes
off: the last correction bounds the error before it, so that poorly connected groups
(Abowd, Creecy and Kramarz 2002) are not mistaken for convergence. S is singular by
nature; α is not unique but D α is (Hestenes and Stiefel 1952; Guimarães and Portugal
2010; Correia 2017). Taking out the largest effect halves the steps: for two effects
conjugate gradients on all of D'D take twice as many (Reid 1972).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..errors import NumericalWarning
from ..progress import Listener, StepEvent, silent
from ..records import Floats

PASSES = 20
INNER_TOLERANCE = 1e-12
ROUNDING = 8 * float(np.finfo(np.float64).eps)


class NormalEquations(Protocol):
    """Residuals of K columns and the equations of the L levels of all other effects."""

    @property
    def sizes(self) -> Floats:
        """Rows of every level, ``(L,)``."""
        ...

    def multiply(self, levels: Floats) -> Floats:
        """Multiply levels by S, ``(L, K)``."""
        ...

    def left_over(self) -> Floats:
        """Sum the residuals within every level, ``(L, K)``."""
        ...

    def take_out(self, levels: Floats) -> None:
        """Subtract levels from the residuals, and the largest effect after them."""
        ...


@dataclass(frozen=True, slots=True)
class Projection:
    """How residuals were reached.

    Attributes
    ----------
    iterations
        Conjugate gradient steps taken, all passes together.
    converged
        Whether the last correction was below the tolerance in every column.
    correction
        ``(K,)`` norm of the last correction of each column over the column's norm.
    """

    iterations: int
    converged: bool
    correction: Floats


def project(
    equations: NormalEquations,
    norms: Floats,
    tolerance: float,
    max_iterations: int,
    listener: Listener = silent,
) -> Projection:
    """Solve and take out, repeating until nothing more comes off.

    Parameters
    ----------
    equations
        Hold the residuals, which are changed.
    norms
        ``(K,)`` of the columns, the largest effect taken out; not zero.
    tolerance
        Bound on the norm of the last correction, relative to ``norms``.
    max_iterations
        Conjugate gradient steps allowed.
    listener
        Told after every pass.
    """
    iterations = 0
    correction = np.full(norms.size, np.inf)
    for number in range(1, PASSES + 1):
        sums = equations.left_over()
        budget = max_iterations - iterations
        levels, size, steps = solve(equations, sums, norms, budget)
        iterations += steps
        equations.take_out(levels)
        previous = correction
        correction = np.sqrt(np.maximum(size, 0.0)) / norms
        listener(_progress(number, iterations, correction))
        small = correction <= tolerance
        stuck = small | (correction > 0.5 * previous)
        if np.all(small) or np.all(stuck) or iterations >= max_iterations:
            break
    return Projection(iterations, bool(np.all(small)), correction)


def solve(
    equations: NormalEquations, sums: Floats, norms: Floats, budget: int
) -> tuple[Floats, Floats, int]:
    """Solve the normal equations of all columns by conjugate gradients.

    A column rests once its scaled residual is a small part of what it was, or is no
    more than rounding of the data, or its direction is one that D does not see.

    Returns
    -------
    tuple
        Levels α ``(L, K)``, α'Sα ``(K,)``, and the number of steps.
    """
    sizes = np.maximum(equations.sizes, 1.0)[:, None]
    levels = np.zeros_like(sums)
    residual = sums.copy()
    direction = residual / sizes
    squared = _dot(residual, direction)
    target = np.maximum(INNER_TOLERANCE**2 * squared, (ROUNDING * norms) ** 2)
    active = squared > target
    steps = 0
    for _ in range(min(budget, 4 * sums.shape[0] + 50)):
        if not active.any():
            break
        steps += 1
        image = equations.multiply(direction)
        curvature = _dot(direction, image)
        active &= curvature > ROUNDING * _dot(direction, sizes * direction)
        step = np.where(active, squared / np.where(active, curvature, 1.0), 0.0)
        levels += step * direction
        residual -= step * image
        scaled = residual / sizes
        last, squared = squared, _dot(residual, scaled)
        turn = np.where(active, squared / np.where(active, last, 1.0), 0.0)
        direction = scaled + turn * direction
        active &= squared > target
    return levels, _dot(levels, sums - residual), steps


def warn_unless_converged(projection: Projection, n_effects: int) -> None:
    """Warn the caller's caller that the tolerance was not reached, and by how much."""
    if not projection.converged:
        warnings.warn(
            f"absorbing {n_effects} fixed effects stopped after "
            f"{projection.iterations} steps with a last relative correction of "
            f"{projection.correction.max():.1e}, above the tolerance",
            NumericalWarning,
            stacklevel=3,
        )


def _dot(left: Floats, right: Floats) -> Floats:
    """Inner products column by column, ``(K,)``."""
    return np.asarray(np.einsum("lk,lk->k", left, right))


def _progress(number: int, iterations: int, correction: Floats) -> StepEvent:
    return StepEvent(
        0,
        f"absorption, pass {number}: {iterations} conjugate gradient steps so far, "
        f"last relative correction {correction.max(initial=0.0):.1e}",
    )
