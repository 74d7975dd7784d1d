"""A question about data in a store: read once where it is asked, answered by blocks.

Methods of post-estimation read their arguments and then ask for the economy. Where data
are in a store, a method is called twice: first with a :class:`StoredQuestion`, which
knows where rows are and no more, so that every argument is read as it would be in
memory and every fault found, until the economy is asked for; then, for each block, with
a :class:`BlockQuestion`, whose arguments are the block's rows of what was read.
"""

from __future__ import annotations

from typing import Any, NoReturn, cast

import numpy as np

from ..analysis.economy import Owners
from ..driver.engine import Engine
from ..driver.serial import SerialEngine
from ..problem.fields import matrix_columns
from ..problem.stored_nests import read_names
from ..problem.stored_problem import StoredProblem
from ..records import Floats, Integers
from .economy_questions import Question, read_eliminated
from .estimated_economy import EstimatedEconomy
from .solve_checks import check_engine


class ArgumentsRead(Exception):
    """All arguments of a question are read, and have no fault."""


class StoredQuestion(Question):
    """A question whose arguments are read; it ends where the economy is asked for.

    Parameters
    ----------
    places
        Where rows are (:mod:`blpdask.problem.stored_places`), at parameters.
    problem
        On the store.
    what, market_id, engine, threads, backend
        As of :class:`.economy_questions.Question`.

    Attributes
    ----------
    rows_read
        Arguments that have a row a product, as read, by name: with the object that was
        given.
    lists_read
        Other arguments as read, likewise.
    """

    def __init__(
        self,
        places: EstimatedEconomy,
        problem: StoredProblem,
        what: str,
        market_id: Any = None,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
    ) -> None:
        """Check where, and of which market, it is asked."""
        super().__init__(places, what, market_id, engine, threads, backend)
        self.backend = backend
        self.rows_read: dict[str, tuple[Any, np.ndarray[Any, Any]]] = {}
        self.lists_read: dict[str, tuple[Any, Any]] = {}
        self._store = problem.store
        self._names = [c.name for c in problem.store.description.products]
        self._chosen: Engine | None = None

    @property
    def engine(self) -> Engine:
        """Where blocks are worked on; it is known once arguments are read."""
        return cast("Engine", self._chosen)

    def economy(self) -> NoReturn:
        """End here; an error with every fault of the arguments."""
        self._chosen = check_engine(self._engine, self._threads, self.faults)
        self.faults.check()
        raise ArgumentsRead

    def column(self, given: Any, name: str) -> Floats | None:
        """Read one finite number a row, ``(n,)``; None if none."""
        values = super().column(given, name)
        if values is not None:
            self.rows_read[name] = given, values
        return values

    def firms(self, given: Any) -> Integers:
        """Read codes of firms; nobody's where the store's own are meant."""
        if given is None and matrix_columns(self._names, "firm_ids"):
            return np.zeros(self._products.n_products, np.int64)
        codes = super().firms(given)
        if given is not None:
            self.rows_read["firm_ids"] = given, codes[self.rows]
        return codes

    def owners(self, firm_ids: Any, ownership: Any) -> Owners:
        """Read who sets prices; nobody where the store's own owners are meant."""
        if firm_ids is None and ownership is None:
            weights = matrix_columns(self._names, "ownership")
            if weights or matrix_columns(self._names, "firm_ids"):
                nobody = np.zeros(self._products.n_products, np.int64)
                return Owners(nobody, None)
        return super().owners(firm_ids, ownership)

    def eliminated(self, given: Any, index: Any) -> None:
        """Read which products are gone; which rows they are, blocks know."""
        if given is None:
            return
        described = self._store.description
        columns = [
            column
            for name in matrix_columns(self._names, "product_ids")
            if (column := described.column("products", name)) is not None
        ]
        known: list[tuple[Any, ...]] = [()] * len(columns)
        if isinstance(index, int | np.integer) and 0 <= index < len(columns):
            known[index] = read_names(self._store, "products", columns[index])[1]
        wanted = read_eliminated(given, index, known, self.faults)
        self.lists_read["eliminate_product_ids"] = given, list(wanted or ())

    def with_agents(self, agent_data: Any, integration: Any) -> None:
        """Refuse other agents than the problem's."""
        for name, given in (("agent_data", agent_data), ("integration", integration)):
            if given is not None:
                self.faults.add(
                    f"{name}, of a problem whose data are in the store "
                    f"{self._store.path}",
                    "the problem's own agents, whom its blocks are read with",
                    f"leave {name} out, or solve Problem.with_agents(integration=...) "
                    "at these estimates, with Optimization('return'), and ask there",
                )

    def _weights(self, given: Any, *, whole: bool = False) -> Floats:
        """Read weights on profits, ``(N, max J)``."""
        found = super()._weights(given, whole=whole)
        own = found if self.market is None else found[self.rows]
        self.rows_read["ownership"] = given, own
        return found


class BlockQuestion(Question):
    """A question about a block of a store, asked where the block is.

    Parameters
    ----------
    block
        The block as an economy of its own.
    what, market_id, backend
        As of :class:`.economy_questions.Question`.
    scratch_bytes
        Bound on the memory of kernels, as options were where the user asked.
    """

    def __init__(
        self,
        block: EstimatedEconomy,
        what: str,
        market_id: Any,
        backend: str,
        scratch_bytes: int,
    ) -> None:
        """Ask in this thread."""
        super().__init__(block, what, market_id, SerialEngine(), None, backend)
        self._scratch_bytes = scratch_bytes
        self.warned: list[tuple[str, Integers]] = []

    @property
    def scratch_bytes(self) -> int:
        """Bound on the memory of kernels."""
        return self._scratch_bytes

    def eliminated(self, given: Any, index: Any) -> Any:
        """Tell which rows are gone, ``(n,)``: of products that the block has."""
        if given is None:
            return None
        own = set(self._products.ids["product_ids"][:, index].tolist())
        return super().eliminated([one for one in given if one in own], index)

    def warn(self, markets: Integers, sentence: str, *, deeper: int = 0) -> None:
        """Keep what is to be said of markets, for who asked to say."""
        del deeper
        if markets.size:
            self.warned.append((sentence, np.asarray(markets)))
