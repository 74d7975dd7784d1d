"""How strong the instruments of endogenous characteristics are.

Let x be an endogenous column of X1, Z the L instruments and Y the other endogenous
columns, all net of the k exogenous columns and absorbed effects, with P = Z(Z'Z)⁻¹Z',
v = (I - P) x, and df = N - L - k.

    partial R²    x'Px / x'x
    F             (x'Px / L) / (v'v / df)
    robust F      b'V⁻¹b / L, b = (Z'Z)⁻¹Z'x and V its covariance, N/df times White's
    clustered F   the same with V by clusters, C/(C - 1) (N - 1)/df times their sum
    effective F   x'Px / tr(M (Z'Z)⁻¹), M the covariance of Z'v in V (Montiel Olea and
                  Pflueger 2013): F where errors are homoskedastic, and what to look at
                  where they are not and x is the only endogenous column
    conditional F (e'Pe / (L - n + 1)) / (w'w / df), e = x - Y κ̂ with κ̂ from two-stage
                  least squares of x on Y and w = (I - P) e, of n endogenous columns
                  (Sanderson and Windmeijer 2016): is x identified given the others?
    Cragg-Donald  the least eigenvalue of Σ_vv^(-1/2)' X'PX Σ_vv^(-1/2) / L, Σ_vv =
                  X'(I - P)X / df, X all n columns (Stock and Yogo 2005)

The effective F and its critical value are in :mod:`blpdask.analysis.effective_f`.

References
----------
Montiel Olea and Pflueger (2013), "A Robust Test for Weak Instruments"; Sanderson and
Windmeijer (2016), "A Weak Instrument F-Test in Linear IV Models with Multiple
Endogenous Variables"; Stock and Yogo (2005), "Testing for Weak Instruments in Linear IV
Regression".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..moments.weighting import CovarianceType
from ..problem.lasso_penalty import first_stage_F
from ..records import Floats, Integers
from ..results.test_statistic import TestStatistic
from ..results.text_tables import Header, text_table
from .effective_f import effective_F


@dataclass(frozen=True, slots=True)
class EndogenousColumn:
    """How strong the instruments of one endogenous column are.

    Attributes
    ----------
    name
        Of the column of X1.
    partial_r_squared
        Of the instruments, net of exogenous columns and effects.
    F, conditional_F
        Valid under homoskedasticity; the latter takes account of the other endogenous
        columns, and is F where there is none.
    robust_F, clustered_F
        The latter NaN without clusters, or with fewer than instruments.
    effective_F, critical_value
        By clusters where the problem has them, else robust to heteroskedasticity; below
        the critical value, a bias above 10 % cannot be ruled out at 5 %. NaN where
        there are several endogenous columns.
    """

    name: str
    partial_r_squared: float
    F: TestStatistic
    conditional_F: TestStatistic
    robust_F: TestStatistic
    clustered_F: TestStatistic
    effective_F: float
    critical_value: float


@dataclass(frozen=True, slots=True)
class FirstStages:
    """First stages of all endogenous columns of X1.

    Attributes
    ----------
    columns
        One record each.
    instruments
        Names of the L instruments that were used.
    dropped
        Names of those that are collinear with others or with exogenous columns.
    n_controls
        k, exogenous columns and levels of effects.
    cragg_donald
        The least eigenvalue; F where there is one endogenous column.
    """

    columns: tuple[EndogenousColumn, ...]
    instruments: tuple[str, ...]
    dropped: tuple[str, ...]
    n_controls: int
    cragg_donald: float

    def __getitem__(self, name: str) -> EndogenousColumn:
        """Look a column up by its name."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def __str__(self) -> str:
        """Print a row a column."""
        header: list[Header] = [
            ("Endogenous", "Column"),
            ("Partial", "R²"),
            "F",
            ("Conditional", "F"),
            ("Robust", "F"),
            ("Clustered", "F"),
            ("Effective", "F"),
            ("Critical", "Value"),
        ]
        rows = [
            [c.name, *("" if np.isnan(v) else f"{v:.5g}" for v in _numbers(c))]
            for c in self.columns
        ]
        title = (
            f"First Stages ({len(self.instruments)} Instruments, {self.n_controls} "
            "Controls)"
        )
        said = text_table(title, header, rows)
        if len(self.columns) > 1:
            said += f"\n\nCragg-Donald statistic: {self.cragg_donald:.5g}."
        if self.dropped:
            said += f"\n\nCollinear and left out: {', '.join(self.dropped)}."
        return said

    __repr__ = __str__


