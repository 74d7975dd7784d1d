"""Questions about firms and welfare at parameters: costs, mergers, profits, surplus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..records import Floats
from .at_parameters import AtParameters

if TYPE_CHECKING:
    from ..results.group_surpluses import GroupSurpluses
    from ..results.pricing_pressure import PricingPressure
    from .iteration import Iteration


class FirmMethods(AtParameters):
    """What firms do, and what it is worth to whom, under PyBLP's names."""

    def compute_costs(
        self,
        firm_ids: Any = None,
        ownership: Any = None,
        market_id: Any = None,
        *,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
    ) -> Floats:
        """Compute marginal costs that first-order conditions imply, c = p - η.

        Parameters
        ----------
        firm_ids
            ``(N,)`` firms; those of product_data where None.
        ownership
            ``(N, max J)`` weights on profits, as of :func:`blpdask.build_ownership`;
            where None, firms say it all, unless neither argument is given and
            product_data has ``ownership``.
        market_id
            The one market that is wanted, all where None.
        engine, threads, backend
            As in :meth:`blpdask.Problem.solve`.

        Returns
        -------
        numpy.ndarray
            ``(N, 1)``. Markets in which costs cannot be solved for are named in a
            warning.

        Raises
        ------
        BlpdaskError
            Where the results have lost their problem.
        InputError
            With every fault of the arguments.
        """
        from .firm_answers import costs

        question = self._ask("compute_costs", market_id, engine, threads, backend)
        return costs(question, firm_ids, ownership)

    def compute_approximate_prices(
        self,
        firm_ids: Any = None,
        ownership: Any = None,
        costs: Any = None,
        market_id: Any = None,
        *,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
    ) -> Floats:
        """Approximate prices of other owners or costs at today's shares and slopes.

        They are c + η, with η of these owners at the shares and slopes of the data
        (Hausman, Leonard and Zona 1994; Werden 1997).

        Parameters
        ----------
        firm_ids, ownership, market_id, engine, threads, backend
            As in :meth:`compute_costs`.
        costs
            ``(N,)`` c; what :meth:`compute_costs` gives where None.

        Returns
        -------
        numpy.ndarray
            ``(N, 1)``.
        """
        from .firm_answers import approximate_prices

        question = self._ask(
            "compute_approximate_prices", market_id, engine, threads, backend
        )
        return approximate_prices(question, firm_ids, ownership, costs)

    def compute_prices(
        self,
        firm_ids: Any = None,
        ownership: Any = None,
        costs: Any = None,
        prices: Any = None,
        iteration: Iteration | None = None,
        constant_costs: bool = True,
        market_id: Any = None,
        *,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
    ) -> Floats:
        """Compute equilibrium prices of other owners or costs.

        Parameters
        ----------
        firm_ids, ownership, market_id, engine, threads, backend
            As in :meth:`compute_costs`.
        costs
            ``(N,)`` c; what :meth:`compute_costs` gives where None.
        prices
            ``(N,)`` prices where iteration starts; those of the data where None.
        iteration
            How prices iterate, as in :meth:`blpdask.Simulation.replace_endogenous`.
        constant_costs
            Whether costs stay as they are where X3 has ``shares``; if not they follow
            the shares of equilibrium.

        Returns
        -------
        numpy.ndarray
            ``(N, 1)``. Markets in which no equilibrium was found are named in a
            warning.
        """
        from .firm_answers import equilibrium_prices

        question = self._ask("compute_prices", market_id, engine, threads, backend)
        return equilibrium_prices(
            question, firm_ids, ownership, costs, prices, iteration, constant_costs
        )

    def compute_passthrough(
        self,
        firm_ids: Any = None,
        ownership: Any = None,
        market_id: Any = None,
        *,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
    ) -> Floats:
        """Compute how equilibrium prices follow costs, ∂p_j/∂c_k.

        Parameters
        ----------
        firm_ids, ownership, market_id, engine, threads, backend
            As in :meth:`compute_costs`. Costs are those at which prices of the data are
            optimal for these owners.

        Returns
        -------
        numpy.ndarray
            ``(N, max J)`` stacked matrices, NaN beyond a market's products, and in
            markets where second-order conditions are singular, which are named in a
            warning.
        """
        from .firm_answers import passthrough_matrices

        question = self._ask("compute_passthrough", market_id, engine, threads, backend)
        return passthrough_matrices(question, firm_ids, ownership)

    def compute_profit_hessians(
        self,
        prices: Any = None,
        costs: Any = None,
        market_id: Any = None,
        *,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
    ) -> Floats:
        """Compute second derivatives of products' profits, ∂²π_j/∂p_k∂p_l.

        Parameters
        ----------
        prices, costs, market_id, engine, threads, backend
            As in :meth:`compute_markups`.

        Returns
        -------
        numpy.ndarray
            ``(N, max J, max J)`` stacked cubes, NaN beyond a market's products.
        """
        from .firm_answers import hessians_of_profits

        question = self._ask(
            "compute_profit_hessians", market_id, engine, threads, backend
        )
        return hessians_of_profits(question, prices, costs)

    def compute_markups(
        self,
        prices: Any = None,
        costs: Any = None,
        market_id: Any = None,
        *,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
    ) -> Floats:
        """Compute markups, (p - c) / p.

        Parameters
        ----------
        prices
            ``(N,)`` p; those of the data where None.
        costs
            ``(N,)`` c; what :meth:`compute_costs` gives where None.
        market_id, engine, threads, backend
            As in :meth:`compute_costs`.

        Returns
        -------
        numpy.ndarray
            ``(N, 1)``.
        """
        from .firm_answers import markups

        question = self._ask("compute_markups", market_id, engine, threads, backend)
        return markups(question, prices, costs)

    def compute_profits(
        self,
        prices: Any = None,
        shares: Any = None,
        costs: Any = None,
        market_id: Any = None,
        *,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
    ) -> Floats:
        """Compute profits per consumer, (p - c) s.

        Parameters
        ----------
        prices, costs, market_id, engine, threads, backend
            As in :meth:`compute_markups`.
        shares
            ``(N,)`` s; those of the data where None.

        Returns
        -------
        numpy.ndarray
            ``(N, 1)``.
        """
        from .firm_answers import profits

        question = self._ask("compute_profits", market_id, engine, threads, backend)
        return profits(question, prices, shares, costs)

    def compute_hhi(
        self, firm_ids: Any = None, shares: Any = None, market_id: Any = None
    ) -> Floats:
        """Compute Herfindahl-Hirschman indices, 10,000 Σ_f (s_f / Σ_g s_g)².

        Shares are those in what is sold, without the outside option, as PyBLP computes
        them and its documentation does not: a monopolist has 10,000.

        Parameters
        ----------
        firm_ids
            ``(N,)`` firms; those of product_data where None.
        shares
            ``(N,)`` s; those of the data where None.
        market_id
            The one market that is wanted, all where None.

        Returns
        -------
        numpy.ndarray
            ``(T, 1)``, markets in sorted order.
        """
        from .firm_answers import indices

        return indices(self._ask("compute_hhi", market_id), firm_ids, shares)

    def compute_consumer_surpluses(
        self,
        prices: Any = None,
        keep_all: bool = False,
        eliminate_product_ids: Any = None,
        product_ids_index: int = 0,
        market_id: Any = None,
        *,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
    ) -> Floats:
        """Compute consumer surpluses, log(1 + Σ_h e^{I_ih}) over -∂u_i1/∂p_1.

        Utility is taken to be linear in prices, with one slope for all products: where
        slopes differ within a market, a warning names it.

        Parameters
        ----------
        prices
            ``(N,)`` prices at which they, and the slope of utility, are wanted; those
            of the data where None.
        keep_all
            Whether surpluses of all agents are given.
        eliminate_product_ids
            Identifiers of products that are taken away, a list.
        product_ids_index
            The column of ``product_ids`` that they are in.
        market_id, engine, threads, backend
            As in :meth:`compute_costs`; no backend differs from another here.

        Returns
        -------
        numpy.ndarray
            ``(T, 1)`` per consumer, markets in sorted order; with ``keep_all``
            ``(T, max I)``, agents in the order of their market, NaN beyond.
        """
        from .firm_answers import surpluses

        question = self._ask(
            "compute_consumer_surpluses", market_id, engine, threads, backend
        )
        return surpluses(
            question, prices, keep_all, eliminate_product_ids, product_ids_index
        )

    def compute_pricing_pressure(
        self,
        mergers: Mapping[Any, Any],
        *,
        costs: Any = None,
        efficiencies: Any = 0.0,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
    ) -> PricingPressure:
        """Compute how hard a merger presses on prices, without an equilibrium.

        Upward pricing pressure, its gross index, generalised pricing pressure with the
        price changes of the first order that it implies, and compensating marginal cost
        reductions (:mod:`blpdask.analysis.pricing_pressure` has the equations).

        Parameters
        ----------
        mergers
            Which firms become which, say ``{2: 1}``: firm 2's products become firm 1's.
        costs
            ``(N,)`` c; what :meth:`compute_costs` gives where None. With others the
            price changes leave out what first-order conditions before the merger would
            move, and cmcr is in units of these costs.
        efficiencies
            Shares of costs that the merger saves, one number or ``(N,)``, 0.05 for five
            per cent; of firms that do not merge nothing is saved.
        engine, threads, backend
            As in :meth:`blpdask.Problem.solve`.

        Returns
        -------
        blpdask.results.pricing_pressure.PricingPressure
            One number a product of each; prints averages of firms. Markets in which
            they cannot be computed are named in a warning.

        Raises
        ------
        InputError
            With every fault of the arguments; where product_data have ``ownership``,
            for mergers of firms do not say what becomes of weights on profits.
        """
        from .pricing_pressure import pressure_of_merger

        what = "compute_pricing_pressure"
        question = self._ask(what, None, engine, threads, backend)
        return pressure_of_merger(question, mergers, costs, efficiencies)

    def compute_surpluses_by_group(
        self,
        groups: Any,
        prices: Any = None,
        new_prices: Any = None,
        quantiles: int | None = None,
        market_id: Any = None,
        *,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
    ) -> GroupSurpluses:
        """Compute surplus, purchases and prices paid of groups of agents.

        Surplus is that of :meth:`compute_consumer_surpluses`, of which groups' means,
        weighted by their mass, make up the whole where weights sum to one.

        Parameters
        ----------
        groups
            Name of a demographic of the problem, or ``(A,)`` labels of agents in the
            order of ``problem.agents``, of those of the market where one is asked
            about.
        prices
            ``(N,)`` prices; those of the data where None.
        new_prices
            ``(N,)`` prices at which everything is wanted too; None for none.
        quantiles
            How many groups of equal weight numbers are cut into, over all markets; each
            value is a group where None. Labels are cut over those that are given.
        market_id, engine, threads, backend
            As in :meth:`compute_costs`; no backend differs from another here.

        Returns
        -------
        blpdask.results.group_surpluses.GroupSurpluses
            Everything by market and group; prints averages over markets.

        Raises
        ------
        InputError
            Where there are no agents, no such groups, or too many values.
        """
        from .welfare_answers import surpluses_by_group

        question = self._ask(
            "compute_surpluses_by_group", market_id, engine, threads, backend
        )
        return surpluses_by_group(question, groups, prices, new_prices, quantiles)

    def compute_compensating_variations(
        self,
        new_prices: Any,
        prices: Any = None,
        outside_price: float | None = None,
        keep_all: bool = False,
        market_id: Any = None,
        *,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
    ) -> Floats:
        """Compute the money that makes up for new prices, E CV_i.

        Utility may depend on prices by any formula that falls in them, for any agent
        (Dagsvik and Karlström 2005). Where it is linear in prices this is surplus
        before, less surplus after. There is no such number for agents whose utility
        rises with prices; a warning names their markets.

        Parameters
        ----------
        new_prices
            ``(N,)`` prices after the change.
        prices
            ``(N,)`` prices before it; those of the data where None.
        outside_price
            A price q at which those who buy nothing value money: m is worth to them
            what utility of the market's first product gains where its price falls from
            q to q - m. Zero where None; it does not matter where utility is linear in
            prices, or where none rises.
        keep_all
            Whether those of all agents are given.
        market_id, engine, threads, backend
            As in :meth:`compute_costs`; no backend differs from another here.

        Returns
        -------
        numpy.ndarray
            ``(T, 1)`` per consumer, positive where consumers lose, markets in sorted
            order; with ``keep_all`` ``(T, max I)``, agents in the order of their
            market, NaN beyond.

        Raises
        ------
        InputError
            Where utility is not finite at ``outside_price`` less compensation.
        """
        from .welfare_answers import variations

        question = self._ask(
            "compute_compensating_variations", market_id, engine, threads, backend
        )
        return variations(question, new_prices, prices, outside_price, keep_all)
