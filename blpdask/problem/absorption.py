"""What is left of a variable once fixed effects are taken out of it.

Let D hold the dummies of all effects. Absorbing means projecting off their span,

    y ↦ y - D α,   D'D α = D'y.

One effect is exact: subtract group means. With several, the largest effect is taken
out exactly and conjugate gradients, scaled by group sizes, solve the remaining normal
equations in the space of levels, which is small; the rows of the data are touched only
by grouped sums D'y and gathers D α. The whole is repeated on what is left over until
nothing more comes off: the last correction bounds the error before it, so that poorly
connected groups (Abowd, Creecy and Kramarz 2002) are not mistaken for convergence, as
they can be by alternating projections. D'D is singular by nature; α is not unique but
D α is (Hestenes and Stiefel 1952; Guimarães and Portugal 2010; Correia 2017).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import Faults, NumericalWarning
from ..records import Floats, Integers
from .formula_data import Table, factorize, read_columns

PASSES = 20
INNER_TOLERANCE = 1e-12
ROUNDING = 8 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True)
class Absorbed:
    """Variables with fixed effects taken out.

    Attributes
    ----------
    values
        ``(N, K)`` residuals from the projection on all dummies.
    iterations
        Conjugate gradient steps taken, all passes together; zero for one effect.
    converged
        Whether the last correction was below the tolerance in every column.
    correction
        ``(K,)`` norm of the last correction of each column over the column's norm.
    """

    values: Floats
    iterations: int
    converged: bool
    correction: Floats


@dataclass(frozen=True, slots=True)
class _Effects:
    """The normal equations, the largest effect apart: [[n, C], [C', A]].

    Levels of the other effects are numbered through; ``cross`` is C, ``(G, L)``, and
    ``among_rest`` is A, ``(L, L)``, both sparse counts of rows.
    """

    first: Integers
    first_sizes: Floats
    rest: tuple[Integers, ...]
    rest_sizes: Floats
    cross: Any
    among_rest: Any


def absorb(
    values: Floats,
    groups: Sequence[Integers],
    tolerance: float = 1e-12,
    max_iterations: int = 100_000,
) -> Absorbed:
    """Take fixed effects out of variables.

    Parameters
    ----------
    values
        ``(N, K)`` variables, or ``(N,)`` one of them.
    groups
        For each effect, ``(N,)`` codes 0, 1, ... of the group that a row belongs to.
    tolerance
        Bound on the norm of the last correction, relative to each column's norm.
    max_iterations
        Conjugate gradient steps allowed, all passes together.

    Returns
    -------
    Absorbed
        Residuals, of the shape of ``values``, and how they were reached.

    Warns
    -----
    NumericalWarning
        If the tolerance was not reached.

    Examples
    --------
    >>> import numpy as np
    >>> absorb(np.array([1.0, 3.0, 5.0]), [np.array([0, 0, 1])]).values
    array([-1.,  1.,  0.])
    """
    columns = np.array(values, dtype=np.float64, order="F", ndmin=2)
    if values.ndim == 1:
        columns = np.asfortranarray(columns.T)
    _check(columns, groups)
    if len(groups) > 1:
        absorbed = _absorb_several(columns, groups, tolerance, max_iterations)
    else:
        residuals = _demean(columns, groups[0]) if groups else columns
        absorbed = Absorbed(residuals, 0, True, np.zeros(columns.shape[1]))
    residuals = absorbed.values
    residuals = residuals[:, 0] if values.ndim == 1 else np.ascontiguousarray(residuals)
    return Absorbed(
        residuals, absorbed.iterations, absorbed.converged, absorbed.correction
    )


def group_codes(data: Table, term: Sequence[str]) -> Integers:
    """Code the groups that one variable, or several interacted, make.

    Parameters
    ----------
    data
        DataFrame, mapping from names to arrays, or structured array.
    term
        Names of the variables, of any dtype.

    Returns
    -------
    Integers
        ``(N,)`` codes 0, 1, ..., G - 1, every one of them present.

    Raises
    ------
    InputError
        If variables are not there or have missing values.

    Examples
    --------
    >>> group_codes({"city": ["a", "b", "a"], "week": [1, 1, 2]}, ["city", "week"])
    array([0, 2, 1])
    """
    faults = Faults("absorbed fixed effects")
    codes: Integers | None = None
    for name, values in read_columns(data, term).items():
        levels, found = factorize(values)
        if missing := int(np.count_nonzero(found < 0)):
            faults.add(
                f"{missing} missing values in '{name}'",
                "a group for every row",
                "fill them in or drop the rows",
            )
        if codes is None:
            codes = found
        else:
            codes = np.unique(codes * len(levels) + found, return_inverse=True)[1]
    faults.check()
    assert codes is not None
    return codes.astype(np.int64)


def _check(columns: Floats, groups: Sequence[Integers]) -> None:
    """Check shapes, codes and finiteness."""
    faults = Faults("absorption")
    for place, codes in enumerate(groups):
        if codes.shape != (columns.shape[0],) or codes.dtype.kind not in "iu":
            faults.add(
                f"codes {place} of shape {codes.shape} and dtype {codes.dtype}",
                f"{columns.shape[0]} integers",
                "make the codes with group_codes",
            )
        elif codes.size and codes.min() < 0:
            faults.add(
                f"negative codes in effect {place}",
                "codes 0, 1, ...",
                "make the codes with group_codes",
            )
    if bad := int(np.count_nonzero(~np.isfinite(columns).all(axis=1))):
        faults.add(
            f"{bad} rows that are not finite",
            "finite numbers",
            "find the rows with numpy.isfinite and mend or drop them",
        )
    faults.check()


def _grouped_sums(columns: Floats, codes: Integers, n_groups: int) -> Floats:
    """Sum every column within groups, ``(G, K)``."""
    sums = np.empty((n_groups, columns.shape[1]))
    for k in range(columns.shape[1]):
        sums[:, k] = np.bincount(codes, weights=columns[:, k], minlength=n_groups)
    return sums


def _demean(columns: Floats, codes: Integers) -> Floats:
    """Subtract group means, twice: the second pass takes off the first one's rounding.

    A group of one row is left with exactly nothing.
    """
    sizes = np.bincount(codes).astype(np.float64)
    with np.errstate(invalid="ignore"):
        for _ in range(2):
            means = _grouped_sums(columns, codes, sizes.size) / sizes[:, None]
            columns = columns - means[codes]
    return columns


def _absorb_several(
    columns: Floats, groups: Sequence[Integers], tolerance: float, max_iterations: int
) -> Absorbed:
    """Project off several effects, repeating until nothing more comes off."""
    effects = _prepare(groups)
    residuals = _demean(columns, effects.first)
    norms = _norms(residuals) + ROUNDING * _norms(columns)
    norms[norms == 0.0] = 1.0
    iterations = 0
    correction = np.full(columns.shape[1], np.inf)
    for _ in range(PASSES):
        sums = _rest_sums(residuals, effects)
        levels, steps = _solve(effects, sums, norms, max_iterations - iterations)
        iterations += steps
        for codes in effects.rest:
            residuals -= levels[codes]
        residuals = _demean(residuals, effects.first)
        previous = correction
        size = np.einsum("lk,lk->k", levels, _reduced(effects, levels))
        correction = np.sqrt(np.maximum(size, 0.0)) / norms
        small = correction <= tolerance
        stuck = small | (correction > 0.5 * previous)
        if np.all(small) or np.all(stuck) or iterations >= max_iterations:
            break
    _warn_unless(bool(np.all(small)), len(groups), iterations, correction)
    return Absorbed(residuals, iterations, bool(np.all(small)), correction)


def _prepare(groups: Sequence[Integers]) -> _Effects:
    """Count the rows that levels share, the effect with most levels put first."""
    from scipy import sparse

    counts = [np.unique(codes).size for codes in groups]
    largest = int(np.argmax(counts))
    first = groups[largest]
    rest: list[Integers] = []
    n_levels = 0
    for place, codes in enumerate(groups):
        if place != largest:
            rest.append(codes + n_levels)
            n_levels += int(codes.max()) + 1
    n_rows = first.size
    rows = np.arange(n_rows)
    ones = np.ones(n_rows)
    dummies = sparse.csr_array((ones, (rows, first)))
    others = sparse.csr_array(
        (
            np.ones(n_rows * len(rest)),
            (np.tile(rows, len(rest)), np.concatenate(rest)),
        ),
        shape=(n_rows, n_levels),
    )
    return _Effects(
        first=first,
        first_sizes=np.bincount(first).astype(np.float64),
        rest=tuple(rest),
        rest_sizes=np.bincount(np.concatenate(rest)).astype(np.float64),
        cross=(dummies.T @ others).tocsr(),
        among_rest=(others.T @ others).tocsr(),
    )


def _rest_sums(columns: Floats, effects: _Effects) -> Floats:
    """Sum columns within every level of the effects that are not the first."""
    n_levels = effects.rest_sizes.size
    sums = np.zeros((n_levels, columns.shape[1]))
    for codes in effects.rest:
        sums += _grouped_sums(columns, codes, n_levels)
    return sums


def _reduced(effects: _Effects, levels: Floats) -> Floats:
    """Multiply by A - C' n⁻¹ C, what the first effect leaves of D'D."""
    sizes = np.maximum(effects.first_sizes, 1.0)[:, None]
    through_first = effects.cross.T @ ((effects.cross @ levels) / sizes)
    return np.asarray(effects.among_rest @ levels - through_first)


def _solve(
    effects: _Effects, sums: Floats, norms: Floats, budget: int
) -> tuple[Floats, int]:
    """Solve the reduced normal equations of all columns by conjugate gradients.

    A column rests once its scaled residual is a small part of what it was, or is no
    more than rounding of the data, or its direction is one that D does not see.
    """
    sizes = np.maximum(effects.rest_sizes, 1.0)[:, None]
    levels = np.zeros_like(sums)
    residual = sums.copy()
    direction = residual / sizes
    squared = np.einsum("lk,lk->k", residual, direction)
    target = np.maximum(INNER_TOLERANCE**2 * squared, (ROUNDING * norms) ** 2)
    active = squared > target
    steps = 0
    for _ in range(min(budget, 4 * sums.shape[0] + 50)):
        if not active.any():
            break
        steps += 1
        image = _reduced(effects, direction)
        curvature = np.einsum("lk,lk->k", direction, image)
        length = np.einsum("lk,lk->k", direction, sizes * direction)
        active &= curvature > ROUNDING * length
        step = np.where(active, squared / np.where(active, curvature, 1.0), 0.0)
        levels += step * direction
        residual -= step * image
        scaled = residual / sizes
        last, squared = squared, np.einsum("lk,lk->k", residual, scaled)
        turn = np.where(active, squared / np.where(active, last, 1.0), 0.0)
        direction = scaled + turn * direction
        active &= squared > target
    return levels, steps


def _norms(columns: Floats) -> Floats:
    """Euclidean norm of every column."""
    return np.asarray(np.linalg.norm(columns, axis=0))


def _warn_unless(
    converged: bool, n_effects: int, iterations: int, correction: Floats
) -> None:
    """Warn that the tolerance was not reached, and by how much."""
    if not converged:
        warnings.warn(
            f"absorbing {n_effects} fixed effects stopped after {iterations} steps "
            f"with a last relative correction of {correction.max():.1e}, above the "
            "tolerance",
            NumericalWarning,
            stacklevel=4,
        )
