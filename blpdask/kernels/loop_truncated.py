"""A normal given that it is positive, as a function of a standard normal, in loops.

    β = m + s ζ,   ζ = -Φ⁻¹(c),   c = Φ(-z) Φ(a),   a = m / s,   s > 0,

grows from 0 to infinity with z, and Pr(β ≤ x) is that of N(m, s²) given β > 0. With
∂ζ/∂a = -Φ(-z) φ(a) / φ(ζ), derivatives are ∂β/∂m = 1 + ∂ζ/∂a, ∂β/∂s = ζ - a ∂ζ/∂a.

Φ⁻¹ is Wichura's (1988) rational approximation, algorithm AS 241, to sixteen digits.
"""

from __future__ import annotations

import math

import numpy as np

from .loop_compiler import exact, fused

_ROOT_HALF = math.sqrt(0.5)
_CENTRE = (
    (3.3871328727963666080e0, 1.0),
    (1.3314166789178437745e2, 4.2313330701600911252e1),
    (1.9715909503065514427e3, 6.8718700749205790830e2),
    (1.3731693765509461125e4, 5.3941960214247511077e3),
    (4.5921953931549871457e4, 2.1213794301586595867e4),
    (6.7265770927008700853e4, 3.9307895800092710610e4),
    (3.3430575583588128105e4, 2.8729085735721942674e4),
    (2.5090809287301226727e3, 5.2264952788528545610e3),
)
_MIDDLE = (
    (1.42343711074968357734e0, 1.0),
    (4.63033784615654529590e0, 2.05319162663775882187e0),
    (5.76949722146069140550e0, 1.67638483018380384940e0),
    (3.64784832476320460504e0, 6.89767334985100004550e-1),
    (1.27045825245236838258e0, 1.48103976427480074590e-1),
    (2.41780725177450611770e-1, 1.51986665636164571966e-2),
    (2.27238449892691845833e-2, 5.47593808499534494600e-4),
    (7.74545014278341407640e-4, 1.05075007164441684324e-9),
)
_TAIL = (
    (6.65790464350110377720e0, 1.0),
    (5.46378491116411436990e0, 5.99832206555887937690e-1),
    (1.78482653991729133580e0, 1.36929880922735805310e-1),
    (2.96560571828504891230e-1, 1.48753612908506148525e-2),
    (2.65321895265761230930e-2, 7.86869131145613259100e-4),
    (1.24266094738807843860e-3, 1.84631831751005468180e-5),
    (2.71155556874348757815e-5, 1.42151175831644588870e-7),
    (2.01033439929228813265e-7, 2.04426310338993978564e-15),
)
_CENTRAL = np.array(_CENTRE)
_MIDWAY = np.array(_MIDDLE)
_FAR = np.array(_TAIL)


@fused
def ratio(x, coefficients):
    """Divide two polynomials in x."""
    above, below = 0.0, 0.0
    for n in range(coefficients.shape[0] - 1, -1, -1):
        above = above * x + coefficients[n, 0]
        below = below * x + coefficients[n, 1]
    return above / below


@exact
def normal_quantile(p):
    """Compute Φ⁻¹(p)."""
    q = p - 0.5
    if abs(q) <= 0.425:
        return q * ratio(0.180625 - q * q, _CENTRAL)
    r = math.sqrt(-math.log(min(p, 1.0 - p)))
    x = ratio(r - 1.6, _MIDWAY) if r <= 5.0 else ratio(r - 5.0, _FAR)
    return -x if q < 0.0 else x


@exact
def normal_share(x):
    """Compute Φ(x)."""
    return 0.5 * math.erfc(-x * _ROOT_HALF)


@exact
def truncate_normal(m, signed, z):
    """Compute β and its derivatives by m and by s, of which only the size counts."""
    s = abs(signed)
    if s == 0.0:
        positive = 1.0 if m > 0.0 else 0.0
        return positive * m, positive, positive * z
    a, upper = m / s, normal_share(-z)
    zeta = -normal_quantile(upper * normal_share(a))
    by_a = -upper * math.exp(0.5 * (zeta * zeta - a * a))
    by_s = zeta - a * by_a
    return m + s * zeta, 1.0 + by_a, by_s if signed > 0.0 else -by_s
