"""The demand problem of PyBLP's vocabulary: data and formulations in, results out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from .. import options
from ..driver.choose import choose_engine
from ..driver.engine import Engine
from ..errors import Faults, InputError
from ..estimators.gmm import estimate_gmm
from ..estimators.gmm_options import GmmOptions
from ..estimators.optimizers.choose import OptimizerChoice
from ..model.parameters import TYPE_CODES, Parameters, lay_out
from ..moments.weighting import COVARIANCE_TYPES
from ..problem.agents import Agents, read_agents
from ..problem.demand_problem import DemandProblem, prepare_demand
from ..problem.fields import check_table, field_names
from ..problem.products import Products, read_products, warn_of_collinearity
from ..progress import Listener
from ..records import Floats
from ..results.estimates import GmmEstimates
from .formulation import Formulation
from .integration import Integration
from .iteration import Iteration
from .optimization import Optimization
from .printing import choose_listener
from .results import ProblemResults
from .starting_points import starting_points
from .structured_tables import agents_table, dimensions_text, products_table

BACKENDS = ("numba", "numpy", "cupy")
_CHOICES: dict[str, tuple[str, ...]] = {
    "method": ("1s", "2s"),
    "check_optimality": ("gradient", "both"),
    "error_behavior": ("revert", "punish", "raise"),
    "delta_behavior": ("anchor", "first", "last", "logit"),
    "fp_type": ("safe_linear", "linear", "safe_nonlinear", "nonlinear"),
    "W_type": COVARIANCE_TYPES,
    "se_type": COVARIANCE_TYPES,
    "backend": BACKENDS,
}


class Problem:
    """A demand problem of the Berry, Levinsohn and Pakes (1995) type.

    Parameters
    ----------
    product_formulations
        Formulation of X1, or a sequence of those of X1 and X2. X1 has linear
        coefficients and may absorb fixed effects; X2 has random coefficients.
    product_data
        Table with ``market_ids``, ``shares``, ``prices``, ``demand_instruments0``, …
        and what the formulations name; optionally ``firm_ids``, ``product_ids``,
        ``clustering_ids``. A DataFrame, a mapping of arrays or a structured array.
    agent_formulation
        Formulation of demographics.
    agent_data
        Table with ``market_ids``, ``weights``, ``nodes0``, … and demographics.
    integration
        Rule that builds nodes and weights instead of the data.
    rc_types
        ``"linear"``, ``"log"`` or ``"logit"`` for each random coefficient.
    epsilon_scale, costs_type
        PyBLP's defaults only.
    add_exogenous
        Whether columns of X1 without prices are added to the instruments.

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
        linear, random = _check_formulations(
            product_formulations, agent_formulation, integration
        )
        _check_scope(product_data, agent_data, epsilon_scale)
        del costs_type
        products = read_products(
            product_data,
            linear.parsed,
            random.parsed if random is not None else None,
            add_exogenous=add_exogenous,
            absorption=linear.controls,
        )
        warn_of_collinearity(products, options.collinear_atol, options.collinear_rtol)
        self.product_formulations = (linear, random, None)
        self.agent_formulation = agent_formulation
        self._agent_data = agent_data
        self._integration = integration
        agents = self._read_agents(products, agent_data, integration)
        types = _check_types(rc_types, products.X2.shape[1])
        self._demand = prepare_demand(products, agents, types)
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
        agents = other._read_agents(demand.products, other._agent_data, integration)
        other._demand = prepare_demand(demand.products, agents, demand.types)
        return other

    @property
    def demand(self) -> DemandProblem:
        """The frozen record behind the problem."""
        return self._demand

    @property
    def unique_market_ids(self) -> np.ndarray[Any, Any]:
        """Sorted market IDs, ``(T,)``."""
        return self._demand.products.unique_market_ids

    @property
    def rc_types(self) -> list[str]:
        """Types of random coefficients."""
        return list(self._demand.types)

    @property
    def N(self) -> int:
        """Number of products, all markets together."""
        return self._demand.n_products

    @property
    def T(self) -> int:
        """Number of markets."""
        return self._demand.n_markets

    @property
    def F(self) -> int:
        """Number of firms."""
        ids = self._demand.products.ids.get("firm_ids")
        return 0 if ids is None else len(set(ids.tolist()))

    @property
    def I(self) -> int:  # noqa: E743
        """Number of agents, all markets together."""
        return int(self._demand.agents.weights.size)

    @property
    def K1(self) -> int:
        """Number of linear characteristics."""
        return int(self._demand.products.X1.shape[1])

    @property
    def K2(self) -> int:
        """Number of characteristics with random coefficients."""
        return int(self._demand.products.X2.shape[1])

    @property
    def K3(self) -> int:
        """Number of cost characteristics, none here."""
        return 0

    @property
    def D(self) -> int:
        """Number of demographics."""
        return int(self._demand.agents.demographics.shape[1])

    @property
    def MD(self) -> int:
        """Number of demand-side instruments, exogenous characteristics included."""
        return int(self._demand.products.ZD.shape[1])

    @property
    def MS(self) -> int:
        """Number of supply-side instruments, none here."""
        return 0

    @property
    def MC(self) -> int:
        """Number of covariance instruments, none here."""
        return 0

    @property
    def ED(self) -> int:
        """Number of absorbed demand-side effects."""
        return len(self._demand.products.effects)

    @property
    def ES(self) -> int:
        """Number of absorbed supply-side effects, none here."""
        return 0

    @property
    def H(self) -> int:
        """Number of nests, none here."""
        return 0

    @cached_property
    def products(self) -> np.recarray[Any, Any]:
        """Product data as a record array, in PyBLP's form."""
        return products_table(self._demand)

    @cached_property
    def agents(self) -> np.recarray[Any, Any]:
        """Agent data as a record array, in PyBLP's form."""
        return agents_table(self._demand)

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
        micro_moments: Sequence[Any] = (),
        micro_sample_covariances: Any = None,
        resample_agent_data: Callable[[int], Mapping[str, Any] | None] | None = None,
        *,
        starts: Any = None,
        seed: int = 0,
        engine: Any = None,
        threads: int | None = None,
        backend: str = "numba",
        progress: Listener | None = None,
        blocks: int | None = None,
    ) -> ProblemResults:
        """Estimate the problem by GMM in one or two steps.

        Parameters
        ----------
        sigma, pi, beta
            Starting values of Σ ``(K2, K2)``, of which the lower triangle counts, Π
            ``(K2, D)`` and β ``(K1,)``. Zeros stay zero; None or NaN in β concentrates
            that parameter out of the objective.
        sigma_bounds, pi_bounds, beta_bounds
            Pairs (lower, upper) of matrices of those shapes; equal bounds fix a value.
        delta
            Mean utilities ``(N,)`` where the first inversions start.
        method
            ``"1s"`` or ``"2s"``.
        initial_update
            Whether W is updated at the starting values first.
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
        fp_type, shares_bounds, costs_bounds
            Accepted for PyBLP scripts: all its fixed points are one here, which neither
            overflows nor clips.
        W, center_moments, W_type, se_type
            First weighting matrix and how covariances of moments are estimated:
            ``"robust"``, ``"unadjusted"`` or ``"clustered"``.
        starts
            Number of starting points in all, or further points ``(S, P)``; the best
            minimum of the first step is kept, :meth:`ProblemResults.starts_frame`
            reports all.
        seed
            Of random starting points.
        engine, threads
            ``"threads"`` (where None) with that many threads, or ``"serial"``.
        backend
            ``"numba"``, ``"numpy"`` or ``"cupy"``.
        progress
            Function that is told of every evaluation and step.
        blocks
            Number of blocks that markets are cut into, chosen from the data where None.
        rho, phi, gamma, rho_bounds, phi_bounds, gamma_bounds, demand_moment_types, \
supply_moment_types, covariance_moments_mean, micro_moments, \
micro_sample_covariances, resample_agent_data
            Not part of this version; passing any is an error that says so.

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
        }
        absent = {
            "rho": rho,
            "phi": phi,
            "gamma": gamma,
            "rho_bounds": rho_bounds,
            "phi_bounds": phi_bounds,
            "gamma_bounds": gamma_bounds,
            "micro_moments": micro_moments or None,
            "micro_sample_covariances": micro_sample_covariances,
            "resample_agent_data": resample_agent_data,
        }
        types = {"demand": demand_moment_types, "supply": supply_moment_types}
        absent |= {f"{s}_moment_types": t for s, t in types.items() if t != "levels"}
        del shares_bounds, costs_bounds, covariance_moments_mean
        faults = Faults("solve")
        optimizer = _check_optimization(optimization, faults)
        iteration = _check_iteration(iteration, faults)
        _check_choices(named, faults)
        _check_absent(absent, faults)
        self._check_clusters(W_type, se_type, faults)
        weights = self._check_weights(W, faults)
        start_delta = self._check_delta(delta, faults)
        _check_numbers(error_punishment, threads, blocks, seed, faults)
        if progress is not None and not callable(progress):
            faults.add(
                f"progress of type {type(progress).__name__}",
                "a function that takes an event, or None",
                "pass a function, such as print",
            )
        parameters = self._lay_out(
            sigma, pi, beta, (sigma_bounds, pi_bounds, beta_bounds), optimizer, faults
        )
        chosen = _check_engine(engine, threads, faults)
        faults.check()
        assert parameters is not None and chosen is not None
        further = starting_points(starts, parameters, seed)
        listener = choose_listener(progress)
        run = estimate_gmm(
            self._demand,
            parameters,
            engine=chosen,
            optimizer=optimizer,
            options=GmmOptions(
                n_steps=int(method[0]),
                initial_update=bool(initial_update),
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
            ),
            W=weights,
            delta=start_delta,
            starts=further,
            listener=listener,
            n_blocks=blocks,
        )
        results = ProblemResults(run.steps, minima=run.minima, problem=self)
        if progress is None and options.verbose:
            options.verbose_output(f"\n{results}")
        return results

    def parameters_at(self, estimates: GmmEstimates) -> Parameters:
        """Lay the parameters out at estimates, every entry of Σ and Π free."""
        return lay_out(
            sigma=estimates.sigma,
            pi=estimates.pi,
            beta=estimates.beta,
            sigma_bounds=None,
            pi_bounds=None,
            beta_bounds=None,
            types=self._demand.types,
            n_node_columns=self._demand.agents.nodes.shape[1],
            sigma_labels=estimates.sigma_labels,
            pi_labels=estimates.pi_labels,
            beta_labels=estimates.beta_labels,
            bounded=False,
            default_bounds=False,
        )

    def _lay_out(
        self,
        sigma: Any,
        pi: Any,
        beta: Any,
        bounds: tuple[Any, Any, Any],
        optimizer: OptimizerChoice,
        faults: Faults,
    ) -> Parameters | None:
        """Lay θ out and check that there are instruments enough."""
        products, agents = self._demand.products, self._demand.agents
        try:
            parameters = lay_out(
                sigma=sigma,
                pi=pi,
                beta=beta,
                sigma_bounds=bounds[0],
                pi_bounds=bounds[1],
                beta_bounds=bounds[2],
                types=self._demand.types,
                n_node_columns=agents.nodes.shape[1],
                sigma_labels=[column.name for column in products.X2_columns],
                pi_labels=[column.name for column in agents.columns],
                beta_labels=[column.name for column in products.X1_columns],
                bounded=optimizer.supports_bounds,
                default_bounds=optimizer.bounds_by_default,
            )
        except InputError as error:
            faults.extend(error)
            return None
        total = parameters.size + int(parameters.concentrated.sum())
        if total > self.MD:
            faults.add(
                f"{self.MD} instruments for {total} parameters "
                f"({', '.join((*parameters.labels, *_concentrated(parameters)))})",
                "at least as many instruments as parameters",
                "add columns demand_instruments0, …, or fix parameters (zeros in sigma "
                "and pi, or equal bounds)",
            )
        return parameters

    def _check_clusters(self, W_type: str, se_type: str, faults: Faults) -> None:
        if "clustered" in (W_type, se_type) and self._demand.products.clusters is None:
            faults.add(
                "clustered W_type or se_type without clusters",
                "a column 'clustering_ids' in product_data",
                "add it, or use 'robust'",
            )

    def _check_weights(self, W: Any, faults: Faults) -> Floats | None:
        """Check a weighting matrix: shape, numbers, positive semi-definite."""
        if W is None:
            return None
        expected = f"a symmetric positive semi-definite {self.MD} by {self.MD} matrix"
        matrix = _as_array(W, "W", expected, faults)
        if matrix is None:
            return None
        matrix = np.atleast_2d(matrix)
        if matrix.shape != (self.MD, self.MD):
            faults.add(f"W of shape {matrix.shape}", expected, "pass W of that shape")
            return None
        if not np.isfinite(matrix).all():
            faults.add("W with NaN or infinite values", expected, "correct W")
            return None
        scale = max(1.0, float(np.abs(matrix).max()))
        lowest = float(np.linalg.eigvalsh((matrix + matrix.T) / 2).min())
        asymmetry = float(np.abs(matrix - matrix.T).max())
        tolerance = (options.psd_atol + options.psd_rtol) * scale
        if asymmetry > tolerance or lowest < -tolerance:
            faults.add(
                f"W with lowest eigenvalue {lowest:.3g} and asymmetry {asymmetry:.3g}",
                expected,
                "pass W = S⁻¹ of a covariance matrix S, such as results.updated_W",
            )
            return None
        return (matrix + matrix.T) / 2

    def _check_delta(self, delta: Any, faults: Faults) -> Floats | None:
        if delta is None:
            return None
        expected = f"{self.N} finite mean utilities"
        values = _as_array(delta, "delta", expected, faults)
        if values is None:
            return None
        values = values.ravel()
        bad = int((~np.isfinite(values)).sum())
        if values.size != self.N or bad:
            faults.add(
                f"delta of size {values.size}, {bad} not finite",
                f"{self.N} finite mean utilities, in the order of product_data",
                "pass results.delta, or leave delta out",
            )
            return None
        return values


def _check_formulations(
    product_formulations: Any, agent_formulation: Any, integration: Any
) -> tuple[Formulation, Formulation | None]:
    """Unpack formulations; all faults of their types at once."""
    faults = Faults("Problem")
    given = product_formulations
    if isinstance(given, Formulation):
        given = [given]
    if not isinstance(given, Sequence) or not 1 <= len(given) <= 3:
        faults.add(
            f"product_formulations of type {type(given).__name__}",
            "a Formulation of X1, or a pair of X1 and X2",
            "pass (Formulation('0 + prices'), Formulation('1 + prices'))",
        )
        faults.check()
    linear, random, supply = (*given, None, None)[:3]
    if supply is not None:
        faults.add(
            "a formulation of X3, the supply side",
            "X1 and X2: this version estimates demand only",
            "leave X3 out",
        )
    if not isinstance(linear, Formulation):
        faults.add(
            f"X1 of type {type(linear).__name__}", "a Formulation", "formulate X1"
        )
    for name, value, kind in (
        ("X2", random, Formulation),
        ("agent_formulation", agent_formulation, Formulation),
        ("integration", integration, Integration),
    ):
        if value is not None and not isinstance(value, kind):
            faults.add(
                f"{name} of type {type(value).__name__}",
                f"{kind.__name__} or None",
                f"wrap it: {kind.__name__}(…)",
            )
        if isinstance(value, Formulation) and value.absorb is not None:
            faults.add(
                f"absorb in {name}",
                "absorbed effects in X1 only",
                f"absorb effects in X1, or write them as dummies in {name}",
            )
    faults.check()
    return linear, random


def _check_scope(product_data: Any, agent_data: Any, epsilon_scale: float) -> None:
    """Refuse what would silently change the model if it were ignored."""
    for subject, data in (("product_data", product_data), ("agent_data", agent_data)):
        table_faults = Faults(subject)
        if subject == "product_data" or data is not None:
            check_table(data, table_faults)
        table_faults.check()
    faults = Faults("Problem")
    names = set(field_names(product_data))
    agent_names = set(field_names(agent_data)) if agent_data is not None else set()
    if names & {"nesting_ids", "nesting_ids0"}:
        faults.add(
            "a column 'nesting_ids'",
            "no nests: this version has no nested logit",
            "drop or rename the column",
        )
    if {n for n in agent_names if n.startswith("availability")}:
        faults.add(
            "columns 'availability…' of agents",
            "all products available to all agents in this version",
            "drop or rename the columns",
        )
    if epsilon_scale != 1:
        faults.add(f"epsilon_scale={epsilon_scale!r}", "1.0", "leave it out")
    faults.check()


def _check_types(rc_types: Sequence[str] | None, K2: int) -> tuple[str, ...]:
    types = tuple(rc_types) if rc_types is not None else ("linear",) * K2
    faults = Faults("rc_types")
    if len(types) != K2 or not set(types) <= set(TYPE_CODES):
        faults.add(
            f"rc_types={list(types)!r}",
            f"{K2} of {', '.join(map(repr, TYPE_CODES))}, one a column of X2",
            "correct rc_types or leave it out",
        )
    faults.check()
    return types


def _check_optimization(given: Any, faults: Faults) -> OptimizerChoice:
    if given is None:
        return Optimization("structured").choice
    if not isinstance(given, Optimization):
        faults.add(
            f"optimization of type {type(given).__name__}",
            "an Optimization or None",
            "wrap it: Optimization('bfgs')",
        )
        return Optimization("structured").choice
    return given.choice


def _check_engine(engine: Any, threads: Any, faults: Faults) -> Engine | None:
    """Choose the engine where the arguments allow it."""
    if threads is not None and not isinstance(threads, int):
        return None
    try:
        return choose_engine(engine, threads)
    except InputError as error:
        faults.extend(error)
        return None


def _check_iteration(given: Any, faults: Faults) -> Iteration:
    if given is None:
        return Iteration("newton")
    if not isinstance(given, Iteration):
        faults.add(
            f"iteration of type {type(given).__name__}",
            "an Iteration or None",
            "wrap it: Iteration('squarem')",
        )
        return Iteration("newton")
    return given


def _as_array(given: Any, name: str, expected: str, faults: Faults) -> Floats | None:
    """Read numbers; a fault where they are none."""
    try:
        return np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        faults.add(f"{name} that is not numeric", expected, f"pass numbers as {name}")
        return None


def _check_numbers(
    error_punishment: Any, threads: Any, blocks: Any, seed: Any, faults: Faults
) -> None:
    """Check arguments that are single numbers."""
    number = isinstance(error_punishment, int | float)
    if not number or not 0 <= error_punishment < np.inf:
        faults.add(
            f"error_punishment={error_punishment!r}", "a number >= 0", "correct it"
        )
    for name, value, least in (("threads", threads, 1), ("blocks", blocks, 1)):
        if value is not None and not (isinstance(value, int) and value >= least):
            faults.add(
                f"{name}={value!r}",
                "a whole number, at least 1, or None",
                f"correct {name} or leave it out",
            )
    if not (isinstance(seed, int | np.integer) and seed >= 0):
        faults.add(f"seed={seed!r}", "a whole number, not negative", "correct seed")


def _check_choices(named: Mapping[str, Any], faults: Faults) -> None:
    for name, value in named.items():
        if value not in _CHOICES[name]:
            faults.add(
                f"{name}={value!r}",
                f"one of {', '.join(map(repr, _CHOICES[name]))}",
                f"correct {name}",
            )


def _check_absent(absent: Mapping[str, Any], faults: Faults) -> None:
    for name, value in absent.items():
        if value is not None:
            faults.add(
                f"{name}",
                "demand without nests, supply or micro moments in this version",
                f"leave {name} out",
            )


def _concentrated(parameters: Parameters) -> list[str]:
    flags = parameters.concentrated
    return [n for n, c in zip(parameters.beta_labels, flags, strict=True) if c]
