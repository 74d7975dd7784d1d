"""How many people, situations and alternatives a problem of choices within has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .choice_problem import ChoiceProblem


class ChoiceCounts:
    """Counts of a problem that is made of a :class:`blpdask.ChoiceProblem`."""

    choices: ChoiceProblem

    @property
    def is_stored(self) -> bool:
        """Whether choices are in a store: never."""
        return False

    @property
    def given(self) -> dict[str, Any]:
        """Columns of the table as given, which questions after estimation change."""
        given: dict[str, Any] = self.choices.given
        return given

    @property
    def I(self) -> int:  # noqa: E743
        """Number of people."""
        return self.choices.I

    @property
    def S(self) -> int:
        """Number of situations, of all people together."""
        return self.choices.S

    @property
    def N(self) -> int:
        """Number of alternatives, of all situations together."""
        return self.choices.N

    @property
    def K(self) -> int:
        """Number of characteristics."""
        return self.choices.K

    @property
    def D(self) -> int:
        """Number of random coefficients."""
        return self.choices.D

    @property
    def R(self) -> int:
        """Number of draws of a person, zero where nothing is random."""
        return self.choices.R
