"""Questions about demand at parameters: substitution, choices, mean utilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..records import Floats
from .at_parameters import AtParameters

if TYPE_CHECKING:
    from .integration import Integration
    from .iteration import Iteration


class DemandMethods(AtParameters):
    """How demand answers to prices and other variables, under PyBLP's names."""

    def compute_aggregate_elasticities(
        self,
        factor: float = 0.1,
        name: str | None = "prices",
        market_id: Any = None,
        *,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
    ) -> Floats:
        """Compute aggregate elasticities, Σ_j (s_j(x + Δx) - s_j) / Δ.

        Parameters
        ----------
        factor
            Δ.
        name
            The variable x of X1, X2 or X3, or None for δ.
        market_id
            The one market that is wanted, all where None.
        engine, threads, backend
            As in :meth:`blpdask.Problem.solve`.

        Returns
        -------
        numpy.ndarray
            ``(T, 1)``, markets in sorted order.

        Raises
        ------
        BlpdaskError
            Where the results have lost their problem.
        InputError
            With every fault of the arguments.
        """
        from .demand_answers import aggregate

        question = self._ask(
            "compute_aggregate_elasticities", market_id, engine, threads, backend
        )
        return aggregate(question, factor, name)

    def compute_elasticities(
        self,
        name: str | None = "prices",
        market_id: Any = None,
        *,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
    ) -> Floats:
        """Compute elasticities of demand, ε_jk = x_k / s_j ∂s_j/∂x_k.

        Parameters
        ----------
        name, market_id, engine, threads, backend
            As in :meth:`compute_aggregate_elasticities`, which also says what errors
            are raised.

        Returns
        -------
        numpy.ndarray
            ``(N, max J)`` stacked matrices, a row a product, NaN beyond the products of
            its market.
        """
        from ..analysis.substitution import elasticities

        question = self._ask(
            "compute_elasticities", market_id, engine, threads, backend
        )
        variable = question.variable(name)
        economy = question.economy()
        return economy.in_user_order(elasticities(economy, variable))

    def compute_demand_jacobians(
        self,
        name: str = "prices",
        market_id: Any = None,
        *,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
    ) -> Floats:
        """Compute derivatives of demand, ∂s_j/∂x_k.

        Parameters
        ----------
        name, market_id, engine, threads, backend
            As in :meth:`compute_aggregate_elasticities`; ``name`` is not None.

        Returns
        -------
        numpy.ndarray
            ``(N, max J)`` stacked matrices.
        """
        from ..analysis.substitution import jacobians

        question = self._ask(
            "compute_demand_jacobians", market_id, engine, threads, backend
        )
        variable = question.variable(name, none=False)
        economy = question.economy()
        return economy.in_user_order(jacobians(economy, str(variable)))

    def compute_demand_hessians(
        self,
        name: str = "prices",
        market_id: Any = None,
        *,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
    ) -> Floats:
        """Compute second derivatives of demand, ∂²s_j/∂x_k∂x_l.

        Parameters
        ----------
        name, market_id, engine, threads, backend
            As in :meth:`compute_aggregate_elasticities`; ``name`` is not None.

        Returns
        -------
        numpy.ndarray
            ``(N, max J, max J)`` stacked cubes, NaN beyond a market's products.
        """
        from ..analysis.substitution import demand_hessians

        question = self._ask(
            "compute_demand_hessians", market_id, engine, threads, backend
        )
        variable = question.variable(name, none=False)
        economy = question.economy()
        return economy.in_user_order(demand_hessians(economy, str(variable)))

    def compute_diversion_ratios(
        self,
        name: str | None = "prices",
        market_id: Any = None,
        *,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
    ) -> Floats:
        """Compute diversion ratios, D_jk = -∂s_k/∂x_j / ∂s_j/∂x_j.

        They say where those go who leave j as x_j moves a little. PyBLP divides
        ∂s_j/∂x_k instead, which is the same where ∂s/∂x' is symmetric.

        Parameters
        ----------
        name, market_id, engine, threads, backend
            As in :meth:`compute_aggregate_elasticities`.

        Returns
        -------
        numpy.ndarray
            ``(N, max J)`` stacked matrices, D_j0 of the outside option on diagonals;
            rows sum to one.
        """
        from ..analysis.substitution import diversion_ratios

        question = self._ask(
            "compute_diversion_ratios", market_id, engine, threads, backend
        )
        variable = question.variable(name)
        economy = question.economy()
        return economy.in_user_order(diversion_ratios(economy, variable))

    def compute_long_run_diversion_ratios(
        self,
        market_id: Any = None,
        *,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
    ) -> Floats:
        """Compute long-run diversion ratios, D̄_jk = (s_k(-j) - s_k) / s_j.

        They say where those go who chose j when j is taken away, and are computed from
        second choices, without differences of shares.

        Parameters
        ----------
        market_id, engine, threads, backend
            As in :meth:`compute_aggregate_elasticities`.

        Returns
        -------
        numpy.ndarray
            ``(N, max J)`` stacked matrices, D̄_j0 of the outside option on diagonals;
            rows sum to one.
        """
        from ..analysis.substitution import long_run_diversion_ratios

        question = self._ask(
            "compute_long_run_diversion_ratios", market_id, engine, threads, backend
        )
        economy = question.economy()
        return economy.in_user_order(long_run_diversion_ratios(economy))

    def compute_probabilities(
        self,
        prices: Any = None,
        delta: Any = None,
        agent_data: Any = None,
        integration: Integration | None = None,
        market_id: Any = None,
        *,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
    ) -> Floats:
        """Compute choice probabilities P_ij; without X2 they are market shares.

        Parameters
        ----------
        prices
            ``(N,)`` prices at which they are wanted; those of the data where None.
        delta
            ``(N,)`` mean utilities at these prices; where None, those of the
            parameters, which move with ``prices``.
        agent_data, integration
            Other agents, as in :class:`blpdask.Problem`; its own where None. A rule
            alone replaces nodes and weights.
        market_id, engine, threads, backend
            As in :meth:`compute_aggregate_elasticities`.

        Returns
        -------
        numpy.ndarray
            ``(N, max I)``, agents in the order of their market, NaN beyond.
        """
        from .demand_answers import probabilities

        question = self._ask(
            "compute_probabilities", market_id, engine, threads, backend
        )
        return probabilities(question, prices, delta, agent_data, integration)

    def compute_shares(
        self,
        prices: Any = None,
        delta: Any = None,
        agent_data: Any = None,
        integration: Integration | None = None,
        market_id: Any = None,
        *,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
    ) -> Floats:
        """Compute market shares, such as those at prices of an equilibrium.

        Parameters
        ----------
        prices, delta, agent_data, integration, market_id, engine, threads, backend
            As in :meth:`compute_probabilities`.

        Returns
        -------
        numpy.ndarray
            ``(N, 1)``.
        """
        from .demand_answers import shares

        question = self._ask("compute_shares", market_id, engine, threads, backend)
        return shares(question, prices, delta, agent_data, integration)

    def compute_delta(
        self,
        agent_data: Any = None,
        integration: Integration | None = None,
        iteration: Iteration | None = None,
        fp_type: str = "safe_linear",
        shares_bounds: Any = (1e-300, None),
        market_id: Any = None,
        *,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
    ) -> Floats:
        """Compute mean utilities anew, from those of the parameters on.

        Parameters
        ----------
        agent_data, integration
            Other agents, as in :meth:`compute_probabilities`.
        iteration
            How shares are inverted, ``Iteration("newton")`` where None.
        fp_type, shares_bounds
            Accepted for PyBLP scripts, as in :meth:`blpdask.Problem.solve`.
        market_id, engine, threads, backend
            As in :meth:`compute_aggregate_elasticities`.

        Returns
        -------
        numpy.ndarray
            ``(N, 1)`` δ. Markets in which shares could not be inverted are named in a
            warning.
        """
        from .demand_answers import mean_utilities

        del shares_bounds
        question = self._ask("compute_delta", market_id, engine, threads, backend)
        return mean_utilities(question, agent_data, integration, iteration, fp_type)

    def extract_diagonals(self, matrices: Any, market_id: Any = None) -> Floats:
        """Take the diagonals out of stacked matrices.

        Parameters
        ----------
        matrices
            ``(N, max J)``, such as elasticities or diversion ratios.
        market_id
            The one market that they are of, all where None.

        Returns
        -------
        numpy.ndarray
            ``(N, 1)``: own elasticities, or diversion to the outside option.
        """
        from .demand_answers import diagonals

        return diagonals(self._ask("extract_diagonals", market_id), matrices)

    def extract_diagonal_means(self, matrices: Any, market_id: Any = None) -> Floats:
        """Average the diagonals of stacked matrices in each market.

        Parameters
        ----------
        matrices, market_id
            As in :meth:`extract_diagonals`.

        Returns
        -------
        numpy.ndarray
            ``(T, 1)``, markets in sorted order.
        """
        from .demand_answers import diagonal_means

        return diagonal_means(self._ask("extract_diagonal_means", market_id), matrices)

    def compute_diversion_by_intervention(
        self,
        intervention: str = "removal",
        size: float | None = None,
        market_id: Any = None,
        *,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
    ) -> Floats:
        """Compute an experiment's diversion, D_jk = -(s_k' - s_k) / (s_j' - s_j).

        Something is done to product j alone. Whose diversion that measures, and so how
        much, depends on what is done (Conlon and Mortimer 2021), and on how much of it.

        Parameters
        ----------
        intervention
            ``"removal"`` takes j away, as :meth:`compute_long_run_diversion_ratios`
            does; ``"price"`` moves its price, ``"quality"`` its δ, and the name of a
            variable of X1 or X2 that variable.
        size
            How far: None for a little, as :meth:`compute_diversion_ratios` does. A
            number is a relative change, 0.1 for ten per cent up, of prices and of
            variables; of quality it is added to δ, -1 for a product worse by one.
        market_id, engine, threads, backend
            As in :meth:`compute_aggregate_elasticities`.

        Returns
        -------
        numpy.ndarray
            ``(N, max J)`` stacked matrices, D_j0 of the outside option on diagonals;
            rows sum to one. A warning names markets where something that is done moves
            nobody, as ten per cent of zero do.
        """
        from .intervention_answers import diversion_by_intervention

        question = self._ask(
            "compute_diversion_by_intervention", market_id, engine, threads, backend
        )
        return diversion_by_intervention(question, intervention, size)

    def compute_diversion_weights(
        self,
        intervention: str = "removal",
        market_id: Any = None,
        *,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
    ) -> Floats:
        """Compute how much each agent counts in an experiment's diversion ratios.

        Where something is done to product j, D_jk is an average over agents of where
        they go. Weights are w_i P_ij where j is removed, and w_i ∂P_ij/∂x_j where x_j
        moves a little, over their sums (Conlon and Mortimer 2021).

        Parameters
        ----------
        intervention
            As in :meth:`compute_diversion_by_intervention`, of small changes; or
            ``"ate"`` for what everybody counts in an average effect, and ``"atu"`` in
            that of the untreated, w_i (1 - P_ij).
        market_id, engine, threads, backend
            As in :meth:`compute_aggregate_elasticities`; no backend differs from
            another here.

        Returns
        -------
        numpy.ndarray
            ``(N, max I)``, agents in the order of their market, NaN beyond; rows sum to
            one. Agents who come where others leave have weights below zero.
        """
        from .intervention_answers import weights_by_intervention

        question = self._ask(
            "compute_diversion_weights", market_id, engine, threads, backend
        )
        return weights_by_intervention(question, intervention)
