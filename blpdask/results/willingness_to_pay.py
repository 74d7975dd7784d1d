"""How much people would pay for one more of an attribute: moments and quantiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..records import Floats
from .text_tables import Header, format_number, text_table

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, eq=False)
class WillingnessToPay:
    """Distribution of -β_k / β_p over people.

    Attributes
    ----------
    name, price
        Columns k and p.
    mean, standard_deviation, median
        Over draws of all people, weighted; NaN where moments do not exist in the draws.
    mean_se
        Standard error of the mean by the delta method, where both coefficients are the
        same for all people; else NaN.
    levels, quantiles
        ``(Q,)`` shares of people below, and willingness to pay.
    has_moments
        Whether the mean and the standard deviation exist in the population: not where
        the coefficient of prices can be close to zero, as a normal one can. Medians and
        quantiles always do.
    """

    name: str
    price: str
    mean: float
    standard_deviation: float
    median: float
    mean_se: float
    levels: Floats
    quantiles: Floats
    has_moments: bool

    def to_frame(self) -> pd.DataFrame:
        """List statistics, one a row: ``statistic``, ``value`` and ``std_error``."""
        import pandas as pd

        rows = [
            ("mean", self.mean, self.mean_se),
            ("standard deviation", self.standard_deviation, float("nan")),
            ("median", self.median, float("nan")),
            *(
                (f"quantile {level:g}", value, float("nan"))
                for level, value in zip(
                    self.levels.tolist(), self.quantiles.tolist(), strict=True
                )
            ),
        ]
        return pd.DataFrame(rows, columns=["statistic", "value", "std_error"])

    def __str__(self) -> str:
        """Print the statistics side by side."""
        header: list[Header] = ["Mean", "SE", "SD", "Median"]
        header += [f"Quantile {level:g}" for level in self.levels.tolist()]
        values = [self.mean, self.mean_se, self.standard_deviation, self.median]
        row = [format_number(v) for v in [*values, *self.quantiles.tolist()]]
        return text_table(f"Willingness to Pay for {self.name}", header, [row])

    __repr__ = __str__
