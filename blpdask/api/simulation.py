"""Simulate markets from known parameters, in PyBLP's vocabulary."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .. import options
from ..errors import Faults
from ..model.equilibrium import PriceState
from ..model.parameters import Parameters, tastes_at
from ..moments.demand import DemandState
from ..moments.supply import CostState
from ..problem.demand_problem import DemandProblem
from ..problem.fields import field_names
from ..problem.formulas import ParsedFormula
from ..problem.outline import DemandOutline
from ..problem.pricing import PriceSetting, priced_markets
from ..records import Floats, PriceTastes, Tastes
from ..simulation.autocorrelated_errors import autocorrelate
from ..simulation.draws import draw_errors, error_variances
from ..simulation.economy import EconomyFormulas, build_economy
from ..simulation.solutions import solve_endogenous, solve_exogenous
from .dimensions import Dimensions
from .formulation import Formulation
from .integration import Integration
from .iteration import Iteration
from .problem_checks import (
    check_costs_type,
    check_formulations,
    check_scale,
    check_tables,
    check_types,
)
from .simulation_checks import (
    check_behavior,
    check_column,
    check_errors,
    check_linear,
    check_price_iteration,
    check_replaced,
    check_simulation,
    exogenous_failures,
    price_failures,
    report_failures,
)
from .simulation_results import (
    SimulationResults,
    endogenous_results,
    exogenous_results,
)
from .simulation_text import simulation_text
from .solve_checks import check_choices, check_engine, check_iteration, check_numbers
from .structured_tables import (
    agents_table,
    products_table,
    simulated_agents,
    simulated_products,
)


class Simulation(Dimensions):
    """Markets whose parameters are known, and whose data are loaded or drawn.

    Variables that formulations name and data lack are drawn from U(0, 1), with PyBLP's
    numbers for the same seed. :meth:`replace_endogenous` then puts prices and shares in
    equilibrium; :meth:`replace_exogenous` keeps them and moves characteristics instead.

    Parameters
    ----------
    product_formulations
        Formulation of X1, or a sequence of those of X1, X2 and X3, as in
        :class:`blpdask.Problem`; none absorbs effects.
    product_data
        Table with ``market_ids`` and ``firm_ids`` (:func:`blpdask.build_id_data` makes
        one), for nests ``nesting_ids``, optionally ``ownership`` and any variable.
    beta, sigma, pi, gamma, rho
        True β ``(K1,)``, Σ ``(K2, K2)``, Π ``(K2, D)``, γ ``(K3,)`` and ρ, one number
        for all nests or ``(H,)``.
    phi
        True autocorrelation φ of ξ, a number, or with a supply side of ξ and ω,
        ``(2, 2)``; where product_data have ``lag_indices``
        (:mod:`blpdask.moments.lags`). Errors that are drawn follow it, stationary from
        their first period on, and their variance is that of innovations.
    agent_formulation
        Formulation of demographics.
    agent_data
        Table with ``market_ids``, ``weights``, ``nodes0``, … and demographics, and
        ``availability0``, … as in :class:`blpdask.Problem`.
    integration
        Rule that builds nodes and weights instead of the data.
    xi, omega
        ξ and ω ``(N,)``, drawn from a bivariate normal distribution where X3 is
        formulated and both are None.
    xi_variance, omega_variance, correlation
        Of that distribution.
    rc_types
        ``"linear"``, ``"log"`` or ``"logit"`` for each random coefficient.
    epsilon_scale
        Scale of the extreme-value errors, one with nests.
    costs_type
        ``"linear"`` or ``"log"``: whether costs or their logarithms are linear in X3.
    seed
        Of :class:`numpy.random.RandomState`; draws differ every time where None.
    type_shares
        Shares of agents' types in market shares ``(R,)``, by sorted ``type_ids`` of
        ``agent_data``, whose weights become λ_r w_i / Σ_r w_i; used as they are where
        None.

    Raises
    ------
    InputError
        With every fault of the arguments.

    Examples
    --------
    >>> from blpdask import Formulation, build_id_data, options
    >>> options.verbose = False
    >>> simulation = Simulation(
    ...     (Formulation("1 + prices + x"), None, Formulation("1 + x")),
    ...     build_id_data(T=20, J=5, F=2),
    ...     beta=[1, -2, 1],
    ...     gamma=[2, 1],
    ...     seed=0,
    ... )
    >>> results = simulation.replace_endogenous()
    >>> bool(results.fp_converged.all()), results.product_data.prices.shape
    (True, (100, 1))
    >>> options.verbose = True
    """

    def __init__(
        self,
        product_formulations: Formulation | Sequence[Formulation | None],
        product_data: Any,
        beta: Any,
        sigma: Any = None,
        pi: Any = None,
        gamma: Any = None,
        rho: Any = None,
        phi: Any = None,
        agent_formulation: Formulation | None = None,
        agent_data: Any = None,
        integration: Integration | None = None,
        xi: Any = None,
        omega: Any = None,
        xi_variance: float = 1,
        omega_variance: float = 1,
        correlation: float = 0.9,
        rc_types: Sequence[str] | None = None,
        epsilon_scale: float = 1.0,
        costs_type: str = "linear",
        seed: int | None = None,
        *,
        type_shares: Any = None,
    ) -> None:
        """Load or draw all data except for equilibrium prices and shares."""
        formulations = check_formulations(
            product_formulations, agent_formulation, integration
        )
        check_tables(product_data, agent_data)
        check_simulation(formulations)
        names = set(field_names(product_data))
        scale = check_scale(
            epsilon_scale, nests=bool(names & {"nesting_ids", "nesting_ids0"})
        )
        self.product_formulations = formulations
        self.agent_formulation = agent_formulation
        self.integration = integration
        self.costs_type = check_costs_type(costs_type)
        stream = np.random.RandomState(seed)
        economy = build_economy(
            product_data,
            agent_data,
            EconomyFormulas(
                formulations[0].parsed,
                _parsed(formulations[1]),
                _parsed(formulations[2]),
                _parsed(agent_formulation),
            ),
            None if integration is None else integration.rule,
            stream,
            absorption=formulations[0].controls,
            weights_tol=options.weights_tol,
            epsilon_scale=scale,
            type_shares=type_shares,
        )
        types = check_types(rc_types, economy.demand.products.X2.shape[1])
        self._problem = replace(economy.demand, types=types)
        self._demand = self._problem
        self._economy = economy
        people = economy.agents
        self.product_data = simulated_products(economy.products)
        self.agent_data = None if people is None else simulated_agents(people)
        self._set_parameters(
            sigma=sigma, pi=pi, rho=rho, phi=phi, beta=beta, gamma=gamma
        )
        given = check_errors(xi, omega, self.N, self.K3)
        if given is None:
            given = draw_errors(
                self.N,
                stream,
                xi_variance=xi_variance,
                omega_variance=omega_variance,
                correlation=correlation,
            )
            given = self._autocorrelate(
                given, error_variances(xi_variance, omega_variance, correlation)
            )
        self.xi, self.omega = given
        if options.verbose:
            options.verbose_output(f"{self}\n")

    def _set_parameters(self, **values: Any) -> None:
        """Check the true parameters and keep them under PyBLP's names."""
        check_linear(values["beta"], self.K1, values["gamma"], self.K3)
        self._given = values
        self._parameters = self.lay_out(self.outline)
        start = self._parameters.start
        self.sigma, self.pi = start.sigma, start.pi
        self.beta, self.gamma = start.beta, start.gamma
        self.rho = start.rho
        self.phi = start.phi

    def lay_out(self, outline: DemandOutline) -> Parameters:
        """Lay the true parameters out for this simulation, or with other agents.

        Parameters
        ----------
        outline
            Of the problem that they are for.
        """
        return outline.lay_out(**self._given, bounded=False, default_bounds=False)

    def _autocorrelate(
        self, errors: tuple[Floats, Floats], variances: Floats
    ) -> tuple[Floats, Floats]:
        """Make autocorrelated errors of draws where rows have lags."""
        lags = self._problem.products.lags
        if lags is None:
            return errors
        both = autocorrelate(np.hstack(errors), lags, self.phi, variances)
        return both[:, [0]], both[:, [1]]

    @property
    def demand(self) -> DemandProblem:
        """The record behind the simulation."""
        return self._problem

    @property
    def parameters(self) -> Parameters:
        """The layout of the true parameters."""
        return self._parameters

    @property
    def MD(self) -> int:
        """Number of demand-side instruments: none, ``to_problem`` makes them."""
        return 0

    @property
    def MS(self) -> int:
        """Number of supply-side instruments: none, ``to_problem`` makes them."""
        return 0

    def replace_endogenous(
        self,
        costs: Any = None,
        prices: Any = None,
        iteration: Iteration | None = None,
        constant_costs: bool = True,
        compute_gradients: bool = True,
        compute_hessians: bool = True,
        error_behavior: str = "raise",
        *,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
        blocks: int | None = None,
    ) -> SimulationResults:
        """Replace prices and shares by those of the Bertrand-Nash equilibrium.

        Parameters
        ----------
        costs
            Marginal costs ``(N,)``; X3 γ + ω, or its exponential with costs in logs,
            where None.
        prices
            Prices ``(N,)`` where iteration starts, ``costs`` where None.
        iteration
            ``"simple"``; ``"squarem"``; or ``"return"``, which keeps the starting
            prices. Tolerances are on gradients of profits. Where None, secant steps
            (:mod:`blpdask.model.price_acceleration`) to 1e-13, which take fewer
            evaluations than PyBLP's default, ``Iteration("simple", {"atol": 1e-12})``,
            and converge where that one goes round in circles.
        constant_costs
            Whether costs stay as they are where X3 has ``shares``; if not they follow
            the shares of equilibrium.
        compute_gradients, compute_hessians
            Whether gradients and Hessians of firms' profits are reported.
        error_behavior
            ``"raise"`` or ``"warn"`` where markets do not converge.
        engine, threads, backend, blocks
            As in :meth:`blpdask.Problem.solve`.

        Returns
        -------
        SimulationResults
            With prices and shares replaced.

        Raises
        ------
        InputError
            With every fault of the arguments.
        NumericalError
            Where markets do not converge and ``error_behavior`` is ``"raise"``; the
            message names them.
        """
        began = time.perf_counter()
        faults = Faults("replace_endogenous")
        check_choices({"backend": backend}, faults)
        check_numbers(0, threads, blocks, 0, faults)
        check_behavior(error_behavior, faults)
        controls = check_price_iteration(iteration, options.scratch_bytes, faults)
        given = check_column(costs, "costs", self.N, faults)
        if costs is None and not self.K3:
            faults.add("no costs", "costs, because X3 is not formulated", "pass costs")
        start = check_column(prices, "prices", self.N, faults)
        chosen = check_engine(engine, threads, faults)
        faults.check()
        assert chosen is not None
        cost = given if given is not None else self._tilde_costs()
        if given is None and self.costs_type == "log":
            cost = np.exp(cost)
        setting = PriceSetting(
            firms=self._economy.firms,
            ownership=self._economy.ownership,
            costs=cost,
            start=cost if start is None else start,
            gamma=None if constant_costs else self.gamma[:, 0],
            log_costs=self.costs_type == "log",
        )
        source = priced_markets(
            self._problem,
            self.product_data,
            setting,
            beta=self.beta[:, 0],
            delta=self._delta(),
            n_blocks=blocks,
        )
        state = PriceState(self._tastes(), controls, backend, compute_hessians)
        found = solve_endogenous(self._problem, source, state, chosen)
        report_failures(price_failures(found, self.unique_market_ids), error_behavior)
        return endogenous_results(
            self, found, began, gradients=compute_gradients, hessians=compute_hessians
        )

    def replace_exogenous(
        self,
        X1_name: str,
        X3_name: str | None = None,
        delta: Any = None,
        iteration: Iteration | None = None,
        fp_type: str = "safe_linear",
        shares_bounds: Any = (1e-300, None),
        error_behavior: str = "raise",
        *,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
        blocks: int | None = None,
    ) -> SimulationResults:
        """Keep prices and shares, and replace characteristics so that they are optimal.

        With δ that solves s(δ) = S and c̃ that first-order conditions imply, (δ - ξ -
        X1 β) / β_v is added to the characteristic v, and (c̃ - ω - X3 γ) / γ_w to w.

        Parameters
        ----------
        X1_name
            v, a variable that is a column of X1 and appears nowhere else.
        X3_name
            w, a variable that is a column of X3 and appears nowhere else; None without
            a supply side.
        delta
            δ ``(N,)`` where inversions start, the plain logit's where None.
        iteration
            How shares are inverted, ``Iteration("newton")`` where None.
        fp_type, shares_bounds
            Accepted for PyBLP scripts, as in :meth:`blpdask.Problem.solve`.
        error_behavior
            ``"raise"`` or ``"warn"`` where markets fail.
        engine, threads, backend, blocks
            As in :meth:`blpdask.Problem.solve`.

        Returns
        -------
        SimulationResults
            With characteristics replaced.

        Raises
        ------
        InputError
            With every fault of the arguments.
        NumericalError
            Where markets fail and ``error_behavior`` is ``"raise"``.
        """
        del shares_bounds
        began = time.perf_counter()
        faults = Faults("replace_exogenous")
        check_choices({"backend": backend, "fp_type": fp_type}, faults)
        check_numbers(0, threads, blocks, 0, faults)
        check_behavior(error_behavior, faults)
        places = check_replaced(
            self.outline, self._parameters, (X1_name, X3_name), faults
        )
        start = check_column(delta, "delta", self.N, faults)
        iterates = check_iteration(iteration, faults)
        chosen = check_engine(engine, threads, faults)
        faults.check()
        assert chosen is not None
        controls = iterates.controls(options.scratch_bytes)
        state = DemandState(
            theta=np.empty(0),
            tastes=self._tastes(),
            controls=replace(controls, derivatives=False),
            backend=backend,
            iterate=iterates.iterate(),
            costs=self._cost_state(),
        )
        found = solve_exogenous(
            self._problem, state, chosen, delta=start, n_blocks=blocks
        )
        report_failures(
            exogenous_failures(found, self.unique_market_ids), error_behavior
        )
        return exogenous_results(self, found, began, places)

    def _tastes(self) -> Tastes:
        """Express Σ, Π and ρ as kernels read them, none of them free."""
        none = np.empty(0, np.int64)
        tastes = tastes_at(self._parameters, self._parameters.theta)
        fixed = np.full(tastes.rho.size, -1)
        return replace(tastes, rows=none, columns=none, rho_places=fixed)

    def _cost_state(self) -> CostState | None:
        """Say how costs follow from markups, None without a supply side."""
        supply = self._problem.products.supply
        if supply is None:
            return None
        beta = self.beta[supply.X1_priced, 0]
        return CostState(
            PriceTastes(beta, np.empty(0, np.int64)), log=self.costs_type == "log"
        )

    def _delta(self) -> Floats:
        """Compute X1 β + ξ, ``(N,)``."""
        found: Floats = (self._problem.products.X1 @ self.beta + self.xi)[:, 0]
        return found

    def _tilde_costs(self) -> Floats:
        """Compute X3 γ + ω, ``(N,)``."""
        supply = self._problem.products.supply
        assert supply is not None and self.omega is not None
        found: Floats = (supply.X3 @ self.gamma + self.omega)[:, 0]
        return found

    @property
    def products(self) -> np.recarray[Any, Any]:
        """Product data as a record array, in PyBLP's form."""
        return products_table(self._problem)

    @property
    def agents(self) -> np.recarray[Any, Any]:
        """Agent data as a record array, in PyBLP's form."""
        return agents_table(self._problem)

    def __str__(self) -> str:
        """Print dimensions, formulations and true values."""
        return simulation_text(self, self._parameters)

    def __repr__(self) -> str:
        """Print as ``str`` does."""
        return str(self)


def _parsed(formulation: Formulation | None) -> ParsedFormula | None:
    return None if formulation is None else formulation.parsed