def first_stages(
    X: Floats,
    Z: Floats,
    names: Sequence[str],
    n_controls: int,
    clusters: Integers | None = None,
) -> tuple[tuple[EndogenousColumn, ...], float]:
    """Compute the strength of instruments of every column, and Cragg and Donald's.

    Parameters
    ----------
    X, Z
        ``(N, n)`` endogenous columns and ``(N, L)`` instruments, net of controls and
        effects, of full rank, L ≥ n.
    names
        Of the endogenous columns.
    n_controls
        k.
    clusters
        ``(N,)`` codes, or None.
    """
    basis = np.linalg.qr(Z)[0]
    df = X.shape[0] - Z.shape[1] - n_controls
    columns = tuple(
        _column(X, basis, place, name, n_controls, clusters)
        for place, name in enumerate(names)
    )
    return columns, _least_strength(X, basis, df)


def _column(
    X: Floats,
    basis: Floats,
    place: int,
    name: str,
    n_controls: int,
    clusters: Integers | None,
) -> EndogenousColumn:
    """Compute all statistics of one column."""
    x, Y = X[:, place], np.delete(X, place, axis=1)
    N, L = basis.shape
    df, n_others = N - L - n_controls, Y.shape[1]
    clustered, n_groups = float("nan"), 0
    if clusters is not None:
        clustered = first_stage_F(x, basis, clusters, n_controls)
        n_groups = int(clusters.max()) + 1
    kind: CovarianceType = "robust" if clusters is None else "clustered"
    effective, critical = float("nan"), float("nan")
    if n_others == 0:
        scale = N / df if clusters is None else n_groups / (n_groups - 1) * (N - 1) / df
        effective, critical = effective_F(
            x, basis, kind=kind, clusters=clusters, scale=scale
        )
    conditional = _conditional_residual(x, Y, basis)
    robust = first_stage_F(x, basis, None, n_controls)
    fitted = basis.T @ x
    return EndogenousColumn(
        name=name,
        partial_r_squared=float(fitted @ fitted / (x @ x)),
        F=TestStatistic(_F(x, basis, L, df), L, "F", df),
        conditional_F=TestStatistic(
            _F(conditional, basis, L - n_others, df),
            L - n_others,
            "Conditional F",
            df,
        ),
        robust_F=TestStatistic(robust, L, "Robust F", df),
        clustered_F=TestStatistic(clustered, L, "Clustered F", n_groups - 1),
        effective_F=effective,
        critical_value=critical,
    )


def _F(x: Floats, basis: Floats, dof: int, df: int) -> float:
    """Compute F of a variable on an orthonormal basis of instruments."""
    fitted = basis.T @ x
    left = x - basis @ fitted
    if dof <= 0 or df <= 0:
        return float("nan")
    return float((fitted @ fitted / dof) / (left @ left / df))


def _conditional_residual(x: Floats, Y: Floats, basis: Floats) -> Floats:
    """Take out of x what the others explain by two-stage least squares, ``(N,)``."""
    if Y.shape[1] == 0:
        return x
    kappa = np.linalg.lstsq(basis.T @ Y, basis.T @ x)[0]
    return np.asarray(x - Y @ kappa)


def _least_strength(X: Floats, basis: Floats, df: int) -> float:
    """Compute Cragg and Donald's least eigenvalue, over L."""
    from scipy.linalg import eigh

    if df <= 0:
        return float("nan")
    fitted = basis.T @ X
    left = X - basis @ fitted
    values = eigh(fitted.T @ fitted, left.T @ left / df, eigvals_only=True)
    return float(values[0] / basis.shape[1])


def _numbers(column: EndogenousColumn) -> tuple[float, ...]:
    """List what is printed of a column."""
    return (
        column.partial_r_squared,
        column.F,
        column.conditional_F,
        column.robust_F,
        column.clustered_F,
        column.effective_F,
        column.critical_value,
    )
