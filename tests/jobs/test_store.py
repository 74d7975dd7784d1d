"""A job finds on a store of its data what it finds on the data themselves.

Invariants: CSV, Parquet and simulated data, nodes given, described or drawn, give the
job's numbers; runs on a store are recorded, killed and resumed like others, and absorb
no effect twice; what is wrong is said at once and leaves no store.
"""

from __future__ import annotations

import gc
import shutil

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import blpdask
from blpdask.cli import app
from blpdask.partitions.log_frames import read_frames
from blpdask.partitions.run_log import LOG
from blpdask.problem.kept_sums import PREPARATION
from tests.api import nevo
from tests.api.test_resume import bits
from tests.jobs.test_resume import (
    WORKFLOWS,
    finish,
    recorded,
    same_runs,
    start,
    stop_when,
)

SMALL = WORKFLOWS / "simulated/job.yaml"
NEVO = WORKFLOWS / "nevo/job.yaml"
#: A job on Nevo's data in a folder, some of its markets.
JOB = """
name: cereals
data:
  products: {source: products.FORMAT}
  agents: {source: agents.FORMAT}
formulations:
  linear: "0 + prices"
  absorb: "C(product_ids)"
  random: "1 + prices"
  demographics: "0 + income"
sigma: [[0.5, 0], [0, 2]]
pi: [[1], [3]]
solve:
  method: 1s
  optimization: {method: return}
  check_optimality: gradient
seed: 3
"""
DRAWN = "integration: {specification: RULE, size: 15}\n"


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder, text, form="csv"):
    """Write a job beside some of Nevo's markets, in no order."""
    products, agents = nevo.tables(20)
    tables = {"products": products, "agents": agents}
    for name, table in tables.items():
        table = table.sample(frac=1, random_state=1).reset_index(drop=True)
        path = folder / f"{name}.{form}"
        table.to_csv(path, index=False) if form == "csv" else table.to_parquet(path)
    job = folder / "job.yaml"
    job.write_text(text.replace("FORMAT", form))
    return job


def on_store(job, store, drop=""):
    """Write the same job with its data in a store."""
    lines = job.read_text().splitlines()
    kept = [x for x in lines if "source:" not in x and not (drop and drop in x)]
    text = "\n".join(kept).replace("data:", f"data: {{store: {store}}}")
    path = job.with_name("stored.yaml")
    path.write_text(text)
    return path


def estimates(job, output):
    result = invoke("run", job, "-o", output, "--engine", "serial")
    assert result.exit_code in (0, 1), result.output
    return blpdask.read_results(output / "results")


def assert_close(one, other, *names):
    for name in ("objective", "beta", "sigma_se", "beta_se", "updated_W", *names):
        first, second = (np.asarray(getattr(r, name)) for r in (one, other))
        scale = np.nanmax(np.abs(first))
        assert scale > 0
        np.testing.assert_allclose(second, first, rtol=0, atol=1e-9 * scale)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_tables_in_a_store_give_the_numbers_of_the_job(here, form):
    if form == "parquet":
        pytest.importorskip("pyarrow")
    job = write(here, JOB, form)
    result = invoke("store", job, "-o", "stores/cereals", "--blocks", "3")
    assert result.exit_code == 0, result.output
    assert "data:\n  store: stores/cereals\n" in result.stdout
    assert "20   480   400     3" in result.stdout
    found = estimates(on_store(job, "stores/cereals"), here / "found")
    assert_close(found, estimates(job, here / "expected"), "gradient")
    fingerprint = blpdask.open_store(here / "stores/cereals").fingerprint
    assert read_record(here / "found") == {
        "store": {"rows": 480, "fingerprint": fingerprint}
    }


def read_record(output):
    from blpdask.jobs.yaml_text import read_yaml

    text = (output / "resolved.yaml").read_text()
    return read_yaml(text, "").content["record"]["data"]


MICRO = """
micro:
  datasets:
    survey: {observations: 1000, weights: inside}
    rivals:
      observations: 200
      weights: inside * second(inside)
      market_ids: [C01Q1, C03Q2]
  moments:
    - {statistic: mean, x: income, given: mushy, value: 0.2, dataset: survey}
    - {statistic: covariance, x: income, y: prices, value: 0.001, dataset: survey}
    - {statistic: mean, x: prices * second(prices), value: 0.02, dataset: rivals}
"""


