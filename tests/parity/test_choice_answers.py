"""Questions about people's choices have the same bits on a cluster as in one thread."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import blpdask
from tests.api.asked_choices import draw_choices, estimated
from tests.driver.clusters import cluster

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*single available:UserWarning"),
]

QUESTIONS = {
    "probabilities": lambda r, **e: r.compute_probabilities(**e),
    "given choices": lambda r, **e: r.compute_probabilities(True, **e),
    "other data": lambda r, **e: r.compute_probabilities(
        choice_data={**r.problem.given, "prices": r.problem.given["prices"] + 1.0}, **e
    ),
    "elasticities": lambda r, **e: r.compute_elasticities(**e)["elasticities"],
    "of alternatives": lambda r, **e: r.compute_elasticities(by="alternatives", **e),
    "removals": lambda r, **e: r.compute_long_run_diversion_ratios("alternatives", **e),
    "coefficients": lambda r, **e: r.compute_posterior_coefficients(**e),
    "surpluses": lambda r, **e: r.compute_consumer_surpluses(**e)["consumer_surpluses"],
    "quantiles": lambda r, **e: r.compute_willingness_to_pay("quality", **e).quantiles,
}


@pytest.fixture(scope="module")
def results() -> Any:
    """Give results whose people are in several blocks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blpdask.options, "verbose", False)
        patch.setattr("blpdask.problem.choice_blocks.BLOCK_COST", 2000.0)
        found = estimated(
            "0 + prices + quality",
            {"quality": "normal"},
            [-1.1, 0.5, 1.3],
            draw_choices(60),
        )
        assert len(found.problem.source) > 4
    return found


@pytest.mark.parametrize("n_workers", [1, 2])
def test_a_cluster_gives_the_bits_of_one_thread(results: Any, n_workers: int) -> None:
    with cluster(n_workers) as client:
        for name, question in QUESTIONS.items():
            expected = np.asarray(question(results, engine="serial"), np.float64)
            for engine in (client, "threads"):
                found = np.asarray(question(results, engine=engine), np.float64)
                np.testing.assert_array_equal(found, expected, err_msg=name)


def test_cuts_of_blocks_change_no_more_than_rounding(
    results: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(blpdask.options, "verbose", False)
    whole = estimated(
        "0 + prices + quality", {"quality": "normal"}, results.theta, draw_choices(60)
    )
    assert len(whole.problem.source) == 1
    for name, question in QUESTIONS.items():
        found, expected = (
            np.asarray(question(of, engine="serial"), np.float64)
            for of in (results, whole)
        )
        np.testing.assert_allclose(
            found, expected, rtol=1e-11, atol=1e-14, err_msg=name
        )
