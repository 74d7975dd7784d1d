"""Stores from any kind of table are the same, and every fault is in one message."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from blpdask.errors import InputError
from tests.problem.stores import build, tables

pa = pytest.importorskip("pyarrow")


def write_parquet(folder, table, name, *, files=1, row_group_size=7):
    folder.mkdir(exist_ok=True)
    parts = np.array_split(np.arange(len(table)), files)
    for place, rows in enumerate(parts):
        table.iloc[rows].to_parquet(
            folder / f"{name}{place}.parquet", row_group_size=row_group_size
        )


def test_every_kind_of_table_gives_the_same_store(tmp_path):
    products, agents = tables()
    fingerprints = {build(tmp_path / "frame", products, agents, n_blocks=3).fingerprint}
    mapping = {name: products[name].to_numpy() for name in products}
    mapping["demand_instruments"] = np.column_stack(
        [mapping.pop(f"demand_instruments{m}") for m in range(2)]
    )
    # Text has another dtype and the instruments another place, but the same contents.
    store = build(tmp_path / "mapping", mapping, agents, n_blocks=3)
    frame = build(tmp_path / "again", products, agents, n_blocks=3)
    names = [column.name for column in frame.description.products]
    assert names == [column.name for column in store.description.products]
    assert store.description.block_digests == frame.description.block_digests
    structured = products.to_records(index=False)
    structured = build(tmp_path / "records", structured, agents, n_blocks=3)
    assert structured.description.block_digests == frame.description.block_digests
    assert {frame.fingerprint} == fingerprints


@pytest.mark.parametrize("files", [1, 3])
def test_parquet_gives_the_blocks_of_the_table(tmp_path, monkeypatch, files):
    monkeypatch.setattr("blpdask.problem.store_tables.ROWS", 5)
    products, agents = tables()
    write_parquet(tmp_path / "products", products, "p", files=files)
    write_parquet(tmp_path / "agents", agents, "a", files=files)
    store = build(
        tmp_path / "s", tmp_path / "products", tmp_path / "agents", n_blocks=3
    )
    frame = build(tmp_path / "frame", products, agents, n_blocks=3)
    assert store.description.block_digests == frame.description.block_digests
    assert store.description.other_digests == frame.description.other_digests
    paths = sorted((tmp_path / "products").iterdir())
    listed = build(tmp_path / "listed", paths, agents, n_blocks=3)
    assert listed.description.block_digests == frame.description.block_digests


def test_dates_booleans_categories_and_nullable_numbers_are_kept(tmp_path):
    products, _ = tables()
    n = len(products)
    products["day"] = pd.date_range("2020-01-01", periods=n)
    products["large"] = products["x"] > 0
    products["kind"] = pd.Categorical(products["city"])
    products["size"] = pd.array(range(n), dtype="Int64")
    products["gap"] = [None, *products["city"][1:]]
    write_parquet(tmp_path / "p", products, "p")
    for place, data in enumerate((products, tmp_path / "p")):
        store = build(tmp_path / f"s{place}", data, n_blocks=1)
        found = store.read("products", 0, ["day", "large", "kind", "size", "gap"])
        rows = store.rows(0)
        days = store.levels("products", "day")[found["day"]]
        expected = products["day"].dt.strftime("%Y-%m-%d").to_numpy()[rows]
        assert [day[:10] for day in days] == expected.tolist()
        large = store.levels("products", "large")[found["large"]]
        assert (large == products["large"].to_numpy()[rows]).all()
        kinds = store.levels("products", "kind")[found["kind"]]
        assert (kinds == products["city"].to_numpy()[rows]).all()
        assert (found["size"] == products["size"].to_numpy()[rows]).all()
        assert (found["gap"] == -1).sum() == 1


@pytest.mark.parametrize("ids", [[7, 3, 3, -1], [2.5, 1.0, 1.0, 4.0], ["b", 2, 2, "a"]])
def test_market_ids_of_any_kind_come_back_sorted_as_in_memory(tmp_path, ids):
    from blpdask.problem.fields import factorize

    data = {"market_ids": np.array(ids, dtype=object), "shares": [0.2] * 4}
    store = build(tmp_path / "s", {**data, "prices": [1.0, 2.0, 3.0, 4.0]}, n_blocks=2)
    expected = factorize(data["market_ids"])[1]
    assert store.market_ids().tolist() == expected.tolist()
    types = [type(x) for x in store.market_ids().tolist()]
    assert types == [type(x) for x in expected.tolist()]


def test_every_fault_of_values_is_in_one_message(tmp_path):
    products, agents = tables()
    markets = products["market_ids"]
    products.loc[[4, 9], "shares"] = [0.0, -0.1]
    products.loc[markets == "m03", "shares"] = 0.6
    products.loc[11, "x"] = np.nan
    products.loc[12, "demand_instruments1"] = np.inf
    twice = products[markets == "m07"].iloc[:1]
    products = pd.concat([products, twice], ignore_index=True)
    agents.loc[2, "nodes1"] = np.nan
    with pytest.raises(InputError) as caught:
        build(tmp_path / "s", products, agents, n_blocks=4)
    message = str(caught.value)
    assert len(caught.value.faults) == 6
    for part in (
        rf"2 shares that are zero or negative \(rows {some_rows(markets, [4, 9])}",
        r"1 markets whose shares sum to 1 or more \(markets m03; blocks \d",
        rf"1 NaN or infinite values of 'x' \(rows 11; markets {markets[11]}",
        rf"of 'demand_instruments1' \(rows 12; markets {markets[12]}; blocks \d\)",
        r"1 products that are listed twice in a market \(rows \d+; markets m07; bl",
        rf"of 'nodes1' \(rows 2; markets {agents['market_ids'][2]}; blocks \d\)",
    ):
        assert re.search(part, message), (part, message)


def some_rows(markets, rows):
    # Blocks are checked in their order, rows within them by market.
    return ", ".join(map(str, sorted(rows, key=lambda row: markets[row])))


def test_faults_of_columns_and_markets_are_told_before_rows_are_read(tmp_path):
    products, agents = tables()
    words = products.assign(prices="dear").drop(columns="shares")
    with pytest.raises(InputError) as caught:
        build(tmp_path / "s", words, agents.drop(columns="market_ids"))
    message = str(caught.value)
    assert len(caught.value.faults) == 3
    assert "no column 'shares' among" in message
    assert "'prices' that is not numeric" in message
    assert "no column 'market_ids' among" in message
    lonely = agents[agents["market_ids"] != "m01"]
    foreign = lonely.replace({"market_ids": {"m02": "n99"}})
    with pytest.raises(InputError) as caught:
        build(tmp_path / "s", products, foreign)
    message = str(caught.value)
    assert "1 markets with agents but no products (n99)" in message
    assert "2 markets with products but no agents (m01, m02)" in message
    nowhere = products.assign(market_ids=[None, *products["market_ids"][1:]])
    with pytest.raises(InputError, match="1 rows without a market"):
        build(tmp_path / "s", nowhere)
    assert list(tmp_path.iterdir()) == []


def test_missing_integers_in_parquet_are_a_fault(tmp_path):
    products, _ = tables()
    products["size"] = pd.array([None, *range(1, len(products))], dtype="Int64")
    write_parquet(tmp_path / "p", products, "p")
    with pytest.raises(InputError, match=r"missing values of 'size' \(rows 0"):
        build(tmp_path / "s", tmp_path / "p")


def test_what_is_no_table_is_a_fault(tmp_path):
    products, _ = tables()
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.parquet").write_bytes(b"not parquet")
    for data, message in (
        (3, "of type int"),
        (tmp_path / "p.csv", r"ends in \.parquet"),
        (tmp_path / "empty", "no Parquet file"),
        (tmp_path / "bad.parquet", "cannot be read"),
        (tmp_path / "nothing.parquet", "cannot be read"),
        (products.iloc[:0], "no rows"),
        ({"market_ids": [1, 2], "shares": [0.1]}, "different lengths"),
    ):
        with pytest.raises(InputError, match=message):
            build(tmp_path / "s", data)


def test_columns_can_be_left_out(tmp_path):
    products, agents = tables()
    products["x"] = np.nan
    store = build(tmp_path / "s", products, agents, columns=["city"], n_blocks=2)
    names = [column.name for column in store.description.products]
    assert names == [
        "city",
        "shares",
        "prices",
        "demand_instruments0",
        "demand_instruments1",
    ]
    with pytest.raises(InputError, match="no column 'town', which columns= names"):
        build(tmp_path / "t", products, agents, columns=["town"])


@pytest.mark.slow
def test_memory_does_not_grow_with_parquet(tmp_path):
    peaks = []
    for n_markets in (10_000, 80_000):
        rng = np.random.default_rng(0)
        n = n_markets * 10
        table = pd.DataFrame(
            {
                "market_ids": rng.permutation(np.repeat(np.arange(n_markets), 10)),
                "shares": np.full(n, 0.05),
                "prices": rng.uniform(1, 2, n),
                **{f"x{k}": rng.normal(size=n) for k in range(17)},
            }
        )
        path = tmp_path / f"{n_markets}.parquet"
        table.to_parquet(path, row_group_size=20_000)
        script = (
            "import re, sys\n"
            "from tests.problem.stores import build\n"
            "from pathlib import Path\n"
            "blocks = int(sys.argv[3])\n"
            "build(Path(sys.argv[2]), sys.argv[1], n_blocks=blocks)\n"
            "status = Path('/proc/self/status').read_text()\n"
            "print(re.search(r'VmHWM:\\s*(\\d+)', status)[1])\n"
        )
        target = tmp_path / f"store-{n_markets}"
        blocks = n_markets // 2_500  # of one size: a block is what is held
        found = subprocess.run(
            [sys.executable, "-c", script, str(path), str(target), str(blocks)],
            capture_output=True,
            text=True,
            check=True,
        )
        peaks.append(int(found.stdout) / 1024)
    # 128 MB of columns against 16, in blocks of one size: markets need a little.
    assert peaks[1] - peaks[0] < 60, peaks
