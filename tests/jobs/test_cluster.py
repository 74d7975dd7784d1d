"""Jobs on clusters: which options win, what is opened, and that nothing is left behind.

Processes are found as children of those that a test started, and only those are hurt.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from blpdask.cli import app
from blpdask.driver import clusters
from blpdask.driver.choose import active_client
from blpdask.errors import InputError
from blpdask.jobs import cluster
from blpdask.jobs.cluster import engine_changes, engine_of, without_cluster
from blpdask.jobs.load import load_job
from blpdask.jobs.resolve import resolve_job
from tests.driver.clusters import cluster as local_cluster

ROOT = Path(__file__).parents[2]
JOB = """
name: small
data:
  simulated: {markets: 30, products: 6, agents: 40}
formulations:
  linear: "1 + prices + x1 + x2"
  random: "0 + prices + x1"
  demographics: "0 + demographic1"
sigma: [[0.4, 0], [0, 0.5]]
pi: [[0.1], [0.1]]
solve: {method: 1s}
"""


@pytest.fixture(autouse=True)
def path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "job.yaml"
    path.write_text(JOB)
    return path


def loaded(path, *changes):
    return resolve_job(load_job(path, changes).job, path.parent)


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_kind_follows_from_what_is_named(path):
    kinds = {
        (): "threads",
        ("engine.threads=3",): "threads",
        ("engine.workers=3",): "dask",
        ("engine.scheduler=tcp://a:1",): "dask",
        ("engine.kind=serial",): "serial",
    }
    for changes, kind in kinds.items():
        assert loaded(path, *changes).engine.kind == kind
    found = loaded(path, "engine.scheduler_file=here.json").engine
    assert found.scheduler_file == str(path.parent / "here.json")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["workers=2", "scheduler=tcp://a:1"], "engine.workers and engine.scheduler"),
        (["threads=2", "workers=2"], "engine.threads = 2 with engine.workers"),
        (["threads=2", "kind=dask"], "engine.threads = 2 with engine.kind dask"),
        (["kind=serial", "workers=2"], "engine.kind serial with engine.workers"),
        (["worker_memory=2GiB"], "engine.worker_memory without engine.workers"),
        (
            ["worker_memory=2GiB", "scheduler=tcp://a:1"],
            "engine.worker_memory without engine.workers",
        ),
        (["workers=2", "worker_memory=0GiB"], "engine.worker_memory = '0GiB'"),
        (["workers=2", "worker_memory=lots"], "engine.worker_memory = 'lots'"),
    ],
)
def test_contradictions_are_faults(path, changes, said):
    with pytest.raises(InputError) as error:
        loaded(path, *(f"engine.{change}" for change in changes))
    assert len(error.value.faults) == 1
    assert said in error.value.faults[0].found


def test_all_contradictions_come_at_once(path):
    changes = ("workers=2", "scheduler=tcp://a:1", "threads=4", "kind=dask")
    with pytest.raises(InputError) as error:
        loaded(path, *(f"engine.{c}" for c in changes), "sigma=[[1, 0]]")
    assert len(error.value.faults) == 4  # two of the engine, two of the shape of sigma


@pytest.mark.parametrize(
    ("file", "given", "left"),
    [
        ({"workers": 2, "worker_memory": "1GiB"}, {"threads": 3}, {"threads": 3}),
        ({"threads": 3}, {"workers": 2}, {"workers": 2}),
        ({"kind": "serial"}, {"threads": 3}, {"threads": 3}),
        ({"scheduler": "tcp://a:1"}, {"workers": 2}, {"workers": 2}),
        (
            {"workers": 2, "worker_memory": "1GiB"},
            {"scheduler_file": "/a b: c"},
            {"scheduler_file": "/a b: c"},
        ),
        ({"workers": 2}, {"kind": "serial"}, {"kind": "serial"}),
        (
            {"scheduler": "tcp://a:1"},
            {"kind": "dask"},
            {"kind": "dask", "scheduler": "tcp://a:1"},
        ),
        ({"workers": 2}, {}, {"workers": 2}),
    ],
)
def test_a_command_line_replaces_the_place_of_the_file(path, file, given, left):
    inner = "".join(f"  {name}: {json.dumps(v)}\n" for name, v in file.items())
    path.write_text(f"{JOB}engine:\n{inner}")
    engine = load_job(path, engine_changes(given)).job.engine
    said = engine.model_dump(exclude_defaults=True)
    assert said == left


def test_workers_give_the_same_bits_and_the_same_job(path):
    assert invoke("run", path, "-o", "threads").exit_code == 0
    result = invoke("run", path, "-o", "dask", "--workers", 2)
    assert result.exit_code == 0, result.output
    texts = [Path(name, "estimates.csv").read_text() for name in ("dask", "threads")]
    assert texts[0] == texts[1]
    # The engine is no part of what the job is: the directory may be written again.
    assert "workers: 2" in Path("dask/resolved.yaml").read_text()
    assert invoke("run", path, "-o", "dask", "--engine", "serial").exit_code == 0
    assert active_client() is None


def test_a_cluster_that_is_there_is_visited_and_stays(path, tmp_path):
    with local_cluster(1) as client:
        address = client.scheduler.address
        file = tmp_path / "scheduler.json"
        file.write_text(json.dumps({"address": address}))
        one = invoke("check", path, "--evaluate", "--scheduler", address)
        two = invoke("check", path, "--evaluate", "--scheduler-file", file)
        alone = invoke("check", path, "--evaluate")
        objectives = [
            next(line.split(",")[0] for line in r.stdout.splitlines() if "obj" in line)
            for r in (one, two, alone)
        ]
        assert len(set(objectives)) == 1
        assert len(client.scheduler_info()["workers"]) == 1
        assert active_client() is client


def test_checking_alone_calls_no_cluster(path):
    assert invoke("check", path, "--scheduler", "tcp://127.0.0.1:1").exit_code == 0
    assert without_cluster(loaded(path, "engine.workers=4")).engine.kind == "threads"


def test_a_scheduler_that_does_not_answer_is_wrong_input(path, monkeypatch):
    assert clusters.CONNECT_SECONDS == cluster.FILE_SECONDS == 20
    monkeypatch.setattr(clusters, "CONNECT_SECONDS", 1)
    monkeypatch.setattr(cluster, "FILE_SECONDS", 0.3)
    Path("empty.json").write_text("{}")
    for where, found in (
        (("--scheduler", "tcp://127.0.0.1:1"), "tcp://127.0.0.1:1 does not answer"),
        (("--scheduler", "nowhere"), "nowhere does not answer"),
        (("--scheduler-file", "no.json"), "no such file after"),
        (("--scheduler-file", "empty.json"), "no address in it"),
    ):
        result = invoke("run", path, *where)
        assert result.exit_code == 2
        assert found in result.stderr
        assert result.stderr.count("what to do:") == 1
        assert "Traceback" not in result.stderr
    assert not Path("results").exists()


def test_a_report_that_cannot_be_written_is_refused_before_the_run(path, monkeypatch):
    found = importlib.util.find_spec

    def without_bokeh(name):
        return None if name == "bokeh" else found(name)

    monkeypatch.setattr(importlib.util, "find_spec", without_bokeh)
    result = invoke("run", path, "--performance-report", "nowhere/report.html")
    assert result.exit_code == 2
    assert result.stderr.count("found:") == 3
    assert "pip install bokeh" in result.stderr
    assert "add --workers" in result.stderr
    assert not Path("results").exists()


def test_a_report_is_written(path):
    pytest.importorskip("bokeh")
    with engine_of(loaded(path, "engine.workers=1"), Path("report.html")) as client:
        client.submit(sum, [1, 2]).result()
    assert "bokeh" in Path("report.html").read_text().lower()


LONG = ("--workers", "2", "--set", "solve.starts=1000", "-o", "out")


def begin_a_long_run():
    """Start a run on two workers, and wait until it is in the middle."""
    process = subprocess.Popen(
        [sys.executable, "-m", "blpdask.cli", "run", "job.yaml", *LONG],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    evaluations = Path("out.partial-1/evaluations.jsonl")
    deadline = time.monotonic() + 120
    while not (evaluations.is_file() and evaluations.read_text().count("\n") > 5):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    tree = psutil.Process(process.pid).children(recursive=True)
    assert len(tree) >= 4  # two nannies, two workers
    return process, tree


def seconds_until_gone(tree):
    began = time.monotonic()
    psutil.wait_procs(tree, timeout=60)
    alive = [p for p in tree if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    for left in alive:
        left.kill()
    assert not alive
    return time.monotonic() - began


@pytest.mark.parametrize("to", ["driver", "group"])
def test_ctrl_c_leaves_no_process(to):
    process, tree = begin_a_long_run()
    if to == "driver":
        process.send_signal(signal.SIGINT)
    else:  # as a terminal does
        os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert seconds_until_gone(tree) < 5
    assert errors.startswith("Interrupted.\nKept in ")
    assert "blpdask resume" in errors
    assert "Traceback" not in errors


def test_a_driver_that_is_killed_takes_its_workers_along():
    process, tree = begin_a_long_run()
    process.kill()
    process.stderr.close()
    assert process.wait(timeout=10) == -signal.SIGKILL
    assert seconds_until_gone(tree) < 15


SRUN = """#!/bin/sh
# Stands for Slurm's srun on a machine without it: runs the command here.
while [ "${1#-}" != "$1" ]; do shift; done
exec "$@"
"""


def batch_environment(tmp_path, **more):
    tools = tmp_path / "tools"
    tools.mkdir(exist_ok=True)
    srun = tools / "srun"
    srun.write_text(SRUN)
    srun.chmod(srun.stat().st_mode | stat.S_IEXEC)
    path = os.pathsep.join([str(tools), str(Path(sys.executable).parent)])
    return {
        **os.environ,
        "PATH": os.pathsep.join([path, os.environ["PATH"]]),
        "PYTHONPATH": str(ROOT),
        "SLURM_JOB_ID": "17",
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "SLURM_CPUS_ON_NODE": "2",
        "SLURM_MEM_PER_NODE": "3000",
        **more,
    }


@pytest.mark.slow
def test_the_batch_script_runs_and_a_requeued_one_resumes(path, tmp_path):
    script = [str(ROOT / "deploy/slurm/job.sbatch"), "job.yaml", "out"]
    first = subprocess.Popen(
        ["bash", *script],
        cwd=tmp_path,
        env=batch_environment(tmp_path, BLPDASK_OPTIONS="--set solve.starts=1000"),
        start_new_session=True,
    )
    evaluations = tmp_path / "out.partial-1/evaluations.jsonl"
    deadline = time.monotonic() + 120
    while not (evaluations.is_file() and evaluations.read_text().count("\n") > 5):
        assert first.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    tree = psutil.Process(first.pid).children(recursive=True)
    os.killpg(first.pid, signal.SIGTERM)  # as Slurm does before it requeues
    first.wait(timeout=30)
    assert seconds_until_gone(tree) < 30
    assert not (tmp_path / "out").exists()
    # Fewer starting points would be another job: this one goes on with all of them.
    second = subprocess.Popen(
        ["bash", *script],
        cwd=tmp_path,
        env=batch_environment(tmp_path, SLURM_RESTART_COUNT="1"),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert second.stdout is not None
    lines = iter(second.stdout.readline, "")
    assert any("Replaying" in line for line in lines)
    tree = psutil.Process(second.pid).children(recursive=True)
    os.killpg(second.pid, signal.SIGTERM)
    second.communicate(timeout=30)
    assert seconds_until_gone(tree) < 30


@pytest.mark.slurm
def test_the_batch_script_runs_under_slurm(path, tmp_path):
    import shutil

    if shutil.which("sinfo") is None:
        pytest.skip("no Slurm: sinfo is not there")
    assert invoke("run", path, "-o", "alone").exit_code == 0
    script = [str(ROOT / "deploy/slurm/job.sbatch"), "job.yaml", "out"]
    command = ["sbatch", "--parsable", "--nodes=1", "--cpus-per-task=2", "--mem=3000M"]
    environment = batch_environment(tmp_path)
    environment = {k: v for k, v in environment.items() if not k.startswith("SLURM_")}
    environment["PATH"] = environment["PATH"].split(os.pathsep, 1)[1]  # the real srun
    subprocess.run([*command, *script], cwd=tmp_path, env=environment, check=True)
    deadline = time.monotonic() + 300
    while not Path("out").exists():
        assert time.monotonic() < deadline
        time.sleep(1)
    assert (
        Path("out/estimates.csv").read_text() == Path("alone/estimates.csv").read_text()
    )
