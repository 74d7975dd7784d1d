"""Taxes and subsidies on products, as a user states them.

Consumers pay p = (1 + τ) r + t where producers get r: ``unit`` is t, ``ad_valorem`` is
τ. What firms make of it is in :mod:`blpdask.analysis.taxed_prices`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import Faults
from ..records import Floats


@dataclass(frozen=True, slots=True, eq=False)
class Taxes:
    """Taxes by product: what consumers pay is p = (1 + τ) r + t.

    Parameters
    ----------
    unit
        t, an amount for each unit that is sold: one number for all products, or
        ``(N,)`` in the order of product_data. Negative: a subsidy.
    ad_valorem
        τ, a share of the price r that the producer gets: 0.2 for 20 %.

    Raises
    ------
    InputError
        With every fault of the arguments.

    Examples
    --------
    >>> Taxes(unit=0.05, ad_valorem=0.2)
    Taxes(unit=0.05, ad_valorem=0.2)
    >>> Taxes(ad_valorem=[0.2, -1.5])
    Traceback (most recent call last):
    ...
    blpdask.errors.InputError: Taxes: 1 fault.
    - found: ad_valorem of -1 or less in 1 places (-1.5)
      expected: rates above -1, at which consumers pay something
      what to do: correct them; 0.2 stands for 20 %
    """

    unit: float | Floats = 0.0
    ad_valorem: float | Floats = 0.0

    def __post_init__(self) -> None:
        """Read both, and check what can be checked without data."""
        faults = Faults("Taxes")
        unit = _read(self.unit, "unit", faults)
        rates = _read(self.ad_valorem, "ad_valorem", faults)
        low = rates[rates <= -1.0]
        if low.size:
            shown = ", ".join(f"{rate:g}" for rate in low[:4])
            faults.add(
                f"ad_valorem of -1 or less in {low.size} places ({shown})",
                "rates above -1, at which consumers pay something",
                "correct them; 0.2 stands for 20 %",
            )
        if unit.ndim and rates.ndim and unit.size != rates.size:
            faults.add(
                f"unit of size {unit.size}, ad_valorem of size {rates.size}",
                "one number each, or one a product",
                "give both the rows of product_data",
            )
        faults.check()
        for name, values in (("unit", unit), ("ad_valorem", rates)):
            object.__setattr__(self, name, values if values.ndim else float(values))


def _read(given: Any, name: str, faults: Faults) -> Floats:
    """Read finite numbers, ``()`` or ``(N,)``; zero where there are none."""
    try:
        values = np.array(given, np.float64)
    except (TypeError, ValueError):
        faults.add(
            f"{name} of type {type(given).__name__} that is not numeric",
            "a number, or an array of one a product",
            f"pass numbers; for a column of a table, {name}=table['...']",
        )
        return np.zeros(())
    if values.ndim > 1 and values.size == len(values):
        values = values.ravel()
    if values.ndim > 1:
        faults.add(
            f"{name} of shape {values.shape}",
            "a number, or an array of one a product",
            "pass one column",
        )
        return np.zeros(())
    bad = int((~np.isfinite(values)).sum())
    if bad or (values.ndim and not values.size):
        faults.add(
            f"{name} of size {values.size}, {bad} not finite",
            "finite numbers, one for all products or one a product",
            f"correct {name}; zero stands for no tax",
        )
    return values
