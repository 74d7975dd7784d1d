"""Write what the installed PyBLP says of drawn problems to ``drawn_numbers.json``.

    python -m tests.references.store_drawn

The numbers are what tests compare with where PyBLP is not installed. Long arrays are
kept as their norm and their products with fixed directions, which no change of an
element leaves alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.references.drawn import draw, positive_weights
from tests.references.specifications import FIXED, build_there, solve_there

NUMBERS = Path(__file__).with_name("drawn_numbers.json")
SEEDS = tuple(range(12))
SHORT = ("objective", "gradient", "beta", "sigma_se", "pi_se", "beta_se", "moments")
LONG = ("delta", "xi", "updated_W", "moments_covariances", "parameter_covariances")


def summarise(results: Any) -> dict[str, list[float | None]]:
    """Reduce results of either package to numbers that can be kept."""
    kept = {name: _plain(getattr(results, name)) for name in SHORT}
    for name in LONG:
        values = np.ravel(getattr(results, name))
        directions = np.random.default_rng(values.size).normal(size=(3, values.size))
        kept[name] = _plain([np.linalg.norm(values), *(directions @ values)])
    return kept


def arguments_of(seed: int, n_moments: int) -> dict[str, Any]:
    """Give the arguments with which the problem of a seed is evaluated."""
    drawn = draw(seed)
    arguments = {**drawn.solution, **FIXED}
    if drawn.given_weights:
        arguments["W"] = positive_weights(n_moments)
    return arguments


def _plain(values: Any) -> list[float | None]:
    flat = np.ravel(np.asarray(values, dtype=float))
    return [None if np.isnan(value) else float(value) for value in flat]


def main() -> None:
    """Evaluate every seed with PyBLP and write the file."""
    import pyblp

    found = {}
    for seed in SEEDS:
        problem = build_there(draw(seed).specification)
        found[str(seed)] = summarise(
            solve_there(problem, **arguments_of(seed, problem.MD))
        )
    content = {"source": f"PyBLP {pyblp.__version__}", "problems": found}
    NUMBERS.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
