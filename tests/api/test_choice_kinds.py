"""Choice problems with every structure of coefficients that kernels know.

What must hold:

1. LL is that of plain formulas, its score that of differences, for all structures.
2. Structures that say the same in other words give the same LL: willingness to pay and
   preferences, a scale without spread and the logit, shifts and interactions.
3. Estimates recover what made the choices; published numbers come out again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import blpdask
from blpdask.api.choice_starts import SPREAD, default_start, start_at, start_sizes
from blpdask.driver.serial import SerialEngine
from blpdask.errors import DataWarning
from blpdask.estimators.likelihood_model import SimulatedLikelihood
from blpdask.moments.choices import likelihood_pass
from tests.api.test_choice_problem import PLAIN, panel
from tests.kernels.plain_choices import plain_log_probabilities
from tests.references.choice_data import read_choices

RETURN = blpdask.Optimization("return")
BASE = "0 + prices + quality + a0 + a1 + a2"


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blpdask.options, "verbose", False)


def known(frame: pd.DataFrame, seed: int = 5) -> pd.DataFrame:
    """Add what is known of people, and dummies of alternatives."""
    rng = np.random.default_rng(seed)
    n, people = frame["person_ids"].nunique(), frame["person_ids"].to_numpy()
    dummies = {f"a{j}": 1.0 * (frame["alternative_ids"] == j) for j in range(3)}
    return frame.assign(
        income=rng.normal(size=n)[people],
        region=np.array(["n", "s", "w"])[rng.integers(0, 3, n)][people],
        **dummies,
    )


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return known(panel(25, 3, means=(-1.0, 1.2), seed=2))


def problem_of(
    frame: pd.DataFrame, formula: str, size: int = 8, rule: str = "mlhs", **given: Any
) -> Any:
    settings: dict[str, Any] = {"seed": 3}
    if rule == "halton":
        settings = {"discard": 100, "scramble": False}
    random = bool(given.get("random") or given.get("random_scale"))
    return blpdask.ChoiceProblem(
        blpdask.Formulation(formula),
        frame,
        integration=blpdask.Integration(rule, size, settings) if random else None,
        **given,
    )


def log_likelihood(problem: Any, theta: Any, backend: str = "numpy") -> Any:
    """Sum LL and its score over the blocks of a problem."""
    model = SimulatedLikelihood(problem.coefficients, backend)
    state = model.at(np.asarray(theta, float), derivatives=True, by_person=False)
    sums = [
        likelihood_pass(problem.source.load(b), state, None)[0]
        for b in range(len(problem.source))
    ]
    return sum(s.log_likelihood for s in sums), sum(s.score for s in sums)


INCOME = blpdask.Formulation("1 + income + C(region)")
STRUCTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "components": (BASE, {"random": {f"a{j}": "component" for j in range(3)}}),
    "truncated": ("0 + prices + quality", {"random": {"quality": "truncated"}}),
    "exponential": (
        "0 + prices + quality",
        {
            "random": {"quality": "exponential", "prices": "normal"},
            "correlated": True,
        },
    ),
    "shifts of all": (
        "0 + prices + quality",
        {
            "random": {"quality": "lognormal", "prices": "truncated"},
            "demographics": INCOME,
        },
    ),
    "shifts of fixed": (
        "0 + prices + quality",
        {"demographics": INCOME, "shifts": {"prices": "income"}},
    ),
    "shifts of some": (
        "0 + prices + quality + a1",
        {
            "random": {"quality": "johnson", "a1": "component"},
            "demographics": INCOME,
            "shifts": {"prices": ["income"], "quality": ["region['s']", "income"]},
        },
    ),
    "groups": (
        "0 + prices + quality + a1 + a2",
        {
            "random": {
                **{"prices": "normal", "quality": "uniform"},
                **{"a1": "normal", "a2": "lognormal"},
            },
            "correlated": [["prices", "a1"], ["quality", "a2"]],
        },
    ),
    "wtp": (
        "0 + quality + prices + a1",
        {
            "random": {"prices": "lognormal", "quality": "normal"},
            "wtp": "prices",
            "demographics": INCOME,
            "correlated": True,
        },
    ),
    "wtp truncated": (
        "0 + prices + quality",
        {
            "random": {"prices": "truncated", "quality": "exponential"},
            "wtp": "prices",
        },
    ),
    "wtp exponential": (
        "0 + prices + quality",
        {"random": {"prices": "exponential"}, "wtp": "prices"},
    ),
    "wtp fixed": ("0 + prices + quality", {"wtp": "prices"}),
    "scale alone": ("0 + prices + quality", {"random_scale": True}),
    "scale": (
        "0 + prices + quality + a1",
        {
            "random": {"prices": "lognormal", "quality": "normal", "a1": "normal"},
            "correlated": True,
            "random_scale": True,
            "demographics": INCOME,
            "shifts": {"quality": ["income"]},
        },
    ),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_likelihoods_and_scores_are_those_of_formulas(
    frame: pd.DataFrame, name: str
) -> None:
    formula, given = STRUCTURES[name]
    problem = problem_of(frame, formula, **given)
    mixed = problem.coefficients
    theta = np.random.default_rng(7).normal(scale=0.6, size=mixed.size)
    value, score = log_likelihood(problem, theta)
    plain = [
        plain_log_probabilities(problem.source.load(b), mixed, theta).sum()
        for b in range(len(problem.source))
    ]
    np.testing.assert_allclose(value, sum(plain), rtol=1e-12)

    def central(row: Any, h: float) -> float:
        up, down = (log_likelihood(problem, theta + s * h * row)[0] for s in (1, -1))
        return float((up - down) / (2 * h))

    for p, row in enumerate(np.eye(theta.size)):
        best = (4 * central(row, 5e-4) - central(row, 1e-3)) / 3
        np.testing.assert_allclose(score[p], best, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", STRUCTURES)
def test_backends_agree(frame: pd.DataFrame, name: str) -> None:
    formula, given = STRUCTURES[name]
    problem = problem_of(frame, formula, **given)
    theta = np.random.default_rng(8).normal(scale=0.6, size=problem.coefficients.size)
    arrays, loops = (log_likelihood(problem, theta, b) for b in ("numpy", "numba"))
    np.testing.assert_allclose(loops[0], arrays[0], rtol=1e-12)
    np.testing.assert_allclose(loops[1], arrays[1], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", STRUCTURES)
def test_blocks_hold_what_people_are(frame: pd.DataFrame, name: str) -> None:
    formula, given = STRUCTURES[name]
    shuffled = frame.sample(frac=1.0, random_state=1)
    one, other = (problem_of(f, formula, **given) for f in (frame, shuffled))
    block, again = one.source.load(0), other.source.load(0)
    np.testing.assert_array_equal(block.demographics, again.demographics)
    assert len(one.source) == 1
    if one.M:
        first = frame.drop_duplicates("person_ids")
        np.testing.assert_array_equal(block.demographics[:, 0], first["income"])
        south = 1.0 * (first["region"] == "s")
        np.testing.assert_array_equal(block.demographics[:, 1], south)
        assert one.M == 3 and "d: Demographics" in str(one)
    else:
        assert block.demographics.shape == (0, 0)


# The same in other words


@pytest.fixture(scope="module")
def many() -> pd.DataFrame:
    return known(panel(200, 5, means=(-1.0, 1.2), seed=4))


def test_willingness_to_pay_is_a_ratio_where_nothing_is_random(
    many: pd.DataFrame,
) -> None:
    formula = "0 + quality + prices + a1"
    plain = problem_of(many, formula).solve(**PLAIN)
    paid = problem_of(many, formula, wtp="prices").solve(**PLAIN)
    assert paid.labels == ("wtp.quality", "-prices", "wtp.a1")
    np.testing.assert_allclose(paid.log_likelihood, plain.log_likelihood, rtol=1e-13)
    b = plain.theta
    np.testing.assert_allclose(
        paid.theta, [-b[0] / b[1], -b[1], -b[2] / b[1]], rtol=1e-7
    )
    by_delta = plain.delta_method(
        lambda at: [
            -at.theta[0] / at.theta[1],
            -at.theta[1],
            -at.theta[2] / at.theta[1],
        ]
    )
    np.testing.assert_allclose(
        by_delta.covariances, paid.covariances, rtol=1e-5, atol=1e-9
    )
    assert "in units of prices; that of -prices multiplies them all" in str(paid)
    probabilities = [r.compute_probabilities(engine="serial") for r in (plain, paid)]
    np.testing.assert_allclose(probabilities[0], probabilities[1], rtol=1e-7)


def test_prices_that_are_negated_know_what_they_are(many: pd.DataFrame) -> None:
    problem = problem_of(many, "0 + I(prices ** 2) + quality", wtp="I(prices ** 2)")
    assert problem.table.labels == ("-(prices**2)", "quality")
    column, data = problem.table.columns[0], {"prices": np.array([1.0, -3.0])}
    np.testing.assert_array_equal(column.evaluate(data), [-1.0, -9.0])
    np.testing.assert_array_equal(column.derivative("prices", data), [-2.0, 6.0])
    rows = problem.table.rows
    expected = -(many["prices"].to_numpy()[rows] ** 2)
    np.testing.assert_allclose(problem.table.X[:, 0], expected, rtol=1e-15)


def test_a_lognormal_price_that_scales_is_a_random_scale(many: pd.DataFrame) -> None:
    """And two lognormal coefficients with one spread, in preference space."""
    shared: dict[str, Any] = {"rule": "halton", "size": 32}
    formula = "0 + prices + quality"
    paid = problem_of(
        many, formula, random={"prices": "lognormal"}, wtp="prices", **shared
    )
    scaled = problem_of(many, formula, random_scale=True, **shared)
    twice = problem_of(
        many.assign(prices=-many["prices"]),
        formula,
        random={"prices": "lognormal", "quality": "lognormal"},
        correlated=True,
        **shared,
    )
    b, omega, s = -0.2, 1.3, 0.7
    level = np.exp(b + s**2 / 2)
    values = [
        log_likelihood(problem, theta)[0]
        for problem, theta in (
            (paid, [b, omega, s]),
            (scaled, [-level, omega * level, s]),
            (twice, [b, b + np.log(omega), s, s, 0.0]),
        )
    ]
    np.testing.assert_allclose(values, values[0], rtol=1e-13)
    one, other = paid.solve(**PLAIN), scaled.solve(**PLAIN)
    np.testing.assert_allclose(one.log_likelihood, other.log_likelihood, rtol=1e-12)
    np.testing.assert_allclose(
        one.theta[1], -other.theta[1] / other.theta[0], rtol=1e-6
    )
    np.testing.assert_allclose(abs(one.theta[2]), abs(other.theta[2]), rtol=1e-5)


def test_a_scale_without_spread_is_the_logit(many: pd.DataFrame) -> None:
    logit = problem_of(many, "0 + prices + quality").solve(**PLAIN)
    scaled = problem_of(many, "0 + prices + quality", random_scale=True)
    assert scaled.D == 1
    value = log_likelihood(scaled, [*logit.theta, 0.0])[0]
    np.testing.assert_allclose(value, logit.log_likelihood, rtol=1e-13)
    start = scaled.solve([*logit.theta, 0.0], optimization=RETURN, **PLAIN)
    assert start.labels == ("prices", "quality", "sd.scale")
    assert start.spreads.labels == ("scale",)


def test_shifts_of_normal_coefficients_are_interactions(many: pd.DataFrame) -> None:
    shared: dict[str, Any] = {"random": {"quality": "normal"}}
    shifted = problem_of(
        many,
        "0 + prices + quality",
        demographics=blpdask.Formulation("1 + income"),
        **shared,
    )
    crossed = problem_of(many, "0 + prices + quality + quality:income", **shared)
    theta = [-0.9, 1.1, 0.3, 0.6]
    values = [log_likelihood(problem, theta) for problem in (shifted, crossed)]
    np.testing.assert_allclose(values[0][0], values[1][0], rtol=1e-13)
    np.testing.assert_allclose(values[0][1], values[1][1], rtol=1e-10, atol=1e-10)
    one, other = shifted.solve(**PLAIN), crossed.solve(**PLAIN)
    np.testing.assert_allclose(one.theta, other.theta, rtol=1e-8)
    np.testing.assert_allclose(one.standard_errors, other.standard_errors, rtol=1e-6)
    assert one.labels[2] == "quality:income"
    probabilities = [r.compute_probabilities(engine="serial") for r in (one, other)]
    np.testing.assert_allclose(probabilities[0], probabilities[1], rtol=1e-8)


def test_groups_of_one_correlation_are_all_and_none(many: pd.DataFrame) -> None:
    random = {"prices": "normal", "quality": "normal"}
    formula = "0 + prices + quality"
    both, group, alone = (
        problem_of(many, formula, random=random, correlated=correlated)
        for correlated in (True, [("quality", "prices")], False)
    )
    theta = [-1.0, 1.0, 0.5, 0.3, 0.6]
    values = [log_likelihood(problem, theta)[0] for problem in (both, group)]
    assert values[0] == values[1] and both.coefficients.size == 5
    without = [log_likelihood(both, [-1.0, 1.0, 0.5, 0.0, 0.6])[0]]
    without.append(log_likelihood(alone, [-1.0, 1.0, 0.5, 0.6])[0])
    assert without[0] == without[1]


# Recovery and published numbers


def near(found: Any, truth: Any) -> None:
    """Check that estimates are within three standard errors, which are small."""
    shown = found.to_frame()["estimate"].to_numpy()
    assert found.converged
    assert (np.abs(shown - truth) < 3 * found.standard_errors).all()
    assert (found.standard_errors < 0.25).all()


def test_truncated_coefficients_are_recovered() -> None:
    law = stats.truncnorm(-1.0, np.inf, loc=1.0, scale=1.0)
    made = panel(800, 10, h=lambda z: law.ppf(stats.norm.cdf(z)), seed=6)
    formula, shared = "0 + prices + quality", {"size": 64, "rule": "sobol"}
    problem = problem_of(made, formula, random={"quality": "truncated"}, **shared)
    found = problem.solve(**PLAIN)
    near(found, [-1.0, 1.0, 1.0])
    # A mean and a spread before the cut are hard to tell apart; those after are not.
    after = found.delta_method(
        lambda at: stats.truncnorm.stats(
            -at.theta[1] / at.theta[2], np.inf, at.theta[1], at.theta[2]
        )
    )
    truth = np.array([law.mean(), law.var()])
    assert (np.abs(after.value - truth) < 3 * after.standard_errors).all()
    assert (after.standard_errors < 0.1).all()
    normal = problem_of(made, formula, random={"quality": "normal"}, **shared)
    assert found.log_likelihood > normal.solve(**PLAIN).log_likelihood


@pytest.mark.parametrize("mean", [1.2, -0.8])
def test_exponential_coefficients_are_recovered(mean: float) -> None:
    made = panel(300, 8, h=lambda z: mean * -stats.norm.logsf(z), seed=7)
    problem = problem_of(
        made, "0 + prices + quality", 64, "sobol", random={"quality": "exponential"}
    )
    found = problem.solve(**PLAIN)
    near(found, [-1.0, mean])
    assert found.labels == ("prices", "mean.quality")
    np.testing.assert_allclose(found.standard_deviations, abs(found.theta[1]))
    assert f"{found.theta[1]:+.6E}" in str(found)


def paying(n_people: int = 400, n_situations: int = 8, seed: int = 8) -> pd.DataFrame:
    """Simulate people of lognormal λ who pay normal amounts for quality."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(2, n_people))
    income = rng.normal(size=n_people)
    scale = np.exp(0.1 + 0.4 * z[0])
    omega = 1.5 + 0.5 * income + 0.8 * z[1]
    beta = np.column_stack([-scale, scale * omega])
    X = rng.normal(size=(n_people, n_situations, 3, 2))
    utilities = np.einsum("itjk,ik->itj", X, beta) + rng.gumbel(size=X.shape[:3])
    i, t, _ = np.indices(utilities.shape)
    chosen = utilities.argmax(axis=2)[..., None] == np.arange(3)
    columns = {"person_ids": i, "situation_ids": t, "chosen": chosen}
    columns |= {"prices": X[..., 0], "quality": X[..., 1], "income": income[i]}
    return pd.DataFrame({name: values.ravel() for name, values in columns.items()})


