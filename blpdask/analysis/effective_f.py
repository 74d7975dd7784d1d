"""Are instruments strong enough? The effective F, and what to hold it against.

For one endogenous column x and L instruments Z, net of controls, with M the covariance
of Z'v, v the residuals of the first stage, and W₂ = (Z'Z)^(-1/2) M (Z'Z)^(-1/2)',

    F_eff = x'Z (Z'Z)⁻¹ Z'x / tr(W₂),

which is F where errors are homoskedastic. The hypothesis that the worst bias of
two-stage least squares exceeds τ of a benchmark is rejected at 5 % where F_eff exceeds
the critical value of Montiel Olea and Pflueger's simplified test, with noncentral χ²,

    K = tr(W₂)² (1 + 2/τ) / (tr(W₂²) + (2/τ) tr(W₂) maxeval(W₂)),
    critical value = χ²_{K, K/τ}⁻¹(0.95) / K.

References
----------
Montiel Olea and Pflueger (2013), "A Robust Test for Weak Instruments", section 3.
"""

from __future__ import annotations

import numpy as np

from ..moments.weighting import CovarianceType
from ..records import Floats, Integers
from .net_regression import meat


def effective_F(
    x: Floats,
    basis: Floats,
    *,
    kind: CovarianceType,
    clusters: Integers | None = None,
    scale: float = 1.0,
) -> tuple[float, float]:
    """Compute the effective F and its critical value.

    Parameters
    ----------
    x
        ``(N,)`` endogenous column, net of controls.
    basis
        ``(N, L)`` orthonormal basis of the instruments, net of controls.
    kind, clusters
        How W₂ is estimated, with ``(N,)`` codes of clusters.
    scale
        Small-sample correction of W₂.
    """
    fitted = basis.T @ x
    W2 = scale * meat(basis, x - basis @ fitted, kind, clusters)
    return float(fitted @ fitted / np.trace(W2)), critical_effective_F(W2)


def critical_effective_F(W2: Floats, bias: float = 0.10, level: float = 0.05) -> float:
    """Compute the critical value of Montiel Olea and Pflueger's simplified test.

    Parameters
    ----------
    W2
        ``(L, L)`` covariance of first-stage coefficients on orthonormal instruments.
    bias, level
        τ, and the size of the test.

    Examples
    --------
    >>> round(critical_effective_F(np.eye(1)), 1)
    23.1
    """
    from scipy.special import chndtrix

    total, x = float(np.trace(W2)), 1.0 / bias
    largest = float(np.linalg.eigvalsh(W2)[-1])
    K = total**2 * (1 + 2 * x) / (float((W2**2).sum()) + 2 * x * total * largest)
    return float(chndtrix(1 - level, K, K * x) / K)
