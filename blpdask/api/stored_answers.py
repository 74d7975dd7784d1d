"""Answers about data in a store, block by block on an engine; the whole stays there.

A question is put to each block where the engine works on it (:mod:`.stored_questions`),
and answers are joined in the order of blocks, which is that of the store's rows and of
δ̂ there. The driver holds the answer and what it was asked with; with ``market_id`` one
block is read. Markets of which blocks warn are named in one warning.
"""

from __future__ import annotations

import functools
import inspect
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .. import options
from ..driver.cores import single_threaded_libraries
from ..problem.asked_blocks import AskedBlocks, BlockRows
from ..problem.stored_places import places_of, with_columns
from ..problem.stored_problem import StoredProblem
from ..records import Floats, Integers
from ..results.rows_at_rest import Rows, RowsAtRest
from .block_answers import Answered, Asked, Located, answer_pass
from .demand_methods import DemandMethods
from .economy_methods import EconomyMethods
from .economy_questions import Question
from .estimated_economy import EstimatedEconomy
from .estimated_errors import estimated_layout
from .firm_methods import FirmMethods
from .from_stores import public_methods
from .stored import not_in_memory
from .stored_questions import ArgumentsRead, StoredQuestion

if TYPE_CHECKING:
    from ..results.merger_table import MergerEffects
    from .iteration import Iteration
    from .results import ProblemResults

Answer = Callable[..., Any]
Class = TypeVar("Class", bound=type)

#: Questions that places of rows answer, and those that need columns of them.
_OF_PLACES = ("extract_diagonals", "extract_diagonal_means")
_OF_COLUMNS = {
    "simulate_merger": ("firm_ids", "prices", "shares"),
    "plot": ("product_ids",),
}


def over_blocks(method: Answer) -> Answer:
    """Ask every block of a store what a method of results asks.

    Parameters
    ----------
    method
        Of :class:`.demand_methods.DemandMethods` or :class:`.firm_methods.FirmMethods`.
        Its answer is an array of rows of products, or of markets.
    """
    signature = inspect.signature(method)

    @functools.wraps(method)
    def joined(self: StoredAnswers, *args: Any, **kwargs: Any) -> Floats:
        given = dict(signature.bind(self, *args, **kwargs).arguments)
        del given["self"]
        question = self.read(method, given)
        found = self.ask(question, method.__name__, given)
        warn_together(question, found)
        parts = list(found.parts)
        del found  # so that parts go as they are joined
        return join(parts)

    return joined


def answered_by_blocks(answers: Class) -> Class:
    """Give a class all methods whose answers blocks can give side by side."""
    for floor in (DemandMethods, FirmMethods):
        for name, method in public_methods(floor):
            signature = inspect.signature(method)
            by_market = "market_id" in signature.parameters
            arrays = signature.return_annotation in ("Floats", Floats)
            if name.startswith("compute_") and by_market and arrays:
                setattr(answers, name, over_blocks(method))
    return answers


