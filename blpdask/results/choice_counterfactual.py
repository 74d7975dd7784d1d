"""What people would choose were something else than it was: before, after, welfare.

Probabilities P and shares Σ_s w_s P_sa / Σ_s w_s, before and after a change, and what
the change is worth to people,

    ΔCS_s = Σ_r w_r / -α_r (log Σ_j e^{V'_jr} - log Σ_j e^{V_jr}),

with α = ∂V/∂p, in units of prices (Small and Rosen 1981); Euler's constant drops out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .text_tables import Header, format_number, text_table

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, eq=False)
class ChoiceCounterfactual:
    """Choices before and after a change.

    Attributes
    ----------
    probabilities
        ``(N, 2)`` in the order of ``choice_data``: before, after.
    shares
        By ``alternative_ids``: ``before``, ``after`` and ``change``; None where
        alternatives have no ids.
    surpluses
        By situation, sorted: its ids, ``before``, ``after`` and ``change`` of consumer
        surplus; None where no price was named.
    surplus_change
        Average of the last over situations, weighted; None where there are none.
    """

    probabilities: Any
    shares: pd.DataFrame | None
    surpluses: pd.DataFrame | None
    surplus_change: float | None

    def __str__(self) -> str:
        """Print shares and the change in surplus."""
        sections = []
        if self.shares is not None:
            header: list[Header] = ["Alternative", "Before", "After", "Change"]
            rows = [
                [str(name), *map(format_number, row)]
                for name, row in zip(
                    self.shares.index, self.shares.to_numpy().tolist(), strict=True
                )
            ]
            sections.append(text_table("Shares", header, rows))
        if self.surplus_change is not None:
            change = format_number(self.surplus_change)
            sections.append(
                text_table("Consumer Surplus", ["Change a Situation"], [[change]])
            )
        return "\n\n".join(sections) or "Probabilities before and after a change"

    __repr__ = __str__
