"""Problems with surveys, drawn at random, one a seed.

To a problem of :mod:`tests.references.drawn_nests` with random coefficients, with nests
or without, with supply or without, come one to three surveys: of first choices, or of
first and second choices with products, or groups of products, removed; of inside
products alone or of the outside option too; in all markets or in some; with weights
that are one, or differ over choices, or over agents as well. Micro moments are means,
and ratios, products and differences of two means.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tests.references.drawn_nests import draw_nests
from tests.references.specifications import Specification

#: Whether the outside option may be the first choice, and the second; None if no second
#: choice is asked for.
SHAPES = (
    (False, None),
    (True, None),
    (False, False),
    (True, False),
    (False, True),
    (True, True),
)
WEIGHTS = ("one", "choices", "agents and choices")
#: Column of product_ids by which products are removed together: nests, where there are
#: any.
GROUPS = 1
#: Which values lie around those that are drawn as observed: a mean that no choices can
#: give is refused, unless a function of it is what is observed.
BOUNDED = 2


@dataclass(frozen=True, slots=True, eq=False)
class DrawnMicro:
    """A problem, its solution's arguments, its surveys, and what it exercises.

    ``moments`` makes micro moments of the classes of a package.
    """

    specification: Specification
    solution: dict[str, Any]
    moments: Callable[[Any], list[Any]]
    sample_covariances: Any
    features: frozenset[str]


def draw_micro(seed: int) -> DrawnMicro:
    """Draw the problem of a seed."""
    rng = np.random.default_rng([2002, seed])
    drawn = draw_nests(6 * (seed // 5) + 1 + seed % 5)
    specification, solution = drawn.specification, dict(drawn.solution)
    specification = _with_groups(specification, rng)
    solution.pop("W", None)
    features = {*drawn.features}
    products: Any = specification.products
    surveys = [_draw_survey(seed + k, k, products, rng) for k in range(1 + seed % 3)]
    for survey in surveys:
        features |= survey["features"]
    combinations = [_draw_moment(m, surveys, rng) for m in range(2 + seed % 2)]
    features |= {f"moment={kind}" for kind, *_ in combinations}
    sample = None
    if seed % 4 == 3:
        root = rng.normal(size=(len(combinations), len(combinations) + 1))
        sample = root @ root.T / 1000
        features.add("sample covariances")
    if solution.get("initial_update") is not True:
        solution.pop("initial_update", None)

    def moments(package: Any) -> list[Any]:
        return _build_moments(package, surveys, combinations)

    return DrawnMicro(specification, solution, moments, sample, frozenset(features))


def _with_groups(
    specification: Specification, rng: np.random.Generator
) -> Specification:
    """Put groups of products, nests where there are any, beside their identifiers.

    Since product_ids then has two columns, what was absorbed by it gets another name.
    """
    products: Any = dict(specification.products)
    own = products.pop("product_ids")
    groups = products.get("nesting_ids", rng.integers(0, 3, own.size))
    products |= {
        "model_ids": own,
        "product_ids": np.column_stack([own.astype(str), groups]).astype(object),
    }
    absorbed = {
        name: text.replace("product_ids", "model_ids")
        for name in ("absorb", "cost_absorb")
        if (text := getattr(specification, name)) is not None
    }
    return replace(specification, products=products, **absorbed)


def _draw_survey(
    seed: int, k: int, products: Any, rng: np.random.Generator
) -> dict[str, Any]:
    """Draw a survey: its shape, weights, groups and markets."""
    outside, second = SHAPES[seed % len(SHAPES)]
    weights = WEIGHTS[rng.integers(len(WEIGHTS))]
    grouped = second is not None and bool(rng.integers(2))
    markets = None
    if rng.integers(2):
        markets = list(np.unique(products["market_ids"])[1:])
    shape = (outside, second)
    return {
        "name": f"survey {k}",
        "observations": int(rng.integers(200, 2000)),
        "shape": shape,
        "weights": weights,
        "groups": GROUPS if grouped else None,
        "markets": markets,
        "features": {
            f"shape={shape}",
            f"weights={weights}",
            f"grouped={grouped}",
            f"some markets={markets is not None}",
        },
    }


def _draw_moment(m: int, surveys: list[Any], rng: np.random.Generator) -> Any:
    """Draw a kind of moment, the survey it is of, what it averages and its value."""
    kind = ("mean", "ratio", "product", "difference")[rng.integers(4)]
    survey = int(rng.integers(len(surveys)))
    averaged = rng.permutation(3)[:2]
    return kind, survey, averaged, float(rng.uniform(0.1, 0.9)), m


def _build_moments(
    package: Any, surveys: list[Any], combinations: list[Any]
) -> list[Any]:
    """Make the classes of a package."""
    datasets = [
        package.MicroDataset(
            one["name"],
            one["observations"],
            _weights(one),
            eliminated_product_ids_index=one["groups"],
            market_ids=one["markets"],
        )
        for one in surveys
    ]
    parts: dict[Any, Any] = {}
    moments = []
    for kind, survey, averaged, value, m in combinations:
        own = []
        for which in averaged[: 1 if kind == "mean" else 2]:
            key = survey, int(which)
            if key not in parts:
                parts[key] = package.MicroPart(
                    f"part {which} of {survey}",
                    datasets[survey],
                    _values(surveys[survey], int(which)),
                )
            own.append(parts[key])
        name = f"{kind} {m}"
        if kind == "mean" and averaged[0] == BOUNDED:
            moments.append(package.MicroMoment(name, value, own[0]))
        elif kind == "mean":
            moments.append(package.MicroMoment(name, value, own[0], *FUNCTIONS[kind]))
        else:
            moments.append(package.MicroMoment(name, value, own, *FUNCTIONS[kind]))
    return moments


FUNCTIONS: dict[str, Any] = {
    "mean": (lambda v: v[0], lambda v: [1.0]),
    "ratio": (
        lambda v: v[0] / (1 + v[1] ** 2),
        lambda v: [1 / (1 + v[1] ** 2), -2 * v[0] * v[1] / (1 + v[1] ** 2) ** 2],
    ),
    "product": (lambda v: v[0] * v[1], lambda v: [v[1], v[0]]),
    "difference": (lambda v: v[0] - 2 * v[1], lambda v: [1.0, -2.0]),
}


def _choices(shape: Any, inside: Any) -> Any:
    """Put zero in front of what inside products have, where outside is a choice."""
    return np.r_[0.0, inside] if shape else inside


def _weights(survey: dict[str, Any]) -> Any:
    """Make compute_weights."""
    outside, second = survey["shape"]
    kind = survey["weights"]

    def compute(t: Any, products: Any, agents: Any) -> Any:
        J, I = products.size, agents.size  # noqa: E741
        first = np.ones(J + outside)
        if kind != "one":
            first = 1.0 + _choices(outside, np.abs(np.sin(np.arange(J))))
        weights = np.tile(first, (I, 1))
        if kind == "agents and choices":
            weights = weights + np.abs(agents.nodes[:, [0]]) * np.cos(first) ** 2
        if second is None:
            return weights
        of_second = np.ones(J + second)
        if kind != "one":
            of_second = 0.5 + _choices(second, np.abs(np.cos(np.arange(J))))
        return weights[:, :, None] * of_second

    return compute


def _values(survey: dict[str, Any], which: int) -> Any:
    """Make compute_values: an agent's times a choice's, a choice's, or a mixture."""
    outside, second = survey["shape"]

    def compute(t: Any, products: Any, agents: Any) -> Any:
        x = _choices(outside, np.asarray(products.X2)[:, -1])
        inside = _choices(outside, np.ones(products.size))
        node = agents.nodes[:, 0]
        found = (
            np.outer(node, x),
            np.tile(inside + x, (agents.size, 1)),
            np.sin(np.add.outer(node, x)),
        )[which]
        if second is None:
            return found
        z = 1.0 + _choices(second, np.asarray(products.X2)[:, 0])
        if which == 1:
            return found[:, :, None] * np.cos(np.subtract.outer(x, z))[None]
        if which == 2:
            return np.sin(found[:, :, None] + z)
        return found[:, :, None] * z

    return compute
