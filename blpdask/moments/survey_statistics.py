"""Statistics of surveys as functions of means: f(v) and ∂f/∂v.

With m the means of what is recorded, or of what is recorded given g, m_r = v_r / v_g,

    mean         m_x
    variance     m_xx - m_x²
    covariance   m_xy - m_x m_y
    correlation  (m_xy - m_x m_y) / √((m_xx - m_x²) (m_yy - m_y²))
    regression   (m_xy - m_x m_y) / (m_xx - m_x²),  the slope of y on x and a constant;

and where v_g divides, ∂f/∂v_r = ∂f/∂m_r / v_g and ∂f/∂v_g = -Σ_r m_r ∂f/∂m_r / v_g.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..records import Floats

Kind = Literal["mean", "variance", "covariance", "correlation", "regression"]

#: Which variables' products each statistic averages, in the order of v.
MEANS: dict[Kind, tuple[str, ...]] = {
    "mean": ("x",),
    "variance": ("xx", "x"),
    "covariance": ("xy", "x", "y"),
    "correlation": ("xy", "x", "y", "xx", "yy"),
    "regression": ("xy", "x", "y", "xx"),
}


@dataclass(frozen=True, slots=True)
class SurveyStatistic:
    """A statistic, and whether it is conditional: v ends with v_g then.

    Attributes
    ----------
    kind
        Which.
    conditional
        Whether v_g follows the means.
    """

    kind: Kind
    conditional: bool

    def value(self, v: Floats) -> float:
        """Compute f(v).

        Parameters
        ----------
        v
            ``(R,)``, or ``(R + 1,)`` where conditional.

        Examples
        --------
        >>> SurveyStatistic("mean", conditional=True).value(np.array([1.0, 4.0]))
        0.25
        """
        return self._both(v)[0]

    def gradient(self, v: Floats) -> Floats:
        """Compute ∂f/∂v, of v's shape."""
        return self._both(v)[1]

    def _both(self, v: Floats) -> tuple[float, Floats]:
        """Compute f and its gradient."""
        v = np.asarray(v, dtype=np.float64)
        with np.errstate(all="ignore"):
            if not self.conditional:
                return _statistic(self.kind, v)
            means = v[:-1] / v[-1]
            value, slopes = _statistic(self.kind, means)
            return value, np.append(slopes, -(means @ slopes)) / v[-1]


def _statistic(kind: Kind, m: Floats) -> tuple[float, Floats]:
    """Compute a statistic of means and its gradient."""
    if kind == "mean":
        return float(m[0]), np.ones(1)
    if kind == "variance":
        return float(m[0] - m[1] * m[1]), np.array([1.0, -2 * m[1]])
    xy, x, y = m[:3]
    cov = xy - x * y
    slopes = np.zeros(m.size)
    slopes[:3] = 1.0, -y, -x
    if kind == "covariance":
        return float(cov), slopes
    of_x = m[3] - x * x
    var_x = np.zeros(m.size)
    var_x[[1, 3]] = -2 * x, 1.0
    if kind == "regression":
        value = cov / of_x
        return float(value), (slopes - value * var_x) / of_x
    of_y = m[4] - y * y
    var_y = np.zeros(m.size)
    var_y[[2, 4]] = -2 * y, 1.0
    root = np.sqrt(of_x * of_y)
    value = cov / root
    return float(value), slopes / root - value * (var_x / of_x + var_y / of_y) / 2