def test_willingness_to_pay_is_recovered() -> None:
    problem = problem_of(
        paying(),
        "0 + prices + quality",
        64,
        "sobol",
        random={"prices": "lognormal", "quality": "normal"},
        wtp="prices",
        demographics=blpdask.Formulation("0 + income"),
        shifts={"quality": ["income"]},
    )
    found = problem.solve(**PLAIN)
    assert found.labels == (
        *("-prices", "wtp.quality", "wtp.quality:income"),
        *("sd.-prices", "sd.wtp.quality"),
    )
    near(found, [0.1, 1.5, 0.5, 0.4, 0.8])


def test_willingness_to_pay_is_the_published_model_of_electricity() -> None:
    """λ fixed: mlogit's and xlogit's five normal coefficients, R = 100, in other words.

    LL -3961.73528989, pf -.8799023, cl -.2170582 with sd .3734769 (xlogit 0.2.7).
    """
    columns = ["cl", "loc", "wk", "tod", "seas"]
    names = {"id": "person_ids", "chid": "situation_ids", "choice": "chosen"}
    problem = problem_of(
        read_choices("electricity").rename(columns=names),
        f"0 + pf + {' + '.join(columns)}",
        100,
        "halton",
        random=dict.fromkeys(columns, "normal"),
        wtp="pf",
    )
    means = [-0.2170582, 2.0923036, 1.4909081, -8.5818366, -8.5832862]
    spreads = [0.3734769, 1.5588575, 1.0508108, 2.6946546, 1.9507253]
    level = 0.8799023
    theta = [level, *np.divide(means, level), *np.divide(spreads, level)]
    found = problem.solve(theta, optimization=RETURN, **PLAIN)
    np.testing.assert_allclose(found.log_likelihood, -3961.73528989, rtol=1e-11)


