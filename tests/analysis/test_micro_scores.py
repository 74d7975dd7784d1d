"""Scores are zero on average, and are derivatives of what kernels predict.

The share of a survey's observations that are agent i's choice of j is a micro moment,
whose value and derivative estimators compute by compiled loops: the score of that cell
is the derivative of its logarithm.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest

import blpdask
from blpdask.analysis import estimated_markets, micro_scores
from blpdask.analysis.surveyed_markets import Survey, market_cells
from blpdask.errors import InputError
from blpdask.problem.survey_arrays import SurveyDataset
from tests.references.drawn_scores import draw_observations, draw_survey, table
from tests.references.specifications import FIXED, build_here, solve_here

#: First choices with nests, distances, both; second choices of every shape.
SEEDS = (0, 1, 2, 3, 5, 8, 10, 13)


@cache
def solved(seed: int) -> Any:
    drawn = draw_survey(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        problem = build_here(drawn.specification)
        return solve_here(problem, **drawn.solution, **FIXED)


def expected_scores(results: Any, dataset: Any, scores: Any) -> Any:
    """Average scores of the problem's agents by their probabilities, a parameter each.

    Probabilities are the frequencies that cells have in the model, from their own
    weights, probabilities and survey weights.
    """
    economy = results.estimated_economy("test")
    survey = Survey(
        SurveyDataset("d", dataset.compute_weights, dataset.market_ids),
        dataset.eliminated_product_ids_index,
    )
    markets, ids = economy.markets(), results.problem.unique_market_ids
    total, sums = 0.0, np.zeros(len(scores))
    for t in range(results.problem.T):
        for cells in market_cells(markets, survey, t, derivatives=False):
            total += cells.P.sum()
            for p, own in enumerate(scores):
                sums[p] += (cells.P * np.nan_to_num(own[ids[t]])).sum()
    return sums / total


@pytest.mark.parametrize("seed", SEEDS)
def test_scores_are_zero_on_average(seed: int) -> None:
    drawn, results = draw_survey(seed), solved(seed)
    dataset = drawn.dataset(blpdask)
    scores = results.compute_agent_scores(dataset)
    largest = [max(np.nan_to_num(np.abs(s)).max() for s in o.values()) for o in scores]
    means = expected_scores(results, dataset, scores)
    assert (np.abs(means) <= 1e-12 * np.maximum(1, largest)).all(), means


def indicator(t: Any, i: int, j: int, shape: Any) -> Any:
    def values(market: Any, products: Any, agents: Any) -> Any:
        found = np.zeros(shape(products, agents))
        if market == t:
            found[i, j] = 1.0
        return found

    return values


@pytest.mark.parametrize("seed", [0, 1, 6, 7, 12, 13])
def test_scores_are_slopes_of_micro_moments(seed: int) -> None:
    drawn, problem = draw_survey(seed), solved(seed).problem
    outside, _ = drawn.shape
    dataset = drawn.dataset(blpdask)
    t = problem.unique_market_ids[1]
    cells = [(0, 0), (1, 1), (2, 0)]
    moments = [
        blpdask.MicroMoment(
            f"m{i}{j}",
            0.01,
            blpdask.MicroPart(
                f"p{i}{j}",
                dataset,
                indicator(t, i, j, lambda p, a: (a.size, p.size + outside)),
            ),
        )
        for i, j in cells
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = solve_here(problem, micro_moments=moments, **drawn.solution, **FIXED)
    scores = results.compute_agent_scores(dataset)
    values = results.micro_values[:, 0]
    np.testing.assert_allclose(
        results.compute_micro_values(moments), values, rtol=1e-13
    )
    for m, cell in enumerate(cells):
        found = np.array([own[t][cell] for own in scores])
        expected = -results.micro_by_theta_jacobian[m] / values[m]
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("seed", [3, 10])
def test_parts_do_not_matter(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, results = draw_survey(seed), solved(seed)
    dataset = drawn.dataset(blpdask, 500)
    data = draw_observations(drawn, results.problem, 60)

    def compute() -> tuple[Any, Any, Any]:
        return (
            results.compute_micro_scores(dataset, table(data)),
            results.compute_agent_scores(dataset),
            results.simulate_micro_data(dataset, 1),
        )

    whole = compute()
    for module in (estimated_markets, micro_scores):
        monkeypatch.setattr(module, "MOST_CELLS", 700)
    parts = compute()
    for a, b in zip(whole[0], parts[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)
    for a, b in zip(whole[1], parts[1], strict=True):
        for t in a:
            np.testing.assert_allclose(a[t], b[t], rtol=1e-11, atol=1e-12)
    assert (whole[2] == parts[2]).all()


def test_a_million_observations_are_what_the_model_says() -> None:
    """Means of prices and of a node, and of scores, within four standard errors."""
    drawn, results = draw_survey(8), solved(8)
    n = 1_000_000
    dataset = drawn.dataset(blpdask, n)
    sample = results.simulate_micro_data(dataset, seed=2)
    assert sample.agent_indices.dtype == sample.choice_indices.dtype == np.uint8
    scores = results.compute_agent_scores(dataset)
    cells = np.column_stack(
        [sample[f][:, 0].astype(int) for f in sample.dtype.names[2:]]
    )
    for own in scores:
        values = np.empty(n)
        for t, table_of_scores in own.items():
            here = sample.market_ids[:, 0] == t
            values[here] = table_of_scores[tuple(cells[here].T)]
        error = values.std() / np.sqrt(n)
        assert abs(values.mean()) <= 4 * error + 1e-12


def test_a_million_first_choices_have_the_means_of_the_model() -> None:
    drawn, results = draw_survey(1), solved(1)
    n = 1_000_000
    dataset = drawn.dataset(blpdask, n)
    sample = results.simulate_micro_data(dataset, seed=3)
    products, agents = results.problem.products, results.problem.agents

    def node(t: Any, p: Any, a: Any) -> Any:
        return np.tile(a.nodes[:, [0]], (1, 1 + p.size))

    def x(t: Any, p: Any, a: Any) -> Any:
        return np.tile(np.r_[0.0, p.X2[:, 0]], (a.size, 1))

    parts = [blpdask.MicroPart(f.__name__, dataset, f) for f in (node, x)]
    moments = [blpdask.MicroMoment(p.name, 0, p) for p in parts]
    expected = results.compute_micro_values(moments)
    observed = np.empty((2, n))
    for t in results.problem.unique_market_ids:
        here = sample.market_ids[:, 0] == t
        people = agents.nodes[agents.market_ids[:, 0] == t, 0]
        goods = np.r_[0.0, products.X2[products.market_ids[:, 0] == t, 0]]
        observed[0, here] = people[sample.agent_indices[here, 0]]
        observed[1, here] = goods[sample.choice_indices[here, 0]]
    errors = observed.std(axis=1) / np.sqrt(n)
    assert (np.abs(observed.mean(axis=1) - expected) <= 4 * errors).all()


SCRIPT = """
import warnings
warnings.simplefilter("ignore")
from tests.analysis.test_micro_scores import solved
from tests.references.drawn_scores import draw_survey
import blpdask
sample = solved(9).simulate_micro_data(draw_survey(9).dataset(blpdask, 50), seed=1)
print("sample", [tuple(map(str, row)) for row in sample.tolist()])
"""


def test_samples_do_not_depend_on_hash_seeds() -> None:
    """Several markets with names, of which PyBLP's samples differ by process."""
    assert len(draw_survey(9).market_ids or []) > 1
    told = set()
    for seed in ("1", "2", "3"):
        run = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        told.add(run.stdout[run.stdout.index("sample") :])
    assert len(told) == 1


