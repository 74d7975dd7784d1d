"""When is the effective F of a conduct test large enough? Critical values.

Where instruments barely tell two models apart, T is no standard normal. With a = Ψ_-
and b = Ψ_+, normal vectors in d dimensions with variances I, correlation ρ and means
μ_- e_1 and μ_+ e_1, 0 ≤ μ_- ≤ μ_+, T and the effective F are distributed as (Duarte,
Magnolfi, Sølvsten and Sullivan 2024)

    T ~ a'b / √(a'a + b'b + 2ρ a'b),     F ~ (a'a + b'b - 2ρ a'b) / (2d),

and models fit alike where μ_- = 0. The second is (1 - ρ²)/(2d) times a noncentral χ² of
2d degrees with noncentrality (μ_-² + μ_+² - 2ρ μ_- μ_+)/(1 - ρ²). Instruments are weak
for size r where a test at 5 % rejects more often than r although μ_- = 0, and weak for
power r where it rejects at most as often as r although μ_- = μ_+, the best case. Weak
instruments give F above the largest 95 % quantile among such means with probability 5 %
at most: that is the critical value, zero where there are no such means.

The probability that |T| > c is an integral. Given b, a' = (x, a_⊥') along b and across
is normal with independent entries, and |T| > c is a quadratic inequality in x,

    (b'b - c²) x² - 2ρc²|b| x - c² (a_⊥'a_⊥ + b'b) > 0,

whose probability is exact; the rest is averaged over Sobol points of fixed seed.

References
----------
Duarte, Magnolfi, Sølvsten and Sullivan (2024), "Testing Firm Conduct"; Stock
and Yogo (2005), "Testing for Weak Instruments in Linear IV Regression".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..records import Floats

#: Worst sizes, and best powers, that instruments are asked about.
SIZES = (0.075, 0.10, 0.125)
POWERS = (0.95, 0.75, 0.50)
#: |ρ| beyond this is taken for it.
LARGEST_RHO = 0.99
#: Two-sided normal critical value at 5 %.
_CRITICAL = 1.959963984540054
_POINTS = 2**12
#: Means that are looked at for size: beyond the last T is as good as normal.
_MEANS = np.concatenate([np.linspace(0, 10, 81), np.geomspace(10.5, 400, 80)])


@dataclass(frozen=True, slots=True, eq=False)
class CriticalValues:
    """What the effective F of a pair is held against.

    Attributes
    ----------
    size, power
        ``(3,)`` for each of :data:`SIZES` and of :data:`POWERS`.
    """

    size: Floats
    power: Floats


def critical_values(n_instruments: int, rho: float) -> CriticalValues:
    """Compute critical values of F for worst-case size and best-case power.

    Parameters
    ----------
    n_instruments
        d.
    rho
        Of the pair; its sign does not matter.

    Examples
    --------
    >>> critical_values(1, 0.0).power.round(1)
    array([29.7, 22.2, 17.7])
    """
    d, rho = n_instruments, min(abs(float(rho)), LARGEST_RHO)
    points = _points(d)
    rejected = np.array([_rejects(points, rho, 0.0, mu) for mu in _MEANS])
    size = [_largest(_MEANS, rejected, r) for r in SIZES]
    power = [_power_mean(points, rho, r) for r in POWERS]
    return CriticalValues(
        size=np.array([_quantile(d, rho, 0.0, mu) for mu in size]),
        power=np.array([_quantile(d, rho, mu, mu) for mu in power]),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Points:
    """Points to average over: entries of b and of a across b, standardised.

    ``first`` (R,) is b's first entry less μ_+, ``rest`` (R,) the length of the others,
    ``across`` (R,) a normal entry of a_⊥ and ``squares`` (R,) the squared length of
    the others.
    """

    first: Floats
    rest: Floats
    across: Floats
    squares: Floats


def _points(d: int) -> _Points:
    from scipy.special import chdtri, ndtri
    from scipy.stats import qmc

    uniform = qmc.Sobol(4, rng=np.random.default_rng(0)).random(_POINTS)
    u = np.clip(uniform, 1e-12, 1 - 1e-12)
    zeros = np.zeros(_POINTS)
    return _Points(
        first=ndtri(u[:, 0]),
        rest=np.sqrt(chdtri(d - 1, u[:, 1])) if d > 1 else zeros,
        across=ndtri(u[:, 2]) if d > 1 else zeros,
        squares=chdtri(d - 2, u[:, 3]) if d > 2 else zeros,
    )


def _rejects(points: _Points, rho: float, mu_minus: float, mu_plus: float) -> float:
    """Compute the probability that |T| is above its critical value."""
    from scipy.special import ndtr

    c2, sd = _CRITICAL**2, np.sqrt(1 - rho**2)
    b1 = points.first + mu_plus
    bb = b1**2 + points.rest**2
    length = np.sqrt(bb)
    # a is normal about μ_- e_1 + ρ (b - μ_+ e_1): what e_1 weighs, along b and across.
    along = (mu_minus - rho * mu_plus) * b1 / length + rho * length
    aside = (mu_minus - rho * mu_plus) * points.rest / length
    across = (aside + sd * points.across) ** 2 + sd**2 * points.squares
    A, B = bb - c2, rho * c2 * length
    root = np.sqrt(np.maximum(B**2 + A * c2 * (across + bb), 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = np.sort([(B - root) / A, (B + root) / A], axis=0)
        outside = ndtr((low - along) / sd) + ndtr((along - high) / sd)
        between = ndtr((high - along) / sd) - ndtr((low - along) / sd)
    inside = np.where(root > 0, between, 0.0)
    return float(np.where(A > 0, outside, inside).mean())


def _largest(means: Floats, rejected: Floats, level: float) -> float:
    """Find the largest mean at which more than that is rejected; NaN if none."""
    above = np.flatnonzero(rejected > level)
    if above.size == 0:
        return float("nan")
    last = int(above[-1])
    if last + 1 == means.size:
        return float(means[last])
    weight = (rejected[last] - level) / (rejected[last] - rejected[last + 1])
    return float(means[last] + weight * (means[last + 1] - means[last]))


def _power_mean(points: _Points, rho: float, level: float) -> float:
    """Find μ_- = μ_+ at which that is rejected; NaN where zero already rejects more."""
    from scipy.optimize import brentq

    def excess(mu: float) -> float:
        return _rejects(points, rho, mu, mu) - level

    if excess(0.0) > 0:
        return float("nan")
    return float(brentq(excess, 0.0, 50.0, xtol=1e-6))


def _quantile(d: int, rho: float, mu_minus: float, mu_plus: float) -> float:
    """Compute the 95 % quantile of F; zero where there are no such means."""
    from scipy.special import chndtrix

    if np.isnan(mu_minus) or np.isnan(mu_plus):
        return 0.0
    left = 1 - rho**2
    spread = mu_minus**2 + mu_plus**2 - 2 * rho * mu_minus * mu_plus
    return float(left / (2 * d) * chndtrix(0.95, 2 * d, spread / left))
