"""Worker processes for a block: scripts and notebooks need nothing, nothing is left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

import blpdask
from blpdask.api.printing import Printer
from blpdask.driver.choose import active_client, choose_engine
from blpdask.errors import InputError
from blpdask.progress import BlocksEvent, StepEvent
from tests.api import nevo

ROOT = Path(__file__).parents[2]
FORMULATIONS = (
    blpdask.Formulation("0 + prices", absorb="C(product_ids)"),
    blpdask.Formulation("1 + prices + sugar + mushy"),
)
DEMOGRAPHICS = blpdask.Formulation("0 + income + income_squared + age + child")
SCRIPT = """
import sys
import numpy as np
import blpdask

blpdask.options.verbose_output = lambda text: print(text.splitlines()[0])
rng = np.random.default_rng(0)
data = {
    "market_ids": np.repeat(np.arange(40), 4),
    "shares": np.full(160, 0.1) * np.exp(0.1 * rng.normal(size=160)),
    "prices": rng.uniform(1, 2, size=160),
    "demand_instruments0": rng.normal(size=160),
    "demand_instruments1": rng.normal(size=160),
}
X = blpdask.Formulation("1 + prices"), blpdask.Formulation("0 + prices")
rule = blpdask.Integration("product", 5)
problem = blpdask.Problem(X, data, integration=rule)
options = {"method": "1s", "check_optimality": "gradient"}
options["optimization"] = blpdask.Optimization("return")
alone = problem.solve(0.5, **options)
with blpdask.parallel(2):
    together = problem.solve(0.5, **options)
print("same bits", alone.objective == together.objective)
"""


@pytest.fixture
def said(monkeypatch):
    lines: list[str] = []
    monkeypatch.setattr(blpdask.options, "verbose", True)
    monkeypatch.setattr(blpdask.options, "verbose_output", lines.append)
    return lines


def test_engine_none_uses_the_workers_and_gives_the_same_bits(said, monkeypatch):
    problem = blpdask.Problem(FORMULATIONS, *order(nevo.tables(30)))
    assert any("Dimensions" in line for line in said)
    options = {"sigma": nevo.SIGMA, "pi": nevo.PI, "method": "1s"}
    options["optimization"] = blpdask.Optimization("bfgs", {"gtol": 1e-2})
    alone = problem.solve(**options, engine="serial")
    before = len(psutil.Process().children(recursive=True))
    del said[:]
    with blpdask.parallel(2, use_pathos=True):
        assert choose_engine().name == "dask"
        assert len(active_client().scheduler_info()["workers"]) == 2
        (line,) = said
        assert line.startswith("Started 2 worker processes after ")
        together = problem.solve(**options)
        nested = pytest.raises(InputError, match="no cluster within a cluster")
        with nested, blpdask.parallel(2):
            pass
        assert active_client() is not None
        with pytest.raises(InputError, match="threads=4 with a Dask cluster"):
            problem.solve(**options, engine="dask", threads=4)
        # Threads that are asked for are used.
        assert choose_engine(n_threads=2).name == "threads"
    assert active_client() is None
    assert choose_engine().name == "threads"
    assert len(psutil.Process().children(recursive=True)) == before
    assert together.objective == alone.objective
    assert together.theta.tobytes() == alone.theta.tobytes()
    assert together.pi_se.tobytes() == alone.pi_se.tobytes()


def order(tables):
    products, agents = tables
    return products, DEMOGRAPHICS, agents


@pytest.mark.parametrize("count", [0, -1, 1.5, "2", None])
def test_a_wrong_number_of_processes_starts_nothing(count):
    wrong = pytest.raises(InputError, match=f"{count!r} workers")
    with wrong, blpdask.parallel(count):
        pass
    assert active_client() is None


def test_an_error_inside_ends_the_workers(said, monkeypatch):
    monkeypatch.setattr(blpdask.options, "verbose", False)
    with pytest.raises(ZeroDivisionError), blpdask.parallel(1):
        children = psutil.Process().children(recursive=True)
        raise ZeroDivisionError
    assert children
    assert not psutil.wait_procs(children, timeout=10)[1]
    assert said == []


def test_threads_and_a_scheduler_are_refused_without_calling_it():
    problem = blpdask.Problem(FORMULATIONS, *order(nevo.tables(30)))
    with pytest.raises(InputError) as error:
        problem.solve(
            sigma=nevo.SIGMA, pi=nevo.PI, threads=2, engine="tcp://127.0.0.1:1"
        )
    assert len(error.value.faults) == 1
    assert "threads=2 with a Dask cluster" in str(error.value)


def test_a_script_needs_no_main_guard(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    run = subprocess.run(
        [sys.executable, str(script)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == "same bits True"
    assert run.stdout.count("Started 2 worker processes") == 1
    assert "Traceback" not in run.stderr


@pytest.mark.filterwarnings("default")  # warnings of Jupyter's own threads and sockets
def test_it_works_in_a_notebook(tmp_path):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    path = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
    cell = nbformat.v4.new_code_cell(path + SCRIPT)
    notebook = nbformat.v4.new_notebook(cells=[cell])
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    printed = "".join(output.get("text", "") for output in notebook.cells[0].outputs)
    assert "Started 2 worker processes" in printed
    assert "same bits True" in printed


def test_the_printer_tells_of_long_passes_now_and_then(monkeypatch):
    lines: list[str] = []
    printer = Printer(lines.append)
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    for second in range(1, 13):
        now = 100.0 + second
        printer(BlocksEvent(done=3 * second, total=128, seconds=float(second)))
    assert lines == ["... block 15 of 128, 5 s", "... block 30 of 128, 10 s"]
    printer(StepEvent(1, "Optimising"))
    assert lines[-1] == "Optimising (GMM step 1) ..."
    assert np.size(lines) == 3