@answered_by_blocks
class StoredAnswers(EconomyMethods):
    """What results answer whose data are in a store.

    What is neither answered by blocks nor made of such answers is refused.
    """

    def __init__(self, results: ProblemResults, problem: StoredProblem) -> None:
        """Keep the estimates and where the data are."""
        assert results.problem is not None
        estimates = results.estimates
        self._problem = problem
        self._delta: Rows = estimates.delta
        self._at = Located(
            parameters=estimated_layout(estimates, problem.outline),
            theta=estimates.theta,
            beta=estimates.beta[:, 0],
            gamma=estimates.gamma[:, 0],
            log_costs=results.problem.costs_type == "log",
        )

    def estimated_economy(self, what: str) -> EstimatedEconomy:
        """Give names of the store's rows, for questions that need no more.

        Parameters
        ----------
        what
            Is asked for, for messages.

        Raises
        ------
        BlpdaskError
            For all other questions.
        """
        if what not in _OF_COLUMNS:
            raise not_in_memory(self._problem, what)
        places = places_of(self._problem)
        named = with_columns(places, self._problem.store, _OF_COLUMNS[what])
        return self._at.economy(named, np.empty(0))

    def simulate_merger(
        self,
        mergers: Mapping[Any, Any],
        costs: Any = None,
        iteration: Iteration | None = None,
        *,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
    ) -> MergerEffects:
        """Compute what a merger does, as of data in memory.

        Parameters
        ----------
        mergers, costs, iteration, engine, threads, backend
            As of :meth:`.economy_methods.EconomyMethods.simulate_merger`.
        """
        from .stored_merger import stored_merger

        products = self.estimated_economy("simulate_merger").demand.products
        computing = {"engine": engine, "threads": threads, "backend": backend}
        return stored_merger(self, products, mergers, costs, iteration, computing)

    def _ask(
        self,
        what: str,
        market_id: Any = None,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
    ) -> Question:
        """Begin a question about places of rows."""
        if what not in _OF_PLACES:
            raise not_in_memory(self._problem, what)
        places = self._at.economy(places_of(self._problem), np.empty(0))
        return Question(places, what, market_id, engine, threads, backend)

    def read(self, method: Answer, given: dict[str, Any]) -> StoredQuestion:
        """Read the arguments of a question.

        Parameters
        ----------
        method
            That asks it.
        given
            Its arguments.

        Raises
        ------
        InputError
            With every fault of the arguments.
        """
        places = self._at.economy(places_of(self._problem), np.empty(0))
        reader = ArgumentReader(places, self._problem)
        try:
            method(reader, **given)
        except ArgumentsRead:
            return reader.question
        raise not_in_memory(self._problem, method.__name__)

    def ask(
        self, question: StoredQuestion, method: str, given: dict[str, Any]
    ) -> Answered:
        """Ask every block, or that of the one market that a question is about.

        Parameters
        ----------
        question
            Whose arguments are read.
        method
            That asks it.
        given
            Its arguments.
        """
        economies, market = self._problem.economies(), question.market
        rows, others = self._split(question, method, given)
        blocks = np.arange(economies.market_edges.size - 1)
        if market is not None:
            edges = economies.market_edges
            blocks = blocks[[np.searchsorted(edges, market, side="right") - 1]]
            rows, others = {}, others | rows
        # Whole rows are read at once; of those of one market's block, no others.
        delta = np.asarray(self._delta) if market is None else self._delta
        ids = self._problem.outline.market_ids
        read = functools.partial(_rows_of_block, ids, delta, rows)
        source = AskedBlocks(economies, blocks.tolist(), read, name=uuid.uuid4().hex)
        asked = Asked(
            method=method,
            arguments=others,
            at=self._at,
            whole=market is None,
            backend=question.backend,
            scratch_bytes=options.scratch_bytes,
        )
        placement = question.engine.place(source)
        try:
            with single_threaded_libraries():
                found: Answered = placement.reduce(answer_pass, asked)
        finally:
            placement.close()
        return found

    def _split(
        self, question: StoredQuestion, method: str, given: dict[str, Any]
    ) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, Any]]:
        """Tell arguments that have a row a product from those of all blocks.

        Each is as it was read, which the question must have done under its name.
        """
        others = {n: v for n, v in given.items() if n not in ("engine", "threads")}
        rows: dict[str, np.ndarray[Any, Any]] = {}
        for name, (own, values) in question.rows_read.items():
            if others.pop(name, None) is not own:
                raise not_in_memory(self._problem, f"{method} with {name}")
            rows[name] = values
        for name, (own, values) in question.lists_read.items():
            if others.get(name) is not own:
                raise not_in_memory(self._problem, f"{method} with {name}")
            others[name] = values
        return rows, others


class ArgumentReader(DemandMethods, FirmMethods):
    """Begins questions whose arguments are read and no more."""

    question: StoredQuestion

    def __init__(self, places: EstimatedEconomy, problem: StoredProblem) -> None:
        """Keep where rows are."""
        self._places, self._problem = places, problem

    def estimated_economy(self, what: str) -> EstimatedEconomy:
        """Refuse: there is nothing to compute with."""
        raise not_in_memory(self._problem, what)

    def _ask(
        self,
        what: str,
        market_id: Any = None,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
    ) -> Question:
        """Begin to read."""
        self.question = StoredQuestion(
            self._places, self._problem, what, market_id, engine, threads, backend
        )
        return self.question


def join(parts: list[Floats]) -> Floats:
    """Put the answers of blocks below each other, NaN beyond those that are narrower.

    Parameters
    ----------
    parts
        ``(n, …)`` each; they are let go of as they are copied.

    Examples
    --------
    >>> join([np.zeros((1, 1)), np.ones((1, 2))])
    array([[ 0., nan],
           [ 1.,  1.]])
    """
    if len(parts) == 1:
        return parts[0]
    widths = np.array([part.shape[1:] for part in parts], np.int64)
    found = np.empty((sum(map(len, parts)), *widths.max(axis=0).tolist()))
    stop = len(found)
    while parts:
        part = parts.pop()
        stop, rows = stop - len(part), slice(stop - len(part), stop)
        if part.shape[1:] != found.shape[1:]:
            found[rows] = np.nan
        found[(rows, *(slice(width) for width in part.shape[1:]))] = part
    return found


def warn_together(question: StoredQuestion, found: Answered) -> None:
    """Warn once of all markets of which blocks say the same."""
    said: dict[str, list[Integers]] = {}
    for sentence, places in found.warned:
        said.setdefault(sentence, []).append(places)
    for sentence, markets in said.items():
        question.warn(np.concatenate(markets), sentence)


def _rows_of_block(
    market_ids: np.ndarray[Any, Any],
    delta: Rows,
    arguments: dict[str, np.ndarray[Any, Any]],
    markets: slice,
    rows: slice,
) -> BlockRows:
    """Give what belongs to a block: copies, so that they are all that travels."""
    own = delta.read(rows) if isinstance(delta, RowsAtRest) else delta[rows]
    return BlockRows(
        market_ids=market_ids[markets].copy(),
        delta=own[:, 0].copy(),
        arguments={name: values[rows].copy() for name, values in arguments.items()},
    )
