"""Simulated markets have the truth they claim, and the same bits in any company."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from blpdask.errors import InputError
from blpdask.simulation import shares as share_floor
from blpdask.simulation.markets import (
    MarketDesign,
    SimulatedMarkets,
    simulate_markets,
)

SMALL = MarketDesign(n_markets=6, n_products=(2, 7), n_agents=30)
DESIGNS = {
    "several sizes": SMALL,
    "one size": MarketDesign(n_markets=6, n_products=5, n_agents=30),
    "one product": MarketDesign(n_markets=6, n_products=1, n_agents=30),
    "random constant": MarketDesign(
        n_markets=6,
        n_products=(3, 9),
        n_agents=20,
        random_coefficients=("1", "prices", "x2"),
        sigma=((0.7, 0.0, 0.0), (0.2, 0.4, 0.0), (-0.3, 0.1, 0.5)),
        pi=((0.3, 0.0), (0.0, 0.2), (0.1, 0.4)),
        market_effect=0.4,
    ),
    "no demographics": MarketDesign(
        n_markets=6,
        n_products=4,
        n_agents=30,
        random_coefficients=("x1",),
        sigma=((1.5,),),
        pi=(),
    ),
}


@pytest.fixture(params=DESIGNS, scope="module")
def design(request: pytest.FixtureRequest) -> MarketDesign:
    return DESIGNS[request.param]


def slow_shares(simulated: SimulatedMarkets, market: int) -> np.ndarray:
    """Integrate one market's shares agent by agent, product by product."""
    truth, names = simulated.truth, simulated.design.random_coefficients
    products, agents = simulated.product_data, simulated.agent_data
    rows = np.flatnonzero(products["market_ids"] == market)
    nodes = [f"nodes{k}" for k in range(len(names))]
    shares = np.zeros(rows.size)
    for _, agent in agents[agents["market_ids"] == market].iterrows():
        nu, d = agent[nodes], agent[list(simulated.design.demographics)]
        tastes = truth.sigma @ nu.to_numpy() + truth.pi @ d.to_numpy()
        odds = np.zeros(rows.size)
        for j, row in enumerate(rows):
            x2 = [1.0 if name == "1" else products[name][row] for name in names]
            odds[j] = np.exp(truth.delta[row] + np.dot(x2, tastes))
        shares += agent["weights"] * odds / (1.0 + odds.sum())
    return shares


def test_shares_are_the_integral_over_the_agents(design):
    simulated = simulate_markets(design, 3)
    own = simulated.products["market_ids"] == 4
    np.testing.assert_allclose(
        simulated.products["shares"][own], slow_shares(simulated, 4), rtol=0, atol=1e-14
    )


def test_mean_utilities_are_linear_in_the_truth(design):
    simulated = simulate_markets(design, 3)
    frame = simulated.product_data.assign(**{"1": 1.0})
    X1 = frame[list(design.linear)].to_numpy()
    expected = X1 @ simulated.truth.beta + simulated.truth.xi
    np.testing.assert_allclose(simulated.truth.delta, expected, rtol=0, atol=1e-13)


def test_shares_are_shares(design):
    products = simulate_markets(design, 3).product_data
    assert (products["shares"] > 0).all()
    assert (products.groupby("market_ids")["shares"].sum() < 1).all()
    assert (products["prices"] > 0).all()


def test_a_market_is_the_same_bits_in_any_company(design, monkeypatch):
    few = simulate_markets(design, 11)
    many = simulate_markets(design, 11, markets=range(60))
    alone = simulate_markets(design, 11, markets=range(2, 3))
    monkeypatch.setattr(share_floor, "_BATCH", 1)
    apart = simulate_markets(design, 11)
    for kind in ("products", "agents"):
        for name, column in getattr(few, kind).items():
            whole = getattr(many, kind)[name]
            np.testing.assert_array_equal(column, whole[: column.size], err_msg=name)
            np.testing.assert_array_equal(column, getattr(apart, kind)[name])
            own = getattr(few, kind)["market_ids"] == 2
            np.testing.assert_array_equal(column[own], getattr(alone, kind)[name])


def test_a_seed_gives_its_data_again_and_another_gives_others():
    first, again, other = (simulate_markets(SMALL, seed) for seed in (5, 5, 6))
    pd.testing.assert_frame_equal(first.product_data, again.product_data)
    pd.testing.assert_frame_equal(first.agent_data, again.agent_data)
    assert not np.isin(first.truth.xi, other.truth.xi).any()


def test_every_number_of_products_between_the_bounds_occurs():
    design = MarketDesign(n_markets=300, n_products=(3, 6), n_agents=2)
    sizes = simulate_markets(design, 0).product_data.groupby("market_ids").size()
    counts = sizes.value_counts().sort_index()
    assert list(counts.index) == [3, 4, 5, 6]
    assert counts.min() > 75 - 4 * np.sqrt(300 * 0.25 * 0.75)


