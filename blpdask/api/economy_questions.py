"""Read the arguments of a question about an economy; every fault goes to one list.

Where one market is asked about, arguments have its rows alone, in their order, and
matrices as many columns as it has products.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from .. import options
from ..analysis.economy import Economy, Owners
from ..driver.engine import Engine
from ..errors import Faults, NumericalWarning
from ..model.parameters import tastes_at
from ..problem.agents import Agents
from ..problem.fields import factorize, some
from ..problem.formula_data import is_numeric
from ..problem.products import Products
from ..problem.supply_checks import MISSING_WEIGHTS, WEIGHTS_RULE, missing_weights
from ..records import Floats, Integers
from .estimated_economy import EstimatedEconomy
from .integration import Integration
from .simulation_checks import check_column
from .solve_checks import check_choices, check_engine, check_numbers


class Question:
    """A question about an economy, whose arguments are being read.

    Parameters
    ----------
    economy
        A problem at its parameters.
    what
        Is asked, for messages.
    market_id
        The one market that it is about, None for all.
    engine, threads, backend
        As in :meth:`blpdask.Problem.solve`.
    """

    def __init__(
        self,
        economy: EstimatedEconomy,
        what: str,
        market_id: Any = None,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
    ) -> None:
        """Check where, and of which market, it is asked."""
        self.faults = Faults(what)
        self._asked = economy
        self._products = economy.demand.products
        self.market = self._place(market_id)
        self._engine, self._threads, self._backend = engine, threads, backend
        check_choices({"backend": backend}, self.faults)
        check_numbers(0, threads, None, 0, self.faults)

    @property
    def products(self) -> Products:
        """Give all products of the problem, in the user's order."""
        return self._products

    @property
    def agents(self) -> Agents:
        """Give all agents of the problem, sorted by market."""
        return self._asked.demand.agents

    @property
    def sizes(self) -> Integers:
        """Numbers of products of the markets that are asked about, ``(T,)``."""
        sizes = np.diff(self._asked.demand.tables.product_offsets)
        return sizes if self.market is None else sizes[[self.market]]

    @property
    def rows(self) -> Integers:
        """Places of the rows among all of the user's, in the user's order, ``(n,)``."""
        if self.market is None:
            return np.arange(self._products.n_products)
        return np.flatnonzero(self._products.market_codes == self.market)

    @property
    def market_ids(self) -> np.ndarray[Any, Any]:
        """Name the markets that are asked about, ``(T,)``."""
        ids = self._products.unique_market_ids
        return ids if self.market is None else ids[[self.market]]

    @property
    def scratch_bytes(self) -> int:
        """Bound on the memory of kernels, as options have it."""
        return options.scratch_bytes

    def economy(self) -> Economy:
        """Give the economy; an error with every fault of the arguments so far."""
        chosen = check_engine(self._engine, self._threads, self.faults)
        self.faults.check()
        asked = self._asked
        return Economy(
            demand=asked.demand,
            tastes=tastes_at(asked.parameters, asked.theta),
            beta=asked.beta,
            gamma=asked.gamma,
            delta=asked.delta,
            log_costs=asked.log_costs,
            market=self.market,
            engine=cast("Engine", chosen),
            backend=self._backend,
            scratch_bytes=self.scratch_bytes,
        )

    def variable(self, name: Any, *, none: bool = True) -> str | None:
        """Check that a name is of a variable of X1, X2 or X3, or None for δ."""
        if name is None and none:
            return None
        columns = [*self._products.X1_columns, *self._products.X2_columns]
        if self._products.supply is not None:
            columns += self._products.supply.X3_columns
        names = {variable for column in columns for variable in column.names}
        known = {**self._products.variables, "prices": np.empty(0)}
        numbers = sorted(n for n in names if is_numeric(known[n]))
        if not isinstance(name, str) or name not in numbers:
            kind = " (its values are categories)" if name in names else ""
            self.faults.add(
                f"name={name!r}{kind}",
                f"{'None, or ' if none else ''}a variable of X1, X2 or X3 that is "
                "numeric",
                f"name one of {some(numbers)}",
            )
            return None
        return name

    def column(self, given: Any, name: str) -> Floats | None:
        """Read one finite number a row, sorted by market, ``(n,)``; None if none."""
        values = check_column(given, name, self.rows.size, self.faults)
        return None if values is None else self.sorted_by_market(values)

    def known_costs(self) -> Floats | None:
        """Give costs that prices need not imply, by market, ``(n,)``; None if none."""
        costs = self._asked.costs
        return None if costs is None else costs[self._sorted_rows()]

    def costs(self, given: Any) -> Floats | None:
        """Read costs by market, ``(n,)``; those that are known where None is given."""
        return self.known_costs() if given is None else self.column(given, "costs")

    def firms(self, given: Any) -> Integers:
        """Read codes of firms of all rows, ``(N,)``; the problem's where None."""
        N = self._products.n_products
        if given is None:
            own = self._products.ids.get("firm_ids")
            if own is None:
                self.faults.add(
                    "no firm_ids in product_data",
                    "firm_ids there or as an argument",
                    "pass firm_ids",
                )
                return np.zeros(N, np.int64)
            return factorize(own)[0]
        return self._spread(factorize(self._firm_ids(given))[0])

    def owners(self, firm_ids: Any, ownership: Any) -> Owners:
        """Read who sets prices: by weights, else by firms, else as in the problem."""
        N, supply = self._products.n_products, self._products.supply
        own = self._products.ids.get("ownership")
        if ownership is not None:
            weights = self._weights(ownership)
        elif firm_ids is None and supply is not None and supply.ownership is None:
            return Owners(supply.firms, None)
        elif firm_ids is None and own is not None:
            weights = self._weights(own, whole=True)
        elif firm_ids is None and "firm_ids" not in self._products.ids:
            self.faults.add(
                "neither firm_ids nor ownership, in product_data or as arguments",
                "who sets prices, and who set those of the data if costs are not known",
                "add firm_ids to product_data; or pass costs with either argument",
            )
            return Owners(np.zeros(N, np.int64), None)
        else:
            return Owners(self.firms(firm_ids), None)
        return Owners(np.zeros(N, np.int64), weights)

    def with_agents(self, agent_data: Any, integration: Any) -> None:
        """Put other agents in the place of the problem's, where any are given."""
        if agent_data is None and integration is None:
            return
        if integration is not None and not isinstance(integration, Integration):
            self.faults.add(
                f"integration of type {type(integration).__name__}",
                "an Integration or None",
                "wrap it: Integration('product', 5)",
            )
        self.faults.check()
        rule = None if integration is None else integration.rule
        self._asked = self._asked.with_agents(agent_data, rule)

    def eliminated(self, given: Any, index: Any) -> Any:
        """Read which rows, sorted by market, are gone, ``(n,)``; None if none."""
        if given is None:
            return None
        product_ids = self._products.ids.get("product_ids")
        columns = [] if product_ids is None else product_ids.T.tolist()
        wanted = read_eliminated(given, index, columns, self.faults)
        if wanted is None:
            return None
        gone = np.array([identifier in wanted for identifier in columns[index]])
        return gone[self._sorted_rows()]

    def matrices(self, given: Any) -> Floats:
        """Read stacked matrices of the rows, sorted by market, ``(n, max J)``."""
        shape = self.rows.size, int(self.sizes.max())
        try:
            values = np.asarray(given, dtype=np.float64)
        except (TypeError, ValueError):
            values = np.empty(0)
        if values.shape != shape:
            self.faults.add(
                f"matrices of shape {values.shape}",
                f"stacked matrices of shape {shape}",
                "pass what compute_elasticities and the like give for these markets",
            )
            return np.full(shape, np.nan)
        return self.sorted_by_market(values)

    def sorted_by_market(self, values: NDArray[Any]) -> NDArray[Any]:
        """Sort rows in the user's order by market."""
        return values if self.market is not None else values[self._asked.demand.order]

    def warn(self, markets: Integers, sentence: str, *, deeper: int = 0) -> None:
        """Warn of markets, by their places among those that are asked about.

        It names the user's line where a function that a public method calls warns, or
        one that is so many calls ``deeper``.
        """
        if markets.size:
            named = some(self.market_ids[markets])
            message = f"{self.faults.subject}: in {markets.size} markets ({named}) "
            warnings.warn(message + sentence, NumericalWarning, stacklevel=4 + deeper)

    def _place(self, market_id: Any) -> int | None:
        """Find the market that is asked about among all."""
        if market_id is None:
            return None
        ids = self._products.unique_market_ids
        found = [
            t for t, identifier in enumerate(ids.tolist()) if identifier == market_id
        ]
        if not found:
            self.faults.add(
                f"market_id={market_id!r}",
                f"None, or one of {some(ids)}",
                "correct market_id",
            )
            return None
        return found[0]

    def _sorted_rows(self) -> Integers:
        """Give the places of the rows sorted by market."""
        return self.rows if self.market is not None else self._asked.demand.order

    def _spread(self, codes: Integers) -> Integers:
        """Give codes of the rows to all rows, zero elsewhere."""
        whole = np.zeros(self._products.n_products, np.int64)
        if codes.size == self.rows.size:
            whole[self.rows] = codes
        return whole

    def _firm_ids(self, given: Any) -> np.ndarray[Any, Any]:
        """Read a firm for each row."""
        ids = np.asarray(given, dtype=object)
        ids = ids[:, 0] if ids.ndim == 2 and ids.shape[1] == 1 else ids
        missing = 0 if ids.ndim != 1 else int((factorize(ids)[0] < 0).sum())
        if ids.shape != (self.rows.size,) or missing:
            self.faults.add(
                f"firm_ids of shape {ids.shape}, {missing} missing",
                f"{self.rows.size} firms, in the order of product_data",
                "correct firm_ids",
            )
            return np.zeros(self.rows.size, object)
        return ids

    def _weights(self, given: Any, *, whole: bool = False) -> Floats:
        """Read weights on profits, ``(N, max J)``, of all rows where ``whole``."""
        sizes = np.diff(self._asked.demand.tables.product_offsets)
        found = np.full((self._products.n_products, int(sizes.max())), np.nan)
        rows = np.arange(len(found)) if whole else self.rows
        of_rows = sizes[self._products.market_codes[rows]]
        try:
            weights = np.asarray(given, dtype=np.float64)
        except (TypeError, ValueError):
            weights = np.empty(0)
        least = int(of_rows.max())
        if weights.ndim != 2 or len(weights) != rows.size or weights.shape[1] < least:
            self.faults.add(
                f"ownership of shape {weights.shape}",
                f"weights of shape {(rows.size, least)}, row by row those of "
                "product_data",
                "make them with build_ownership",
            )
            return found
        missing = missing_weights(weights, of_rows)
        if missing.any():
            self.faults.add(f"{missing.sum()} rows of {MISSING_WEIGHTS}", *WEIGHTS_RULE)
        found[rows, :least] = weights[:, :least]
        return found


def read_eliminated(
    given: Any, index: Any, columns: Sequence[Iterable[Any]], faults: Faults
) -> set[Any] | None:
    """Read which products are taken away, None with a fault of what says so.

    Parameters
    ----------
    given
        A list of identifiers.
    index
        Of the column that they are in.
    columns
        Identifiers of all products, in each column of ``product_ids``.
    faults
        What every fault is added to.
    """
    whole = isinstance(index, int | np.integer) and not isinstance(index, bool)
    if not whole or not 0 <= index < len(columns):
        faults.add(
            f"product_ids_index={index!r} of {len(columns)} columns of product_ids",
            "a column of product_ids, counted from zero",
            "add product_ids to product_data, or correct product_ids_index",
        )
        return None
    if isinstance(given, str) or not isinstance(given, Iterable):
        faults.add(f"eliminate_product_ids={given!r}", "a list of IDs", "pass a list")
        return None
    wanted = set(np.asarray(list(given), dtype=object).tolist())
    unknown = sorted(map(str, wanted.difference(columns[index])))
    if unknown:
        faults.add(
            f"{len(unknown)} eliminate_product_ids that no product has "
            f"({some(unknown)})",
            "identifiers in product_ids",
            "correct them",
        )
    return wanted