def nested(n: int = 3000, rho: float = 0.5, seed: int = 9) -> pd.DataFrame:
    """Simulate a nested logit: alternatives 0 and 1 in a nest, 2 alone."""
    rng = np.random.default_rng(seed)
    prices = rng.normal(size=(n, 3))
    P = nested_probabilities(prices, rho)
    chosen = (rng.uniform(size=(n, 1)) > P.cumsum(axis=1)[:, :2]).sum(axis=1)
    s, j = np.indices(prices.shape)
    return pd.DataFrame(
        {
            "situation_ids": s.ravel(),
            "alternative_ids": j.ravel(),
            "chosen": (chosen[:, None] == np.arange(3)).ravel(),
            "prices": prices.ravel(),
            "nest": 1.0 * (j.ravel() < 2),
        }
    )


def nested_probabilities(prices: Any, rho: float) -> Any:
    """Compute probabilities of a nested logit whose utilities are -prices."""
    odds = np.exp(-prices[:, :2] / rho)
    within = odds / odds.sum(axis=1, keepdims=True)
    top = odds.sum(axis=1) ** rho
    of_nest = top / (top + np.exp(-prices[:, 2]))
    return np.column_stack([of_nest[:, None] * within, 1 - of_nest])


def diversion(results: Any, frame: pd.DataFrame) -> float:
    """Ask for the share of 0's lost choices that go to 1 when its price rises by 1."""
    dearer = frame.assign(prices=frame["prices"] + (frame["alternative_ids"] == 0))
    given = results.problem
    moved = blpdask.ChoiceProblem(
        given.formulation,
        dearer,
        random={"nest": "component"} if given.D else None,
        integration=given.integration if given.D else None,
    ).solve(results.theta, optimization=RETURN, **PLAIN)
    change = moved.compute_probabilities() - results.compute_probabilities()
    lost, gained, _ = change.reshape(-1, 3).sum(axis=0)
    return float(-gained / lost)


