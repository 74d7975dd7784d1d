"""Choices of people: estimates beside others', direct formulas, known truths, print."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp, ndtr, ndtri

import blpdask
from blpdask.api.choice_printing import LikelihoodPrinter
from blpdask.api.choice_starts import start_at
from blpdask.choice_records import MixedCoefficients
from blpdask.errors import BlpdaskError, DataWarning, InputError, NumericalWarning
from blpdask.progress import BlocksEvent, EvaluationEvent, Event, StepEvent
from tests.references.choice_data import read_choices

PLAIN = {"engine": "serial", "backend": "numpy"}


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blpdask.options, "verbose", False)


def panel(
    n_people: int = 150,
    n_situations: int = 5,
    *,
    means: tuple[float, float] = (-1.0, 0.8),
    L: Any = ((0.0, 0.0), (0.0, 0.9)),
    h: Callable[[Any], Any] | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Simulate people who choose among 3, of two characteristics.

    Tastes are normal, but for quality h of a standard normal variate where h is given.
    """
    rng = np.random.default_rng(seed)
    beta = np.array(means) + rng.normal(size=(n_people, 2)) @ np.array(L).T
    if h is not None:
        beta[:, 1] = h(rng.normal(size=n_people))
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
            "clustering_ids": i.ravel() // 5,
        }
    )


