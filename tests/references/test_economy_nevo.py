"""Post-estimation of Nevo's cereals is what PyBLP 1.3.0 gave, as it was written down.

Each row of the table has the shape of an answer, its mean, standard deviation and first
four entries; they agree to 1e-7 in norm, at PyBLP's own estimates, of which nine digits
were written down. In the merger firm 2's products are given to firm 1.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest

import blpdask
from tests.references import numbers
from tests.references.specifications import (
    FIXED,
    build_here,
    distance,
    needs_nevo_data,
    nevo,
    quietly,
    solve_here,
)

pytestmark = needs_nevo_data

TOLERANCE = 1e-7
#: Shape, then mean, standard deviation and the first four entries.
TABLE: dict[str, tuple[tuple[int, ...], list[float]]] = {
    "elasticities": (
        (2256, 24),
        [
            -0.0589068334,
            0.777192415,
            -2.34519586,
            0.00811583825,
            0.124428716,
            0.054931315,
        ],
    ),
    "own elasticity means": (
        (94, 1),
        [-3.6181053, 0.299787167, -4.21136468, -3.96498582, -3.39615423, -3.33962088],
    ),
    "own elasticities": (
        (2256, 1),
        [-3.6181053, 0.921828946, -2.34519586, -4.6636932, -3.58302446, -4.00525405],
    ),
    "aggregate elasticities 0.1": (
        (94, 1),
        [
            -0.596740434,
            0.0914125081,
            -0.8087983,
            -0.686088411,
            -0.549615804,
            -0.597806396,
        ],
    ),
    "diversion": (
        (2256, 24),
        [
            0.0416666667,
            0.0797085449,
            0.399020513,
            0.00218490525,
            0.0288899502,
            0.0129542479,
        ],
    ),
    "diversion delta": (
        (2256, 24),
        [
            0.0416666667,
            0.0740138695,
            0.393101619,
            0.00258400254,
            0.0303686296,
            0.012923086,
        ],
    ),
    "long-run diversion": (
        (2256, 24),
        [
            0.0416666667,
            0.0738882615,
            0.39311306,
            0.00248959072,
            0.0304291965,
            0.0129542017,
        ],
    ),
    "demand jacobian": (
        (2256, 24),
        [
            -0.00919086912,
            0.177756919,
            -0.403962057,
            0.00088261882,
            0.0116704437,
            0.00523302465,
        ],
    ),
    "demand hessian C01Q1": (
        (24, 24, 24),
        [
            0.00298299445,
            1.13791443,
            13.0566662,
            -0.0274503932,
            -0.36269837,
            -0.165766444,
        ],
    ),
    "costs": (
        (2256, 1),
        [
            0.082358506,
            0.0298574798,
            0.0359252032,
            0.0866534814,
            0.0893819061,
            0.0916082711,
        ],
    ),
    "markups": (
        (2256, 1),
        [0.363866025, 0.127219675, 0.501647555, 0.24107, 0.324862448, 0.297181191],
    ),
    "profits": (
        (2256, 1),
        [
            0.000887961491,
            0.00147843866,
            0.000449040419,
            0.000214953439,
            0.000558877726,
            0.000223504118,
        ],
    ),
    "hhi": (
        (94, 1),
        [3408.1938, 716.797224, 3593.03842, 5312.29617, 3734.60663, 2903.09162],
    ),
    "cs": (
        (94, 1),
        [
            0.0342467029,
            0.0130491087,
            0.0236722213,
            0.0313628497,
            0.0284919639,
            0.0199033277,
        ],
    ),
    "merger prices": (
        (2256, 1),
        [0.137899197, 0.031300829, 0.085376078, 0.127054527, 0.147482246, 0.14530874],
    ),
    "approx merger prices": (
        (2256, 1),
        [
            0.142225238,
            0.0319510042,
            0.0914106316,
            0.127510391,
            0.151947287,
            0.150331778,
        ],
    ),
    "merger shares": (
        (2256, 1),
        [
            0.0178163939,
            0.0243218117,
            0.00920118567,
            0.00524707184,
            0.00976260333,
            0.00419311792,
        ],
    ),
    "merger hhi": (
        (94, 1),
        [5199.02748, 992.97947, 5646.46482, 7991.18255, 6273.60447, 4620.26771],
    ),
    "merger cs": (
        (94, 1),
        [
            0.0295851516,
            0.0114510699,
            0.0205471325,
            0.0249138889,
            0.0230423585,
            0.0178865299,
        ],
    ),
    "merger cs change": (
        (94, 1),
        [
            -0.00466155136,
            0.00230136141,
            -0.00312508882,
            -0.0064489608,
            -0.00544960533,
            -0.00201679776,
        ],
    ),
    "passthrough C01Q1": (
        (24, 24),
        [
            0.041471329,
            0.21482122,
            1.00251335,
            -0.00122359037,
            -0.0361650689,
            -0.0143424502,
        ],
    ),
    "profit hessian C01Q1": (
        (24, 24, 24),
        [
            -0.000897984557,
            0.0344772633,
            -0.335759277,
            -0.000110062634,
            -0.00144572345,
            -0.000761544286,
        ],
    ),
    "cs eliminate F1B04": (
        (94, 1),
        [
            0.0337302566,
            0.0128649801,
            0.0232699471,
            0.0311541969,
            0.0283599045,
            0.0195837593,
        ],
    ),
    "delta": (
        (2256, 1),
        [-7.41688896, 1.82578426, -7.18994783, -6.43732194, -8.32616726, -8.73333381],
    ),
    "probabilities C01Q1": (
        (24, 20),
        [
            0.0185323114,
            0.0375089282,
            0.0154390783,
            0.0188681566,
            0.00280781982,
            4.1868166e-08,
        ],
    ),
}


@cache
def results() -> blpdask.ProblemResults:
    """Evaluate the model at PyBLP's estimates."""
    sigma, pi = np.zeros((4, 4)), np.zeros((4, 4))
    for matrix, row, column, value, _ in numbers.NEVO_1S.estimates[:-1]:
        {"sigma": sigma, "pi": pi}[matrix][row, column] = value
    arguments = {"sigma": sigma, "pi": pi, "method": "1s", **FIXED}
    arguments["check_optimality"] = "gradient"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return solve_here(build_here(nevo()), **arguments)