def test_micro_moments_of_a_store_are_those_of_the_job(here):
    """Columns that formulas name are there, and what is not there is said."""
    text = JOB.replace('"1 + prices"', '"1 + prices + mushy"')
    text = text.replace("[[0.5, 0], [0, 2]]", "[[0.5, 0, 0], [0, 2, 0], [0, 0, 0.1]]")
    job = write(here, text.replace("[[1], [3]]", "[[1], [3], [0]]") + MICRO)
    assert invoke("store", job, "-o", "s", "--blocks", "3").exit_code == 0
    stored = on_store(job, "s")
    found, expected = (estimates(j, here / j.stem) for j in (stored, job))
    assert_close(found, expected, "micro_values", "micro_covariances", "gradient")
    assert found.micro_moments == expected.micro_moments
    assert "functions of micro moments" in (here / "stored/log.txt").read_text()
    stored.write_text(stored.read_text().replace("x: income, y", "x: incom, y"))
    result = invoke("run", stored, "-o", here / "wrong")
    assert result.exit_code == 2
    assert "no column 'incom'" in result.output


@pytest.mark.parametrize("rule", ["monte_carlo", "halton", "product"])
def test_stored_draws_are_those_of_the_job(here, rule):
    drawn = DRAWN.replace("RULE", rule).replace(
        "15", "3" if rule == "product" else "15"
    )
    job = write(here, JOB + drawn)
    result = invoke("store", job, "-o", "s", "--draws", "stored")
    assert result.exit_code == 0, result.output
    assert "and delete 'integration'" in result.stdout
    one = estimates(on_store(job, "s", drop="integration"), here / "found")
    other = estimates(job, here / "expected")
    assert_close(one, other, "gradient")
    line = result.stdout.splitlines()[-1]
    assert line.startswith(f"blpdask run {job} --set 'data={{store: {here}/s}}'")
    assert line.endswith(" --set integration=null")
    words = ["--set", f"data={{store: {here}/s}}", "--set", "integration=null"]
    assert invoke("run", job, *words, "-o", "again").exit_code in (0, 1)
    again = blpdask.read_results(here / "again/results")
    assert float(again.objective) == float(one.objective)


def test_described_draws_are_the_default_of_a_job_with_a_rule(here):
    job = write(here, JOB + DRAWN.replace("RULE", "halton"))
    result = invoke("store", job, "-o", "s")
    assert result.exit_code == 0, result.output
    assert "drawn by market, halton of size 15 with the seed 3" in result.stdout
    assert "'integration' may stay" in result.stdout
    one = estimates(on_store(job, "s"), here / "one")
    other = estimates(on_store(job, "s", drop="integration"), here / "other")
    assert one.delta.tobytes() == other.delta.tobytes()
    assert float(one.objective) == float(other.objective)


def test_a_simulated_truth_in_a_store_gives_the_numbers_of_the_job(here):
    changes = ("--set", "data.simulated.markets=30", "--set", "solve.method=1s")
    result = invoke("store", SMALL, "-o", "s", *changes)
    assert result.exit_code == 0, result.output
    data = ("--set", f"data={{store: {here}/s}}", "--set", "solve.method=1s")
    assert invoke("run", SMALL, *data, "-o", "found").exit_code == 0
    assert invoke("run", SMALL, *changes, "-o", "expected").exit_code == 0
    found, expected = (
        blpdask.read_results(here / name / "results") for name in ("found", "expected")
    )
    assert_close(found, expected)
    np.testing.assert_allclose(found.delta, expected.delta, rtol=0, atol=1e-9)
    checked = invoke("check", SMALL, *data, "--evaluate")
    assert checked.exit_code == 0
    gc.collect()
    assert not list(here.glob("s.rows/scratch/*"))


@pytest.mark.slow
def test_the_large_workflow_is_the_same_on_worker_processes(here):
    job = WORKFLOWS / "large/job.yaml"
    few = ("--set", "data.simulated.markets=60")
    code, output = finish(here, "store", job, "-o", "large", *few, "--blocks", "6")
    assert code == 0, output
    data = ("--set", f"data={{store: {here}/large}}")
    for name, engine in (("one", ("--engine", "serial")), ("two", ("--workers", "2"))):
        code, output = finish(here, "run", job, *data, *engine, "-o", name)
        assert code == 0, output
    one, two = (
        blpdask.read_results(here / name / "results") for name in ("one", "two")
    )
    assert bits(one) == bits(two)
    assert not list((here / "large.rows/scratch").iterdir())


