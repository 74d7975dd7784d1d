"""Surveys whose observations are scored, drawn at random, one a seed.

To a problem of :mod:`tests.references.drawn_nests` with random coefficients, with nests
or without, comes a survey of every shape in turn: of first choices, or of first and
second choices with products or groups of them removed; with the outside option or
without; in all markets, in one, or in all but one; with weights that differ over
choices, or over agents too. Observations are agents of the problem, with a few rows of
nodes each.
"""

from __future__ import annotations

from collections.abc import Mapping
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
MARKETS = ("all", "one", "all but one")
#: Column of product_ids by which products are removed together.
GROUPS = 1


@dataclass(frozen=True, slots=True, eq=False)
class DrawnSurvey:
    """A problem, its solution's arguments, a survey and what it exercises."""

    specification: Specification
    solution: dict[str, Any]
    shape: tuple[bool, bool | None]
    of_agents: bool
    grouped: bool
    market_ids: list[Any] | None
    features: frozenset[str]

    def dataset(self, package: Any, observations: int = 300) -> Any:
        """Make the dataset with a package's class."""
        return package.MicroDataset(
            "survey",
            observations,
            self.weights,
            eliminated_product_ids_index=GROUPS if self.grouped else None,
            market_ids=self.market_ids,
        )

    def weights(self, t: Any, products: Any, agents: Any) -> Any:
        """Compute W, whichever agents they are."""
        outside, second = self.shape
        first = 1.0 + np.abs(np.sin(np.arange(products.size + outside)))
        W = np.tile(first, (agents.size, 1))
        if self.of_agents:
            W = W + np.abs(agents.nodes[:, [0]]) * np.cos(first) ** 2
        if second is None:
            return W
        return W[:, :, None] * (0.5 + np.cos(np.arange(products.size + second)) ** 2)


def draw_survey(seed: int) -> DrawnSurvey:
    """Draw the problem and the survey of a seed."""
    rng = np.random.default_rng([2020, seed])
    drawn = draw_nests(6 * (seed // 5) + 1 + seed % 5)
    specification = _with_groups(drawn.specification, rng)
    solution = dict(drawn.solution)
    for name in ("W", "initial_update"):
        solution.pop(name, None)
    shape = SHAPES[seed % len(SHAPES)]
    of_agents = bool((seed // 2) % 2)
    grouped = shape[1] is not None and bool((seed // 6) % 2)
    ids = np.unique(specification.products["market_ids"])
    where = MARKETS[(seed // 4) % 3]
    markets = {"all": None, "one": [ids[1]], "all but one": list(ids[1:])}[where]
    features = {
        *drawn.features,
        f"shape={shape}",
        f"of agents={of_agents}",
        f"grouped={grouped}",
        f"markets={where}",
    }
    return DrawnSurvey(
        specification,
        {**solution, "method": "1s"},
        shape,
        of_agents,
        grouped,
        markets,
        frozenset(features),
    )


def draw_observations(
    drawn: DrawnSurvey, problem: Any, n: int, rows: int = 3
) -> dict[str, Any]:
    """Draw observations of a survey, with some rows of nodes each.

    Every market of the survey has one at least. ``problem`` is of either package.
    """
    rng = np.random.default_rng(7)
    agents: Any = drawn.specification.agents
    if agents is None:
        agents = {"market_ids": problem.agents.market_ids[:, 0]}
    markets = np.unique(np.asarray(agents["market_ids"]).ravel())
    if drawn.market_ids is not None:
        markets = np.array(drawn.market_ids)
    own = np.concatenate([markets, rng.choice(markets, n - markets.size)])
    counts = dict(
        zip(*np.unique(problem.products.market_ids, return_counts=True), strict=True)
    )
    ids = np.asarray(agents["market_ids"]).ravel()
    who = np.array([rng.choice(np.flatnonzero(ids == t)) for t in own])
    columns: dict[str, Any] = {
        name: np.asarray(values)[who]
        for name, values in agents.items()
        if name.rstrip("0123456789") not in ("weights", "nodes")
    }
    outside, second = drawn.shape
    J = np.array([counts[t] for t in own])
    columns["choice_indices"] = rng.integers(0, J + outside)
    if second is not None:
        columns["second_choice_indices"] = rng.integers(0, J + second)
    columns = {name: np.repeat(v, rows, axis=0) for name, v in columns.items()}
    columns["micro_ids"] = np.repeat(np.arange(n), rows)
    columns["weights"] = np.tile(np.arange(1.0, rows + 1) / sum(range(rows + 1)), n)
    columns["nodes"] = rng.normal(size=(n * rows, problem.K2))
    return columns


def _with_groups(
    specification: Specification, rng: np.random.Generator
) -> Specification:
    """Put groups of products, nests where there are any, beside their identifiers."""
    given: Any = specification.products
    products: dict[str, Any] = dict(given)
    own = products.pop("product_ids")
    groups = products.get("nesting_ids", rng.integers(0, 3, own.size))
    products["model_ids"] = own
    products["product_ids"] = np.column_stack([own.astype(str), groups]).astype(object)
    absorbed = {
        name: text.replace("product_ids", "model_ids")
        for name in ("absorb", "cost_absorb")
        if (text := getattr(specification, name)) is not None
    }
    return replace(specification, products=products, **absorbed)


def table(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Copy columns for a package that may keep them."""
    return {name: np.array(values) for name, values in columns.items()}
