"""How a problem is built and solved in either package: one specification, two readers.

Both packages take the same tables, formulas and starting values. Distances between what
they give back are in norm, |a - b| / |b|: rounding moves single entries of a large
matrix by more than it moves the matrix.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import blpdask

needs_nevo_data = pytest.mark.skipif(
    importlib.util.find_spec("pyblp") is None,
    reason="Nevo's data come with the package pyblp, which is not installed",
)


@dataclass(frozen=True, slots=True, eq=False)
class Specification:
    """Tables and formulas of a problem.

    ``absorption`` is PyBLP's pair (method, options) of absorption: its default for two
    effects errs by 2e-7. ``rule`` is (name, size, options) of an integration rule.
    ``cost`` is the formula of X3, with effects ``cost_absorb`` absorbed by
    ``cost_absorption``.
    """

    products: Mapping[str, Any] | pd.DataFrame
    linear: str
    absorb: str | None = None
    absorption: tuple[str | None, dict[str, Any] | None] = (None, None)
    random: str | None = None
    agents: Mapping[str, Any] | pd.DataFrame | None = None
    demographics: str | None = None
    rule: tuple[str, int, dict[str, Any] | None] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    cost: str | None = None
    cost_absorb: str | None = None
    cost_absorption: tuple[str | None, dict[str, Any] | None] = (None, None)


def distance(found: Any, expected: Any) -> float:
    """Measure |a - b| / |b|; the same entries must be missing from both."""
    a, b = np.asarray(found, float), np.asarray(expected, float)
    assert a.shape == b.shape, (a.shape, b.shape)
    assert np.array_equal(np.isnan(a), np.isnan(b)), (a, b)
    gap = np.linalg.norm(np.nan_to_num(a - b).ravel())
    scale = np.linalg.norm(np.nan_to_num(b).ravel())
    return float(gap / scale) if scale > 0 else float(gap)


def build_here(specification: Specification) -> blpdask.Problem:
    """Build the problem with blpdask."""
    return _build(blpdask, specification)


def build_there(specification: Specification) -> Any:
    """Build the problem with PyBLP."""
    import pyblp

    with quietly(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _build(pyblp, specification)


def solve_here(problem: blpdask.Problem, **arguments: Any) -> blpdask.ProblemResults:
    """Solve with blpdask, every inversion to 1e-14, printing nothing."""
    with quietly():
        return problem.solve(**_wrap(blpdask, arguments))


def solve_there(problem: Any, **arguments: Any) -> Any:
    """Solve with PyBLP, printing nothing."""
    import pyblp

    with quietly(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return problem.solve(**_wrap(pyblp, arguments))


@contextmanager
def quietly() -> Iterator[None]:
    """Silence both packages."""
    modules: list[Any] = [blpdask.options]
    if importlib.util.find_spec("pyblp") is not None:
        import pyblp

        modules.append(pyblp.options)
    saved = [module.verbose for module in modules]
    for module in modules:
        module.verbose = False
    try:
        yield
    finally:
        for module, verbose in zip(modules, saved, strict=True):
            module.verbose = verbose


def _build(package: Any, specification: Specification) -> Any:
    """Build a problem from the classes of one of the packages."""
    s = specification
    method, absorb_options = s.absorption if s.absorb else (None, None)
    linear = package.Formulation(s.linear, s.absorb, method, absorb_options)
    agent, rule = None, None
    if s.demographics is not None:
        agent = package.Formulation(s.demographics)
    if s.rule is not None:
        rule = package.Integration(*s.rule)
    formulations = linear
    if s.random is not None:
        formulations = (linear, package.Formulation(s.random))
    if s.cost is not None:
        method, absorb_options = s.cost_absorption if s.cost_absorb else (None, None)
        cost = package.Formulation(s.cost, s.cost_absorb, method, absorb_options)
        random = None if s.random is None else package.Formulation(s.random)
        formulations = (linear, random, cost)
    with quietly():
        return package.Problem(
            formulations, s.products, agent, s.agents, rule, **s.options
        )


def _wrap(package: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """Turn tuples of a method and its options into the package's own objects."""
    wrapped = dict(arguments)
    for name, kind in (("optimization", "Optimization"), ("iteration", "Iteration")):
        if isinstance(wrapped.get(name), tuple):
            wrapped[name] = getattr(package, kind)(*wrapped[name])
    return wrapped


# Nevo's cereal data

FIXED = {"optimization": ("return",)}
NEVO_SIGMA = np.diag([0.3302, 2.4526, 0.0163, 0.2441])
NEVO_PI = np.array(
    [
        [5.4819, 0, 0.2037, 0],
        [15.8935, -1.2, 0, 2.6342],
        [-0.2506, 0, 0.0511, 0],
        [1.265, 0, -0.8091, 0],
    ]
)
NEVO_PI_RESTRICTED = np.where(NEVO_PI == -1.2, 0, NEVO_PI)
NEVO_START = {"sigma": NEVO_SIGMA, "pi": NEVO_PI}
MONTE_CARLO = ("monte_carlo", 50, {"seed": 0})
PRODUCT = ("product", 5, None)


@cache
def nevo_tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read Nevo's products and agents; nobody may write to them."""
    return (
        pd.read_csv(blpdask.data.NEVO_PRODUCTS_LOCATION),
        pd.read_csv(blpdask.data.NEVO_AGENTS_LOCATION),
    )


def nevo_logit() -> Specification:
    """Specify the plain logit with product effects."""
    return Specification(nevo_tables()[0], "0 + prices", "C(product_ids)")


def nevo() -> Specification:
    """Specify Nevo's model with demographics."""
    products, agents = nevo_tables()
    return Specification(
        products,
        "0 + prices",
        "C(product_ids)",
        random="1 + prices + sugar + mushy",
        agents=agents,
        demographics="0 + income + income_squared + age + child",
    )


def nevo_unobserved(rule: tuple[str, int, dict[str, Any] | None]) -> Specification:
    """Specify unobserved heterogeneity alone, integrated by a rule."""
    return Specification(
        nevo_tables()[0],
        "0 + prices",
        "C(product_ids)",
        random="1 + prices + sugar + mushy",
        rule=rule,
    )
