"""What a simulated panel of households is made of, and what can be wrong with that.

Utility is that of :mod:`blpdask.simulation.household_panels`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import Faults
from ..records import Floats

#: What buying nothing is called.
NOTHING = "none"


@dataclass(frozen=True, slots=True)
class PanelDesign:
    """What a simulated panel is made of, in the order of goods where there are several.

    Attributes
    ----------
    goods, groups
        Names, and of what each is a habit.
    advertised
        Those that advertise.
    base_prices
        Prices around which prices move.
    means, deviations
        Of ξ_ij over households.
    price, advertising, rival_advertising
        α, φ and φ_o.
    habit, habit_deviation
        Mean and standard deviation of γ_i.
    """

    goods: tuple[str, ...] = ("cigarettes", "ecigarettes")
    groups: tuple[str, ...] = ("cigarettes", "ecigarettes")
    advertised: tuple[str, ...] = ("ecigarettes",)
    base_prices: tuple[float, ...] = (2.0, 1.5)
    means: tuple[float, ...] = (0.5, -1.0)
    deviations: tuple[float, ...] = (1.5, 1.0)
    price: float = -1.0
    advertising: float = 0.3
    rival_advertising: float = -0.15
    habit: float = 1.0
    habit_deviation: float = 0.0

    @property
    def advertises(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which goods advertise, ``(J,)``."""
        return np.array([good in self.advertised for good in self.goods])

    @property
    def labels(self) -> tuple[str, ...]:
        """Columns of utility, ``(K,)``: goods, prices, advertising, lag."""
        ads = ("advertising", "rival_advertising") if self.advertised else ()
        return (*self.goods, "prices", *ads[: len(self.goods)], "lag")


def mean_coefficients(design: PanelDesign) -> Floats:
    """Average coefficients over households, ``(K,)``."""
    of = {
        **dict(zip(design.goods, design.means, strict=True)),
        "prices": design.price,
        "advertising": design.advertising,
        "rival_advertising": design.rival_advertising,
        "lag": design.habit,
    }
    return np.array([of[name] for name in design.labels])


def check_counts(counts: Mapping[str, tuple[Any, int]], faults: Faults) -> None:
    """Check that values are whole numbers, by name with the least they may be."""
    for name, (value, least) in counts.items():
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not (whole and value >= least):
            faults.add(
                f"{name}={value!r}",
                f"a whole number, at least {least}",
                f"correct {name}",
            )


def check_design(design: Any, faults: Faults) -> None:
    """Check that a design is of one number of goods, with names of their own."""
    if not isinstance(design, PanelDesign):
        faults.add(
            f"design of type {type(design).__name__}",
            "a PanelDesign or None",
            "say, for example, PanelDesign(habit=0.5)",
        )
        return
    J = len(design.goods)
    for name in ("groups", "base_prices", "means", "deviations"):
        values: Sequence[Any] = getattr(design, name)
        if len(values) != J:
            faults.add(
                f"{len(values)} {name} for {J} goods",
                "one a good",
                f"give {name} in the order of goods",
            )
    columns = ("prices", "advertising", "rival_advertising", "lag", NOTHING)
    taken = [
        good for good in design.goods if good in columns or not good.isidentifier()
    ]
    if taken or len(set(design.goods)) < J or J == 0:
        faults.add(
            f"goods {list(design.goods)}",
            f"names of columns, all different, none of {', '.join(columns)}",
            "rename them",
        )
    if lost := [name for name in design.advertised if name not in design.goods]:
        faults.add(f"advertised {lost}", f"some of {list(design.goods)}", "name goods")
    if min([*design.deviations, design.habit_deviation]) < 0:
        faults.add("negative deviations", "zero or positive ones", "drop their signs")
