"""One block of a store is asked what a user asked of the whole: what engines map.

The block is an economy of its own at the parameters, and the method of results that was
called is called on it, with the block's rows of arguments. What it warns of travels
with the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

from ..model.parameters import Parameters
from ..problem.asked_blocks import AskedBlock
from ..problem.demand_problem import DemandProblem
from ..records import Floats, Integers
from .demand_methods import DemandMethods
from .economy_questions import Question
from .estimated_economy import EstimatedEconomy
from .firm_methods import FirmMethods
from .stored_questions import BlockQuestion


@dataclass(frozen=True, slots=True, eq=False)
class Located:
    """Parameters at which blocks are asked, and whether X3 explains log c."""

    parameters: Parameters
    theta: Floats
    beta: Floats
    gamma: Floats
    log_costs: bool

    def economy(self, demand: DemandProblem, delta: Floats) -> EstimatedEconomy:
        """Put a problem without agents of its own making at these parameters."""
        return EstimatedEconomy(
            demand=demand,
            parameters=self.parameters,
            theta=self.theta,
            delta=delta,
            formula=None,
            agent_data=None,
            lay_out=_keep_agents,
            beta=self.beta,
            gamma=self.gamma,
            log_costs=self.log_costs,
            table=None,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A question as it is sent to all blocks.

    Attributes
    ----------
    method
        Its name.
    arguments
        Those that are the same for all blocks.
    at
        The parameters.
    whole
        Whether all markets are asked about.
    backend, scratch_bytes
        Kernels, and the bound on their memory.
    """

    method: str
    arguments: dict[str, Any]
    at: Located
    whole: bool
    backend: str
    scratch_bytes: int


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """What blocks answer, one after another.

    Attributes
    ----------
    parts
        ``(n, …)`` a block.
    warned
        What was said, and of which markets, by their places among those asked about.
    """

    parts: tuple[Floats, ...]
    warned: tuple[tuple[str, Integers], ...]


def answer_pass(block: AskedBlock, asked: Asked, memory: None) -> tuple[Answered, None]:
    """Answer a question about a block: what an engine maps over blocks."""
    del memory
    own = BlockAnswers(asked.at.economy(block.demand, block.rows.delta), asked)
    method = getattr(own, asked.method)
    found = method(**asked.arguments, **block.rows.arguments)
    first = block.first_market if asked.whole else 0
    warned = [(sentence, first + places) for sentence, places in own.question.warned]
    return Answered((found,), tuple(warned)), None


class BlockAnswers(DemandMethods, FirmMethods):
    """What is asked of one block."""

    question: BlockQuestion

    def __init__(self, economy: EstimatedEconomy, asked: Asked) -> None:
        """Keep the block at its parameters."""
        self._economy, self._asked = economy, asked

    def estimated_economy(self, what: str) -> EstimatedEconomy:
        """Give the block at its parameters."""
        del what
        return self._economy

    def _ask(
        self,
        what: str,
        market_id: Any = None,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
    ) -> Question:
        """Begin a question about the block."""
        del engine, threads, backend
        asked = self._asked
        self.question = BlockQuestion(
            self._economy, what, market_id, asked.backend, asked.scratch_bytes
        )
        return self.question


def _keep_agents(outline: Any) -> NoReturn:
    """Refuse to lay θ out for other agents, which questions refuse before."""
    raise AssertionError(outline)