def test_draws_have_the_moments_of_the_design():
    design = MarketDesign(
        n_markets=4000, n_products=5, n_agents=10, market_effect=0.7, xi_scale=0.5
    )
    simulated = simulate_markets(design, 2)
    xi = simulated.truth.xi.reshape(4000, 5)
    shared = np.mean(xi[:, :1] * xi[:, 1:])
    assert np.var(xi) == pytest.approx(0.49 + 0.25, rel=0.05)
    assert shared == pytest.approx(0.49, rel=0.06)
    for name in ("x1", "x2", "z1", "z2"):
        column = simulated.products[name]
        assert abs(column.mean()) < 4 / np.sqrt(column.size)
        assert column.var() == pytest.approx(1.0, rel=0.02)
        assert abs(column).max() <= np.sqrt(3)
    income = simulated.agents["demographic1"].reshape(4000, 10)
    assert income.var(axis=1, ddof=1).mean() == pytest.approx(1.0, rel=0.03)
    assert income.mean(axis=1).var() == pytest.approx(1.0 + 1 / 10, rel=0.1)
    assert simulated.agents["nodes1"].var() == pytest.approx(1.0, rel=0.03)


def test_fresh_agents_are_others_of_the_same_distribution():
    design = MarketDesign(n_markets=400, n_products=3, n_agents=20)
    known = simulate_markets(design, 8)
    fresh = simulate_markets(design, 8, fresh_agents=50)
    pd.testing.assert_frame_equal(known.product_data, fresh.product_data)
    assert fresh.agents["weights"].size == 400 * 50
    assert fresh.agents["weights"].sum() == pytest.approx(400)
    assert not np.isin(fresh.agents["nodes0"], known.agents["nodes0"]).any()
    means = [
        simulated.agent_data.groupby("market_ids")["demographic1"].mean()
        for simulated in (known, fresh)
    ]
    # Var(mean) = 1 + 1/I, so the correlation is 1 / sqrt((1 + 1/20)(1 + 1/50)) = 0.966
    assert np.corrcoef(*means)[0, 1] == pytest.approx(0.966, abs=0.015)


def test_csv_reads_back_as_the_same_bits(tmp_path):
    simulated = simulate_markets(DESIGNS["random constant"], 4)
    simulated.save_csv(tmp_path / "data")
    for name in ("product_data", "agent_data"):
        read = pd.read_csv(tmp_path / "data" / f"{name}.csv", engine="python")
        pd.testing.assert_frame_equal(read, getattr(simulated, name), check_exact=True)
    truth = json.loads((tmp_path / "data" / "truth.json").read_text(encoding="utf-8"))
    assert truth["sigma"] == simulated.truth.sigma.tolist()
    assert truth["seed"] == 4
    assert truth["formulations"]["nonlinear"] == "1 + prices + x2"
    assert MarketDesign(**truth["design"]).pi_matrix.tolist() == truth["pi"]


def test_formulas_put_the_parameters_in_order():
    assert simulate_markets(SMALL, 0).formulations() == (
        "1 + prices + x1 + x2",
        "0 + prices + x1",
        "0 + demographic1",
    )
    plain = simulate_markets(DESIGNS["no demographics"], 0)
    assert plain.formulations() == ("1 + prices + x1 + x2", "0 + x1", None)
    assert plain.truth.pi.shape == (1, 0)


def test_all_faults_of_a_design_are_told_at_once():
    with pytest.raises(InputError) as caught:
        MarketDesign(
            n_markets=0,
            n_products=(5, 3),
            random_coefficients=("prices", "x9"),
            sigma=((1.0, 0.5), (0.0, 1.0)),
            pi=((0.1,),),
            xi_scale=-1.0,
            endogeneity=float("nan"),
        )
    message = str(caught.value)
    for name in ("n_markets", "n_products", "x9", "above its diagonal", "pi with rows"):
        assert name in message
    assert "xi_scale" in message and "endogeneity" in message
    assert len(caught.value.faults) == 7


@pytest.mark.parametrize(
    ("design", "words"),
    [
        (MarketDesign(n_markets=5, price_intercept=1.0), "prices not positive"),
        (MarketDesign(n_markets=5, beta=(900.0, -1.0, 0.0)), "outside share"),
        (MarketDesign(n_markets=5, beta=(-900.0, -1.0, 0.0)), "shares of zero"),
    ],
)
def test_impossible_outcomes_are_refused(design, words):
    with pytest.raises(InputError, match=words):
        simulate_markets(design, 0)


@pytest.mark.parametrize("arguments", [{"seed": -1}, {"seed": 0, "fresh_agents": 0}])
def test_wrong_arguments_are_refused(arguments):
    with pytest.raises(InputError, match="1 fault"):
        simulate_markets(SMALL, **arguments)


def test_columns_come_without_pandas():
    code = (
        "import sys\n"
        "from blpdask.simulation.markets import MarketDesign, simulate_markets\n"
        "simulate_markets(MarketDesign(n_markets=2), 0)\n"
        "assert 'pandas' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
