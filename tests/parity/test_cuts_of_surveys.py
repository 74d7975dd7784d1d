"""What a market adds does not depend on the markets that its block has besides.

Of the drawn problems with surveys, those that are worst: at seed 49 some agents all but
certainly choose what is removed; at seed 7, with availability put to other products
than its own, shares are larger than all who can buy, so that no δ explains them and
utilities leave the range of exponentials; at seed 40 weights of moments, which are no
sums of markets, have a condition number of 1e10 and are left out.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

import blpdask
from tests.references.drawn_micro import draw_micro
from tests.references.specifications import FIXED, build_here, distance, solve_here

TOLERANCE = 1e-13
#: Nothing but δ and its slopes is computed market by market alone: bit by bit the same.
OF_MARKETS = ("delta", "xi_by_theta_jacobian")
OF_SUMS = ("micro_values", "micro_covariances", "micro_by_theta_jacobian", "gradient")
#: Seeds, and whether rows of products are put into another order than availability's.
WORST = ((49, False), (40, False), (7, True))


@cache
def solved(seed: int, mixed: bool, blocks: int | None) -> Any:
    """Evaluate the problem of a seed in so many blocks."""
    drawn = draw_micro(seed)
    specification = drawn.specification
    if mixed:
        products: Any = specification.products
        order = np.random.default_rng(seed).permutation(len(products["market_ids"]))
        specification = replace(
            specification, products={name: v[order] for name, v in products.items()}
        )
    arguments = {**drawn.solution, **FIXED}
    if drawn.sample_covariances is not None:
        arguments["micro_sample_covariances"] = drawn.sample_covariances
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        moments = drawn.moments(blpdask)
        here = build_here(specification)
        return solve_here(here, micro_moments=moments, blocks=blocks, **arguments)


@pytest.mark.parametrize("blocks", [2, 4, 7, None])
@pytest.mark.parametrize(("seed", "mixed"), WORST)
def test_blocks_do_not_matter(seed: int, mixed: bool, blocks: int | None) -> None:
    one, many = solved(seed, mixed, 1), solved(seed, mixed, blocks)
    for name in OF_MARKETS:
        assert np.isfinite(getattr(one, name)).all()
        np.testing.assert_array_equal(getattr(many, name), getattr(one, name))
    for name in OF_SUMS:
        assert np.isfinite(getattr(one, name)).all()
        if seed == 40 and name == "gradient":
            continue
        assert distance(getattr(many, name), getattr(one, name)) <= TOLERANCE, name