@cache
def answers() -> dict[str, Any]:
    """Ask everything."""
    r, products = results(), nevo().products
    with quietly(), warnings.catch_warnings():
        warnings.simplefilter("error")
        elasticities = r.compute_elasticities()
        costs = r.compute_costs()
        merged = np.where(products["firm_ids"] == 2, 1, products["firm_ids"])
        prices = r.compute_prices(firm_ids=merged, costs=costs)
        shares = r.compute_shares(prices)
        surplus = r.compute_consumer_surpluses()
        after = r.compute_consumer_surpluses(prices)
        one = {"market_id": "C01Q1"}
        return {
            "elasticities": elasticities,
            "own elasticity means": r.extract_diagonal_means(elasticities),
            "own elasticities": r.extract_diagonals(elasticities),
            "aggregate elasticities 0.1": r.compute_aggregate_elasticities(),
            "diversion": r.compute_diversion_ratios(),
            "diversion delta": r.compute_diversion_ratios(None),
            "long-run diversion": r.compute_long_run_diversion_ratios(),
            "demand jacobian": r.compute_demand_jacobians(),
            "demand hessian C01Q1": r.compute_demand_hessians(**one),
            "costs": costs,
            "markups": r.compute_markups(costs=costs),
            "profits": r.compute_profits(costs=costs),
            "hhi": r.compute_hhi(),
            "cs": surplus,
            "merger prices": prices,
            "approx merger prices": r.compute_approximate_prices(merged, costs=costs),
            "merger shares": shares,
            "merger hhi": r.compute_hhi(merged, shares),
            "merger cs": after,
            "merger cs change": after - surplus,
            "passthrough C01Q1": r.compute_passthrough(**one),
            "profit hessian C01Q1": r.compute_profit_hessians(**one),
            "cs eliminate F1B04": r.compute_consumer_surpluses(
                eliminate_product_ids=["F1B04"]
            ),
            "delta": r.compute_delta(),
            "probabilities C01Q1": r.compute_probabilities(**one),
        }


@pytest.mark.parametrize("name", TABLE)
def test_row(name: str) -> None:
    shape, written = TABLE[name]
    found = answers()[name]
    assert found.shape == shape
    values = [np.nanmean(found), np.nanstd(found), *found.ravel()[:4]]
    assert distance(values, written) < TOLERANCE
