"""Which options a job has, what each one means, and what it is when left out.

A job is a file that says everything that the Python interface can be told, users' own
functions aside; the names are those of Conlon and Gortmaker's PyBLP (2020). The
docstring under each option is what ``blpdask options`` prints.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from .conduct import ConductOptions
from .counterfactuals import CounterfactualOptions, Name
from .fields import (
    Flag,
    Matrix,
    Memory,
    MomentTypes,
    Number,
    Options,
    Starts,
    Text,
    Whole,
)
from .merger import MergerOptions
from .micro import MicroOptions
from .simulated import SimulatedSource

OptimizationMethod = Literal[
    "structured",
    "nl2sol",
    "l-bfgs-b",
    "bfgs",
    "slsqp",
    "tnc",
    "trust-constr",
    "cg",
    "newton-cg",
    "nelder-mead",
    "powell",
    "return",
]
IterationMethod = Literal[
    "newton",
    "simple",
    "squarem",
    "broyden1",
    "broyden2",
    "anderson",
    "krylov",
    "diagbroyden",
    "df-sane",
    "hybr",
    "lm",
    "return",
]
IntegrationRule = Literal[
    "monte_carlo",
    "halton",
    "lhs",
    "mlhs",
    "sobol",
    "product",
    "nested_product",
    "grid",
    "nested_grid",
    "trapezoid",
]
ErrorType = Literal["robust", "clustered", "unadjusted", "clustered_psd"]


class TableSource(Options):
    """Where one table comes from."""

    source: Text = Field(min_length=1)
    """A path to a .csv or .parquet file, relative to the job file, or pyblp:NAME for
    example data of an installed PyBLP, say pyblp:NEVO_PRODUCTS_LOCATION."""


class DataOptions(Options):
    """Where products and agents come from: tables, a store, or a simulated truth."""

    products: TableSource | None = None
    """Table of products: market_ids, shares, prices, demand_instruments0, ..."""
    agents: TableSource | None = None
    """Table of agents: market_ids, weights, nodes0, ... and demographics."""
    simulated: SimulatedSource | None = None
    """Markets drawn from a known truth, in place of the two tables."""
    store: Text | None = Field(default=None, min_length=1)
    """A store of products and agents in place of the two tables, say stores/nevo: a
    directory that 'blpdask store' wrote, relative to the job file. Data in a store are
    read block by block, where they are worked on, and never held whole."""


class Formulations(Options):
    """Formulas; each is read, never run."""

    linear: Text
    """X1, characteristics with linear coefficients, say "0 + prices"."""
    absorb: Text | None = None
    """Fixed effects to absorb into X1, say "C(product_ids)"."""
    random: Text | None = None
    """X2, characteristics with random coefficients, say "1 + prices + sugar"."""
    supply: Text | None = None
    """X3, characteristics of marginal costs, say "1 + log(hpwt)"; left out, there is no
    supply side."""
    absorb_supply: Text | None = None
    """Fixed effects to absorb into X3."""
    demographics: Text | None = None
    """Demographics of agents, say "0 + income + age"."""


class IntegrationOptions(Options):
    """How to build nodes and weights where the agents' table has none."""

    specification: IntegrationRule
    """Rule that draws or places the nodes."""
    size: Whole = Field(ge=1)
    """Draws per market, or level of exactness of a quadrature rule."""
    specification_options: dict[Text, Any] = Field(default_factory=dict)
    """Options of the rule, say seed; by default the job's own seed."""


class Bound(Options):
    """Bounds on one matrix of parameters."""

    lower: Matrix | None = None
    """Matrix of lower bounds, null for none; one number bounds every parameter."""
    upper: Matrix | None = None
    """Matrix of upper bounds, null for none; one number bounds every parameter."""


class Bounds(Options):
    """Bounds on parameters, by matrix; left out, they are the optimiser's own."""

    sigma: Bound | None = None
    """Bounds on Sigma."""
    pi: Bound | None = None
    """Bounds on Pi."""
    rho: Bound | None = None
    """Bounds on nesting parameters."""
    type_shares: Bound | None = None
    """Bounds on shares of agents' types; equal bounds fix a share."""
    phi: Bound | None = None
    """Bounds on autocorrelations."""
    beta: Bound | None = None
    """Bounds on demand-side linear parameters."""
    gamma: Bound | None = None
    """Bounds on supply-side linear parameters."""