def test_what_is_wrong_is_said_and_leaves_no_store(here):
    job = write(here, JOB)
    assert "no integration" not in invoke("store", job, "-o", "s").output
    again = invoke("store", job, "-o", "s")
    assert again.exit_code == 2 and f"{here}/s exists" in again.stderr
    assert "replace the store there with --force" in again.stderr
    assert invoke("store", job, "-o", "s", "--force").exit_code == 0
    result = invoke("store", job, "-o", "t", "--draws", "described")
    assert result.exit_code == 2 and "a job without integration" in result.stderr
    stored = on_store(job, "s")
    result = invoke("store", stored, "-o", "t")
    assert result.exit_code == 2 and "whose data are in a store" in result.stderr
    products = pd.read_csv(here / "products.csv")
    products.loc[7, "shares"] = -1.0
    products.to_csv(here / "products.csv", index=False)
    result = invoke("store", job, "-o", "t")
    assert result.exit_code == 2 and "shares" in result.stderr
    assert not (here / "t").exists()
    job.write_text(job.read_text().replace("C(product_ids)", "C(shop_ids)"))
    result = invoke("store", job, "-o", "s", "--force")
    assert result.exit_code == 2
    good = nevo.tables(20)[0]
    good.to_csv(here / "products.csv", index=False)
    result = invoke("store", job, "-o", "s", "--force")
    assert result.exit_code == 2 and "no column 'shop_ids'" in result.stderr
    assert f"The store {here}/s is there; the job does not fit it." in result.stderr


def test_a_store_that_is_none_or_another_is_refused(here):
    job = write(here, JOB)
    (here / "empty").mkdir()
    result = invoke("check", on_store(job, "empty"))
    assert result.exit_code == 2 and "no block store" in result.stderr
    assert invoke("store", job, "-o", "s").exit_code == 0
    stored = on_store(job, "s")
    estimates(stored, here / "out")
    products = pd.read_csv(here / "products.csv")
    products["prices"] *= 1.1
    products.to_csv(here / "products.csv", index=False)
    assert invoke("store", job, "-o", "s", "--force").exit_code == 0
    result = invoke("run", here / "out/resolved.yaml", "-o", "again")
    assert result.exit_code == 2
    assert "the data of the run that wrote this job" in result.stderr


def test_a_run_on_a_store_is_resumed_without_absorbing_again(here):
    job = write(here, JOB.replace("{method: return}", "{method: structured}"))
    assert invoke("store", job, "-o", "s", "--blocks", "3").exit_code == 0
    stored = on_store(job, "s")
    assert invoke("run", stored, "-o", "calm", "--engine", "serial").exit_code == 0
    text = (here / "calm/log.txt").read_text()
    assert "absorbing effects of 24 levels" in text
    partial = here / "out.partial-1"
    process = start(here, "run", stored, "-o", "out", "--engine", "serial")
    stop_when(process, lambda: recorded(partial) >= 4)
    assert (partial / PREPARATION).is_file()
    lines = len((partial / "log.txt").read_text().splitlines())
    code, output = finish(here, "resume", "out", "--threads", "2")
    assert code == 0, output
    text = "\n".join((here / "out/log.txt").read_text().splitlines()[lines:])
    assert "absorbing" not in text and "as prepared" in text
    same_runs(here / "out", here / "calm")
    shutil.rmtree(here / "s.rows")  # saved results have rows of their own
    results = blpdask.read_results(here / "out/results")
    assert np.isfinite(results.xi).all()


def test_a_run_that_was_killed_while_absorbing_prepares_again(here):
    job = write(here, JOB)
    assert invoke("store", job, "-o", "s").exit_code == 0
    stored = on_store(job, "s")
    frames = here / "out" / LOG
    assert invoke("run", stored, "-o", "out").exit_code in (0, 1)
    assert len(list(read_frames(frames))) > 2
    (here / "out").rename(here / "out.partial-1")
    for name in (LOG, PREPARATION):
        (here / "out.partial-1" / name).unlink()
    shutil.rmtree(here / "out.partial-1/results")
    assert invoke("resume", "out").exit_code in (0, 1)
    assert (here / "out" / PREPARATION).is_file()