def test_components_correlate_alternatives_as_nests_do() -> None:
    frame = nested()
    logit = problem_of(frame, "0 + prices").solve(**PLAIN)
    found = problem_of(
        frame, "0 + prices + nest", 64, "sobol", random={"nest": "component"}
    ).solve(**PLAIN)
    assert found.labels == ("prices", "sd.nest")
    assert found.log_likelihood > logit.log_likelihood + 20
    variance = found.sigma[0, 0]
    correlation = variance / (variance + np.pi**2 / 6)
    assert correlation == pytest.approx(1 - 0.5**2, abs=0.12)
    prices = frame["prices"].to_numpy().reshape(-1, 3)
    P, moved = (nested_probabilities(prices + d, 0.5) for d in (0, np.eye(3)[0]))
    lost, gained, _ = (moved - P).sum(axis=0)
    truth = -gained / lost
    assert diversion(found, frame) == pytest.approx(truth, abs=0.02)
    assert diversion(logit, frame) < truth - 0.07


# Starts and signs


def test_starts_of_all_structures(many: pd.DataFrame) -> None:
    problem = problem_of(
        many,
        "0 + prices + quality + a1 + a2",
        random={"prices": "truncated", "quality": "exponential", "a1": "component"},
        demographics=blpdask.Formulation("income"),
        shifts={"prices": "income"},
        random_scale=True,
    )
    scales = SPREAD / problem.table.within().std(axis=0)
    start = start_at(
        np.array([2.0, -0.4, 0.0, 0.7]), problem.coefficients, problem.table
    )
    assert problem.coefficients.parameter_labels == (
        *("prices", "a2", "prices:income"),
        *("sd.prices", "mean.quality", "sd.a1", "sd.scale"),
    )
    expected = [2.0, 0.7, 0.0, scales[0], -0.4, scales[2], SPREAD]
    np.testing.assert_allclose(start, expected, rtol=1e-12)
    sizes = start_sizes(start, problem.coefficients, problem.table)
    expected[2] = scales[0] / problem.table.demographics.std()
    np.testing.assert_allclose(sizes, np.abs(expected), rtol=1e-12)


