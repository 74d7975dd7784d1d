"""Which characteristics are behind fixed effects: minimum distance.

Where dummies d of products stand for x_g'ψ + ξ_g, with characteristics x_g that do not
change over markets, tastes for those follow from a regression of d̂ on x by generalised
least squares (Chamberlain 1982; Nevo 2000, equation 6, and 2001):

    ψ̂ = (X'V⁻¹X)⁻¹ X'V⁻¹ d̂,        Cov ψ̂ = (X'V⁻¹X)⁻¹,        V = Cov d̂,
    Q = (d̂ - Xψ̂)'V⁻¹(d̂ - Xψ̂)  ~  χ²,  with G - K degrees of freedom where d = Xψ.

That takes ξ_g for zero; where Q rejects it, Cov ψ̂ leaves out that x explains d
imperfectly, and is too small. Without V the regression is by ordinary least squares,
with s² (X'X)⁻¹, s² = e'e / (G - K): all that is not explained is ξ_g, of which sampling
error of d̂ is part.

R² is 1 - e'e / (d̂ - d̄)'(d̂ - d̄); weighted, 1 - e'V⁻¹e / (d̂ - d̄_V)'V⁻¹(d̂ - d̄_V), with
d̄_V the minimum distance estimate of a constant.

References
----------
Chamberlain (1982), "Multivariate Regression Models for Panel Data"; Nevo (2000), "A
Practitioner's Guide to Estimation of Random-Coefficients Logit Models of Demand"; Nevo
(2001), "Measuring Market Power in the Ready-to-Eat Cereal Industry", section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..records import Floats
from ..results.test_statistic import TestStatistic
from ..results.text_tables import format_number, text_table


@dataclass(frozen=True, slots=True, eq=False)
class SecondStage:
    """Fixed effects regressed on characteristics.

    Attributes
    ----------
    names
        Of the K characteristics.
    coefficients, standard_errors
        ``(K,)`` ψ̂.
    covariances
        ``(K, K)`` of ψ̂.
    residuals
        ``(G,)`` d̂ - X ψ̂.
    r_squared, weighted_r_squared
        The latter NaN without V.
    test
        Q, that characteristics explain the effects; NaN without V.
    """

    names: tuple[str, ...]
    coefficients: Floats
    standard_errors: Floats
    covariances: Floats
    residuals: Floats
    r_squared: float
    weighted_r_squared: float
    test: TestStatistic

    def to_frame(self) -> Any:
        """Make a table with a row a characteristic."""
        import pandas as pd

        return pd.DataFrame(
            {
                "estimate": self.coefficients,
                "std_error": self.standard_errors,
                "t_statistic": self.coefficients / self.standard_errors,
            },
            index=pd.Index(self.names, name="characteristic"),
        )

    def __str__(self) -> str:
        """Print the coefficients, fit and test."""
        values = [format_number(b) for b in self.coefficients]
        errors = [f"({format_number(s)})" for s in self.standard_errors]
        table = text_table(
            "Second Stage (SEs in Parentheses)", self.names, [values, errors]
        )
        fit = f"R² {self.r_squared:.4g}"
        if np.isnan(self.test):
            return f"{table}\n\n{fit}, by ordinary least squares."
        return (
            f"{table}\n\n{fit}, weighted {self.weighted_r_squared:.4g}; {self.test!r}."
        )

    __repr__ = __str__


def minimum_distance(
    d: Floats, X: Floats, V: Floats | None, names: Sequence[str]
) -> SecondStage:
    """Regress effects on characteristics.

    Parameters
    ----------
    d
        ``(G,)`` d̂.
    X
        ``(G, K)`` of full rank, K < G.
    V
        ``(G, G)`` positive definite; None for ordinary least squares.
    names
        Of the columns of X.
    """
    G, K = X.shape
    root = np.eye(G) if V is None else np.linalg.cholesky(V)
    # Multiplied by the inverse of V's root, errors are uncorrelated.
    white = np.linalg.solve(root, np.column_stack([d, np.ones(G), X]))
    y, one, columns = white[:, 0], white[:, 1], white[:, 2:]
    Q, triangle = np.linalg.qr(columns)
    psi = np.linalg.solve(triangle, Q.T @ y)
    inverse = np.linalg.inv(triangle)
    left, e = y - columns @ psi, d - X @ psi
    about = y - one * (one @ y) / (one @ one)
    scale = 1.0 if V is not None else float(e @ e) / (G - K)
    covariances = scale * (inverse @ inverse.T)
    known = V is not None
    return SecondStage(
        names=tuple(names),
        coefficients=psi,
        standard_errors=np.sqrt(covariances.diagonal()),
        covariances=covariances,
        residuals=e,
        r_squared=1 - float(e @ e) / float(((d - d.mean()) ** 2).sum()),
        weighted_r_squared=1 - float(left @ left) / float(about @ about)
        if known
        else float("nan"),
        test=TestStatistic(
            float(left @ left) if known else float("nan"), G - K, "Minimum distance"
        ),
    )
