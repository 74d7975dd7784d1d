"""Everything that PyBLP names is here: classes, arguments, methods, attributes, errors.

What PyBLP's public names are is read off the installed package, so that nothing can be
forgotten; what differs on purpose is listed here, with its reason.
"""

from __future__ import annotations

import inspect
import re
from functools import cache
from typing import Any

import numpy as np
import pytest

import blpdask
from tests.references.specifications import quietly

pyblp = pytest.importorskip("pyblp")

#: Modules of PyBLP's that are no part of what it documents, and records of its own.
PRIVATE = {
    *("configurations", "construction", "economies", "markets", "micro", "parameters"),
    *("primitives", "results", "utilities", "version"),
    *("Agents", "Products"),
}
#: Classes that only the package itself makes: how is its own business.
MADE_HERE = {
    *("ProblemResults", "SimulationResults", "OptimalInstrumentResults"),
    *("ImportanceSamplingResults", "BootstrappedResults", "OptimizationProgress"),
    *("OptimalInstrumentProblem", "ImportanceSamplingProblem"),
}
#: Defaults that differ, each a row of the README's table.
DEFAULTS = {
    ("Optimization", "method"),
    ("solve", "delta_behavior"),
    ("solve", "shares_bounds"),
}


def public(module: Any) -> list[str]:
    """List names without an underscore."""
    return [name for name in dir(module) if not name.startswith("_")]


def arguments(function: Any) -> list[tuple[str, Any]]:
    """List a function's arguments with their defaults, self left out."""
    listed = inspect.signature(function).parameters.values()
    return [(one.name, one.default) for one in listed if one.name != "self"]


def clashes(name: str, here: Any, there: Any) -> list[str]:
    """Say how our function's arguments differ from PyBLP's, which come first."""
    own, theirs = arguments(here), arguments(there)
    found = []
    for place, (argument, default) in enumerate(theirs):
        if place >= len(own) or own[place][0] != argument:
            found.append(f"{name}: {argument} is not argument {place}")
        elif (name, argument) not in DEFAULTS and own[place][1] != default:
            found.append(f"{name}: {argument}={own[place][1]!r}, not {default!r}")
    return found


def test_every_name_is_there() -> None:
    missing = [n for n in public(pyblp) if n not in PRIVATE and not hasattr(blpdask, n)]
    assert missing == []


@pytest.mark.parametrize("module", ["data", "exceptions", "options"])
def test_every_name_of_a_module_is_there(module: str) -> None:
    here, there = getattr(blpdask, module), getattr(pyblp, module)
    names = [n for n in public(there) if inspect.getmodule(getattr(there, n)) is None]
    names += [n for n in public(there) if n[0].isupper()]
    typing = {"Any", "List", "Sequence"}
    assert [n for n in names if n not in typing and not hasattr(here, n)] == []


def test_every_error_can_be_caught() -> None:
    for name in public(pyblp.exceptions):
        there = getattr(pyblp.exceptions, name)
        if inspect.isclass(there) and issubclass(there, Exception):
            assert issubclass(getattr(blpdask.exceptions, name), Exception)


def test_functions_and_constructors_take_the_same_arguments() -> None:
    found = []
    for name in public(pyblp):
        there = getattr(pyblp, name)
        if name in PRIVATE | MADE_HERE or not callable(there):
            continue
        found += clashes(name, getattr(blpdask, name), there)
    assert found == []


def test_methods_take_the_same_arguments() -> None:
    found = []
    for name in public(pyblp):
        there = getattr(pyblp, name)
        if name in PRIVATE or not inspect.isclass(there):
            continue
        here = getattr(blpdask, name)
        for method in public(there):
            if not hasattr(here, method):
                found.append(f"{name} has no {method}")
            elif callable(getattr(there, method)):
                own, theirs = getattr(here, method), getattr(there, method)
                found += clashes(method, own, theirs)
    assert found == []


@cache
def made(package: Any) -> dict[str, Any]:
    """Make one of each object with attributes, in either package."""
    formulations = ("1 + prices + x", "1 + prices", "1 + x + z")
    with quietly():
        simulation = package.Simulation(
            tuple(package.Formulation(formula) for formula in formulations),
            package.build_id_data(T=20, J=10, F=4),
            beta=[1, -2, 2],
            sigma=[[0.5, 0], [0, 0.3]],
            gamma=[1, 0.5, 0.3],
            xi_variance=0.3,
            omega_variance=0.2,
            correlation=0.5,
            integration=package.Integration("product", 3),
            seed=0,
        )
        solved = simulation.replace_endogenous()
        problem = solved.to_problem()
        results = problem.solve(
            sigma=[[0.4, 0], [0, 0.2]],
            beta=[None, -1.8, None],
            optimization=package.Optimization("l-bfgs-b", {"gtol": 1e-6}),
        )
        instruments = results.compute_optimal_instruments()
        return {
            "Simulation": simulation,
            "SimulationResults": solved,
            "Problem": problem,
            "ProblemResults": results,
            "OptimalInstrumentResults": instruments,
            "OptimalInstrumentProblem": instruments.to_problem(),
            "BootstrappedResults": results.bootstrap(draws=3, seed=0),
        }


def documented(kind: Any) -> list[str]:
    """List the attributes that a class of PyBLP's documents."""
    _, _, attributes = (kind.__doc__ or "").partition("Attributes\n")
    return re.findall(r"^\s{4,8}(\w+) : ", attributes.partition("Examples")[0], re.M)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted({*MADE_HERE, "Problem", "Simulation"}))
def test_attributes_have_the_same_shapes(name: str) -> None:
    if name not in made(pyblp):
        pytest.skip("nothing makes one here")
    there, here = made(pyblp)[name], made(blpdask)[name]
    found = []
    for attribute in documented(type(there)):
        if not hasattr(here, attribute):
            found.append(f"no {attribute}")
            continue
        own, theirs = getattr(here, attribute), getattr(there, attribute)
        if isinstance(theirs, np.ndarray) and theirs.dtype.names:
            names = set(theirs.dtype.names) - set(own.dtype.names)
            # Agents have no identifiers here, as nothing needs them.
            if names - {"agent_ids"} or own.shape != theirs.shape:
                found.append(f"{attribute} has no {sorted(names)}")
        elif isinstance(theirs, np.ndarray):
            # Searches evaluate objectives another number of times.
            counts = ("fp_", "cumulative_fp_", "contraction", "cumulative_contraction")
            if attribute.startswith(counts):
                own, theirs = own[..., :1], theirs[..., :1]
            if np.shape(own) != theirs.shape:
                found.append(f"{attribute}: {np.shape(own)}, not {theirs.shape}")
    assert found == []
