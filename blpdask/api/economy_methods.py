"""Methods of post-estimation that results of problems and of simulations share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .demand_methods import DemandMethods
from .firm_methods import FirmMethods

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..problem.transfers import Transfer
    from ..results.counterfactual_table import Counterfactual
    from ..results.merger_table import MergerEffects
    from .changed_economy import ChangedEconomy
    from .iteration import Iteration
    from .taxes import Taxes


class EconomyMethods(DemandMethods, FirmMethods):
    """What demand and firms do at parameters, under PyBLP's names.

    Rows are in the user's order and matrices of markets are stacked, with NaN beyond
    the products, or agents, of a market. Where ``market_id`` is given, arguments and
    answers have the rows of that market alone. Where data are in a store, rows are in
    its order, questions are answered block by block on the engine
    (:mod:`.stored_answers`), and agents are the problem's own.
    """

    #: What agents are paid for choices, in economies that were changed.
    transfers: tuple[Transfer, ...] = ()

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
        """Compute what a merger does to prices, concentration, profits and surplus.

        Parameters
        ----------
        mergers
            Which firms become which, say ``{2: 1}``: firm 2's products become firm 1's.
        costs
            ``(N,)`` marginal costs; what :meth:`compute_costs` gives where None.
        iteration
            How prices iterate, as of :meth:`compute_prices`.
        engine, threads, backend
            As in :meth:`blpdask.Problem.solve`.

        Returns
        -------
        blpdask.results.merger_table.MergerEffects
            Everything before and after; prints averages.

        Raises
        ------
        InputError
            Where firms are not there.
        """
        from .counterfactual import merger_effects
        from .counterfactual_arguments import Counterfacts

        question = self._ask("simulate_merger", None, engine, threads, backend)
        given = Counterfacts(
            mergers=mergers, costs=costs, iteration=iteration, transfers=self.transfers
        )
        return merger_effects(question, given)

    def simulate_counterfactual(
        self,
        *,
        mergers: Mapping[Any, Any] | None = None,
        firm_ids: Any = None,
        ownership: Any = None,
        costs: Any = None,
        new_costs: Any = None,
        taxes: Taxes | None = None,
        taxes_before: Taxes | None = None,
        fixed_prices: Any = None,
        prices: Any = None,
        iteration: Iteration | None = None,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
    ) -> Counterfactual:
        """Compute equilibria under other owners, costs, taxes and price controls.

        Where nothing is said, everything stays as in the data.

        Parameters
        ----------
        mergers
            Which firms become which, as of :meth:`simulate_merger`.
        firm_ids
            ``(N,)`` firms after, in place of mergers. As with these, products of one
            firm are then priced together, whatever weights the data have.
        ownership
            ``(N, max J)`` weights on profits after, in place of both, as of
            :func:`blpdask.build_ownership`; with
            :func:`blpdask.build_profit_weights`, those of partial owners.
        costs
            ``(N,)`` producers' marginal costs c before; where None, those at which all
            prices of the data are optimal under ``taxes_before``. Pass them where
            some prices of the data were not set by those who own the products.
        new_costs
            ``(N,)`` c after; the same where None.
        taxes, taxes_before
            Taxes after, and those behind the prices of the data, which are what
            consumers pay. Before there are none where None; after, the same as before:
            ``Taxes()`` abolishes them.
        fixed_prices
            ``(N,)`` True for products whose consumer prices are held, while owners set
            all others; profits of these products still count for their owners.
        prices
            ``(N,)`` prices at which those are held, and where iteration of others
            starts; those of the data where None.
        iteration
            How prices iterate, as of :meth:`compute_prices`.
        engine, threads, backend
            As in :meth:`blpdask.Problem.solve`.

        Returns
        -------
        blpdask.results.counterfactual_table.Counterfactual
            Prices, shares, profits, tax revenue, concentration, surplus and welfare,
            before and after; prints averages. Markets in which prices were not found
            are named in a warning.

        Raises
        ------
        InputError
            With every fault of the arguments.

        Notes
        -----
        Consumers pay p = (1 + τ) r + t where producers get r, and owners maximise
        Σ_k H_fk (r_k - c_k) s_k(p). Costs stay as they are where X3 has ``shares``.
        """
        from .counterfactual import counterfactual
        from .counterfactual_arguments import Counterfacts

        question = self._ask("simulate_counterfactual", None, engine, threads, backend)
        given = Counterfacts(
            mergers=mergers,
            firm_ids=firm_ids,
            ownership=ownership,
            costs=costs,
            new_costs=new_costs,
            taxes=taxes,
            taxes_before=taxes_before,
            fixed_prices=fixed_prices,
            prices=prices,
            iteration=iteration,
            transfers=self.transfers,
        )
        return counterfactual(question, given)

    def plot_elasticities(
        self, market_id: Any, name: str | None = "prices", ax: Axes | None = None
    ) -> Axes:
        """Draw a market's elasticities as a heat map, own ones left white.

        Row j is about product j's share, column k about product k's variable.

        Parameters
        ----------
        market_id
            The market.
        name
            The variable, as of :meth:`compute_elasticities`.
        ax
            Axes to draw on, new ones where None.

        Returns
        -------
        matplotlib.axes.Axes
            The axes, for titles and further changes.

        Raises
        ------
        BlpdaskError
            Where Matplotlib is not installed.
        """
        from .economy_plots import market_matrix, plot_matrix

        found = self.compute_elasticities(name, market_id)
        values, names = market_matrix(self, found, market_id)
        title = f"Elasticities by {name or 'δ'}, market {market_id}"
        return plot_matrix(values, names, title, ax, own=False)

    def plot_diversion_ratios(
        self, market_id: Any, long_run: bool = False, ax: Axes | None = None
    ) -> Axes:
        """Draw a market's diversion ratios as a heat map, outside on the diagonal.

        Row j is about who leaves product j, column k about where they go.

        Parameters
        ----------
        market_id
            The market.
        long_run
            Whether product j is taken away, and not a little dearer.
        ax
            Axes to draw on, new ones where None.

        Returns
        -------
        matplotlib.axes.Axes
            The axes.
        """
        from .economy_plots import market_matrix, plot_matrix

        if long_run:
            found = self.compute_long_run_diversion_ratios(market_id)
        else:
            found = self.compute_diversion_ratios(market_id=market_id)
        values, names = market_matrix(self, found, market_id)
        title = f"Diversion ratios, market {market_id}"
        return plot_matrix(values, names, title, ax, own=True)

    def plot_markups(self, ax: Axes | None = None) -> Axes:
        """Draw how markups, (p - c) / p, are distributed over products.

        Parameters
        ----------
        ax
            Axes to draw on, new ones where None.
        """
        from .economy_plots import plot_histogram

        return plot_histogram(self.compute_markups()[:, 0], "markup, (p - c) / p", ax)

    def plot_costs(self, ax: Axes | None = None) -> Axes:
        """Draw how marginal costs are distributed over products.

        Parameters
        ----------
        ax
            Axes to draw on, new ones where None.
        """
        from .economy_plots import plot_histogram

        return plot_histogram(self.compute_costs()[:, 0], "marginal cost", ax)

    def plot_merger(self, effects: MergerEffects, ax: Axes | None = None) -> Axes:
        """Draw how many per cent a merger changes prices.

        Parameters
        ----------
        effects
            Of :meth:`simulate_merger`.
        ax
            Axes to draw on, new ones where None.
        """
        from .economy_plots import plot_price_changes

        return plot_price_changes(effects, ax)

    def change_products(
        self,
        *,
        remove: Any = None,
        add: Any = None,
        firm_ids: Any = None,
        equilibrium: bool = True,
        costs: Any = None,
        iteration: Iteration | None = None,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
    ) -> ChangedEconomy:
        """Take products out of markets and put others in, and ask everything again.

        Products that stay keep ξ, and their marginal costs. Where X3 has ``shares``,
        costs are held too, whatever is sold now, and :meth:`compute_prices` of what is
        given back lets them follow shares from there on where it is asked to.

        Parameters
        ----------
        remove
            ``(N,)`` true for products that leave; none where None.
        add
            Table of entrants, or None, with ``market_ids`` of markets that are there,
            ``prices`` (where iteration starts, or their prices), whatever formulas of
            X1, X2 and X3 name, and ``firm_ids``, ``product_ids`` and ``nesting_ids``
            where the problem has them. Mean utilities at these prices are x1'β + ``xi``
            (zero where it is left out), or ``delta``, which effects that X1 absorbs
            make necessary. Costs are ``costs``, or of x3'γ + ``omega`` (zero where it
            is left out) unless X3 absorbs effects or has ``shares``.
        firm_ids
            ``(N,)`` who owns products from then on, those that leave among them; as
            before where None. They take the place of ``ownership`` in product_data,
            whose weights stay those of products that stay.
        equilibrium
            Whether prices are those of a new equilibrium; else they are kept, and only
            shares change.
        costs
            ``(N,)`` marginal costs before, those that leave among them; what
            :meth:`compute_costs` gives where None.
        iteration
            How prices iterate, as of :meth:`compute_prices`.
        engine, threads, backend
            As in :meth:`blpdask.Problem.solve`.

        Returns
        -------
        ChangedEconomy
            Of the products that stay, in their order, then the entrants. It answers
            what these results do, and can be changed again.

        Raises
        ------
        InputError
            With every fault of the arguments, such as a market that would be left
            without products.
        """
        from .change_requests import ChangeRequest
        from .product_changes import changed_products

        computing = (engine, threads, backend)
        request = ChangeRequest(
            "change_products", equilibrium, costs, firm_ids, iteration, *computing
        )
        return changed_products(self, remove, add, request)

    def give_transfers(
        self,
        amounts: Any,
        *,
        products: Any = None,
        firm_ids: Any = None,
        equilibrium: bool = True,
        costs: Any = None,
        iteration: Iteration | None = None,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
    ) -> ChangedEconomy:
        """Pay agents for the choice of eligible products, and ask everything again.

        Agent i pays p_j - b_i for eligible products j, and firms receive p_j. What that
        costs is ``transfer_costs`` of what is given back; consumer surplus there has
        transfers in it, and not what they cost; welfare of its counterfactuals has
        both. To :meth:`change_products` of it, eligibility is one more variable of X2:
        ``transfers0``, of later transfers ``transfers1``, …, which entrants need, one
        or zero.

        Parameters
        ----------
        amounts
            ``(A,)`` b_i in the order of the problem's agents, negative where they pay.
        products
            ``(N,)`` true for eligible products; all where None.
        firm_ids, equilibrium, costs, iteration, engine, threads, backend
            As of :meth:`change_products`.

        Returns
        -------
        ChangedEconomy
            Of the same products.

        Raises
        ------
        InputError
            With every fault of the arguments, and where utility does not fall with all
            prices of a market at one slope, whatever they are.
        """
        from .agent_transfers import given_transfers
        from .change_requests import ChangeRequest

        computing = (engine, threads, backend)
        request = ChangeRequest(
            "give_transfers", equilibrium, costs, firm_ids, iteration, *computing
        )
        return given_transfers(self, amounts, products, request)
