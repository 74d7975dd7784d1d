"""What a conduct test found: pairs of models compared, and how far to trust it.

T of a pair of models is standard normal where both fit alike; a positive one says that
the second fits better. The effective F is held against critical values of worst-case
size, above which a test at 5 % rejects models that fit alike at most that often, and of
best-case power, above which it can tell models apart at least that often.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..records import Floats
from .text_tables import Header, format_number, text_table

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, eq=False)
class ConductTest:
    """Tests of models of conduct against each other.

    Attributes
    ----------
    names
        Of the m models.
    Q
        ``(m,)`` lack of fit, Q_m = g_m'W g_m.
    statistics, p_values
        ``(m, m)`` T of each pair, positive where the row's model fits worse than the
        column's, and two-sided p-values; NaN on the diagonal, and where two models are
        the same.
    F, rho
        ``(m, m)`` the effective F, and ρ of each pair.
    size_critical_values, power_critical_values
        ``(m, m, 3)`` what F is held against, for ``sizes`` and for ``powers``.
    sizes, powers
        Worst-case sizes and best-case powers.
    confidence_p_values
        ``(m,)`` of the model confidence set.
    markups
        ``(N, m)`` η of each model.
    covariances
        ``(m, m)`` Ω, of √N Q.
    instruments, dropped
        Names of the instruments, and of those that cost shifters or others span.
    n_products, n_clusters
        N, and clusters by which variances are summed, zero where rows are independent.
    demand_adjusted
        Whether variances know that demand was estimated.
    """

    names: tuple[str, ...]
    Q: Floats
    statistics: Floats
    p_values: Floats
    F: Floats
    rho: Floats
    size_critical_values: Floats
    power_critical_values: Floats
    sizes: tuple[float, ...]
    powers: tuple[float, ...]
    confidence_p_values: Floats
    markups: Floats
    covariances: Floats
    instruments: tuple[str, ...]
    dropped: tuple[str, ...]
    n_products: int
    n_clusters: int
    demand_adjusted: bool

    @property
    def degrees(self) -> int:
        """Count the instruments, d."""
        return len(self.instruments)

    def worst_size(self, first: int, second: int) -> float:
        """Give the least worst-case size that F of a pair allows; one if none."""
        passed = self.F[first, second] >= self.size_critical_values[first, second]
        return min((r for r, p in zip(self.sizes, passed, strict=True) if p), default=1)

    def best_power(self, first: int, second: int) -> float:
        """Give the most best-case power that F of a pair allows; zero if none."""
        passed = self.F[first, second] >= self.power_critical_values[first, second]
        found = (r for r, p in zip(self.powers, passed, strict=True) if p)
        return max(found, default=0)

    def confidence_set(self, level: float = 0.05) -> tuple[str, ...]:
        """Name the models whose p-values are at least the level."""
        kept = self.confidence_p_values >= level
        return tuple(n for n, k in zip(self.names, kept, strict=True) if k)

    def to_frame(self) -> pd.DataFrame:
        """List the pairs of models.

        Returns
        -------
        pandas.DataFrame
            One row a pair: ``first``, ``second``, ``statistic``, ``p_value``, ``F``,
            ``rho``, ``worst_size`` and ``best_power``.
        """
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "first": self.names[i],
                    "second": self.names[j],
                    "statistic": self.statistics[i, j],
                    "p_value": self.p_values[i, j],
                    "F": self.F[i, j],
                    "rho": self.rho[i, j],
                    "worst_size": self.worst_size(i, j),
                    "best_power": self.best_power(i, j),
                }
                for i, j in self._pairs()
            ]
        )

    def __str__(self) -> str:
        """Print a row a pair, then a row a model."""
        n_clusters, d = self.n_clusters, self.degrees
        errors = f"{n_clusters} Clusters" if n_clusters else "Robust"
        demand = "Demand Adjusted" if self.demand_adjusted else "Demand Taken as Known"
        title = f"Conduct Tests ({d} Instruments, {errors}, {demand})"
        pairs = text_table(
            title, _PAIRS, [self._cells(*pair) for pair in self._pairs()]
        )
        models = text_table("Models", _MODELS, self._models())
        said = f"{pairs}\n\n{models}\n\n{_NOTE}"
        if self.dropped:
            said += f"\n\nCollinear and left out: {', '.join(self.dropped)}."
        return said

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Show both tables in a notebook."""
        pairs = _html(_PAIRS, [self._cells(*pair) for pair in self._pairs()])
        return f"{pairs}{_html(_MODELS, self._models())}<p>{_NOTE}</p>"

    def _pairs(self) -> list[tuple[int, int]]:
        """List pairs of different models."""
        m = len(self.names)
        return [(i, j) for i in range(m) for j in range(i + 1, m)]

    def _cells(self, i: int, j: int) -> list[str]:
        """Write what was found of a pair."""
        T, size, power = self.statistics[i, j], *self._strength(i, j)
        better = "" if np.isnan(T) else self.names[j] if T > 0 else self.names[i]
        return [
            self.names[i],
            self.names[j],
            _number(T, "+.3f"),
            _number(self.p_values[i, j], ".4f"),
            better,
            _number(self.F[i, j], ".4g"),
            size,
            power,
        ]

    def _strength(self, i: int, j: int) -> tuple[str, str]:
        """Say what F allows to claim."""
        if np.isnan(self.F[i, j]):
            return "", ""
        size, power = self.worst_size(i, j), self.best_power(i, j)
        return (
            f"≤ {size:g}" if size < 1 else f"> {max(self.sizes):g}",
            f"≥ {power:g}" if power > 0 else f"< {min(self.powers):g}",
        )

    def _models(self) -> list[list[str]]:
        """Write what was found of each model."""
        return [
            [
                name,
                format_number(self.Q[m]),
                format_number(float(self.markups[:, m].mean())),
                _number(self.confidence_p_values[m], ".4f"),
            ]
            for m, name in enumerate(self.names)
        ]


_PAIRS: tuple[Header, ...] = (
    ("First", "Model"),
    ("Second", "Model"),
    "T",
    "p-value",
    ("Better", "Fit"),
    ("Effective", "F"),
    ("Worst", "Size"),
    ("Best", "Power"),
)
_MODELS: tuple[Header, ...] = (
    "Model",
    ("Lack of Fit", "Q"),
    ("Mean", "Markup"),
    ("Confidence Set", "p-value"),
)
_NOTE = (
    "T > 0: the second model fits better. Worst size: how often at most a test at 0.05 "
    "rejects models that fit alike. Best power: how often at best it tells such models "
    "apart."
)


def _number(value: float, form: str) -> str:
    """Write a number, nothing where it is NaN."""
    return "" if np.isnan(value) else format(value, form)


def _html(header: tuple[Header, ...], rows: list[list[str]]) -> str:
    """Write a table."""
    import html

    titles = [c if isinstance(c, str) else " ".join(c) for c in header]
    head = "".join(f"<th>{html.escape(title)}</th>" for title in titles)
    body = "".join(
        f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