def test_starts_of_willingness_to_pay_are_the_logits(many: pd.DataFrame) -> None:
    logit = problem_of(many, "0 + prices + quality + a1").solve(**PLAIN).theta
    shared = {"engine": SerialEngine()}
    for kind, first in (("fixed", -logit[0]), ("lognormal", np.log(-logit[0]))):
        problem = problem_of(
            many,
            "0 + prices + quality + a1",
            random={"prices": kind, "a1": "normal"},
            wtp="prices",
        )
        start = default_start(problem, "numpy", shared)
        ratios = -logit[1:] / logit[0]
        np.testing.assert_allclose(start[:3], [first, *ratios], rtol=1e-6)
        spread = SPREAD / problem.table.within()[:, 2].std() / -logit[0]
        np.testing.assert_allclose(start[-1], spread, rtol=1e-6)


def test_components_have_no_column_in_the_logit(many: pd.DataFrame) -> None:
    random = {f"a{j}": "component" for j in range(3)}
    problem = problem_of(many, BASE, random=random)
    start = default_start(problem, "numpy", {"engine": SerialEngine()})
    plain = problem_of(many, "0 + prices + quality").solve(**PLAIN)
    np.testing.assert_allclose(start[:2], plain.theta, rtol=1e-7)
    only = problem_of(many, "0 + a0 + a1", random={"a0": "component", "a1": "normal"})
    assert default_start(only, "numpy", {"engine": SerialEngine()}).shape == (3,)
    none = problem_of(many, "0 + a0", random={"a0": "component"})
    start = default_start(none, "numpy", {"engine": SerialEngine()})
    np.testing.assert_allclose(start, SPREAD / none.table.within().std(axis=0))


@pytest.mark.parametrize("kind", ["fixed", "lognormal"])
def test_prices_that_people_like_are_told(many: pd.DataFrame, kind: str) -> None:
    flipped = many.assign(prices=-many["prices"])
    problem = problem_of(
        flipped,
        "0 + prices + quality",
        random={"prices": kind, "quality": "normal"},
        wtp="prices",
    )
    with pytest.warns(DataWarning, match="coefficient of '-prices' is -"):
        start = default_start(problem, "numpy", {"engine": SerialEngine()})
    logit = problem_of(flipped, "0 + prices + quality").solve(**PLAIN).theta
    level = start[0] if kind == "fixed" else np.exp(start[0])
    np.testing.assert_allclose(level * start[1], logit[1], rtol=1e-6)
    np.testing.assert_allclose(abs(level), logit[0], rtol=1e-6)
