"""Latent classes of people as users meet them.

What must hold:

1. What made the choices is recovered: tastes, shares, who is in which class.
2. One class is the logit; order of people and names of classes change nothing.
3. Probabilities and posteriors are Bayes' rule; errors of shares those of differences.
4. What is wrong with arguments is told at once, with what to do.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import logsumexp

import blpdask
from blpdask.api.asked_blocks import check_in_memory
from blpdask.api.latent_class_checks import check_rule_within
from blpdask.errors import BlpdaskError, Faults, InputError
from blpdask.model.latent_classes import ClassParameters
from blpdask.progress import Event, StepEvent

PLAIN = {"engine": "serial", "backend": "numpy"}
TASTES = np.array([[-1.5, 0.5], [0.2, 1.5]])


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blpdask.options, "verbose", False)


def panel(
    n_people: int = 150, n_situations: int = 6, seed: int = 0, spread: float = 0.0
) -> pd.DataFrame:
    """Simulate people of two classes, the first likelier where income is high."""
    rng = np.random.default_rng(seed)
    income = rng.normal(size=n_people)
    first = rng.uniform(size=n_people) < 1 / (1 + np.exp(-0.5 - income))
    beta = TASTES[np.where(first, 0, 1)]
    beta = beta + spread * rng.normal(size=(n_people, 1)) * [0.0, 1.0]
    X = rng.normal(size=(n_people, n_situations, 3, 2))
    utilities = np.einsum("itjk,ik->itj", X, beta) + rng.gumbel(size=X.shape[:3])
    chosen = utilities.argmax(axis=2)[..., None] == np.arange(3)
    i, t, j = np.indices(chosen.shape)
    return pd.DataFrame(
        {
            "person_ids": i.ravel(),
            "situation_ids": t.ravel(),
            "alternative_ids": j.ravel(),
            "chosen": chosen.ravel(),
            "prices": X[..., 0].ravel(),
            "quality": X[..., 1].ravel(),
            "income": income[i.ravel()],
            "region": np.where(income > 0, "north", "south")[i.ravel()],
            "first": first[i.ravel()],
        }
    )


def problem_of(frame: Any, classes: Any = 2, *arguments: Any, **options: Any) -> Any:
    formulation = blpdask.Formulation("0 + prices + quality")
    return blpdask.LatentClassProblem(
        formulation, frame, classes, *arguments, **options
    )


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return panel()


@pytest.fixture(scope="module")
def estimated(frame: pd.DataFrame) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blpdask.options, "verbose", False)
        membership = blpdask.Formulation("1 + income")
        return problem_of(frame, 2, membership).solve(**PLAIN)


def test_what_made_the_choices_is_recovered() -> None:
    frame = panel(600, 8, seed=2)
    problem = problem_of(frame, 2, blpdask.Formulation("1 + income"))
    found = problem.solve(**PLAIN)
    assert found.converged
    assert (abs(found.class_parameters - TASTES) < 3 * found.class_parameters_se).all()
    assert (found.class_parameters_se < 0.1).all()
    gamma = found.theta[problem.coefficients.gamma_places[0]]
    assert (abs(gamma - [0.5, 1.0]) < 3 * found.standard_errors[-2:]).all()
    persons = frame.drop_duplicates("person_ids")
    assert abs(found.shares[0] - persons["first"].mean()) < 3 * found.shares_se[0]
    likely = found.compute_class_probabilities()[1] > 0.5
    assert (likely.to_numpy() == persons["first"].to_numpy()).mean() > 0.95


def test_one_class_is_the_logit(frame: pd.DataFrame) -> None:
    one = problem_of(frame, 1).solve(**PLAIN)
    formulation = blpdask.Formulation("0 + prices + quality")
    logit = blpdask.ChoiceProblem(formulation, frame).solve(**PLAIN)
    assert one.log_likelihood == pytest.approx(logit.log_likelihood, rel=1e-13)
    np.testing.assert_allclose(one.theta, logit.theta, rtol=1e-9)
    np.testing.assert_allclose(one.covariances, logit.covariances, rtol=1e-6)
    np.testing.assert_allclose(
        one.compute_probabilities(engine="serial"),
        logit.compute_probabilities(engine="serial"),
        rtol=1e-9,
    )
    assert one.shares.tolist() == [1.0] and one.shares_se.tolist() == [0.0]
    assert pytest.approx((logit.AIC, logit.BIC), rel=1e-12) == (one.AIC, one.BIC)


def test_classes_fit_better_and_tests_say_so(
    frame: pd.DataFrame, estimated: Any
) -> None:
    plain = problem_of(frame).solve(**PLAIN)
    assert plain.log_likelihood < estimated.log_likelihood - 5
    test = estimated.run_likelihood_ratio_test(plain)
    assert test.degrees == 1
    assert float(test) == pytest.approx(
        2 * (estimated.log_likelihood - plain.log_likelihood)
    )
    assert pytest.approx(2 * 6 - 2 * estimated.log_likelihood) == estimated.AIC


def test_order_of_people_changes_nothing(frame: pd.DataFrame, estimated: Any) -> None:
    codes = np.random.default_rng(3).permutation(150)
    other = frame.assign(person_ids=codes[frame["person_ids"]])
    other = other.sample(frac=1.0, random_state=0)
    found = problem_of(other, 2, blpdask.Formulation("1 + income")).solve(**PLAIN)
    assert found.log_likelihood == pytest.approx(estimated.log_likelihood, rel=1e-12)
    np.testing.assert_allclose(found.theta, estimated.theta, rtol=1e-7)
    ours = estimated.compute_class_probabilities(engine="serial")
    theirs = found.compute_class_probabilities(engine="serial")
    np.testing.assert_allclose(
        theirs.loc[codes].to_numpy(), ours.to_numpy(), rtol=1e-6, atol=1e-12
    )


def by_hand(frame: pd.DataFrame, found: Any) -> tuple[Any, Any, Any]:
    """Shares π ``(I, 2)``, log P_itj ``(2, I, T, 3)`` and log P_iq ``(I, 2)``."""
    X = frame[["prices", "quality"]].to_numpy().reshape(150, 6, 3, 2)
    chosen = frame["chosen"].to_numpy().reshape(150, 6, 3)
    V = np.einsum("itjk,qk->qitj", X, found.class_parameters)
    log_P = V - logsumexp(V, axis=3, keepdims=True)
    income = frame.drop_duplicates("person_ids")["income"].to_numpy()
    pi = 1 / (1 + np.exp(-found.theta[-2] - found.theta[-1] * income))
    own = np.where(chosen, log_P, 0.0).sum(axis=(2, 3)).T
    return np.column_stack([pi, 1 - pi]), log_P, own


def test_probabilities_are_those_of_formulas(
    frame: pd.DataFrame, estimated: Any
) -> None:
    pi, log_P, own = by_hand(frame, estimated)
    expected = np.einsum("iq,qitj->itj", pi, np.exp(log_P)).ravel()
    found = estimated.compute_probabilities(engine="serial")
    np.testing.assert_allclose(found, expected, rtol=1e-11)
    prior = estimated.compute_class_probabilities(False, engine="serial")
    np.testing.assert_allclose(prior.to_numpy(), pi, rtol=1e-11)
    joint = np.log(pi) + own
    posterior = estimated.compute_class_probabilities(engine="serial")
    np.testing.assert_allclose(
        posterior.to_numpy(),
        np.exp(joint - logsumexp(joint, axis=1, keepdims=True)),
        rtol=1e-10,
    )
    np.testing.assert_allclose(posterior.sum(axis=1), 1.0, rtol=1e-12)
    assert posterior.index.name == "person_ids" and list(posterior.columns) == [1, 2]
    # Where the constant's slope is zero, posteriors average to what was expected.
    np.testing.assert_allclose(posterior.mean(), prior.mean(), rtol=1e-8)
    np.testing.assert_allclose(estimated.shares, pi.mean(axis=0), rtol=1e-12)
    total = logsumexp(joint, axis=1).sum()
    assert estimated.log_likelihood == pytest.approx(total, rel=1e-12)


def test_errors_of_shares_are_of_differences(
    frame: pd.DataFrame, estimated: Any
) -> None:
    income = frame.drop_duplicates("person_ids")["income"].to_numpy()

    def share(gamma: Any) -> float:
        return float((1 / (1 + np.exp(-gamma[0] - gamma[1] * income))).mean())

    gamma = estimated.theta[-2:]
    slope = [(share(gamma + e) - share(gamma - e)) / 2e-5 for e in 1e-5 * np.eye(2)]
    error = np.sqrt(slope @ estimated.covariances[-2:, -2:] @ slope)
    np.testing.assert_allclose(estimated.shares_se, [error, error], rtol=1e-6)
    assert estimated.shares[0] > estimated.shares[1]


def test_the_largest_class_comes_first(frame: pd.DataFrame, estimated: Any) -> None:
    classes = estimated.classes
    parameters = classes.split(estimated.theta)
    turned = classes.join(ClassParameters(parameters.own[::-1], parameters.gamma[::-1]))
    other = estimated.problem.solve(turned, **PLAIN)
    np.testing.assert_allclose(other.shares, estimated.shares[::-1], rtol=1e-7)
    assert other.start_log_likelihoods.size == 0
    np.testing.assert_allclose(
        other.class_parameters_se, estimated.class_parameters_se[::-1], rtol=1e-4
    )
    assert other.log_likelihood == pytest.approx(estimated.log_likelihood, rel=1e-12)


def test_errors_are_of_clusters_and_weights_of_people(frame: pd.DataFrame) -> None:
    single = frame.assign(clustering_ids=frame["person_ids"])
    start = problem_of(frame).solve(**PLAIN)
    found = problem_of(single).solve(start.theta, se_type="clustered", **PLAIN)
    np.testing.assert_allclose(found.covariances, start.covariances, rtol=1e-6)
    heavy = frame.assign(weights=1.0 + (frame["person_ids"] < 40))
    again = frame[frame["person_ids"] < 40]
    twice = pd.concat([frame, again.assign(person_ids=again["person_ids"] + 1000)])
    one, other = (
        problem_of(table).solve(starts=3, **PLAIN) for table in (heavy, twice)
    )
    np.testing.assert_allclose(one.theta, other.theta, rtol=1e-7)
    np.testing.assert_allclose(one.shares, other.shares, rtol=1e-9)
    assert one.log_likelihood == pytest.approx(other.log_likelihood, rel=1e-12)


def test_shared_coefficients_are_alike_and_zeros_zero(frame: pd.DataFrame) -> None:
    found = problem_of(frame, 2, shared="quality").solve(**PLAIN)
    assert found.labels == ("quality", "class1.prices", "class2.prices", "share1.1")
    assert found.class_parameters[0, 1] == found.class_parameters[1, 1]
    found = problem_of(frame, 2, zeros={2: ["prices"]}).solve(**PLAIN)
    assert found.labels[-2:] == ("class2.quality", "share1.1")
    assert found.class_parameters[1, 0] == found.class_parameters_se[1, 0] == 0.0
    assert found.converged and found.class_parameters[0, 0] < -1.0


def test_tastes_that_vary_within_classes() -> None:
    frame = panel(400, 8, seed=4, spread=0.8)
    problem = problem_of(
        frame,
        2,
        random={"quality": "normal"},
        integration=blpdask.Integration("sobol", 64, {"seed": 1}),
        shared=["sd.quality"],
    )
    assert (problem.D, problem.R, problem.Q, problem.M) == (1, 64, 2, 1)
    found = problem.solve(polished=1, **PLAIN)
    assert found.labels[0] == "sd.quality" and found.converged
    spread = found.to_frame()["estimate"][0]
    assert abs(spread - 0.8) < 3 * found.standard_errors[0]
    off = abs(found.class_parameters[:, :2] - TASTES)
    assert (off < 3 * found.class_parameters_se[:, :2]).all()
    plain = problem_of(frame, 2).solve(**PLAIN)
    assert found.log_likelihood > plain.log_likelihood + 20
    assert found.sigma.shape == found.sigma_se.shape == (2, 1, 1)
    np.testing.assert_allclose(found.sigma[:, 0, 0], spread**2, rtol=1e-12)
    np.testing.assert_allclose(
        found.standard_deviations_se[:, 0], found.standard_errors[0], rtol=1e-10
    )
    probabilities = found.compute_probabilities(engine="serial")
    np.testing.assert_allclose(
        probabilities.reshape(-1, 3).sum(axis=1), 1.0, rtol=1e-12
    )


def test_classes_that_differ_in_spread_alone() -> None:
    frame = panel(100, 6, seed=5, spread=0.8)
    problem = problem_of(
        frame,
        2,
        random={"quality": "normal"},
        integration=blpdask.Integration("sobol", 32, {"seed": 1}),
        shared=["prices"],
        zeros={2: ["sd.quality"]},
    )
    found = problem.solve(polished=1, **PLAIN)
    assert found.class_parameters[1, 2] == 0.0
    assert found.sigma[1, 0, 0] == 0.0 < found.sigma[0, 0, 0]


def test_membership_may_be_of_categories(frame: pd.DataFrame) -> None:
    problem = problem_of(frame, 2, blpdask.Formulation("1 + C(region)"))
    assert problem.coefficients.membership == ("1", "region['south']")
    assert set(problem.membership[:, 1].tolist()) == {0.0, 1.0}
    one = problem_of(frame, 2, blpdask.Formulation("1"))
    np.testing.assert_array_equal(one.membership, np.ones((150, 1)))


def test_rows_that_are_not_available_need_no_membership(frame: pd.DataFrame) -> None:
    there = frame["chosen"] | (frame["alternative_ids"] > 0)
    other = frame.assign(availability=there.astype(float))
    other.loc[~there, "income"] = np.nan
    problem = problem_of(other, 2, blpdask.Formulation("1 + income"))
    expected = frame.drop_duplicates("person_ids")["income"]
    np.testing.assert_array_equal(problem.membership[:, 1], expected)


def test_results_print_pickle_and_become_frames(estimated: Any, tmp_path: Path) -> None:
    text = str(estimated)
    for part in ("class1.prices", "share1.income", "Class 2", "Share", "Robust SE"):
        assert part in text
    assert "Membership" in str(estimated.problem)
    html = estimated._repr_html_()
    assert html.startswith("<table>") and "<th>Class 1</th>" in html
    listed = estimated.to_class_frame()
    assert listed["parameter"].tolist() == ["share", "prices", "quality"] * 2
    np.testing.assert_allclose(
        listed["estimate"].to_numpy().reshape(2, 3)[:, 1:], estimated.class_parameters
    )
    assert len(estimated.to_frame()) == 6 and "class1.prices" in estimated.to_latex()
    assert estimated.to_dict()["sigma"].shape == (2, 0, 0)
    estimated.to_pickle(tmp_path / "results")
    again = pickle.loads((tmp_path / "results").read_bytes())
    assert str(again) == text
    np.testing.assert_array_equal(again.shares, estimated.shares)
    for ask in (again.compute_probabilities, again.compute_class_probabilities):
        with pytest.raises(BlpdaskError, match="without their problem"):
            ask()


def test_starts_are_of_the_seed(frame: pd.DataFrame, estimated: Any) -> None:
    heights = estimated.start_log_likelihoods
    assert heights.size == 20 and (np.diff(heights) <= 0).all()
    assert estimated.log_likelihood == pytest.approx(heights[0], abs=1e-2)
    problem = problem_of(frame, 3)
    one, two, three = (
        problem.solve(starts=6, seed=seed, polished=1, **PLAIN) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one.theta, two.theta)
    assert (one.start_log_likelihoods != three.start_log_likelihoods).any()


def test_progress_is_told(frame: pd.DataFrame) -> None:
    events: list[Event] = []
    problem_of(frame).solve(progress=events.append, polished=1, **PLAIN)
    said = [event.message for event in events if isinstance(event, StepEvent)]
    assert said[:3] == [
        "Estimating the logit",
        "Searching for classes from 20 starts",
        "Optimising",
    ]


def test_words_are_printed_where_wanted(
    frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr(blpdask.options, "verbose", True)
    monkeypatch.setattr(blpdask.options, "verbose_output", lines.append)
    problem = problem_of(frame)
    problem.solve(starts=2, polished=1, **PLAIN)
    text = "\n".join(lines)
    assert text.count("Formulations:") == text.count("Membership:") == 1
    assert "Searching for classes from 2 starts" in text and "Class 2" in text


# Bad inputs


def faults_of(*arguments: Any, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        problem_of(*arguments, **options)
    assert all(f.found and f.expected and f.remedy for f in caught.value.faults)
    return str(caught.value)


def test_faults_of_arguments_are_told_at_once(frame: pd.DataFrame) -> None:
    text = faults_of(
        frame,
        0,
        "1 + income",
        shared=("weight", 3),
        zeros={3: ["quality"], 1: ["sd.x"]},
    )
    for part in (
        "classes=0",
        "membership of type str",
        "no coefficient 'weight' that shared names",
        "3 in shared",
        "class 3 in zeros",
        "no coefficient 'sd.x' that zeros names",
        "one of prices, quality",
    ):
        assert part in text


@pytest.mark.parametrize("classes", [0, -1, 1.5, "two", True, None])
def test_classes_are_counted(frame: pd.DataFrame, classes: Any) -> None:
    assert f"classes={classes!r}" in faults_of(frame, classes)


def test_more_classes_than_people(frame: pd.DataFrame) -> None:
    few = frame[frame["person_ids"] < 3]
    text = faults_of(few, 4)
    assert "4 classes of 3 people" in text and "ask for fewer classes" in text


def test_membership_that_is_none(frame: pd.DataFrame) -> None:
    wrong = frame.copy()
    wrong.loc[4, "income"] += 1.0
    text = faults_of(wrong, 2, blpdask.Formulation("1 + income"))
    assert "values of 'income' in membership that differ within 1 people (0)" in text
    twice = frame.assign(double=2 * frame["income"])
    text = faults_of(twice, 2, blpdask.Formulation("1 + income + double"))
    assert "columns [double] of membership" in text
    text = faults_of(frame, 2, blpdask.Formulation("1 + age"))
    assert "age" in text
    text = faults_of(frame, 2, blpdask.Formulation("1 + income", absorb="C(region)"))
    assert "membership with absorb" in text


def test_what_is_shared_and_zero(frame: pd.DataFrame) -> None:
    text = faults_of(frame, shared=["prices"], zeros={1: ["prices"]})
    assert "[prices] both in shared and in zeros" in text
    text = faults_of(frame, shared=["prices", "quality"])
    assert "all coefficients in shared" in text
    text = faults_of(frame, random={"prices": "lognormal"}, zeros={1: "prices"})
    assert "'prices' of kind 'lognormal' in zeros" in text
    assert "zeros of type list" in faults_of(frame, zeros=["prices"])
    assert "3 in shared" in faults_of(frame, shared=3)


def test_choices_that_are_not_in_memory(frame: pd.DataFrame) -> None:
    table = problem_of(frame).table
    assert check_in_memory(table, Faults("test")) is table
    with pytest.raises(InputError, match="of type SimpleNamespace, which are not in"):
        check_in_memory(SimpleNamespace(), Faults("test"))


def test_draws_serve_every_class(frame: pd.DataFrame) -> None:
    rule = problem_of(frame, random={"quality": "normal"}).choices.integration_rule
    assert (rule.specification, rule.size) == ("sobol", 512)
    faults = Faults("test")
    modes = SimpleNamespace(rule=SimpleNamespace(specification="laplace"))
    check_rule_within(modes, {"quality": "normal"}, faults)
    assert "draws around modes" in str(list(faults))


def test_faults_of_the_choices_are_told_too(frame: pd.DataFrame) -> None:
    text = faults_of(frame.drop(columns="chosen"), 0)
    assert "no column 'chosen'" in text and "classes=0" in text
    assert text.startswith("LatentClassProblem: 2 faults")


def test_faults_of_a_solve(frame: pd.DataFrame) -> None:
    problem = problem_of(frame)
    with pytest.raises(InputError) as caught:
        problem.solve([0.0], starts=0, seed=-1, polished=1.5)
    for part in ("starts=0", "seed=-1", "polished=1.5", "both start and starts"):
        assert part in str(caught.value)
    with pytest.raises(InputError, match=r"class2\.quality, share1\.1"):
        problem.solve([0.0])
