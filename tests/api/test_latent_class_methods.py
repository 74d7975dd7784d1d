"""Questions about latent classes: averages over classes, by prior or posterior shares.

What must hold:

1. Probabilities, slopes, tastes and surplus are those of formulas that mix classes.
2. Given choices, classes count as these make them likely.
3. One class answers as the logit does; a nested logit refuses what it cannot answer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import logsumexp, softmax

import blpdask
from blpdask.errors import BlpdaskError, InputError
from tests.api.test_latent_class_problem import PLAIN, panel, problem_of

SERIAL = {"engine": "serial"}


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blpdask.options, "verbose", False)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    # Prices that nobody likes, for surplus to have a mean.
    return panel().assign(prices=lambda table: table["prices"] - 1.0)


@pytest.fixture(scope="module")
def estimated(frame: pd.DataFrame) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blpdask.options, "verbose", False)
        membership = blpdask.Formulation("1 + income")
        problem = problem_of(frame, 2, membership)
        found = problem.solve(**PLAIN)
        theta = found.theta.copy()
        theta[problem.coefficients.places[1, 0]] = -0.4
        still = blpdask.Optimization("return")
        return problem.solve(theta, optimization=still, **PLAIN)


def by_hand(frame: pd.DataFrame, found: Any) -> tuple[Any, Any, Any]:
    """Shares π and h ``(I, 2)`` and P_itj|q ``(2, I, T, 3)``."""
    X = frame[["prices", "quality"]].to_numpy().reshape(150, 6, 3, 2)
    chosen = frame["chosen"].to_numpy().reshape(150, 6, 3)
    V = np.einsum("itjk,qk->qitj", X, found.class_parameters)
    log_P = V - logsumexp(V, axis=3, keepdims=True)
    income = frame.drop_duplicates("person_ids")["income"].to_numpy()
    pi = 1 / (1 + np.exp(-found.theta[-2] - found.theta[-1] * income))
    pi = np.column_stack([pi, 1 - pi])
    own = np.where(chosen, log_P, 0.0).sum(axis=(2, 3)).T
    return pi, softmax(np.log(pi) + own, axis=1), np.exp(log_P)


@pytest.mark.parametrize("conditional", [False, True])
def test_probabilities_mix_classes(
    frame: pd.DataFrame, estimated: Any, conditional: bool
) -> None:
    pi, h, P = by_hand(frame, estimated)
    shares = h if conditional else pi
    expected = np.einsum("iq,qitj->itj", shares, P).ravel()
    found = estimated.compute_probabilities(conditional, **SERIAL)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    dearer = frame.assign(prices=frame["prices"] + (frame["alternative_ids"] == 1))
    _, _, P = by_hand(dearer, estimated)
    expected = np.einsum("iq,qitj->itj", shares, P).ravel()
    found = estimated.compute_probabilities(conditional, dearer, **SERIAL)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    data = frame.assign(p=estimated.compute_probabilities(conditional, **SERIAL))
    np.testing.assert_allclose(
        estimated.compute_shares(conditional, **SERIAL),
        data.groupby("alternative_ids")["p"].mean(),
        rtol=1e-10,
    )


def test_elasticities_are_those_of_differences(
    frame: pd.DataFrame, estimated: Any
) -> None:
    def shares(step: float) -> Any:
        factor = np.where(frame["alternative_ids"] == 1, 1 + step, 1.0)
        moved = frame.assign(prices=frame["prices"] * factor)
        return estimated.compute_shares(False, moved, **SERIAL)

    found = estimated.compute_elasticities(by="alternatives", **SERIAL)
    slope = (shares(1e-5) - shares(-1e-5)) / 2e-5 / shares(0.0)
    np.testing.assert_allclose(found.to_numpy()[:, 1], slope, rtol=1e-7)
    ratios = estimated.compute_diversion_ratios(by="alternatives", **SERIAL)
    off = ratios.to_numpy() * (1 - np.eye(3))
    np.testing.assert_allclose(off.sum(axis=1), 1.0, rtol=1e-10)


def test_tastes_of_people_are_averages_over_classes(
    frame: pd.DataFrame, estimated: Any
) -> None:
    _, h, _ = by_hand(frame, estimated)
    means = h @ estimated.class_parameters
    found = estimated.compute_posterior_coefficients(**SERIAL)
    np.testing.assert_allclose(found[["prices", "quality"]], means, rtol=1e-9)
    spread = np.sqrt(np.maximum(h @ estimated.class_parameters**2 - means**2, 0.0))
    np.testing.assert_allclose(
        found[["sd.prices", "sd.quality"]], spread, rtol=1e-5, atol=1e-6
    )


def test_willingness_to_pay_has_the_classes_values(
    frame: pd.DataFrame, estimated: Any
) -> None:
    pi, _, _ = by_hand(frame, estimated)
    ratios = -estimated.class_parameters[:, 1] / estimated.class_parameters[:, 0]
    found = estimated.compute_willingness_to_pay("quality", "prices", **SERIAL)
    mean = float((pi @ ratios).mean())
    assert found.mean == pytest.approx(mean, rel=1e-11) and np.isnan(found.mean_se)
    variance = float((pi @ ratios**2).mean()) - mean**2
    assert found.standard_deviation == pytest.approx(np.sqrt(variance), rel=1e-9)


def test_surplus_is_that_of_formulas(frame: pd.DataFrame, estimated: Any) -> None:
    pi, _, _ = by_hand(frame, estimated)
    X = frame[["prices", "quality"]].to_numpy().reshape(150, 6, 3, 2)
    V = np.einsum("itjk,qk->qitj", X, estimated.class_parameters)
    money = -estimated.class_parameters[:, 0]
    own = logsumexp(V, axis=3) / money[:, None, None]
    expected = np.einsum("iq,qit->it", pi, own).ravel()
    found = estimated.compute_consumer_surpluses("prices", **SERIAL)
    np.testing.assert_allclose(found["consumer_surpluses"], expected, rtol=1e-10)


def test_one_class_answers_as_the_logit(frame: pd.DataFrame) -> None:
    one = problem_of(frame, 1).solve(**PLAIN)
    formulation = blpdask.Formulation("0 + prices + quality")
    logit = blpdask.ChoiceProblem(formulation, frame).solve(**PLAIN)
    for ask in ("compute_elasticities", "compute_long_run_diversion_ratios"):
        ours, theirs = (
            getattr(results, ask)(by="alternatives", **SERIAL)
            for results in (one, logit)
        )
        np.testing.assert_allclose(ours, theirs, rtol=1e-7)


def test_mixed_classes_are_asked_too() -> None:
    frame = panel(60, 4, seed=5, spread=0.8)
    found = problem_of(
        frame,
        2,
        random={"quality": "normal"},
        integration=blpdask.Integration("sobol", 32, {"seed": 1}),
        shared=["sd.quality"],
    ).solve(polished=1, starts=3, **PLAIN)
    people = found.compute_posterior_coefficients(**SERIAL)
    h = found.compute_class_probabilities(**SERIAL).to_numpy()
    np.testing.assert_allclose(
        people["prices"], h @ found.class_parameters[:, 0], rtol=1e-8
    )
    for conditional in (False, True):
        P = found.compute_probabilities(conditional, **SERIAL)
        np.testing.assert_allclose(P.reshape(-1, 3).sum(axis=1), 1.0, rtol=1e-10)


def test_nested_logits_refuse(frame: pd.DataFrame) -> None:
    nests = np.where(frame["alternative_ids"] == 0, "a", "b")
    problem = blpdask.NestedChoiceProblem(
        blpdask.Formulation("0 + prices + quality"), frame.assign(nesting_ids=nests)
    )
    still = blpdask.Optimization("return")
    found = problem.solve([-1.0, 1.0, 0.5], optimization=still, **SERIAL)
    with pytest.raises(BlpdaskError, match="compute_elasticities of a nested logit"):
        found.compute_elasticities()


def test_classes_refuse_what_is_of_one_mixed_logit(
    frame: pd.DataFrame, estimated: Any
) -> None:
    with pytest.raises(InputError, match="found: LatentClassResults"):
        estimated.compute_fresh_log_likelihood(**SERIAL)
    with pytest.raises(BlpdaskError, match="of LatentClassResults"):
        estimated.compute_path_probabilities(frame, **SERIAL)