def test_the_denominator_is_of_all_markets_of_the_dataset() -> None:
    """Observations in one market have the scores that they have among all."""
    drawn, results = draw_survey(3), solved(3)
    dataset = drawn.dataset(blpdask)
    data = draw_observations(drawn, results.problem, 60)
    keep = np.isin(data["micro_ids"], np.unique(data["micro_ids"])[:1])
    some = {name: values[keep] for name, values in data.items()}
    whole = results.compute_micro_scores(dataset, table(data))
    one = results.compute_micro_scores(dataset, table(some))
    for a, b in zip(whole, one, strict=True):
        np.testing.assert_allclose(a[:1], b, rtol=1e-12)


def test_bad_observations_are_refused_in_one_message() -> None:
    drawn, results = draw_survey(3), solved(3)
    dataset = drawn.dataset(blpdask)
    data = table(draw_observations(drawn, results.problem, 60))
    wrong = {**data, "micro_ids": data["micro_ids"][::-1]}
    wrong.pop("weights")
    wrong["second_choice_indices"] = data["second_choice_indices"] - 0.5
    with pytest.raises(InputError) as caught:
        results.compute_micro_scores(dataset, wrong)
    for part in ("micro_ids", "no column 'weights'", "second_choice_indices"):
        assert part in str(caught.value)
    wrong = {**data, "market_ids": np.full(data["micro_ids"].size, "nowhere")}
    with pytest.raises(InputError, match="nowhere"):
        results.compute_micro_scores(dataset, wrong)
    wrong = {n: v for n, v in data.items() if n != "second_choice_indices"}
    with pytest.raises(InputError, match="no 'second_choice_indices'"):
        results.compute_micro_scores(dataset, wrong)
    wrong = {n: v for n, v in data.items() if n != "choice_indices"}
    with pytest.raises(InputError, match="first choices too"):
        results.compute_micro_scores(dataset, wrong)
    wrong = {**data, "choice_indices": data["choice_indices"] + 100}
    with pytest.raises(InputError, match="numbers from zero to"):
        results.compute_micro_scores(dataset, wrong)
    wrong = {**data, "choice_indices": np.arange(data["micro_ids"].size) % 2}
    with pytest.raises(InputError, match="differ over the rows"):
        results.compute_micro_scores(dataset, wrong)
    with pytest.raises(InputError, match="a MicroDataset"):
        results.compute_micro_scores("survey", data)
    with pytest.raises(InputError, match="an Integration or None"):
        results.compute_micro_scores(dataset, data, ("product", 3))


def test_bad_weights_are_refused() -> None:
    results = solved(1)
    wrong: Any = {
        "of shape": lambda t, p, a: np.ones((a.size, 3 + p.size)),
        "negative": lambda t, p, a: -np.ones((a.size, p.size)),
        "KeyError": lambda t, p, a: {}["x"],
        "all zero|could observe": lambda t, p, a: np.zeros((a.size, p.size)),
    }
    for part, weights in wrong.items():
        dataset = blpdask.MicroDataset("d", 10, weights)
        with pytest.raises(blpdask.exceptions.BlpdaskError, match=part):
            results.simulate_micro_data(dataset, 1)
    with pytest.raises(InputError, match="markets of the micro dataset"):
        results.simulate_micro_data(
            blpdask.MicroDataset("d", 10, "1", market_ids=["nowhere"]), 1
        )
    with pytest.raises(InputError, match="no column 'wealth'"):
        results.simulate_micro_data(blpdask.MicroDataset("d", 10, "wealth"), 1)


def test_results_without_their_problem_say_so() -> None:
    alone = pickle.loads(pickle.dumps(solved(1)))
    with pytest.raises(blpdask.exceptions.BlpdaskError, match="without their problem"):
        alone.compute_micro_values([])
