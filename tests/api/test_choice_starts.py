"""Several starts of a likelihood, functions of its estimates, and results at rest."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import blpdask
from blpdask.api.choice_results import ChoiceResults
from blpdask.api.choice_starts import start_sizes
from blpdask.errors import InputError, NumericalError, NumericalWarning, StoreError
from blpdask.progress import EvaluationEvent, Event, StepEvent
from tests.api.test_choice_problem import PLAIN, logit, mixed, panel

RETURN = blpdask.Optimization("return")


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blpdask.options, "verbose", False)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return panel(120, 4, seed=11)


@pytest.fixture(scope="module")
def estimated(frame: pd.DataFrame) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blpdask.options, "verbose", False)
        problem = mixed(frame, 32, random={"quality": "lognormal"})
        return problem.solve(starts=[[-2.0, -1.0, -0.2]], **PLAIN)


# Several starts


def test_the_highest_of_given_points_is_kept(frame: pd.DataFrame) -> None:
    problem = mixed(frame, 32)
    points = [[-1.0, 0.7, 0.8], [-1.0, 0.8, 0.9], [0.0, 0.0, 0.5]]
    values = [
        problem.solve(point, optimization=RETURN, **PLAIN).log_likelihood
        for point in points
    ]
    found = problem.solve(points[2], starts=points[:2], optimization=RETURN, **PLAIN)
    best = int(np.argmax(values[:2]))
    np.testing.assert_array_equal(found.theta, points[best])
    assert found.log_likelihood == values[best] > values[2]
    listed = found.starts
    assert list(listed["start"]) == [0, 1, 2]
    np.testing.assert_array_equal(listed["log_likelihood"], np.roll(values, 1))
    np.testing.assert_array_equal(
        listed["below_best"], values[best] - np.roll(values, 1)
    )
    distances = [np.abs(np.subtract(p, points[best])).max() for p in points]
    np.testing.assert_allclose(listed["distance"], np.roll(distances, 1))
    assert listed["converged"].all() and (listed["evaluations"] == 0).all()
    np.testing.assert_array_equal(found.estimates.searches[1].start, points[0])


def test_random_starts_lead_to_the_same_maximum(frame: pd.DataFrame) -> None:
    problem = mixed(frame, 32)
    alone = problem.solve(**PLAIN)
    heard: list[Event] = []
    found = problem.solve(starts=4, seed=2, progress=heard.append, **PLAIN)
    np.testing.assert_allclose(found.log_likelihood, alone.log_likelihood, atol=0.05)
    assert found.log_likelihood >= alone.log_likelihood - 1e-9
    assert len(found.starts) == 4 and found.converged
    assert found.starts["log_likelihood"].max() == found.log_likelihood
    first = found.estimates.searches[0].start
    rng = np.random.default_rng(2)
    sizes = start_sizes(first, problem.coefficients, problem.table)
    expected = first + sizes * rng.standard_normal((3, 3))
    given = [search.start for search in found.estimates.searches[1:]]
    np.testing.assert_allclose(given, expected, rtol=1e-12)
    np.testing.assert_allclose(sizes, np.abs(first))
    numbers = {event.start for event in heard if isinstance(event, EvaluationEvent)}
    assert numbers == {0, 1, 2, 3}
    steps = [event.message for event in heard if isinstance(event, StepEvent)]
    assert "Optimising from start 2 of 4" in steps
    assert found.evaluations > found.starts["evaluations"].sum()
    assert "Starts: 4; " in str(found)
    again = problem.solve(starts=4, seed=2, **PLAIN)
    np.testing.assert_array_equal(again.theta, found.theta)
    assert alone.starts.empty and "Starts" not in str(alone)
    assert list(alone.starts) == list(found.starts)


def test_starts_that_fail_do_not_lose_the_others(frame: pd.DataFrame) -> None:
    problem = mixed(frame, 32, random={"quality": "lognormal"})
    bad, good = [-1.0, 800.0, 1.0], [-1.0, -0.5, 0.6]
    alone = problem.solve(good, **PLAIN)
    found = problem.solve(bad, starts=[good, bad], **PLAIN)
    np.testing.assert_allclose(found.theta, alone.theta, rtol=1e-9)
    listed = found.starts
    assert np.isnan(listed["log_likelihood"]).tolist() == [True, False, True]
    assert listed["converged"].tolist() == [False, True, False]
    assert "120 people" in listed["message"][0]
    assert "; 2 failed." in str(found)
    with pytest.raises(NumericalError, match="of 120 of 120 people"):
        problem.solve(bad, starts=[bad, bad], **PLAIN)
    with pytest.raises(NumericalError, match="of 120 of 120 people"):
        problem.solve(bad, **PLAIN)


def test_engines_find_the_same_bits(frame: pd.DataFrame) -> None:
    problem = mixed(frame, 32)
    one = problem.solve(starts=2, **PLAIN)
    other = problem.solve(starts=2, engine="threads", threads=2, backend="numpy")
    np.testing.assert_array_equal(one.theta, other.theta)
    pd.testing.assert_frame_equal(one.starts, other.starts)


def test_ends_that_cannot_be_climbed_give_way_to_the_next(
    frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    from blpdask.estimators import likelihood_starts

    plain, calls = likelihood_starts.climb, []

    def climb(*given: Any, **options: Any) -> Any:
        calls.append(given)
        if len(calls) == 1:
            raise NumericalError("found: a cliff")
        return plain(*given, **options)

    monkeypatch.setattr(likelihood_starts, "climb", climb)
    found = mixed(frame, 32).solve([-1.0, 0.8, 0.5], starts=2, **PLAIN)
    assert found.converged and len(calls) == 2
    assert found.starts["log_likelihood"].isna().sum() == 1


@pytest.mark.parametrize(
    "starts", [0, -1, [[1.0, 2.0]], "many", [[np.nan] * 3], np.zeros((2, 2, 2))]
)
def test_starts_that_are_none(frame: pd.DataFrame, starts: Any) -> None:
    with pytest.raises(InputError, match=r"starts(=| of shape)"):
        mixed(frame).solve(starts=starts, **PLAIN)


def test_starts_and_other_faults_come_together(frame: pd.DataFrame) -> None:
    with pytest.raises(InputError) as caught:
        mixed(frame).solve([1.0], starts=0, backend="jax")
    assert len(caught.value.faults) == 3


def test_sizes_of_starts_where_parameters_are_zero(frame: pd.DataFrame) -> None:
    problem = mixed(
        frame, random={"prices": "normal", "quality": "normal"}, correlated=True
    )
    theta = np.array([0.0, 2.0, -3.0, 0.0, 0.0])
    scales = 0.3 / problem.table.within().std(axis=0)
    sizes = start_sizes(theta, problem.coefficients, problem.table)
    np.testing.assert_allclose(sizes, [scales[0], 2.0, 3.0, scales[1], scales[1]])


# Functions of estimates


def test_functions_have_errors_by_their_derivatives(estimated: Any) -> None:
    b, mean, s = estimated.theta
    found = estimated.delta_method(
        lambda at: np.array(
            [at.theta[1] / at.theta[0], np.exp(at.theta[1] + at.theta[2] ** 2 / 2)]
        )
    )
    level = np.exp(mean + s**2 / 2)
    J = np.array([[-mean / b**2, 1 / b, 0.0], [0.0, level, level * s]])
    np.testing.assert_allclose(found.value, [mean / b, level], rtol=1e-14)
    np.testing.assert_allclose(found.jacobian, J, rtol=1e-8, atol=1e-8)
    V = J @ estimated.covariances @ J.T
    np.testing.assert_allclose(found.covariances, V, rtol=1e-7)
    np.testing.assert_allclose(found.standard_errors, np.sqrt(np.diag(V)), rtol=1e-7)


def test_functions_may_ask_what_results_answer(estimated: Any) -> None:
    found = estimated.delta_method(
        lambda at: at.compute_probabilities(engine="serial")[:6]
    )
    probabilities = estimated.compute_probabilities(engine="serial")[:6]
    np.testing.assert_array_equal(found.value, probabilities)
    np.testing.assert_allclose(
        found.jacobian.reshape(2, 3, 3).sum(axis=1), 0, atol=1e-9
    )
    spread = estimated.delta_method(lambda at: at.sigma)
    np.testing.assert_allclose(spread.standard_errors, estimated.sigma_se, rtol=1e-8)
    assert estimated.theta is estimated.estimates.theta
    with pytest.raises(InputError, match="a function of results"):
        estimated.delta_method(3.0)
    with pytest.raises(InputError, match="NaN or infinite"):
        estimated.delta_method(lambda at: np.nan)
    with pytest.warns(NumericalWarning, match="do not settle"):
        estimated.delta_method(lambda at: np.cbrt(at.theta[0] - estimated.theta[0]))


# At rest


def test_saved_results_are_read_again(estimated: Any, tmp_path: Path) -> None:
    estimated.save(tmp_path / "saved")
    again = ChoiceResults.load(tmp_path / "saved")
    given, kept = again.to_dict(), estimated.to_dict()
    assert list(given) == list(kept)
    for name, value in kept.items():
        np.testing.assert_array_equal(given[name], value, name)
    assert again.estimates.coefficients == estimated.estimates.coefficients
    pd.testing.assert_frame_equal(again.starts, estimated.starts)
    assert str(again) == str(estimated) and again.problem is None
    ratio = again.delta_method(lambda at: at.theta[1] / at.theta[0])
    assert np.isfinite(ratio.standard_errors)
    with pytest.raises(StoreError, match="exists"):
        estimated.save(tmp_path / "saved")
    estimated.save(tmp_path / "saved", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


def test_structures_of_coefficients_are_kept(
    frame: pd.DataFrame, tmp_path: Path
) -> None:
    problem = mixed(
        frame.assign(income=frame["person_ids"] % 7),
        8,
        random={"prices": "lognormal", "quality": "normal"},
        correlated=[["prices", "quality"]],
        wtp="prices",
        demographics=blpdask.Formulation("0 + income"),
    )
    start = np.linspace(0.1, 0.7, problem.coefficients.size)
    found = problem.solve(start, optimization=RETURN, **PLAIN)
    found.save(tmp_path / "saved")
    again = ChoiceResults.load(tmp_path / "saved")
    assert again.estimates.coefficients == problem.coefficients
    assert again.labels == found.labels


def test_damaged_results_are_refused(estimated: Any, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    estimated.save(saved)
    with pytest.raises(StoreError, match=r"no choice_estimates\.json"):
        ChoiceResults.load(tmp_path)
    assert blpdask.read_results(saved).labels == estimated.labels
    path = saved / "choice_estimates.json"
    sealed = json.loads(path.read_text())
    path.write_text(
        json.dumps(sealed | {"content": sealed["content"].replace("true", "false")})
    )
    with pytest.raises(StoreError, match="checksum is wrong"):
        ChoiceResults.load(saved)
    path.write_text(json.dumps(sealed))
    (chunk,) = [p for p in (saved / "arrays" / "theta").rglob("*") if p.name == "0"]
    raw = bytearray(chunk.read_bytes())
    raw[3] ^= 1
    chunk.write_bytes(bytes(raw))
    with pytest.raises(StoreError, match=r"theta in .* is damaged"):
        ChoiceResults.load(saved)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(StoreError, match="other files than estimates"):
        estimated.save(tmp_path / "other", overwrite=True)


def test_other_models_are_not_saved_as_this_one(
    frame: pd.DataFrame, tmp_path: Path
) -> None:
    found = logit(frame)
    found.estimates = replace(found.estimates, coefficients=3)
    with pytest.raises(StoreError, match="coefficients of type int"):
        found.save(tmp_path / "saved")
    assert not list(tmp_path.iterdir())
