"""Problems on stores: Nevo's (2000) data give the same answers from disk.

Row-long results of a store are in its order: by market, and as given within.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import blpdask
from blpdask.errors import BlpdaskError, InputError, StoreError
from blpdask.partitions.residency import RESIDENT
from blpdask.partitions.run_lock import RunLock
from blpdask.partitions.run_log import LOCK, LOG
from blpdask.problem.kept_sums import PREPARATION
from tests.api import nevo

FORMULATIONS = (
    blpdask.Formulation("0 + prices", absorb="C(product_ids)"),
    blpdask.Formulation("1 + prices + sugar + mushy"),
)
DEMOGRAPHICS = blpdask.Formulation("0 + income + income_squared + age + child")
STARTS = {"sigma": nevo.SIGMA, "pi": nevo.PI}


@pytest.fixture
def shuffled():
    products, agents = nevo.tables(30)
    return products.sample(frac=1, random_state=1).reset_index(drop=True), agents


@pytest.fixture
def store(tmp_path, shuffled):
    return blpdask.build_store(tmp_path / "nevo", *shuffled, blocks=4)


def test_nevo_from_a_store_is_nevo_from_memory(store, shuffled):
    products, agents = shuffled
    held = blpdask.Problem(FORMULATIONS, products, DEMOGRAPHICS, agents)
    stored = blpdask.Problem(FORMULATIONS, store, DEMOGRAPHICS)
    assert str(stored) == str(held)
    for name in "NTFIDHK":
        if hasattr(held, name):
            assert getattr(stored, name) == getattr(held, name)
    options = {**STARTS, "method": "1s", "se_type": "clustered"}
    options["optimization"] = blpdask.Optimization("return")
    first = held.solve(**options, blocks=4)
    second = stored.solve(**options)
    np.testing.assert_allclose(second.objective, first.objective, rtol=1e-11)
    for name in ("beta", "sigma_se", "pi_se", "beta_se", "gradient", "updated_W"):
        one, two = (np.asarray(getattr(r, name)) for r in (first, second))
        scale = np.nanmax(np.abs(one))
        np.testing.assert_allclose(two, one, rtol=0, atol=1e-9 * scale, err_msg=name)
    order = np.argsort(products["market_ids"].to_numpy(), kind="stable")
    for name in ("delta", "xi"):
        one, two = (np.asarray(getattr(r, name)) for r in (first, second))
        np.testing.assert_allclose(two, one[order], rtol=0, atol=1e-10)
    # Row-long results of a store can be handed back.
    again = stored.solve(**options, delta=second.delta)
    np.testing.assert_allclose(again.objective, first.objective, rtol=1e-11)


def test_what_fits_into_memory_does_not_matter(store, monkeypatch):
    problem = blpdask.Problem(FORMULATIONS, store, DEMOGRAPHICS)
    options = {**STARTS, "method": "1s", "check_optimality": "gradient"}
    options["optimization"] = blpdask.Optimization("l-bfgs-b", {"maxiter": 3})
    with pytest.warns(blpdask.exceptions.NumericalWarning):
        one = problem.solve(**options)
    RESIDENT.drop(lambda owner: isinstance(owner, str))
    # Room for one block.
    monkeypatch.setattr(RESIDENT, "budget", 300_000)
    fresh = blpdask.Problem(FORMULATIONS, store, DEMOGRAPHICS)
    with pytest.warns(blpdask.exceptions.NumericalWarning):
        two = fresh.solve(**options, engine="serial")
    assert RESIDENT.held_bytes <= 300_000
    assert one.objective == two.objective
    assert one.theta.tobytes() == two.theta.tobytes()


def test_an_integration_describes_nodes_on_a_store(store):
    rule = blpdask.Integration("halton", 15, {"seed": 2})
    one = blpdask.Problem(FORMULATIONS, store, integration=rule)
    two = blpdask.Problem(FORMULATIONS, store, DEMOGRAPHICS).with_agents(
        integration=rule
    )
    assert one.I == two.I == 15 * 30
    blocks = [p.demand.prepare(blpdask_engine()).source.load(2) for p in (one, two)]
    nodes = slice(0, 4)
    np.testing.assert_array_equal(blocks[0].draws, blocks[1].draws[:, nodes])
    results = one.solve(sigma=nevo.SIGMA, method="1s", optimization=RETURN)
    assert np.isfinite(results.objective)


RETURN = blpdask.Optimization("return")


def blpdask_engine():
    from blpdask.driver.serial import SerialEngine

    return SerialEngine()


def test_resamples_on_a_store_add_to_the_covariance(store):
    rule = blpdask.Integration("monte_carlo", 20, {"seed": 2})
    problem = blpdask.Problem(FORMULATIONS, store, integration=rule)
    options = {"sigma": nevo.SIGMA, "method": "1s", "optimization": RETURN}
    plain = problem.solve(**options)
    added = problem.solve(**options, resample_agent_data=blpdask.Resamples(4, seed=1))
    assert added.objective == plain.objective
    assert not np.allclose(added.updated_W, plain.updated_W, rtol=1e-6)
    with pytest.raises(InputError, match="on a store"):
        problem.solve(**options, resample_agent_data=lambda index: None)


def test_what_a_store_does_not_offer_is_said(store, shuffled):
    problem = blpdask.Problem(FORMULATIONS, store, DEMOGRAPHICS)
    for name in ("products", "agents"):
        with pytest.raises(BlpdaskError, match=r"open_store\(…\)\.read"):
            getattr(problem, name)
    with pytest.raises(InputError, match="agent_data beside a store"):
        blpdask.Problem(FORMULATIONS, store, DEMOGRAPHICS, shuffled[1])
    with pytest.raises(InputError, match="blocks=3 although the data are in a store"):
        problem.solve(**STARTS, blocks=3)


def test_a_store_says_what_it_holds_and_reads_as_frames(store, shuffled):
    products, agents = shuffled
    opened = blpdask.open_store(store.path)
    assert opened.fingerprint == store.fingerprint
    text = str(opened)
    for part in ("30   720   600     4", "Products: ", "income", store.fingerprint):
        assert part in text
    assert "<table>" in opened._repr_html_()
    opened.verify()
    frame = opened.read(1)
    expected = products.loc[frame.index, frame.columns]
    assert (frame == expected).all(axis=None)
    people = opened.read(1, "agents", ["income"])
    markets = frame["market_ids"].unique().tolist()
    own = agents[agents["market_ids"].isin(markets)]
    own = own.sort_values("market_ids", kind="stable")
    assert people["income"].tolist() == own["income"].tolist()
    with pytest.raises(InputError, match="block 9"):
        opened.read(9)
    with pytest.raises(InputError, match="no column 'town'"):
        opened.read(0, columns=["town"])


def test_builders_check_their_arguments_and_tell_how_far_they_are(
    tmp_path, shuffled, monkeypatch
):
    with pytest.raises(InputError) as caught:
        blpdask.build_store(
            tmp_path / "s",
            *shuffled,
            integration="halton",  # type: ignore[arg-type]
            blocks=0,
            columns="x",
            progress=3,  # type: ignore[arg-type]
        )
    assert len(caught.value.faults) == 4
    with pytest.raises(InputError, match="option 'n_shops' of design"):
        blpdask.simulate_store(tmp_path / "s", {"n_shops": 3})
    monkeypatch.setattr("blpdask.api.store_text.SECONDS", 0.0)
    told: list[str] = []
    blpdask.build_store(tmp_path / "s", *shuffled, blocks=2, progress=told.append)
    assert "Writing block 2 of 2" in told
    assert "Counting rows of product_data: 720" in told


def test_a_simulated_store_recovers_its_truth(tmp_path):
    store = blpdask.simulate_store(
        tmp_path / "s", {"n_markets": 150, "n_agents": 100}, seed=1
    )
    problem = blpdask.Problem(
        (
            blpdask.Formulation("1 + prices + x1 + x2"),
            blpdask.Formulation("0 + prices + x1"),
        ),
        store,
        blpdask.Formulation("0 + demographic1"),
    )
    results = problem.solve(sigma=np.eye(2), pi=np.full((2, 1), 0.1))
    truth = np.array([4.0, -2.5, 1.0, 0.5])
    errors = (results.beta[:, 0] - truth) / results.beta_se[:, 0]
    assert np.abs(errors).max() < 4


def written_agents(shuffled, weights):
    """Give agents whose nodes are data, with weights."""
    products, agents = shuffled
    return products, agents.assign(weights=weights(agents["weights"].to_numpy()))


def tilted(weights):
    """Weights that sum to what they did and are not equal."""
    signs = np.where(np.arange(weights.size) % 2, 1, -1)
    return weights * (1 + 0.3 * signs)


def test_resamples_of_unequal_weights_are_refused_as_in_memory(tmp_path, shuffled):
    rule = blpdask.Integration("monte_carlo", 20, {"seed": 2})
    resamples = blpdask.Resamples(4, seed=1, integration=rule)
    options = {**STARTS, "method": "1s", "optimization": RETURN}
    options["check_optimality"] = "gradient"
    products, agents = written_agents(shuffled, tilted)
    kept = blpdask.build_store(tmp_path / "tilted", products, agents, blocks=4)
    faults = []
    for problem in (
        blpdask.Problem(FORMULATIONS, products, DEMOGRAPHICS, agents),
        blpdask.Problem(FORMULATIONS, kept, DEMOGRAPHICS),
    ):
        with pytest.raises(InputError, match="20 nodes of equal weight") as caught:
            problem.solve(**options, resample_agent_data=resamples)
        faults.append(caught.value.faults)
    ((one,), (two,)) = faults
    assert (one.found, one.expected) == (two.found, two.expected)
    assert one.found.endswith("with 20 to 20 agents of weights 0.035 to 0.065")
    even = blpdask.build_store(tmp_path / "even", *shuffled, blocks=4)
    problem = blpdask.Problem(FORMULATIONS, even, DEMOGRAPHICS)
    found = problem.solve(**options, resample_agent_data=resamples)
    assert np.abs(found.simulation_covariances).max() > 0


def test_bounds_of_weights_are_stored_or_read_through(tmp_path, shuffled):
    kept = blpdask.build_store(
        tmp_path / "s", *written_agents(shuffled, tilted), blocks=4
    ).blocks
    kept.verify()
    assert kept.weight_bounds() == kept._find_weight_bounds()
    np.testing.assert_allclose(kept.weight_bounds(), (0.035, 0.065), rtol=1e-14)


@pytest.mark.parametrize("whole", [True, False])
def test_clusters_of_whole_markets_are_warned_of_on_a_store(tmp_path, shuffled, whole):
    products, agents = shuffled
    codes = products["market_ids"].factorize()[0] // 2
    if not whole:  # one product of one market is in another cluster
        codes[5] = codes.max() - codes[5]
    products = products.assign(clustering_ids=codes)
    rule = blpdask.Integration("monte_carlo", 20, {"seed": 2})
    options = {"sigma": nevo.SIGMA, "method": "1s", "optimization": RETURN}
    options["check_optimality"] = "gradient"
    options["resample_agent_data"] = blpdask.Resamples(3)
    kept = blpdask.build_store(tmp_path / "s", products, agents, blocks=4)
    problems = [
        blpdask.Problem(FORMULATIONS, data, integration=rule)
        for data in (products, kept)
    ]
    for problem in problems:
        for se_type in ("clustered", "robust"):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                problem.solve(**options, se_type=se_type)
            told = [w for w in caught if "clustered by whole markets" in str(w.message)]
            assert len(told) == (whole and se_type == "clustered")
            assert all(w.filename == __file__ for w in told)


def test_nothing_is_written_into_the_recording_of_another(store, shuffled, tmp_path):
    held = blpdask.Problem(FORMULATIONS, shuffled[0], DEMOGRAPHICS, shuffled[1])
    stored = blpdask.Problem(FORMULATIONS, store, DEMOGRAPHICS)
    options = {**STARTS, "method": "1s", "optimization": RETURN}
    run = tmp_path / "run"
    held.solve(**options, resume=run)
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    with pytest.raises(StoreError, match=r"another estimation \(data "):
        stored.solve(**options, resume=run)
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before
    lock = RunLock(run / LOCK)
    with pytest.raises(StoreError, match="another process works in"):
        stored.solve(**options, resume=run)
    lock.release()
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before
    stored.solve(**options, resume=tmp_path / "own")
    names = {path.name for path in (tmp_path / "own").iterdir()}
    assert names == {LOG, PREPARATION}
