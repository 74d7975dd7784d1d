"""Nested logits of people's choices as users meet them.

What must hold:

1. What made the choices is recovered, in ρ itself, for one or each nest.
2. Where ρ is zero all is the logit's; order of rows changes nothing.
3. What is wrong is told, with what to do.
"""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest

import blpdask
from blpdask.errors import BlpdaskError, DataWarning, InputError, NumericalWarning

SERIAL = {"engine": "serial"}
NESTS = np.array(["fish", "fish", "meat", "meat", "none"])
RHO = {"fish": 0.4, "meat": 0.7, "none": 0.0}


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blpdask.options, "verbose", False)


def probabilities(X: Any, beta: Any, rho: Any) -> Any:
    """Compute P ``(N, 5)`` of X ``(N, 5, 2)`` and ρ of the five."""
    odds = np.exp(X @ beta / (1 - rho))
    same = (NESTS[:, None] == NESTS).astype(float)
    D = odds @ same
    weights = (D ** (1 - rho)) / same.sum(axis=1)
    return odds / D * D ** (1 - rho) / weights.sum(axis=1, keepdims=True)


def choices(n: int = 800, seed: int = 0, rho: Any = RHO) -> pd.DataFrame:
    """Simulate choices of dinners, each of a person of three choices."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 5, 2))
    P = probabilities(X, np.array([-1.0, 0.7]), np.array([rho[name] for name in NESTS]))
    chosen = (P.cumsum(axis=1) < rng.uniform(size=(n, 1))).sum(axis=1)
    t, j = np.indices((n, 5))
    return pd.DataFrame(
        {
            "person_ids": t.ravel() // 3,
            "situation_ids": t.ravel(),
            "alternative_ids": j.ravel(),
            "nesting_ids": NESTS[j.ravel()],
            "chosen": (chosen[:, None] == np.arange(5)).ravel(),
            "prices": X[..., 0].ravel(),
            "quality": X[..., 1].ravel(),
        }
    )


def problem_of(frame: Any, *arguments: Any, **options: Any) -> Any:
    formulation = blpdask.Formulation("0 + prices + quality")
    return blpdask.NestedChoiceProblem(formulation, frame, *arguments, **options)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return choices()


@pytest.fixture(scope="module")
def estimated(frame: pd.DataFrame) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blpdask.options, "verbose", False)
        return problem_of(frame, "each").solve(**SERIAL)


def test_each_nest_has_its_rho() -> None:
    found = problem_of(choices(4000, 1), "each").solve(**SERIAL)
    assert found.labels == ("prices", "quality", "rho.fish", "rho.meat")
    assert found.converged and found.nests == ("fish", "meat", "none")
    truth = np.array([-1.0, 0.7, 0.4, 0.7])
    assert (abs(found.theta - truth) < 3 * found.standard_errors).all()
    assert (found.standard_errors < 0.05).all()
    np.testing.assert_array_equal(found.rho, [*found.theta[2:], 0.0])
    np.testing.assert_array_equal(found.rho_se, [*found.standard_errors[2:], 0.0])
    np.testing.assert_array_equal(found.beta, found.theta[:2])


def test_all_nests_may_have_one_rho() -> None:
    same = {"fish": 0.5, "meat": 0.5, "none": 0.0}
    found = problem_of(choices(3000, 2, same)).solve(**SERIAL)
    assert found.labels == ("prices", "quality", "rho")
    assert abs(found.theta[2] - 0.5) < 3 * found.standard_errors[2] < 0.15
    np.testing.assert_array_equal(found.rho, found.theta[2] * np.array([1, 1, 0]))


def test_at_zero_it_is_the_logit(frame: pd.DataFrame, estimated: Any) -> None:
    formulation = blpdask.Formulation("0 + prices + quality")
    logit = blpdask.ChoiceProblem(formulation, frame).solve(backend="numpy", **SERIAL)
    there = problem_of(frame).solve(
        [*logit.theta, 0.0], optimization=blpdask.Optimization("return"), **SERIAL
    )
    assert there.log_likelihood == pytest.approx(logit.log_likelihood, rel=1e-12)
    np.testing.assert_allclose(
        there.compute_probabilities(engine="serial"),
        logit.compute_probabilities(engine="serial"),
        rtol=1e-12,
    )
    test = estimated.run_likelihood_ratio_test(logit)
    assert test.degrees == 2 and float(test) > 50
    assert estimated.log_likelihood_at_zero == pytest.approx(-800 * np.log(5))


def test_probabilities_are_those_of_formulas(
    frame: pd.DataFrame, estimated: Any
) -> None:
    X = frame[["prices", "quality"]].to_numpy().reshape(800, 5, 2)
    rho = np.repeat(estimated.rho, [2, 2, 1])
    expected = probabilities(X, estimated.beta, rho).ravel()
    found = estimated.compute_probabilities(engine="serial")
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    logs = np.log(expected[frame["chosen"]]).sum()
    assert estimated.log_likelihood == pytest.approx(logs, rel=1e-12)


def test_order_of_rows_changes_nothing(frame: pd.DataFrame, estimated: Any) -> None:
    other = frame.sample(frac=1.0, random_state=1).drop(columns="alternative_ids")
    found = problem_of(other, "each").solve(**SERIAL)
    assert found.log_likelihood == pytest.approx(estimated.log_likelihood, rel=1e-12)
    np.testing.assert_allclose(found.theta, estimated.theta, rtol=1e-8)
    ours = pd.Series(found.compute_probabilities(engine="serial"), index=other.index)
    theirs = estimated.compute_probabilities(engine="serial")
    np.testing.assert_allclose(ours.sort_index(), theirs, rtol=1e-7)


def test_rows_that_are_not_available_are_left_out(frame: pd.DataFrame) -> None:
    there = frame["chosen"] | (frame["alternative_ids"] != 1)
    some = frame.assign(availability=there.astype(int))
    some.loc[~there, "nesting_ids"] = None
    one, other = (problem_of(f).solve(**SERIAL) for f in (some, frame[there]))
    np.testing.assert_array_equal(one.theta, other.theta)
    found = one.compute_probabilities(engine="serial")
    assert (found[~there] == 0.0).all()
    np.testing.assert_array_equal(
        found[there], other.compute_probabilities(engine="serial")
    )


def test_situations_of_one_alternative_have_probability_one(
    frame: pd.DataFrame,
) -> None:
    alone = (frame["situation_ids"] == 7) & ~frame["chosen"]
    with pytest.warns(DataWarning, match="single available"):
        problem = problem_of(frame.assign(availability=1 - alone))
    found = problem.solve(**SERIAL).compute_probabilities(engine="serial")
    assert sorted(found[frame["situation_ids"] == 7]) == [0, 0, 0, 0, 1]


def test_negative_rho_is_told_and_zero(frame: pd.DataFrame) -> None:
    unlike = choices(3000, 4, {"fish": -0.4, "meat": 0.6, "none": 0.0})
    with pytest.warns(NumericalWarning, match=r"\[rho\.fish\] would be negative"):
        found = problem_of(unlike, "each").solve(**SERIAL)
    assert found.labels == ("prices", "quality", "rho.meat")
    assert found.rho[0] == found.rho_se[0] == 0.0 < found.rho[1]


def test_errors_are_of_clusters_where_wanted(frame: pd.DataFrame) -> None:
    people = problem_of(frame).solve(**SERIAL)
    single = frame.drop(columns="person_ids")
    single = single.assign(clustering_ids=frame["person_ids"])
    found = problem_of(single).solve(se_type="clustered", **SERIAL)
    np.testing.assert_allclose(found.theta, people.theta, rtol=1e-8)
    np.testing.assert_allclose(found.covariances, people.covariances, rtol=1e-6)


def test_results_print_and_pickle(frame: pd.DataFrame, estimated: Any) -> None:
    assert "rho.meat" in str(estimated) and "rho.meat" in estimated.to_latex()
    printed = str(problem_of(frame, "each"))
    for part in ("Nests:", "rho.fish", "none"):
        assert part in printed
    assert "<table>" in estimated._repr_html_()
    assert estimated.to_dict()["sigma"].shape == (0, 0)
    assert len(estimated.to_frame()) == 4
    again = pickle.loads(pickle.dumps(estimated))
    np.testing.assert_array_equal(again.rho, estimated.rho)
    with pytest.raises(BlpdaskError, match="without their problem"):
        again.compute_probabilities()


def faults_of(frame: Any, *arguments: Any) -> str:
    with pytest.raises(InputError) as caught:
        problem_of(frame, *arguments)
    assert all(f.found and f.expected and f.remedy for f in caught.value.faults)
    return str(caught.value)


def test_faults_of_nests(frame: pd.DataFrame) -> None:
    text = faults_of(frame.drop(columns="nesting_ids"))
    assert "no column 'nesting_ids'" in text
    text = faults_of(frame.drop(columns="chosen"), "two")
    assert "rho='two'" in text and "no column 'chosen'" in text
    missing = frame.assign(nesting_ids=frame["nesting_ids"].where(frame.index > 3))
    assert "4 missing values of 'nesting_ids'" in faults_of(missing)
    text = faults_of(frame.assign(nesting_ids="all"))
    assert "no situation with alternatives of two nests" in text
    text = faults_of(frame.assign(nesting_ids=frame["alternative_ids"]))
    assert "no situation with two alternatives of one nest" in text
    arrays = {name: frame[name].to_numpy() for name in frame}
    text = faults_of(arrays | {"nesting_ids": arrays["nesting_ids"][:-1]})
    assert "'nesting_ids' of 3999 rows in a table of 4000" in text


@pytest.mark.parametrize("rho", [-0.1, 1.0, 3.0])
def test_faults_of_starting_values(frame: pd.DataFrame, rho: float) -> None:
    with pytest.raises(InputError, match="at least 0 and less than 1"):
        problem_of(frame).solve([0.0, 0.0, rho])