def arrays(frame: pd.DataFrame) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Give X ``(I, T, 3, 2)`` and chosen ``(I, T, 3)`` of a panel."""
    n = frame["person_ids"].nunique()
    X = frame[["prices", "quality"]].to_numpy().reshape(n, -1, 3, 2)
    return X, frame["chosen"].to_numpy().reshape(n, -1, 3)


def logit(frame: pd.DataFrame, **options: Any) -> Any:
    formulation = blpdask.Formulation("0 + prices + quality")
    return blpdask.ChoiceProblem(formulation, frame).solve(**PLAIN, **options)


def mixed(frame: pd.DataFrame, size: int = 64, **arguments: Any) -> Any:
    arguments.setdefault("random", {"quality": "normal"})
    rule = blpdask.Integration("sobol", size, {"seed": 1})
    arguments.setdefault("integration", rule)
    return blpdask.ChoiceProblem(
        blpdask.Formulation("0 + prices + quality"), frame, **arguments
    )


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return panel()


@pytest.fixture(scope="module")
def estimated(frame: pd.DataFrame) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blpdask.options, "verbose", False)
        return mixed(frame).solve(**PLAIN)


# The conditional logit


def test_logit_is_statsmodels(frame: pd.DataFrame) -> None:
    discrete = pytest.importorskip("statsmodels.discrete.conditional_models")
    groups = frame["person_ids"] * 100 + frame["situation_ids"]
    theirs = discrete.ConditionalLogit(
        frame["chosen"].astype(int), frame[["prices", "quality"]], groups=groups
    )
    ours = logit(frame, se_type="hessian")
    np.testing.assert_allclose(theirs.score(ours.theta), 0.0, atol=1e-6)
    np.testing.assert_allclose(
        ours.log_likelihood, theirs.loglike(ours.theta), rtol=1e-12
    )
    fit = theirs.fit(start_params=ours.theta, disp=False)
    np.testing.assert_allclose(ours.theta, fit.params, rtol=1e-6)
    np.testing.assert_allclose(ours.standard_errors, fit.bse, rtol=1e-5)


def logit_moments(frame: pd.DataFrame, beta: Any) -> tuple[Any, Any, Any]:
    """Log-likelihood, person scores and Hessian of the logit, in closed form."""
    X, chosen = arrays(frame)
    V = X @ np.asarray(beta)
    log_P = V - logsumexp(V, axis=2, keepdims=True)
    P = np.exp(log_P)
    mean = (P[..., None] * X).sum(axis=2)
    scores = (X[chosen].reshape(mean.shape) - mean).sum(axis=1)
    second = np.einsum("itj,itjk,itjl->kl", P, X, X)
    hessian = np.einsum("itk,itl->kl", mean, mean) - second
    return log_P[chosen].sum(), scores, hessian


def test_logit_and_its_errors_are_direct_formulas(frame: pd.DataFrame) -> None:
    found = logit(frame)
    best = minimize(
        lambda beta: -logit_moments(frame, beta)[0],
        np.zeros(2),
        jac=lambda beta: -logit_moments(frame, beta)[1].sum(axis=0),
        options={"gtol": 1e-9},
    )
    np.testing.assert_allclose(found.theta, best.x, rtol=1e-7)
    value, scores, hessian = logit_moments(frame, found.theta)
    np.testing.assert_allclose(found.log_likelihood, value, rtol=1e-12)
    np.testing.assert_allclose(found.scores, scores, atol=1e-10)
    np.testing.assert_allclose(found.hessian, hessian, rtol=1e-6, atol=1e-6)
    inverse = np.linalg.inv(-hessian)
    clusters = np.zeros((30, 2))
    np.add.at(clusters, np.arange(150) // 5, scores)
    expected = {
        "hessian": inverse,
        "bhhh": np.linalg.inv(scores.T @ scores),
        "robust": inverse @ scores.T @ scores @ inverse,
        "clustered": inverse @ clusters.T @ clusters @ inverse,
    }
    for se_type, V in expected.items():
        other = logit(frame, se_type=se_type, start=found.theta)
        np.testing.assert_allclose(other.covariances, V, rtol=1e-5, atol=1e-9)
        np.testing.assert_allclose(
            other.standard_errors, np.sqrt(np.diag(V)), rtol=1e-5
        )
        assert other.se_type == se_type


def test_fit_statistics(frame: pd.DataFrame) -> None:
    found = logit(frame)
    zero = -750 * np.log(3)
    np.testing.assert_allclose(found.log_likelihood_at_zero, zero, rtol=1e-12)
    LL = found.log_likelihood
    np.testing.assert_allclose(found.AIC, 4 - 2 * LL, rtol=1e-12)
    np.testing.assert_allclose(found.BIC, 2 * np.log(750) - 2 * LL, rtol=1e-12)
    np.testing.assert_allclose(found.rho_squared, 1 - LL / zero, rtol=1e-12)
    np.testing.assert_allclose(
        found.adjusted_rho_squared, 1 - (LL - 2) / zero, rtol=1e-12
    )


def test_weights_are_people_repeated(frame: pd.DataFrame) -> None:
    weighted = frame.assign(weights=1.0 + (frame["person_ids"] < 40))
    again = frame[frame["person_ids"] < 40]
    repeated = pd.concat([frame, again.assign(person_ids=again["person_ids"] + 1000)])
    one, other = logit(weighted), logit(repeated)
    np.testing.assert_allclose(one.theta, other.theta, rtol=1e-7)
    np.testing.assert_allclose(one.log_likelihood, other.log_likelihood, rtol=1e-12)
    np.testing.assert_allclose(one.hessian, other.hessian, rtol=1e-6)


# Mixed logits


def simulated_likelihood(problem: Any, frame: pd.DataFrame, theta: Any) -> float:
    """Average over draws, person by person, of a normal second coefficient."""
    X, chosen = arrays(frame)
    draws = np.concatenate(
        [problem.source.load(b).draws for b in range(len(problem.source))]
    )
    total = 0.0
    for i, z in enumerate(draws[:, :, 0]):
        beta = np.column_stack([np.full(z.size, theta[0]), theta[1] + theta[2] * z])
        V = np.einsum("tjk,rk->rtj", X[i], beta)
        log_P = V - logsumexp(V, axis=2, keepdims=True)
        by_draw = log_P[:, chosen[i]].sum(axis=1)
        total += logsumexp(by_draw) - np.log(z.size)
    return total


def test_the_maximum_is_that_of_a_plain_loop(
    frame: pd.DataFrame, estimated: Any
) -> None:
    def negative(theta: Any) -> float:
        return -simulated_likelihood(estimated.problem, frame, theta)

    np.testing.assert_allclose(
        estimated.log_likelihood, -negative(estimated.theta), rtol=1e-12
    )
    best = minimize(negative, estimated.theta + 0.05, options={"gtol": 1e-6})
    np.testing.assert_allclose(estimated.theta, best.x, atol=2e-5)
    h = 1e-4
    for p in range(3):
        up, down = (estimated.theta + s * h * np.eye(3)[p] for s in (1, -1))
        second = (negative(up) - 2 * negative(estimated.theta) + negative(down)) / h**2
        np.testing.assert_allclose(-estimated.hessian[p, p], second, rtol=1e-4)


def test_mixed_logit_recovers_what_made_the_choices() -> None:
    found = mixed(panel(400, 6, seed=3), 64).solve(**PLAIN)
    assert found.labels == ("prices", "quality", "sd.quality")
    shown = found.to_frame()["estimate"].to_numpy()
    truth = np.array([-1.0, 0.8, 0.9])
    assert (np.abs(shown - truth) < 3 * found.standard_errors).all()
    assert (found.standard_errors < 0.1).all() and found.converged


def test_correlated_tastes_are_recovered() -> None:
    L = np.array([[0.8, 0.0], [-0.6, 0.7]])
    found = mixed(
        panel(500, 8, L=L, seed=4),
        64,
        random={"prices": "normal", "quality": "normal"},
        correlated=True,
    ).solve(**PLAIN)
    S = L @ L.T
    assert (np.abs(found.sigma - S) < 3 * found.sigma_se).all()
    assert found.correlations[0, 1] < -0.3
    np.testing.assert_allclose(found.sigma, found.sigma.T)
    assert found.labels[2:] == (
        "chol.prices:prices",
        "chol.quality:prices",
        "chol.quality:quality",
    )
    assert "Covariances of Random Coefficients" in str(found)


def test_a_scaled_column_scales_its_coefficient(
    frame: pd.DataFrame, estimated: Any
) -> None:
    scaled = frame.assign(quality=frame["quality"] * 100)
    other = mixed(scaled).solve(**PLAIN)
    scale = np.array([1.0, 0.01, 0.01])
    np.testing.assert_allclose(other.theta, estimated.theta * scale, rtol=1e-5)
    np.testing.assert_allclose(
        other.standard_errors, estimated.standard_errors * scale, rtol=1e-4
    )
    np.testing.assert_allclose(other.log_likelihood, estimated.log_likelihood)


def test_rows_in_any_order_give_the_same_bits(
    frame: pd.DataFrame, estimated: Any
) -> None:
    shuffled = frame.sample(frac=1.0, random_state=0)
    other = mixed(shuffled).solve(**PLAIN)
    np.testing.assert_array_equal(other.theta, estimated.theta)
    ours = pd.Series(estimated.compute_probabilities(engine="serial"), frame.index)
    theirs = pd.Series(other.compute_probabilities(engine="threads"), shuffled.index)
    np.testing.assert_array_equal(theirs.loc[frame.index], ours)


def test_probabilities_are_averages_over_draws(
    frame: pd.DataFrame, estimated: Any
) -> None:
    found = estimated.compute_probabilities(engine="serial").reshape(150, 5, 3)
    np.testing.assert_allclose(found.sum(axis=2), 1.0, rtol=1e-12)
    X, _ = arrays(frame)
    z = np.concatenate(
        [
            estimated.problem.source.load(b).draws
            for b in range(len(estimated.problem.source))
        ]
    )[:, :, 0]
    b = estimated.theta
    V = (
        X[:, None, ..., 0] * b[0]
        + X[:, None, ..., 1] * (b[1] + b[2] * z)[..., None, None]
    )
    P = np.exp(V) / np.exp(V).sum(axis=3, keepdims=True)
    np.testing.assert_allclose(found, P.mean(axis=1), rtol=1e-12)


def test_probabilities_of_rows_left_out(frame: pd.DataFrame) -> None:
    lost = frame.assign(availability=1)
    lost.loc[lost.index[~lost["chosen"]][:1], "availability"] = 0
    (gone,) = np.flatnonzero(lost["availability"] == 0)
    single = lost.iloc[[0]].assign(person_ids=999, chosen=True, availability=1)
    with pytest.warns(DataWarning, match="1 of 751 situations"):
        found = logit(pd.concat([lost, single], ignore_index=True))
    probabilities = found.compute_probabilities(engine="serial")
    assert probabilities[gone] == 0.0 and probabilities[-1] == 1.0
    np.testing.assert_allclose(probabilities.sum(), 751, rtol=1e-12)


@pytest.mark.parametrize("kind", ["lognormal", "censored", "johnson", "uniform"])
def test_other_kinds_explain_their_own_choices(kind: str) -> None:
    h = {
        "lognormal": np.exp,
        "censored": lambda eta: np.maximum(eta, 0.0),
        "johnson": lambda eta: 1 / (1 + np.exp(-3.0 * eta)),
        "uniform": lambda eta: 0.5 + 2.0 * (2 * ndtr(eta) - 1),
    }[kind]
    made = panel(250, 6, h=h, seed=6)
    found = mixed(made, 64, random={"quality": kind}).solve(**PLAIN)
    assert found.kinds == ("fixed", kind)
    others = {"uniform": [-1.0, 0.5, 2.0], "johnson": [-1.0, 0.0, 3.0]}
    truth = others.get(kind, [-1.0, 0.0, 1.0])
    shown = found.to_frame()["estimate"].to_numpy()
    assert (np.abs(shown - truth) < 3 * found.standard_errors).all()
    assert found.log_likelihood > logit(made).log_likelihood
    probabilities = found.compute_probabilities(engine="serial")
    np.testing.assert_allclose(probabilities.sum(), 1500, rtol=1e-12)


# Other integrals than averages over draws


def test_quadratures_agree_with_one_another(frame: pd.DataFrame) -> None:
    found = [
        mixed(frame, integration=blpdask.Integration(name, size)).solve(**PLAIN)
        for name, size in (("trapezoid", 121), ("product", 200), ("grid", 100))
    ]
    best = found[0]
    X, chosen = arrays(frame)
    x = np.linspace(-9, 9, 3001)
    total = 0.0
    for i in range(150):
        beta = np.column_stack(
            [np.full(x.size, best.theta[0]), best.theta[1] + best.theta[2] * x]
        )
        V = np.einsum("tjk,rk->rtj", X[i], beta)
        log_P = V - logsumexp(V, axis=2, keepdims=True)
        density = np.exp(log_P[:, chosen[i]].sum(axis=1) - x**2 / 2)
        total += np.log(density.sum() * (x[1] - x[0]) / np.sqrt(2 * np.pi))
    np.testing.assert_allclose(best.log_likelihood, total, rtol=1e-10)
    for other in found[1:]:
        np.testing.assert_allclose(other.theta, best.theta, rtol=1e-6)
        np.testing.assert_allclose(other.log_likelihood, best.log_likelihood, rtol=1e-9)
    assert [result.R for result in found] == [121, 200, 100]
    probabilities = [result.compute_probabilities(engine="serial") for result in found]
    np.testing.assert_allclose(probabilities[1], probabilities[0], atol=1e-6)
    np.testing.assert_allclose(probabilities[0].sum(), 750, rtol=1e-12)
    with pytest.raises(InputError, match="a quadrature"):
        best.compute_fresh_log_likelihood(engine="serial")
    assert np.isnan(best.fresh_log_likelihood)


def test_draws_around_modes_are_nearly_exact(
    frame: pd.DataFrame, tmp_path: Path
) -> None:
    exact = mixed(frame, integration=blpdask.Integration("trapezoid", 61)).solve(
        **PLAIN
    )
    found = mixed(frame, integration=None).solve(**PLAIN)
    assert found.problem.integration.rule.specification == "laplace"
    np.testing.assert_allclose(found.theta, exact.theta, atol=0.01)
    np.testing.assert_allclose(found.standard_errors, exact.standard_errors, rtol=0.02)
    assert abs(found.log_likelihood - exact.log_likelihood) < 0.1
    assert abs(found.fresh_log_likelihood - exact.log_likelihood) < 0.05
    assert found.effective_draws.shape == (150,) and found.effective_draws.min() > 20
    text = str(found)
    assert "Effective Draws" in text and "with Fresh Draws" in text
    assert f"{found.fresh_log_likelihood:+.6E}" in text
    again = pickle.loads(pickle.dumps(found))
    assert again.fresh_log_likelihood == found.fresh_log_likelihood
    assert str(again) == text
    found.save(tmp_path / "saved")
    read = blpdask.read_results(tmp_path / "saved")
    assert str(read) == text and read.fresh == found.fresh
    probabilities = found.compute_probabilities(engine="serial")
    others = exact.compute_probabilities(engine="serial")
    np.testing.assert_allclose(probabilities, others, atol=0.01)
    assert found.problem.prior_source.load(0).draws.shape[1] == 512


def test_fresh_draws_are_of_the_likelihood_that_was_maximised(
    frame: pd.DataFrame,
) -> None:
    rule = blpdask.Integration("monte_carlo", 32, {"seed": 1})
    found = mixed(frame, integration=rule).solve(method="corrected", **PLAIN)
    fresh = found.compute_fresh_log_likelihood(engine="serial", backend="numpy")
    others = blpdask.Integration("monte_carlo", 128, {"seed": 2})
    again = mixed(frame, integration=others).solve(
        found.theta,
        method="corrected",
        **(PLAIN | {"optimization": blpdask.Optimization("return")}),
    )
    np.testing.assert_allclose(fresh, again.log_likelihood, rtol=1e-12)
    assert found.fresh is not None and found.fresh.expected == 0.0


def test_seeds_of_starts_are_whole_numbers(frame: pd.DataFrame) -> None:
    for seed in ("x", -1, None):
        with pytest.raises(InputError, match="of random starts"):
            mixed(frame).solve(starts=3, seed=seed, **PLAIN)


def test_moments_have_no_likelihood_of_fresh_draws(frame: pd.DataFrame) -> None:
    problem = mixed(frame, integration=None)
    found = problem.solve(method="msm", **PLAIN)
    assert problem.R == 64 and found.R == 512
    with pytest.raises(InputError, match="estimates by method 'msm'"):
        found.compute_fresh_log_likelihood(engine="serial")


def test_fresh_draws_of_any_rule(frame: pd.DataFrame, estimated: Any) -> None:
    assert np.isnan(mixed(frame).solve(**PLAIN).fresh_log_likelihood)
    fresh = estimated.compute_fresh_log_likelihood(engine="serial", backend="numpy")
    size = 4 * 64
    problem = blpdask.ChoiceProblem(
        blpdask.Formulation("0 + prices + quality"),
        frame,
        random={"quality": "normal"},
        integration=blpdask.Integration("sobol", size, {"seed": 2}),
    )
    other = simulated_likelihood(problem, frame, estimated.theta)
    np.testing.assert_allclose(fresh, other, rtol=1e-12)
    assert estimated.fresh_log_likelihood == fresh
    with pytest.raises(InputError, match="no random coefficients"):
        logit(frame).compute_fresh_log_likelihood(engine="serial")


def test_antithetic_draws(frame: pd.DataFrame) -> None:
    rule = blpdask.Integration("mlhs", 64, {"seed": 0, "antithetic": True})
    problem = mixed(frame, integration=rule)
    draws = problem.source.load(0).draws
    np.testing.assert_array_equal(draws[:, 32:], -draws[:, :32])
    found = problem.solve(**PLAIN)
    np.testing.assert_allclose(
        found.log_likelihood,
        simulated_likelihood(problem, frame, found.theta),
        rtol=1e-12,
    )


def test_default_start_and_signs(frame: pd.DataFrame) -> None:
    problem = mixed(frame)
    beta = logit(frame).theta
    within = problem.table.within()[:, 1].std()
    start = start_at(beta, problem.coefficients, problem.table)
    np.testing.assert_allclose(start, [*beta, 0.3 / within], rtol=1e-12)
    kinds = MixedCoefficients(("prices", "quality"), ("johnson", "lognormal"))
    with pytest.warns(DataWarning, match=r"\[prices\] are negative"):
        start = start_at(np.array([-1.0, 2.0]), kinds, problem.table)
    X = problem.table.within()
    expected = [
        *(np.log(0.05 / 0.95), np.log(2.0)),
        *(1.0, 0.3 / (2.0 * X[:, 1].std())),
    ]
    np.testing.assert_allclose(start, expected, rtol=1e-12)


def test_electricity_is_xlogits_and_mlogits() -> None:
    """R = 100 Halton draws, at the estimates of mlogit's vignette."""
    data = read_choices("electricity")
    names = {"id": "person_ids", "chid": "situation_ids", "choice": "chosen"}
    columns = ["pf", "cl", "loc", "wk", "tod", "seas"]
    problem = blpdask.ChoiceProblem(
        blpdask.Formulation(f"0 + {' + '.join(columns)}"),
        data.rename(columns=names),
        random=dict.fromkeys(columns, "normal"),
        integration=blpdask.Integration(
            "halton", 100, {"discard": 100, "scramble": False}
        ),
    )
    means = [-0.9733886, -0.2055599, 2.0757233, 1.4756462, -9.0525387, -9.1037485]
    spreads = [0.2199412, 0.3783031, 1.4829756, 1.0000585, 2.2894780, 1.1808628]
    found = problem.solve(
        [*means, *spreads], optimization=blpdask.Optimization("return"), **PLAIN
    )
    np.testing.assert_allclose(found.log_likelihood, -3952.48773238, rtol=1e-11)


