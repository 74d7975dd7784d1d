"""The demand problem of PyBLP's vocabulary: data and formulations in, results out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import options
from ..driver.engine import Engine
from ..errors import Faults, InputError
from ..estimators.gmm import estimate_gmm
from ..estimators.gmm_options import GmmOptions
from ..estimators.optimizers.choose import OptimizerChoice
from ..estimators.simulation_error import Resampling
from ..integration.rules import Rule
from ..model.parameters import Parameters
from ..moments.simulation_error import Scaling
from ..problem.agents import Agents, read_agents
from ..problem.autocorrelated import prepare_autocorrelated
from ..problem.demand_problem import DemandProblem, Survey, prepare_demand
from ..problem.instruments import with_excluded
from ..problem.prepared import PreparedDemand
from ..problem.products import Products, read_products, warn_of_collinearity
from ..problem.stored_problem import StoredProblem
from ..progress import Listener
from ..results.estimates import GmmEstimates
from ..results.micro_table import micro_table
from .covariance_checks import (
    check_covariance_mean,
    check_covariance_options,
    check_linear_instruments,
)
from .dimensions import Dimensions
from .formulation import Formulation
from .integration import Integration
from .iteration import Iteration
from .micro import MicroMoment
from .micro_limits import read_limits
from .micro_setup import MicroMoments, check_micro, check_micro_use
from .micro_tables import market_tables
from .moment_types import check_identified, check_moment_types
from .optimization import Optimization
from .optimization_progress import watched
from .printing import choose_listener
from .problem_checks import (
    check_costs_type,
    check_formulations,
    check_instruments,
    check_scale,
    check_tables,
    check_types,
)
from .recorded import check_directory, contents_of, recorded
from .resamples import (
    Resamples,
    check_resampling,
    kept_in,
    named_by,
    warn_of_clusters,
)
from .results import ProblemResults
from .solve_checks import (
    check_choices,
    check_clusters,
    check_costs,
    check_delta,
    check_engine,
    check_initial_update,
    check_iteration,
    check_method,
    check_numbers,
    check_optimization,
    check_weights,
)
from .starting_points import starting_points
from .stored import in_memory, stored_problem, stored_resampling
from .stored_micro import survey_store
from .stores import Store, described
from .structured_tables import agents_table, dimensions_text, products_table

if TYPE_CHECKING:
    from ..analysis.first_stage import FirstStages
    from ..analysis.iia import IIARegression
    from ..results.test_statistic import TestStatistic


class Problem(Dimensions):
    """A problem of the Berry, Levinsohn and Pakes (1995) type: demand, and supply.

    Parameters
    ----------
    product_formulations
        Formulation of X1, or a sequence of those of X1, X2 and X3. X1 has linear
        coefficients and may absorb fixed effects; X2 has random coefficients; X3 shifts
        marginal costs, may absorb fixed effects too, and makes for a supply side.
    product_data
        Table with ``market_ids``, ``shares``, ``prices``, ``demand_instruments0``, …
        and what the formulations name; optionally ``firm_ids``, ``product_ids``,
        ``clustering_ids`` (``clustering_ids0``, ``clustering_ids1``, … for clusters in
        several ways), for nests ``nesting_ids``, and for autocorrelated errors
        ``lag_indices``: the row, counted from zero, that each row follows, its own in a
        first period; for a supply side ``firm_ids`` or ``ownership``,
        ``supply_instruments0``, …, and, where products of both sides' errors are
        moments, ``covariance_instruments0``, …. A DataFrame, a mapping of arrays or a
        structured array; or a :class:`blpdask.Store` of products and agents, whose rows
        stay where they are.
    agent_formulation
        Formulation of demographics.
    agent_data
        Table with ``market_ids``, ``weights``, ``nodes0``, … and demographics, of which
        a variable may be columns ``name0``, ``name1``, …, one a product of the market;
        ``availability0``, …, one a product of the market in its order, say how far each
        is there for an agent; ``type_ids`` say of which type an agent is, for
        ``type_shares`` of :meth:`solve`.
    integration
        Rule that builds nodes and weights instead of the data. On a store each market
        has a stream of its own (:mod:`blpdask.integration.keyed`); in memory one stream
        runs through the markets, as in PyBLP.
    rc_types
        ``"linear"``, ``"log"`` or ``"logit"`` for each random coefficient.
    epsilon_scale
        Scale of the extreme-value errors.
    costs_type
        ``"linear"`` or ``"log"``: whether costs or their logarithms are linear in X3.
    add_exogenous
        Whether columns of X1 without prices, and of X3 without shares, are added to the
        instruments.

    Raises
    ------
    InputError
        With every fault of the products, or of the agents.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> data = {
    ...     "market_ids": np.repeat(np.arange(50), 4),
    ...     "shares": np.full(200, 0.1) * np.exp(0.1 * rng.normal(size=200)),
    ...     "prices": rng.uniform(1, 2, size=200),
    ...     "demand_instruments0": rng.normal(size=200),
    ... }
    >>> problem = Problem(Formulation("1 + prices"), data)
    >>> problem.N, problem.T, problem.MD
    (200, 50, 2)
    """

    def __init__(
        self,
        product_formulations: Formulation | Sequence[Formulation | None],
        product_data: Any,
        agent_formulation: Formulation | None = None,
        agent_data: Any = None,
        integration: Integration | None = None,
        rc_types: Sequence[str] | None = None,
        epsilon_scale: float = 1.0,
        costs_type: str = "linear",
        add_exogenous: bool = True,
    ) -> None:
        """Read and check the data, and do once what θ does not change."""
        linear, random, cost = check_formulations(
            product_formulations, agent_formulation, integration
        )
        self.costs_type = check_costs_type(costs_type)
        self.product_formulations = (linear, random, cost)
        self.agent_formulation = agent_formulation
        self._agent_data = agent_data
        self._integration = integration
        if isinstance(product_data, Store):
            self._demand = stored_problem(
                product_data,
                (linear, random, cost, agent_formulation),
                agent_data=agent_data,
                integration=integration,
                rc_types=rc_types,
                epsilon_scale=epsilon_scale,
                add_exogenous=add_exogenous,
            )
            self._tell()
            return
        check_tables(product_data, agent_data)
        products = read_products(
            product_data,
            linear.parsed,
            random.parsed if random is not None else None,
            cost.parsed if cost is not None else None,
            add_exogenous=add_exogenous,
            absorption=linear.controls,
            cost_absorption=cost.controls if cost is not None else None,
        )
        warn_of_collinearity(products, options.collinear_atol, options.collinear_rtol)
        agents = self._read_agents(products, agent_data, integration)
        types = check_types(rc_types, products.X2.shape[1])
        scale = check_scale(epsilon_scale, nests=products.nests is not None)
        self._demand = prepare_demand(products, agents, types, scale)
        self._tell()

    def _tell(self) -> None:
        """Print the problem where options say so."""
        if options.verbose:
            options.verbose_output(f"{self}\n")

    def _read_agents(
        self, products: Products, agent_data: Any, integration: Integration | None
    ) -> Agents:
        """Read agents by this problem's formulation of demographics."""
        formulation = self.agent_formulation
        return read_agents(
            agent_data,
            formulation.parsed if formulation is not None else None,
            integration.rule if integration is not None else None,
            unique_market_ids=products.unique_market_ids,
            product_counts=np.bincount(products.market_codes),
            K2=products.X2.shape[1],
            weights_tol=options.weights_tol,
        )

    def with_agents(
        self, agent_data: Any = None, integration: Integration | None = None
    ) -> Problem:
        """Give the same problem other agents.

        Parameters
        ----------
        agent_data
            Table as in :class:`Problem`; this problem's where None.
        integration
            Rule that builds nodes and weights instead of the data.
        """
        other = copy.copy(self)
        other.__dict__.pop("agents", None)
        other._agent_data = self._agent_data if agent_data is None else agent_data
        other._integration = integration
        demand = self._demand
        if isinstance(demand, StoredProblem):
            if agent_data is not None:
                in_memory(demand, "other agent_data")
            other._demand = demand.with_nodes(described(integration))
            return other
        agents = other._read_agents(demand.products, other._agent_data, integration)
        other._demand = prepare_demand(
            demand.products, agents, demand.types, demand.epsilon_scale
        )
        return other

    def with_read(self, agents: Agents, *, drawn: bool = True) -> Problem:
        """Give the same problem, in memory, agents that were read already.

        Parameters
        ----------
        agents
            Agents, such as some of this problem's.
        drawn
            Whether this problem's rule would draw such agents, if it has one.
        """
        other = copy.copy(self)
        other._integration = self._integration if drawn else None
        other.__dict__.pop("agents", None)
        demand = in_memory(self._demand, "other agents")
        other._demand = prepare_demand(
            demand.products, agents, demand.types, demand.epsilon_scale
        )
        return other

    @property
    def given_agents(self) -> Any:
        """The table that agents are the rows of, None where a rule built them."""
        return self._agent_data if self._integration is None else None

    @property
    def agent_table(self) -> Any:
        """The table of agents, or of demographics alone; None where there is none."""
        return self._agent_data

    @property
    def integration_rule(self) -> Rule | None:
        """The rule that nodes come from, None where they are data."""
        return None if self._integration is None else self._integration.rule

    def with_instruments(
        self, demand_instruments: Any, supply_instruments: Any = None
    ) -> Problem:
        """Give the same problem other excluded instruments.

        Columns of X1 without prices and of X3 without shares are added to them, and
        effects are absorbed.

        Parameters
        ----------
        demand_instruments, supply_instruments
            ``(N, Q)`` each; None leaves those of supply as they are.

        Raises
        ------
        BlpdaskError
            Where the data are in a store.
        InputError
            With every fault of the arguments.
        """
        demand = in_memory(self._demand, "other instruments")
        excluded = check_instruments(
            demand_instruments, supply_instruments, self.N, supply_side=self.K3 > 0
        )
        other = copy.copy(self)
        other.__dict__.pop("products", None)
        other._demand = with_excluded(demand, *excluded)
        atol, rtol = options.collinear_atol, options.collinear_rtol
        warn_of_collinearity(other._demand.products, atol, rtol)
        other._tell()
        return other

    @property
    def demand(self) -> DemandProblem | StoredProblem:
        """The record behind the problem."""
        return self._demand

    def prepare(
        self,
        engine: Engine,
        listener: Listener,
        blocks: int | None = None,
        directory: Path | None = None,
        survey: Survey | None = None,
    ) -> PreparedDemand:
        """Give an estimator what it knows of the problem.

        Parameters
        ----------
        engine
            Where a store's blocks are read and summed.
        listener
            Told of passes over a store.
        blocks
            Number of blocks of data in memory, chosen from the data where None.
        directory
            Of a recording, where sums over a store are read if they are kept there.
        survey
            Gives blocks of data in memory what surveys ask of them.
        """
        if isinstance(self._demand, StoredProblem):
            return self._demand.prepare(engine, listener, directory)
        return self._demand.prepare(blocks, survey)

    @cached_property
    def products(self) -> np.recarray[Any, Any]:
        """Product data as a record array, in PyBLP's form."""
        return products_table(in_memory(self._demand, "the table of products"))

    @cached_property
    def agents(self) -> np.recarray[Any, Any]:
        """Agent data as a record array, in PyBLP's form."""
        return agents_table(in_memory(self._demand, "the table of agents"))

    def __str__(self) -> str:
        """Print dimensions and formulations."""
        return dimensions_text(self)

    def __repr__(self) -> str:
        """Print as ``str`` does."""
        return str(self)

    def solve(
        self,
        sigma: Any = None,
        pi: Any = None,
        rho: Any = None,
        phi: Any = None,
        beta: Any = None,
        gamma: Any = None,
        sigma_bounds: Any = None,
        pi_bounds: Any = None,
        rho_bounds: Any = None,
        phi_bounds: Any = None,
        beta_bounds: Any = None,
        gamma_bounds: Any = None,
        delta: Any = None,
        method: str = "2s",
        initial_update: bool | None = None,
        optimization: Optimization | None = None,
        scale_objective: bool = True,
        check_optimality: str = "both",
        finite_differences: bool = False,
        error_behavior: str = "revert",
        error_punishment: float = 1,
        delta_behavior: str = "anchor",
        iteration: Iteration | None = None,
        fp_type: str = "safe_linear",
        shares_bounds: Any = None,
        costs_bounds: Any = None,
        W: Any = None,
        center_moments: bool = True,
        W_type: str = "robust",
        se_type: str = "robust",
        demand_moment_types: Any = "levels",
        supply_moment_types: Any = "levels",
        covariance_moments_mean: float = 0,
        micro_moments: Sequence[MicroMoment] = (),
        micro_sample_covariances: Any = None,
        resample_agent_data: Callable[[int], Mapping[str, Any] | None]
        | Resamples
        | None = None,
        *,
        starts: Any = None,
        seed: int = 0,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
        progress: Listener | None = None,
        blocks: int | None = None,
        simulation_scaling: Scaling = "moments",
        resume: Any = None,
        max_steps: int = 100,
        steps_tol: float = 1e-6,
        type_shares: Any = None,
        type_shares_bounds: Any = None,
    ) -> ProblemResults:
        """Estimate the problem by GMM.

        Parameters
        ----------
        sigma, pi, rho, phi, beta, gamma
            Starting values of Σ ``(K2, K2)``, of which the lower triangle counts, Π
            ``(K2, D)``, ρ (one number for all nests or ``(H,)``), φ (one number, with a
            supply side ``(2, 2)`` of ξ and ω; where there are ``lag_indices``), β
            ``(K1,)`` and γ ``(K3,)``. Zeros stay zero; None or NaN in β or γ
            concentrates that parameter out of the objective, which with a supply side
            those on prices cannot be.
        sigma_bounds, pi_bounds, rho_bounds, phi_bounds, beta_bounds, gamma_bounds
            Pairs (lower, upper) of matrices of those shapes; equal bounds fix a value.
            ρ stays between 0 and 0.99 by default where the optimiser keeps to bounds.
        delta
            Mean utilities ``(N,)`` where the first inversions start.
        method
            ``"1s"`` or ``"2s"``; ``"iterated"``, steps until weights and estimates are
            those of the step before; or ``"cue"``, continuously updated weights
            (Hansen, Heaton and Yaron 1996) from the estimates of one step.
        initial_update
            Whether W is updated at the starting values first; where None, it is if
            there are micro moments and no W.
        optimization
            How to minimise, ``Optimization("structured")`` where None.
        scale_objective
            Whether the objective is multiplied by N.
        check_optimality
            ``"both"`` computes the Hessian after each step, ``"gradient"`` does not.
        finite_differences
            Whether ∂δ/∂θ comes from central differences.
        error_behavior, error_punishment
            What an evaluation with failed markets does: ``"revert"``, ``"punish"`` or
            ``"raise"``.
        delta_behavior
            Where inversions start: ``"anchor"`` (prediction from the last accepted
            evaluation), or PyBLP's ``"first"``, ``"last"``, ``"logit"``.
        iteration
            How shares are inverted, ``Iteration("newton")`` where None.
        costs_bounds
            Pair (lower, upper) that marginal costs are set to where they are beyond.
        fp_type, shares_bounds
            Accepted for PyBLP scripts: all its fixed points are one here, which neither
            overflows nor clips.
        W, center_moments, W_type, se_type
            First weighting matrix and how covariances of moments are estimated:
            ``"robust"``, ``"unadjusted"`` or ``"clustered"``, by the columns
            ``clustering_ids``, ``clustering_ids0``, ``clustering_ids1``, …, in as many
            ways (Cameron, Gelbach and Miller 2011). In several ways there can be
            negative eigenvalues: a warning says so, and ``"clustered_psd"`` sets them
            to zero.
        micro_moments
            Moments of surveys, :class:`blpdask.MicroMoment`, which follow those of
            demand and supply in ḡ and W. Their functions are called once a market, not
            once an evaluation; on a store where its block is loaded, in any process or
            thread, and again where a process has no room to keep what they gave, and
            without ``X1`` or ``X3`` where effects are absorbed from it. ``method`` is
            not ``"cue"``.
        micro_sample_covariances
            ``(MM, MM)`` covariances of the observed values; the model's where None.
        starts
            Number of starting points in all, or further points ``(S, P)``; the best
            minimum of the first step is kept, :meth:`ProblemResults.starts_frame`
            reports all.
        seed
            Of random starting points.
        engine, threads
            Where blocks are worked on, which never changes the numbers: ``None``, the
            active Dask client if there is one, else as many ``threads`` of this
            process as said, by default one a core; ``"serial"``; ``"threads"``;
            ``"dask"``, the active client; a ``distributed.Client``; or the address of
            a scheduler, such as ``"tcp://host:8786"``.
        backend
            ``"numba"``, ``"numpy"`` or ``"cupy"``.
        progress
            Function that is told of every evaluation and step.
        blocks
            Number of blocks that markets are cut into, chosen from the data where None.
        resample_agent_data
            How agents are redrawn at the end of each step, so that weights and standard
            errors account for simulation error: a :class:`Resamples`, or a function
            that gives a table for 0, 1, … and then None.
        simulation_scaling
            ``"moments"`` adds N times the covariance of ḡ over resamples to S, with θ
            and β at their estimates; ``"pyblp"`` adds what PyBLP does, without N and
            with β concentrated out again (:mod:`blpdask.moments.simulation_error`).
        resume
            Directory in which every sum over blocks is recorded as it is computed. When
            the same call is made again, after a kill say, it replays what is recorded
            there and goes on, with the same bits; a call that had finished replays all
            of it in a moment. Other data or options than those recorded are an error.
            Threads and engine may differ. Replicates of :class:`Resamples` are kept
            there too, and levels of absorbed effects where the data are in a store.
            None records nothing.
        max_steps, steps_tol
            How many steps ``"iterated"`` takes at most, and the change of weights and
            estimates at which they end (:mod:`blpdask.estimators.iterated`).
        type_shares, type_shares_bounds
            Starting values of the shares λ ``(R,)`` of agents' types in market shares,
            in the order of sorted ``type_ids``, which sum to one, and a pair of bounds;
            zeros stay zero, equal bounds fix a share. Weights are then divided by their
            sum over each type in each market. All shares that are estimated but the
            last are in θ, after ρ, from 0.001 to 0.999 by default where the optimiser
            keeps to bounds; the last is what the others leave, and where that is
            negative an evaluation fails. Where None weights are used as they are.
        demand_moment_types, supply_moment_types
            What moments of demand, and of supply, are of: ``"levels"`` ξ_j z_j;
            ``"innovations"`` of autocorrelated errors, ξ_j - φ ξ_l(j) in ξ's place;
            ``"differenced_innovations"``, these less those a period before; or several,
            as pairs of a type and of how many columns of instruments it has, in order
            (:mod:`blpdask.moments.lags`). Excluded instruments come first, then
            exogenous characteristics. Data must be in memory, without absorbed effects.
        covariance_moments_mean
            m of the moments E[(ξω - m) Z_C] = 0 that follow those of demand and supply
            where there are ``covariance_instruments``. As in PyBLP, what is
            concentrated out of β and γ ignores them; standard errors know that.

        Returns
        -------
        ProblemResults
            Results of the last step.

        Raises
        ------
        InputError
            With every fault of the arguments.
        NumericalError
            Where a computation fails and ``error_behavior`` is ``"raise"``.
        StoreError
            Where the recording in ``resume`` is in use, damaged or of something else.
        """
        named = {
            "method": method,
            "check_optimality": check_optimality,
            "error_behavior": error_behavior,
            "delta_behavior": delta_behavior,
            "fp_type": fp_type,
            "W_type": W_type,
            "se_type": se_type,
            "backend": backend,
            "simulation_scaling": simulation_scaling,
        }
        del shares_bounds
        faults = Faults("solve")
        optimizer = check_optimization(optimization, faults)
        iteration = check_iteration(iteration, faults)
        check_choices(named, faults)
        covariance_mean = check_covariance_mean(self, covariance_moments_mean, faults)
        check_covariance_options(
            self,
            faults,
            finite_differences=bool(finite_differences),
            resampling=resample_agent_data is not None,
        )
        check_clusters(self.outline.has_clusters, W_type, se_type, faults)
        steps = check_method(
            method,
            max_steps,
            steps_tol,
            W_type,
            faults,
            finite_differences=bool(finite_differences),
            resampling=resample_agent_data is not None,
        )
        types = check_moment_types(
            (demand_moment_types, supply_moment_types),
            self.outline,
            {
                "method='cue'": method == "cue",
                "resample_agent_data": resample_agent_data is not None,
                "covariance_instruments": self.MC > 0,
            },
            faults,
        )
        if blocks is not None and isinstance(self._demand, StoredProblem):
            faults.add(
                f"blocks={blocks!r} although the data are in a store",
                "None: the blocks of a store are cut when it is built",
                "leave blocks out, or build the store with blocks=",
            )
        micro = self._check_micro(
            micro_moments,
            micro_sample_covariances,
            faults,
            method=method,
            resampling=resample_agent_data is not None,
            typed=type_shares is not None,
        )
        MM = len(micro_moments) if isinstance(micro_moments, Sequence) else 0
        weights = check_weights(W, self.MD + self.MS + self.MC + MM, faults)
        update = check_initial_update(
            initial_update, faults, micro=MM > 0, weighted=W is not None
        )
        start_delta = check_delta(delta, self.N, faults)
        check_numbers(error_punishment, threads, blocks, seed, faults)
        if progress is not None and not callable(progress):
            faults.add(
                f"progress of type {type(progress).__name__}",
                "a function that takes an event, or None",
                "pass a function, such as print",
            )
        parameters = self._lay_out(
            optimizer,
            faults,
            MM,
            sigma=sigma,
            pi=pi,
            rho=rho,
            phi=phi,
            beta=beta,
            gamma=gamma,
            sigma_bounds=sigma_bounds,
            pi_bounds=pi_bounds,
            rho_bounds=rho_bounds,
            phi_bounds=phi_bounds,
            beta_bounds=beta_bounds,
            gamma_bounds=gamma_bounds,
            type_shares=type_shares,
            type_shares_bounds=type_shares_bounds,
        )
        if parameters is not None:
            check_identified(parameters, types, faults)
        rule = check_costs(self.costs_type, costs_bounds, faults)
        chosen = check_engine(engine, threads, faults)
        directory = check_directory(resume, faults)
        redrawn = kept_in(resample_agent_data, directory)
        resampling = self._resampling(redrawn, simulation_scaling, faults)
        faults.check()
        assert parameters is not None and chosen is not None
        further = starting_points(starts, parameters, seed)
        listener = choose_listener(progress)
        how = GmmOptions(
            **steps,
            initial_update=update,
            scale_objective=bool(scale_objective),
            check_optimality=check_optimality,  # type: ignore[arg-type]
            finite_differences=bool(finite_differences),
            error_behavior=error_behavior,  # type: ignore[arg-type]
            error_punishment=float(error_punishment),
            delta_behavior=delta_behavior,  # type: ignore[arg-type]
            center_moments=bool(center_moments),
            W_type=W_type,  # type: ignore[arg-type]
            se_type=se_type,  # type: ignore[arg-type]
            backend=backend,
            controls=iteration.controls(options.scratch_bytes),
            iterate=iteration.iterate(),
            epsilon=float(options.finite_differences_epsilon),
            costs=rule,
            covariance_mean=covariance_mean,
        )
        survey = None if micro is None else self._survey(micro, parameters)
        if types is None:
            prepared = self.prepare(chosen, listener, blocks, directory, survey)
        else:
            demand = in_memory(self._demand, "moments of innovations")
            prepared = prepare_autocorrelated(demand, types, blocks, survey)
        if micro is not None and isinstance(self._demand, StoredProblem):
            prepared = survey_store(
                prepared, self._demand, micro, parameters, chosen, listener
            )
        if resampling is not None:
            warn_of_clusters(prepared, (W_type, se_type))
        settings = {
            "parameters": parameters,
            "options": how,
            "optimization": optimizer,
            "iteration": iteration,
            "weights and starts": (weights, start_delta, list(further)),
            "resampling": named_by(resampling),
        }
        if prepared.quasi is not None:
            settings["moments and lags"] = types, prepared.quasi.lags
        wrap = partial(
            ProblemResults,
            problem=self,
            micro_moments=() if micro is None else micro.describe(),
        )
        asked: dict[str, Any] = {}
        if micro is not None:
            asked["micro"] = micro.setup
            settings["micro moments"] = micro.contents
        known = partial(contents_of, prepared)
        with recorded(chosen, directory, known, settings, listener) as recording:
            # Only now is the directory known to be this estimation's.
            if directory is not None and isinstance(self._demand, StoredProblem):
                self._demand.keep(directory)
            run = estimate_gmm(
                prepared,
                parameters,
                engine=recording,
                optimizer=watched(optimizer, self, lambda step: wrap([step])),
                options=how,
                W=weights,
                delta=None
                if start_delta is None
                else self._demand.in_market_order(start_delta),
                starts=further,
                listener=listener,
                resampling=resampling,
                **asked,
            )
        results = wrap(run.steps, minima=run.minima)
        if progress is None and options.verbose:
            options.verbose_output(f"\n{results}")
        return results

    def compute_first_stage(self) -> FirstStages:
        """Compute how strong the instruments of endogenous columns of X1 are.

        Those are the columns that depend on prices; statistics, among them F, partial
        R², conditional and effective F, are net of the other columns of X1 and of
        absorbed effects, by clusters where the problem has them
        (:mod:`blpdask.analysis.first_stage`).

        Raises
        ------
        BlpdaskError
            Where the data are in a store.
        InputError
            Where there is nothing to instrument, or too little to instrument it with.
        """
        from .first_stage import compute_first_stage

        return compute_first_stage(self)

    def compute_iia_regression(
        self, instruments: Any = None, se_type: str | None = None
    ) -> IIARegression:
        """Regress the plain logit's mean utilities on distances from other products.

        Parameters
        ----------
        instruments
            ``(N, Q)`` what should not matter under independence of irrelevant
            alternatives, as ``build_differentiation_instruments`` makes it; where None,
            quadratic differentiation instruments in the characteristics of X2, or of X1
            without X2, predicted prices in place of prices.
        se_type
            ``"robust"``, ``"clustered"`` or ``"unadjusted"``; where None, clustered
            where the problem has clusters, else robust.

        Raises
        ------
        BlpdaskError
            Where the data are in a store.
        InputError
            With every fault of the arguments.
        """
        from .iia import compute_iia_regression

        return compute_iia_regression(self, instruments, se_type)

    def run_iia_test(
        self, instruments: Any = None, se_type: str | None = None
    ) -> TestStatistic:
        """Test independence of irrelevant alternatives (Gandhi and Houde 2019).

        The Wald statistic of the regression that :meth:`compute_iia_regression` gives,
        with the same arguments.
        """
        return self.compute_iia_regression(instruments, se_type).test

    def parameters_at(self, estimates: GmmEstimates) -> Parameters:
        """Lay the parameters out at estimates, every entry of Σ and Π free."""
        return self.outline.lay_out(
            sigma=estimates.sigma,
            pi=estimates.pi,
            rho=estimates.rho if estimates.rho.size else None,
            type_shares=estimates.type_shares,
            phi=estimates.phi if estimates.phi.size else None,
            beta=estimates.beta,
            gamma=estimates.gamma,
            bounded=False,
            default_bounds=False,
        )

    def _resampling(
        self, given: Any, scaling: Scaling, faults: Faults
    ) -> Resampling | None:
        """Turn what the user says about resampling into what an estimator does."""
        demand = self._demand
        if isinstance(demand, StoredProblem):
            return stored_resampling(given, scaling, demand, faults)
        return check_resampling(
            given,
            scaling,
            rule=self.integration_rule,
            agents=demand.agents,
            read=partial(self._read_agents, demand.products, integration=None),
            faults=faults,
        )

    def _check_micro(
        self,
        moments: Any,
        sample_covariances: Any,
        faults: Faults,
        *,
        method: str,
        resampling: bool,
        typed: bool,
    ) -> MicroMoments | None:
        """Check micro moments; None without any, or with faults."""
        demand, n_ids = self._demand, 0
        if isinstance(demand, StoredProblem):
            n_ids = demand.n_product_ids
        else:
            product_ids = demand.products.ids.get("product_ids")
            n_ids = 0 if product_ids is None else product_ids.shape[1]
        ids = self.outline.market_ids
        micro = check_micro(moments, sample_covariances, ids, n_ids, faults)
        if micro is not None:
            check_micro_use(
                faults,
                random=self.K2 > 0,
                continuous=method == "cue",
                resampling=resampling,
                typed=typed,
            )
        return micro

    def _survey(self, micro: MicroMoments, parameters: Parameters) -> Survey | None:
        """Give what evaluates functions of micro moments on blocks in memory."""
        if options.verbose:
            table = micro_table(micro.describe(), digits=options.digits)
            options.verbose_output(f"\n{table}\n")
        demand = self._demand
        if isinstance(demand, StoredProblem):
            return None
        markets = market_tables(demand, parameters, self.given_agents)
        return partial(micro.survey, markets=markets, limits=read_limits())

    def _lay_out(
        self,
        optimizer: OptimizerChoice,
        faults: Faults,
        n_micro: int = 0,
        **values: Any,
    ) -> Parameters | None:
        """Lay θ out and check that there are instruments enough."""
        try:
            parameters = self.outline.lay_out(
                **values,
                bounded=optimizer.supports_bounds,
                default_bounds=optimizer.bounds_by_default,
            )
        except InputError as error:
            faults.extend(error)
            return None
        total = parameters.size + int(parameters.concentrated.sum())
        M = self.MD + self.MS + self.MC
        if total > M + n_micro:
            beside = f" and {n_micro} micro moments" if n_micro else ""
            faults.add(
                f"{M} instruments{beside} for {total} parameters "
                f"({', '.join((*parameters.labels, *_concentrated(parameters)))})",
                "at least as many instruments as parameters",
                "add columns demand_instruments0, …, or fix parameters (zeros in sigma "
                "and pi, or equal bounds)",
            )
        check_linear_instruments(self, parameters, faults)
        return parameters


def _concentrated(parameters: Parameters) -> list[str]:
    flags = parameters.concentrated
    return [n for n, c in zip(parameters.linear_labels, flags, strict=True) if c]