class OptimizationOptions(Options):
    """How the objective is minimised."""

    method: OptimizationMethod = "structured"
    """Algorithm; structured is a quasi-Newton method made for sums of squares."""
    method_options: dict[Text, Any] = Field(default_factory=dict)
    """Options of the algorithm, say {gtol: 1e-8}."""
    compute_gradient: Flag = True
    """Whether the algorithm is given the analytic gradient."""


class IterationOptions(Options):
    """How observed shares are inverted for mean utilities."""

    method: IterationMethod
    """Fixed-point algorithm; left out, the recycled Newton method."""
    method_options: dict[Text, Any] = Field(default_factory=dict)
    """Options of the algorithm, say {atol: 1e-14}."""
    compute_jacobian: Flag = False
    """Whether the algorithm is given the analytic Jacobian."""


class ResampleOptions(Options):
    """How nodes are redrawn for the covariance of simulation error."""

    replicates: Whole = Field(ge=2)
    """How many times."""
    seed: Whole | None = Field(default=None, ge=0)
    """Seed of all replicates; left out, the job's own."""
    integration: IntegrationOptions | None = None
    """Rule that the nodes come from; left out, the job's own integration."""


class SolveOptions(Options):
    """How the problem is solved."""

    method: Literal["1s", "2s", "iterated", "cue"] = "2s"
    """One-step or two-step GMM, steps until weights settle, or one step and then
    continuously updated weights."""
    max_steps: Whole = Field(default=100, ge=1)
    """How many steps the method iterated takes at most."""
    steps_tol: Number = Field(default=1e-6, gt=0)
    """Change of weights and estimates at which iterated steps end."""
    initial_update: Flag | None = None
    """Whether to update the weighting matrix once at the starting values."""
    optimization: OptimizationOptions = OptimizationOptions()
    """How the objective is minimised."""
    starts: Starts | None = None
    """How many starting points to try in all, or a list of more points, each in the
    order of theta; the best minimum of the first step is kept."""
    scale_objective: Flag = True
    """Whether the objective is multiplied by the number of products, N."""
    check_optimality: Literal["gradient", "both"] = "both"
    """Whether to check the gradient alone or the Hessian too at the optimum."""
    finite_differences: Flag = False
    """Whether derivatives are by finite differences in place of analytic."""
    error_behavior: Literal["revert", "punish", "raise"] = "revert"
    """What to do where a market's numbers fail."""
    error_punishment: Number = 1.0
    """By what the objective is multiplied, or what it becomes, after a failure."""
    delta_behavior: Literal["anchor", "first", "last", "logit"] = "anchor"
    """Where inversions start: predicted from the last accepted step, at the first mean
    utilities of the GMM step, at the last ones computed, or at the plain logit's."""
    iteration: IterationOptions | None = None
    """How shares are inverted; left out, the recycled Newton method."""
    fp_type: Literal["safe_linear", "linear", "safe_nonlinear", "nonlinear"] = (
        "safe_linear"
    )
    """Accepted for PyBLP's sake: one form that does not overflow serves for all."""
    shares_bounds: tuple[Number | None, Number | None] | None = None
    """Accepted for PyBLP's sake; simulated shares are never clipped."""
    costs_bounds: tuple[Number | None, Number | None] | None = None
    """Bounds between which marginal costs are clipped; null for none."""
    center_moments: Flag = True
    """Whether moments are centred before their covariances are computed."""
    W_type: ErrorType = "robust"
    """How the weighting matrix is updated."""
    se_type: ErrorType = "robust"
    """How standard errors are computed; clustered reads the column clustering_ids, or
    clustering_ids0, clustering_ids1, ... for clusters in several ways; clustered_psd
    sets negative eigenvalues that those can bring to zero."""
    resample: ResampleOptions | None = None
    """Redraw the nodes at the end of each step, so that weights and standard errors
    account for simulation error; left out, they do not."""
    simulation_scaling: Literal["moments", "pyblp"] = "moments"
    """How the covariance of simulation error is scaled: as that of the moments, or as
    PyBLP does, without the factor N."""
    demand_moment_types: MomentTypes = "levels"
    """Demand-side moments: levels, innovations, ... or a list of pairs."""
    supply_moment_types: MomentTypes = "levels"
    """Supply-side moments: levels, innovations, ... or a list of pairs."""
    covariance_moments_mean: Number = 0.0
    """m of the moments E[(xi omega - m) Z_C] = 0, of products with columns
    covariance_instruments0, ..."""