# Tests, tables and faults


def test_likelihood_ratios(frame: pd.DataFrame, estimated: Any) -> None:
    plain = logit(frame)
    test = estimated.run_likelihood_ratio_test(plain)
    expected = 2 * (estimated.log_likelihood - plain.log_likelihood)
    assert test == expected and test.dof == 1 and test.p_value < 1e-10
    with pytest.raises(InputError, match="3 parameters, of 2 here"):
        plain.run_likelihood_ratio_test(estimated)
    with pytest.raises(InputError, match="same choices"):
        estimated.run_likelihood_ratio_test(logit(panel(100)))
    with pytest.raises(InputError, match="type float"):
        estimated.run_likelihood_ratio_test(3.0)
    worse = mixed(frame).solve(
        [0.0, 0.0, 0.1], optimization=blpdask.Optimization("return"), **PLAIN
    )
    with pytest.warns(NumericalWarning, match="restricted log-likelihood is higher"):
        assert worse.run_likelihood_ratio_test(plain) < 0


def test_spreads_are_shown_with_a_positive_sign(frame: pd.DataFrame) -> None:
    found = mixed(frame).solve(
        [-1.0, 0.7, -0.8], optimization=blpdask.Optimization("return"), **PLAIN
    )
    assert found.theta[2] == -0.8
    assert found.to_frame()["estimate"].tolist() == [-1.0, 0.7, 0.8]
    np.testing.assert_allclose(found.standard_deviations, [0.8])
    np.testing.assert_allclose(found.sigma, [[0.64]])
    errors = found.standard_errors[2]
    np.testing.assert_allclose(found.standard_deviations_se, [errors])
    np.testing.assert_allclose(found.sigma_se, [[2 * 0.8 * errors]])


