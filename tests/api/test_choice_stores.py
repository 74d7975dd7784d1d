"""Choices in a store give the estimates of the same choices in memory.

What must hold:

1. Whatever form the data are given in, a store of them holds the same, and a problem
   on it has the estimates, errors and fit of one in memory.
2. Draws, coding of categories, and what is left out are those of a table in memory.
3. What is wrong with the data is told while the store is built, with the person.
4. Nothing is left of a build that failed; what is damaged is not read.
5. What takes all rows at once is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import blpdask
from blpdask.errors import DataWarning, InputError, StoreError
from tests.api.test_choice_problem import panel

PLAIN = {"engine": "serial", "backend": "numpy"}
FORMULA = "1 + C(brand) + prices + log(size) + prices:C(alternative_ids)"


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blpdask.options, "verbose", False)


def shop(n_people: int = 60, seed: int = 3) -> pd.DataFrame:
    """Give a panel with brands, sizes, weights of people and shuffled rows."""
    frame = panel(n_people, 6, seed=seed).drop(columns="clustering_ids")
    rng = np.random.default_rng(seed)
    frame["brand"] = np.array(["own", "best", "cheap"])[frame["alternative_ids"]]
    frame["brand"] = frame["brand"].where(rng.random(len(frame)) < 0.8, "new")
    frame["size"] = rng.uniform(0.5, 2.0, len(frame))
    frame["weights"] = 1.0 + frame["person_ids"] % 3
    return frame.sample(frac=1.0, random_state=1).reset_index(drop=True)


def problem(data: Any, formula: str = FORMULA, **arguments: Any) -> Any:
    arguments.setdefault("random", {"prices": "normal", "log(size)": "uniform"})
    if arguments["random"]:
        arguments.setdefault(
            "integration", blpdask.Integration("mlhs", 20, {"seed": 4})
        )
    return blpdask.ChoiceProblem(blpdask.Formulation(formula), data, **arguments)


def same(found: Any, expected: Any, rtol: float = 1e-7) -> None:
    for name in ("I", "S", "N", "R", "labels"):
        assert getattr(found, name) == getattr(expected, name)
    for name in ("log_likelihood", "log_likelihood_at_zero"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name), rtol=1e-11
        )
    np.testing.assert_allclose(found.theta, expected.theta, rtol=rtol, atol=1e-9)
    np.testing.assert_allclose(
        found.covariances, expected.covariances, rtol=1e-5, atol=1e-9
    )


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return shop()


@pytest.fixture(scope="module")
def in_memory(frame: pd.DataFrame) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blpdask.options, "verbose", False)
        return problem(frame).solve(**PLAIN)


# Estimates


def test_draws_around_modes_are_those_of_a_table_in_memory(
    frame: pd.DataFrame, tmp_path: Path
) -> None:
    """By default panels have them; how well they serve is known of a store too."""
    store = blpdask.build_choice_store(tmp_path / "shop", frame, blocks=3)
    found, expected = (
        problem(data, integration=None).solve(**PLAIN) for data in (store, frame)
    )
    assert found.problem.integration_rule.specification == "laplace"
    same(found, expected)
    np.testing.assert_allclose(
        found.effective_draws, expected.effective_draws, rtol=1e-6
    )
    assert found.fresh_log_likelihood == pytest.approx(
        expected.fresh_log_likelihood, rel=1e-10
    )
    assert found.fresh.standard_error == pytest.approx(
        expected.fresh.standard_error, rel=1e-6
    )


@pytest.mark.parametrize("form", ["frame", "mapping", "parquet", "chunks", "generator"])
def test_estimates_are_those_of_data_in_memory(
    form: str, frame: pd.DataFrame, in_memory: Any, tmp_path: Path
) -> None:
    data: Any = frame
    by_person = frame.sort_values("person_ids", kind="stable")
    pieces = [
        by_person.iloc[first : first + 101] for first in range(0, len(frame), 101)
    ]
    if form == "mapping":
        data = {name: frame[name].to_numpy() for name in frame}
    elif form == "parquet":
        pytest.importorskip("pyarrow")
        (tmp_path / "files").mkdir()
        for place, first in enumerate(range(0, len(frame), 400)):
            part = frame.iloc[first : first + 400]
            part.to_parquet(tmp_path / "files" / f"{place}.parquet")
        data = tmp_path / "files"
    elif form == "chunks":
        data = pieces
    elif form == "generator":
        by_person.to_csv(tmp_path / "choices.csv", index=False)
        data = pd.read_csv(tmp_path / "choices.csv", chunksize=97)
    store = blpdask.build_choice_store(tmp_path / "store", data, blocks=5)
    assert (len(store), store.I, store.S, store.N) == (5, 60, 360, 1080)
    same(problem(store).solve(**PLAIN), in_memory)
    store.verify()
    left = {path.name for path in tmp_path.iterdir()} - {"files", "choices.csv"}
    assert left <= {"store", "store.rows"}


@pytest.mark.parametrize("se_type", ["hessian", "bhhh", "robust"])
def test_errors_are_those_of_scores_of_people(
    se_type: str, frame: pd.DataFrame, in_memory: Any, tmp_path: Path
) -> None:
    store = blpdask.build_choice_store(tmp_path / "store", frame, blocks=3)
    start = in_memory.theta
    options = {"se_type": se_type, "start": start, **PLAIN}
    found, expected = (problem(d).solve(**options) for d in (store, frame))
    np.testing.assert_allclose(found.standard_errors, expected.standard_errors, 1e-8)
    assert found.scores.shape == (0, len(found.theta))
    H, s, w = expected.hessian, expected.scores, np.repeat([1.0, 2.0, 3.0], 20)
    w = 1.0 + np.arange(60) % 3
    inverse = np.linalg.inv(-H)
    plain = {
        "hessian": inverse,
        "bhhh": np.linalg.inv((s / w[:, None]).T @ s),
        "robust": inverse @ s.T @ s @ inverse,
    }
    np.testing.assert_allclose(found.covariances, plain[se_type], rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("rule", ["sobol", "halton", "monte_carlo", "lhs"])
def test_blocks_are_cuts_of_the_table(rule: str, tmp_path: Path) -> None:
    frame = shop(30)
    store = blpdask.build_choice_store(tmp_path / "store", frame, blocks=4)
    integration = blpdask.Integration(rule, 8, {"seed": 2})
    one, other = (problem(d, integration=integration) for d in (store, frame))
    for name in ("X", "draws", "weights"):
        parts = [getattr(one.source.load(b), name) for b in range(4)]
        (whole,) = (
            getattr(other.source.load(b), name) for b in range(len(other.source))
        )
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert one.source.size(0) == pytest.approx(
        sum(
            getattr(one.source.load(0), name).nbytes
            for name in ("X", "draws", "weights", "chosen", "situation_offsets")
        ),
        rel=0.05,
    )


def test_without_people_each_situation_is_one(tmp_path: Path) -> None:
    frame = shop(40)
    frame["situation_ids"] += 100 * frame["person_ids"]
    frame = frame.drop(columns=["person_ids", "weights"])
    store = blpdask.build_choice_store(tmp_path / "store", frame)
    assert (store.I, store.S) == (240, 240)
    formula = "0 + prices + quality"
    found, expected = (problem(d, formula, random={}) for d in (store, frame))
    same(found.solve(**PLAIN), expected.solve(**PLAIN))


def test_what_is_not_available_is_not_there(tmp_path: Path) -> None:
    frame = shop(40).sort_values(["person_ids", "situation_ids", "alternative_ids"])
    frame = frame.reset_index(drop=True)
    rng = np.random.default_rng(1)
    frame["availability"] = (rng.random(len(frame)) < 0.7) | frame["chosen"]
    # Nothing but what was chosen was there for person 7.
    seven = frame["person_ids"] == 7
    frame.loc[seven, "availability"] = frame.loc[seven, "chosen"]
    with pytest.warns(DataWarning, match=r"situations have a single") as told:
        store = blpdask.build_choice_store(tmp_path / "store", frame, blocks=4)
    with pytest.warns(DataWarning) as expected:
        other = problem(frame)
    words = [str(w[0].message).split("; they")[0] for w in (told, expected)]
    assert words[0] == words[1]
    one = problem(store)
    assert (one.I, one.S, one.N) == (other.I, other.S, other.N)
    assert one.I == 39
    draws = np.concatenate([one.source.load(b).draws for b in range(4)])
    np.testing.assert_array_equal(draws, other.source.load(0).draws)
    same(one.solve(**PLAIN), other.solve(**PLAIN))


# What is wrong


def broken(how: str) -> tuple[pd.DataFrame, str]:
    frame = shop(20)
    row = frame.index[(frame["person_ids"] == 13) & ~frame["chosen"]][0]
    chosen = frame.index[(frame["person_ids"] == 13) & frame["chosen"]][0]
    situation = frame.loc[chosen, "situation_ids"]
    where = rf"situation {situation} of person 13"
    if how == "none":
        frame.loc[chosen, "chosen"] = False
        return frame, rf"no chosen alternatives in 1 situations \({where}\)"
    if how == "two":
        own = (frame["person_ids"] == 13) & (frame["situation_ids"] == situation)
        frame.loc[own, "chosen"] = True
        return frame, rf"several chosen alternatives in 1 situations \({where}\)"
    if how == "unavailable":
        frame["availability"] = 1
        frame.loc[chosen, "availability"] = 0
        return frame, rf"that are not available, in 1 rows \({where}\)"
    if how == "twice":
        frame = pd.concat([frame, frame.loc[[row]]], ignore_index=True)
        return frame, r"several rows in one situation \(situation \d of person 13\)"
    if how == "weights":
        frame.loc[row, "weights"] = 9.0
        return frame, r"weights that differ within 1 people \(13\)"
    if how == "negative":
        frame.loc[frame["person_ids"] == 13, "weights"] = -1.0
        return frame, "weights that are not positive"
    if how == "flag":
        frame["chosen"] = frame["chosen"].astype(int)
        frame.loc[row, "chosen"] = 2
        return frame, "neither 0 nor 1, such as 2"
    if how == "nobody":
        frame["person_ids"] = frame["person_ids"].astype(float)
        frame.loc[row, "person_ids"] = np.nan
        return frame, "1 missing values of 'person_ids'"
    assert how == "types"
    frame["person_ids"] = frame["person_ids"].astype(object)
    frame.loc[row, "person_ids"] = "thirteen"
    return frame, "'person_ids' that are texts in some rows and numbers in others"


@pytest.mark.parametrize(
    "how",
    [
        *("none", "two", "unavailable", "twice", "weights", "negative", "flag"),
        *("nobody", "types"),
    ],
)
def test_faults_are_told_with_the_person(how: str, tmp_path: Path) -> None:
    frame, message = broken(how)
    with pytest.raises(InputError, match=message):
        blpdask.build_choice_store(tmp_path / "store", frame, blocks=3)
    assert list(tmp_path.iterdir()) == []


def test_chunks_with_one_id_in_two_places(tmp_path: Path) -> None:
    frame = shop(20).sort_values("person_ids")
    pieces = [frame.iloc[:100], frame.iloc[216:], frame.iloc[100:216]]
    with pytest.raises(InputError, match="one panel id in two places: rows of 1 peo"):
        blpdask.build_choice_store(tmp_path / "store", iter(pieces))
    with pytest.raises(InputError, match=r"columns size in some chunks only"):
        chunks = [frame, frame.drop(columns="size")]
        blpdask.build_choice_store(tmp_path / "store", iter(chunks))
    with pytest.raises(InputError, match="'size' that is numeric in some chunks"):
        chunks = [frame, frame.assign(size="large", person_ids=99)]
        blpdask.build_choice_store(tmp_path / "store", iter(chunks))
    with pytest.raises(InputError, match="no rows in any chunk"):
        blpdask.build_choice_store(tmp_path / "store", iter([]))
    with pytest.raises(InputError, match="of type int"):
        blpdask.build_choice_store(tmp_path / "store", 5)
    assert list(tmp_path.iterdir()) == []


def test_integers_in_one_chunk_and_numbers_in_another(tmp_path: Path) -> None:
    frame = shop(20).sort_values("person_ids")
    first = frame.iloc[: 18 * 9].assign(size=1)
    second = frame.iloc[18 * 9 :]
    for place, chunks in enumerate([[first, second], [second, first]]):
        store = blpdask.build_choice_store(tmp_path / f"{place}", chunks)
        found = problem(store, "0 + size + prices", random={}).source.load(0).X
        whole = problem(pd.concat(chunks), "0 + size + prices", random={})
        np.testing.assert_array_equal(found, whole.source.load(0).X)


def test_columns_are_chosen(tmp_path: Path) -> None:
    frame = shop(20)
    store = blpdask.build_choice_store(tmp_path / "store", frame, columns=["prices"])
    assert "brand" not in str(store)
    with pytest.raises(InputError, match="no column 'size' in the store"):
        problem(store, "0 + prices + size", random={})
    with pytest.raises(InputError, match="no column 'cost', which columns= names"):
        blpdask.build_choice_store(tmp_path / "other", frame, columns=["cost"])
    with pytest.raises(InputError, match="no column 'chosen'"):
        blpdask.build_choice_store(tmp_path / "other", frame.drop(columns="chosen"))
    with pytest.raises(InputError, match=r"(?s)blocks=0.*columns='a'.*of type int"):
        blpdask.build_choice_store("x", frame, blocks=0, columns="a", progress=3)  # type: ignore[arg-type]


def test_what_cannot_be_evaluated_is_told_with_the_person(tmp_path: Path) -> None:
    frame = shop(20)
    frame.loc[frame["person_ids"] == 17, "prices"] = np.nan
    store = blpdask.build_choice_store(tmp_path / "store", frame, blocks=3)
    found = problem(store, "0 + quality + prices", random={})
    with pytest.raises(InputError, match=r"values of 'prices' in 18 rows .*person 17"):
        found.solve(**PLAIN)
    frame = shop(20)
    frame.loc[frame["person_ids"] == 17, "brand"] = None
    store = blpdask.build_choice_store(tmp_path / "other", frame, blocks=3)
    with pytest.raises(InputError, match=r"values of 'brand' in 18 rows .*person 17"):
        problem(store).solve(**PLAIN)


def test_columns_that_situations_do_not_tell_apart(tmp_path: Path) -> None:
    frame = shop(20)
    frame["double"] = 2.0 * frame["prices"] - frame["quality"]
    frame["income"] = frame["person_ids"] * 1.0
    store = blpdask.build_choice_store(tmp_path / "store", frame, blocks=3)
    formula = "0 + prices + quality + double + income"
    messages = []
    for data in (store, frame):
        with pytest.raises(InputError) as caught:
            problem(data, formula, random={}).solve(**PLAIN)
        messages.append({fault.found for fault in caught.value.faults})
    assert messages[0] == messages[1]
    assert len(messages[0]) == 2


def test_stores_are_told_apart_and_checked(tmp_path: Path) -> None:
    frame = shop(20)
    store = blpdask.build_choice_store(tmp_path / "store", frame, blocks=3)
    with pytest.raises(StoreError, match="exists"):
        blpdask.build_choice_store(tmp_path / "store", frame)
    again = blpdask.build_choice_store(
        tmp_path / "store", frame, blocks=3, overwrite=True
    )
    assert again.fingerprint == store.fingerprint
    assert blpdask.open_choice_store(store.path).N == 360
    products = {"market_ids": [1, 2], "shares": [0.2, 0.3], "prices": [1.0, 2.0]}
    other = blpdask.build_store(tmp_path / "products", products)
    with pytest.raises(StoreError, match="build it with blpdask"):
        blpdask.open_choice_store(other.path)
    one = problem(store)
    (file,) = (tmp_path / "store/blocks/00001/product_numbers").rglob("c/*/*")
    content = bytearray(file.read_bytes())
    content[40] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(StoreError, match="damaged"):
        one.solve(**PLAIN)


def test_what_takes_all_rows_is_refused(tmp_path: Path) -> None:
    frame = shop(20).assign(clustering_ids=1)
    frame["clustering_ids"] = frame["person_ids"] // 4
    store = blpdask.build_choice_store(tmp_path / "store", frame)
    one = problem(store, "0 + prices + quality", random={})
    assert "Dimensions" in str(one)
    with pytest.raises(InputError, match="se_type='clustered' of choices in a store"):
        one.solve(se_type="clustered", **PLAIN)
    results = one.solve(**PLAIN)
    with pytest.raises(StoreError, match="make the problem from a DataFrame"):
        results.compute_probabilities(engine="serial")


def test_a_path_that_is_none_is_told(frame: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a path of type DataFrame"):
        blpdask.build_choice_store(frame, tmp_path / "shop")  # type: ignore[arg-type]
