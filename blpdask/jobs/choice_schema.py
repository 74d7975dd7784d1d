"""Which options a job about choices of people has, and what each one means.

Such a job says ``kind: choices``; its names are those of :class:`blpdask.ChoiceProblem`
and :class:`blpdask.LatentClassProblem`. The docstring under each option is what
``blpdask options choices`` prints.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from .fields import Flag, Options, Starts, Text, Whole
from .schema import EngineOptions, OptimizationMethod

CoefficientKind = Literal[
    "fixed",
    "normal",
    "lognormal",
    "censored",
    "johnson",
    "uniform",
    "triangular",
    "truncated",
    "exponential",
    "component",
]
ChoiceRule = Literal[
    "laplace",
    "halton",
    "sobol",
    "mlhs",
    "lhs",
    "monte_carlo",
    "product",
    "trapezoid",
]


class PanelOptions(Options):
    """A household panel with habit, drawn from a known truth."""

    n_households: Whole = Field(default=200, ge=1)
    """How many households are recorded."""
    n_weeks: Whole = Field(default=52, ge=1)
    """How many weeks each of them is recorded."""
    n_markets: Whole = Field(default=10, ge=1)
    """How many markets, with prices and advertising of their own, they live in."""
    before: Whole = Field(default=100, ge=0)
    """Weeks that go before, in which habits form and of which nothing is recorded."""
    seed: Whole | None = Field(default=None, ge=0)
    """Seed of all that is random; left out, the job's own."""


class ChoiceDataOptions(Options):
    """Where choices come from: a table, a public data set, or a simulated panel."""

    source: Text | None = Field(default=None, min_length=1)
    """A path to a .csv or .parquet file, relative to the job file, an alternative a
    row; or data:NAME for a public data set, say data:electricity, which is fetched
    once ('blpdask data list' lists them)."""
    store: Text | None = Field(default=None, min_length=1)
    """A store of choices in place of a table, say stores/panel, relative to the job
    file; it is read block by block, where it is worked on."""
    simulated: PanelOptions | None = None
    """A household panel drawn from a known truth, say {n_households: 500}."""
    rename: dict[Text, Text] = Field(default_factory=dict)
    """Names of the table's columns that are called otherwise here, old: new, say
    {household: person_ids}."""
    lag: Text | None = None
    """Name of a column to add that is one where a person chose the same alternative in
    the period before; the table then needs period_ids and alternative_ids."""


class ChoiceIntegrationOptions(Options):
    """How likelihoods are integrated over random coefficients."""

    specification: ChoiceRule
    """Laplace-centred importance draws, draws of a sequence, or a quadrature."""
    size: Whole = Field(ge=1)
    """Draws a person, or nodes a dimension of a quadrature."""
    specification_options: dict[Text, Any] = Field(default_factory=dict)
    """Options of the rule, say seed; by default the job's own seed."""


class ChoiceOptimizationOptions(Options):
    """How the likelihood is maximised."""

    method: OptimizationMethod = "bfgs"
    """Algorithm; Newton steps follow it in any case."""
    method_options: dict[Text, Any] = Field(default_factory=dict)
    """Options of the algorithm, say {gtol: 1e-6}."""


class ChoiceSolveOptions(Options):
    """How the model is estimated."""

    method: Literal["msl", "corrected", "msm", "mss"] = "msl"
    """Maximum simulated likelihood, the same with its bias taken away, the method of
    simulated moments, or that of simulated scores, which is experimental."""
    starts: Starts | None = None
    """How many starting points to try in all, or a list of points; the best wins."""
    se_type: Literal["hessian", "bhhh", "robust", "clustered"] = "robust"
    """How standard errors are computed; people are the units."""
    optimization: ChoiceOptimizationOptions = ChoiceOptimizationOptions()
    """How the likelihood is maximised."""


class ChoiceQuestionOptions(Options):
    """What is asked of the estimates; each answer is a table beside the results."""

    elasticities: Text | None = None
    """A variable, say prices: elasticities of alternatives' shares by it."""
    diversion_ratios: Text | None = None
    """A variable, say prices: where choices go that an alternative loses by it."""
    willingness_to_pay: Text | None = None
    """A column of prices: what people would pay for each other characteristic."""
    posterior_coefficients: Flag = False
    """Whether to compute each person's coefficients given what the person chose."""


class ChoiceJob(Options):
    """A whole job about choices of people: data, model, estimator and machine."""

    kind: Literal["choices"]
    """What the job is about: choices of people."""
    name: Text = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)
    """Names the results directory: letters, digits, dots, dashes and underscores."""
    description: Text = ""
    """What the job is for, in a sentence."""
    data: ChoiceDataOptions
    """Where choices come from."""
    formulation: Text
    """Characteristics of alternatives, say "0 + prices + size"."""
    random: dict[Text, CoefficientKind] = Field(default_factory=dict)
    """Random coefficients: a kind for each column that has one, {prices: normal}."""
    correlated: Flag | tuple[tuple[Text, ...], ...] = False
    """Whether random coefficients are correlated, or groups of columns within which
    they are."""
    demographics: Text | None = None
    """Formula of what shifts means of coefficients, say "0 + income"."""
    shifts: dict[Text, tuple[Text, ...]] | None = None
    """Which demographics shift which column's mean; left out, all shift all random
    ones."""
    wtp: Text | None = None
    """The column of prices, for coefficients in willingness-to-pay space."""
    random_scale: Flag = False
    """Whether the scale of all coefficients varies over people."""
    classes: Annotated[Whole, Field(ge=1)] | None = None
    """How many latent classes of people there are; left out, no classes."""
    membership: Text | None = None
    """Formula of what makes people belong to classes, say "1 + income"."""
    shared: tuple[Text, ...] = ()
    """Columns whose coefficients all classes share."""
    integration: ChoiceIntegrationOptions | None = None
    """How to integrate; left out, 64 Laplace-centred draws in panels, 512 of a Sobol
    sequence elsewhere."""
    start: tuple[float, ...] | None = None
    """Starting values of all parameters, in their order; left out, the logit's."""
    solve: ChoiceSolveOptions = ChoiceSolveOptions()
    """How the model is estimated."""
    questions: ChoiceQuestionOptions = ChoiceQuestionOptions()
    """What is asked of the estimates."""
    engine: EngineOptions = EngineOptions()
    """What the computation runs on."""
    seed: Whole = Field(default=0, ge=0)
    """Seed of everything random in the job that has no seed of its own."""
    record: dict[Text, Any] | None = None
    """Written by a run: versions and data. A job that has it refuses other data."""