def test_printing(estimated: Any) -> None:
    text = str(estimated.problem)
    assert "I     S     N     K   D   R" in text
    assert "fixed" in text and "normal" in text
    text = str(estimated)
    for piece in ("Rho Squared", "AIC", "Robust SE", "sd.quality", "Converged"):
        assert piece in text
    assert f"{estimated.theta[0]:+.6E}" in text and "Covariances" not in text
    assert repr(estimated) == text
    html = estimated._repr_html_()
    assert "750 situations of 150 people" in html and "sd.quality" in html
    latex = estimated.to_latex().splitlines()
    assert latex[0] == r"\begin{tabular}{lrrr}" and len(latex) == 8
    assert latex[2] == r"parameter & estimate & Robust SE & t \\ \hline"
    assert latex[5].startswith("sd.quality & ") and latex[5].endswith(r" \\")
    frame = estimated.to_frame()
    assert list(frame) == ["parameter", "estimate", "std_error", "t_statistic"]
    np.testing.assert_allclose(
        frame["t_statistic"], frame["estimate"] / frame["std_error"]
    )


def test_printing_where_options_say_so(
    frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed: list[str] = []
    monkeypatch.setattr(blpdask.options, "verbose", True)
    monkeypatch.setattr(blpdask.options, "verbose_output", printed.append)
    logit(frame)
    assert printed[0].startswith("Dimensions") and "Choice Results" in printed[-1]
    place = printed.index("evaluation    log-likelihood  gradient norm  seconds")
    first = float(printed[place + 1].split()[1])
    np.testing.assert_allclose(first, -750 * np.log(3), rtol=1e-8)


def test_events_go_to_who_listens(frame: pd.DataFrame) -> None:
    heard: list[Event] = []
    found = logit(frame, progress=heard.append)
    values = [-e.objective for e in heard if isinstance(e, EvaluationEvent)]
    np.testing.assert_allclose(max(values), found.log_likelihood, rtol=1e-9)
    printed: list[str] = []
    printer = LikelihoodPrinter(printed.append)
    for event in (StepEvent(1, "Waiting"), BlocksEvent(1, 2, 9.0)):
        printer(event)
    assert printed == ["Waiting ...", "... block 1 of 2, 9 s"]


def test_results_stand_on_their_own(estimated: Any) -> None:
    again = pickle.loads(pickle.dumps(estimated))
    given, kept = again.to_dict(), estimated.to_dict()
    assert list(given) == list(kept)
    for name, value in kept.items():
        np.testing.assert_array_equal(given[name], value, name)
    with pytest.raises(BlpdaskError, match="without their problem"):
        again.compute_probabilities()
    with pytest.raises(AttributeError, match="no attribute 'thetas'"):
        _ = again.thetas
    assert "theta" in dir(again)


def test_seeds_are_drawn_once_and_told(frame: pd.DataFrame) -> None:
    problems = [
        blpdask.ChoiceProblem(
            blpdask.Formulation("0 + prices + quality"),
            frame,
            random={"quality": "normal"},
            integration=integration,
        )
        for integration in (blpdask.Integration("mlhs", 8), None)
    ]
    rule = problems[0].integration_rule
    assert rule.options.seed is not None
    first = ndtri((np.arange(8) + 0.5) / 8)
    drawn = np.sort(problems[0].source.load(0).draws[0, :, 0])
    assert np.abs(drawn[1:-1] - first[1:-1]).max() < 0.7
    rule = problems[1].integration_rule
    assert (rule.specification, rule.options.seed, problems[1].R) == ("laplace", 0, 64)
    alone = blpdask.ChoiceProblem(
        blpdask.Formulation("0 + prices + quality"),
        frame.drop(columns="person_ids").assign(situation_ids=np.arange(2250) // 3),
        random={"quality": "normal"},
    )
    rule = alone.integration_rule
    assert (rule.specification, rule.options.seed, alone.R) == ("sobol", 0, 512)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"formulation": "0 + prices"}, "formulation of type str"),
        (
            {"formulation": blpdask.Formulation("prices", absorb="C(person_ids)")},
            "absorb=",
        ),
        ({"random": "normal"}, "random of type str"),
        ({"random": {"quality": "gamma"}}, "kind 'gamma'"),
        ({"random": {"price": "normal"}}, "no column 'price'"),
        ({"random": {"quality": "normal"}, "correlated": True}, "of which 1 are"),
        (
            {"random": {"quality": "normal"}, "integration": 100},
            "integration of type int",
        ),
        (
            {
                "random": {"quality": "normal", "prices": "normal"},
                "integration": blpdask.Integration("grid", 3),
            },
            "4 negative weights of 13, of the quadrature 'grid'",
        ),
        ({"integration": blpdask.Integration("mlhs", 5)}, "without random"),
    ],
)
def test_faults_of_problems(
    frame: pd.DataFrame, arguments: dict[str, Any], message: str
) -> None:
    formulation = blpdask.Formulation("0 + prices + quality")
    with pytest.raises(InputError, match=message):
        blpdask.ChoiceProblem(
            **{"formulation": formulation} | arguments, choice_data=frame
        )


def test_faults_of_solves_come_together(frame: pd.DataFrame) -> None:
    problem = mixed(frame.drop(columns="clustering_ids"))
    with pytest.raises(InputError) as caught:
        problem.solve(
            [1.0],
            se_type="unadjusted",
            backend="jax",
            threads=0,
            progress=3,  # type: ignore[arg-type]
            optimization=blpdask.Optimization("structured"),
        )
    assert len(caught.value.faults) == 6
    assert "prices, quality, sd.quality" in str(caught.value)
    with pytest.raises(InputError, match="without clusters"):
        problem.solve(se_type="clustered")
    with pytest.raises(InputError, match="start of shape"):
        problem.solve(["a", "b", "c"])
