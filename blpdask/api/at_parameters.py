"""What results of problems and of simulations have in common: a model at parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .economy_questions import Question
    from .estimated_economy import EstimatedEconomy


class AtParameters(ABC):
    """A model at its parameters, of which more can be asked."""

    @abstractmethod
    def estimated_economy(self, what: str) -> EstimatedEconomy:
        """Give the problem at its parameters.

        Parameters
        ----------
        what
            Is asked for, for messages.
        """

    def _ask(
        self,
        what: str,
        market_id: Any = None,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
    ) -> Question:
        """Begin a question about the economy."""
        from .economy_questions import Question

        economy = self.estimated_economy(what)
        return Question(economy, what, market_id, engine, threads, backend)
