"""What is left of a variable once fixed effects are taken out of it.

Let D hold the dummies of all effects. Absorbing means projecting off their span,

    y ↦ y - D α,   D'D α = D'y.

One effect is exact: subtract group means. With several, the largest effect is taken
out exactly and conjugate gradients solve the normal equations that remain in the space
of levels (:mod:`blpdask.problem.normal_equations`), from counts of the rows that levels
share; the rows of the data are touched only by grouped sums D'y and gathers D α.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import Faults
from ..records import Floats, Integers
from .absorption_options import AbsorptionControls
from .formula_data import Table, factorize, read_columns
from .normal_equations import ROUNDING, Projection, project, warn_unless_converged


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
    how = Projection(0, True, np.zeros(columns.shape[1]))
    if len(groups) > 1:
        rows = _Rows(columns, groups)
        norms = _norms(rows.residuals) + ROUNDING * _norms(columns)
        norms[norms == 0.0] = 1.0
        how = project(rows, norms, tolerance, max_iterations)
        residuals = rows.residuals
    else:
        residuals = _demean(columns, groups[0]) if groups else columns
    warn_unless_converged(how, len(groups))
    residuals = residuals[:, 0] if values.ndim == 1 else np.ascontiguousarray(residuals)
    return Absorbed(residuals, how.iterations, how.converged, how.correction)


def take_out(
    values: Floats, effects: Sequence[Integers], controls: AbsorptionControls
) -> Floats:
    """Take absorbed effects out of columns ``(N, K)``, all at once; none, no change."""
    if not effects:
        return values
    absorbed = absorb(
        values, effects, controls.tolerance, max_iterations=controls.max_iterations
    )
    return absorbed.values


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


class _Rows:
    """Residuals in memory, and the normal equations of their effects."""

    def __init__(self, columns: Floats, groups: Sequence[Integers]) -> None:
        """Take out the largest effect."""
        self._effects = _prepare(groups)
        self.residuals = _demean(columns, self._effects.first)

    @property
    def sizes(self) -> Floats:
        """Rows of every level of the other effects, ``(L,)``."""
        return self._effects.rest_sizes

    def multiply(self, levels: Floats) -> Floats:
        """Multiply by S = A - C' n⁻¹ C, ``(L, K)``."""
        effects = self._effects
        sizes = np.maximum(effects.first_sizes, 1.0)[:, None]
        through_first = effects.cross.T @ ((effects.cross @ levels) / sizes)
        return np.asarray(effects.among_rest @ levels - through_first)

    def left_over(self) -> Floats:
        """Sum the residuals within every level, ``(L, K)``."""
        n_levels = self.sizes.size
        sums = np.zeros((n_levels, self.residuals.shape[1]))
        for codes in self._effects.rest:
            sums += _grouped_sums(self.residuals, codes, n_levels)
        return sums

    def take_out(self, levels: Floats) -> None:
        """Subtract levels, then the means of the largest effect."""
        for codes in self._effects.rest:
            self.residuals -= levels[codes]
        self.residuals = _demean(self.residuals, self._effects.first)


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


def _norms(columns: Floats) -> Floats:
    """Euclidean norm of every column."""
    return np.asarray(np.linalg.norm(columns, axis=0))