class EngineOptions(Options):
    """What the computation runs on; it never changes the numbers."""

    kind: Literal["serial", "threads", "dask"] | None = None
    """One thread, threads of this process, or workers of a Dask cluster; left out, dask
    where workers or a scheduler are named, and else threads."""
    threads: Whole | None = Field(default=None, ge=1)
    """How many threads; left out, one a usable core."""
    workers: Whole | None = Field(default=None, ge=1)
    """How many worker processes to start on this machine for the run; left out with
    kind dask and no scheduler, one a usable core."""
    worker_memory: Memory | None = None
    """Memory of each of them, say 2GiB; left out, an equal part of this machine's."""
    scheduler: Text | None = Field(default=None, min_length=1)
    """Address of the scheduler of a cluster that is there, say tcp://host:8786."""
    scheduler_file: Text | None = Field(default=None, min_length=1)
    """File that this scheduler has written its address to, relative to the job file."""
    backend: Literal["numba", "numpy", "cupy"] = "numba"
    """Kernels: compiled loops, plain arrays, or arrays on an NVIDIA GPU."""


class Job(Options):
    """A whole job: data, model, estimator and machine."""

    name: Text = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)
    """Names the results directory: letters, digits, dots, dashes and underscores."""
    description: Text = ""
    """What the job is for, in a sentence."""
    data: DataOptions
    """Where products and agents come from."""
    formulations: Formulations
    """Formulas of characteristics and demographics."""
    integration: IntegrationOptions | None = None
    """How to build nodes and weights; left out, the agents' table has them."""
    rc_types: tuple[Literal["linear", "log", "logit"], ...] | None = None
    """How each random coefficient enters; left out, all are linear."""
    epsilon_scale: Number = Field(default=1.0, gt=0)
    """Scale of the idiosyncratic taste."""
    costs_type: Literal["linear", "log"] = "linear"
    """Whether marginal costs or their logs are linear in X3."""
    add_exogenous: Flag = True
    """Whether exogenous characteristics are their own instruments."""
    sigma: Matrix | None = None
    """Starting values of Sigma, lower-triangular; zeros stay zero."""
    pi: Matrix | None = None
    """Starting values of Pi, a row per random coefficient; zeros stay zero."""
    rho: Matrix | None = None
    """Starting values of nesting parameters."""
    type_shares: Matrix | None = None
    """Starting values of shares of agents' types, by sorted type_ids; they sum to one,
    zeros stay zero. Left out, weights are used as they are."""
    phi: Matrix | None = None
    """Starting values of autocorrelations."""
    beta: Matrix | None = None
    """Demand-side linear parameters; null entries are concentrated out."""
    gamma: Matrix | None = None
    """Supply-side linear parameters; null entries are concentrated out."""
    micro: MicroOptions | None = None
    """Micro moments: surveys, and what they found."""
    merger: MergerOptions | None = None
    """A merger whose effects are computed at the estimates."""
    counterfactuals: dict[Name, CounterfactualOptions] = Field(default_factory=dict)
    """What would be otherwise under other owners, taxes, costs and price controls, by
    name, say {tax: {unit_taxes: 0.1}}; each is computed at the estimates."""
    conduct: ConductOptions | None = None
    """Models of conduct that are tested against each other at the estimates."""
    bounds: Bounds = Bounds()
    """Bounds on parameters."""
    solve: SolveOptions = SolveOptions()
    """How the problem is solved."""
    engine: EngineOptions = EngineOptions()
    """What the computation runs on."""
    seed: Whole = Field(default=0, ge=0)
    """Seed of everything random in the job that has no seed of its own."""
    record: dict[Text, Any] | None = None
    """Written by a run: versions and data. A job that has it refuses other data."""
