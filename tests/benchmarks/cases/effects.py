"""What absorbed effects cost an evaluation: nothing, instruments have them absorbed.

500,000 products with effects of 80,000 products and 20,000 markets out of X1 and Z, and
the same problem without. No peer: PyBLP absorbs ξ at every evaluation.
"""

from __future__ import annotations

from dataclasses import replace
from statistics import median

import numpy as np

from ..measure import Settings
from ..packages import FACTORS, build_problem, evaluate_path, starting_values
from ..problems import Size, simulate
from ..table import Row

SIZE = Size(T=20_000, J=25, I=50, K2=2)
QUICK = Size(T=40, J=25, I=20, K2=2)
#: Products, each in a few markets.
LEVELS, QUICK_LEVELS = 80_000, 100
EVALUATIONS = 4


def run(case: str, settings: Settings) -> list[Row]:
    """Time evaluations of both problems, in turns."""
    size = QUICK if settings.quick else SIZE
    levels = QUICK_LEVELS if settings.quick else LEVELS
    settings.say(f"  simulating {size}")
    plain = simulate(size)
    rng = np.random.default_rng(0)
    codes = rng.permutation(np.arange(size.T * size.J) % levels)
    products = {**plain.products, "models": codes}
    absorbed = replace(
        plain,
        products=products,
        linear="0 + prices + x1 + x2",
        absorb="C(models) + C(market_ids)",
    )
    settings.say("  absorbing")
    problems = [(data, build_problem("blpdask", data)) for data in (plain, absorbed)]
    times: tuple[list[float], list[float]] = ([], [])
    for _ in settings.repeats(3):
        for (data, problem), found in zip(problems, times, strict=True):
            thetas = np.outer(FACTORS[:EVALUATIONS], starting_values(data))
            path = evaluate_path("blpdask", problem, data, thetas)
            found.append(1e3 * median(span.cpu for span in path.spans[1:]))
    ratios = tuple(b / a for a, b in zip(*times, strict=True))
    note = f"{levels} products and {size.T} markets"
    return [
        Row(case, "evaluation without effects, CPU", "ms", (), tuple(times[0])),
        Row(case, "evaluation with, CPU", "ms", (), tuple(times[1]), note=note),
        Row(case, "with : without", "", (), ratios, digits=3),
    ]
