"""A run that is stopped, however and whenever, is resumed to the same bits.

Processes are really killed, disks really full, bytes really flipped. Invariants:
all arrays of the results are those of a run that was never stopped, times aside, and so
are the evaluations that were written down; a recording that cannot be used is refused
with the command that uses what is good.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

import blpdask
from blpdask.cli import app
from blpdask.partitions.log_frames import read_frames
from blpdask.partitions.run_lock import RunLock
from blpdask.partitions.run_log import LOG
from tests.api.test_resume import bits
from tests.partitions.test_run_log import small_disk

ROOT = Path(__file__).parents[2]
WORKFLOWS = ROOT / "workflows"
SMALL = WORKFLOWS / "simulated/job.yaml"
CHANGES = {
    "structured": ["data.simulated.markets=60"],
    "bfgs": [
        "data.simulated.markets=60",
        "solve.optimization={method: bfgs, method_options: {gtol: 1.0e-4}}",
    ],
    "nelder-mead": [
        "data.simulated.markets=60",
        "solve.optimization={method: nelder-mead, compute_gradient: false, "
        "method_options: {maxfev: 120}}",
    ],
}


def command(*arguments):
    return [sys.executable, "-m", "blpdask.cli", *map(str, arguments)]


def start(folder, *arguments):
    """Start the command line in a folder."""
    return subprocess.Popen(
        command(*arguments),
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(folder, *arguments):
    """Run the command line to its end."""
    process = start(folder, *arguments)
    output, _ = process.communicate(timeout=300)
    return process.returncode, output


def stop_when(process, happened, how=signal.SIGKILL):
    """Stop a process as soon as something has happened."""
    deadline = time.monotonic() + 240
    while not happened():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.0005)
    process.send_signal(how)
    return process.communicate(timeout=60)[0]


def recorded(partial):
    """Count the sums in a log that somebody may be writing."""
    path = partial / LOG
    return len(list(read_frames(path))) - 1 if path.exists() else 0


def saving(partial):
    return partial.is_dir() and any(partial.glob("*results*"))


def evaluations(output):
    lines = (output / "evaluations.jsonl").read_text().splitlines()
    return [json.loads(line) | {"seconds": 0} for line in lines]


def same_runs(one, other):
    found, expected = (blpdask.read_results(path / "results") for path in (one, other))
    assert bits(found) == bits(expected)
    assert evaluations(one) == evaluations(other)
    for name in ("estimates.csv", "resolved.yaml"):
        assert (one / name).read_bytes() == (other / name).read_bytes()
    assert {p.name for p in one.iterdir()} == {p.name for p in other.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("job", "changes"),
    [
        *[pytest.param(SMALL, changes, id=name) for name, changes in CHANGES.items()],
        pytest.param(
            WORKFLOWS / "nevo/job.yaml",
            ["solve.method=2s", "engine.backend=numpy"],
            id="nevo",
        ),
    ],
)
def test_a_run_killed_again_and_again_ends_with_the_same_bits(tmp_path, job, changes):
    options = [word for change in changes for word in ("--set", change)]
    code, output = finish(tmp_path, "run", job, *options, "-o", "calm")
    assert code in (0, 1), output
    calm = recorded(tmp_path / "calm") - 1
    partial = tmp_path / "out.partial-1"
    # Before the first sum, early, amid the first step, after it, and while it saves.
    moments = [
        lambda: (partial / LOG).exists(),
        lambda: recorded(partial) >= 3,
        lambda: recorded(partial) >= calm // 3,
        lambda: recorded(partial) >= calm // 2,
        lambda: recorded(partial) >= 4 * calm // 5,
        lambda: saving(partial),
    ]
    process = start(tmp_path, "run", job, *options, "-o", "out")
    reached = []
    for number, moment in enumerate(moments):
        stop_when(process, moment)
        assert process.returncode == -signal.SIGKILL
        reached.append(recorded(partial))
        assert not (tmp_path / "out").exists()
        engine = ["--engine", "serial"] if number % 2 else ["--threads", "2"]
        process = start(tmp_path, "resume", "out", *engine)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == code, output
    assert reached == sorted(reached)
    print(f"{calm} sums; killed after {reached}")
    same_runs(tmp_path / "out", tmp_path / "calm")


def marks(output):
    """List the replicates that are done, and when each was."""
    found = output.glob("replicates/*/done/[0-9]*")
    return {f"{p.parts[-3]}/{p.name}": p.stat().st_mtime_ns for p in found}


@pytest.mark.slow
def test_a_run_killed_between_replicates_does_none_of_them_twice(tmp_path):
    """Two steps of 60 replicates, killed in the midst of either."""
    changes = [
        "data.simulated.markets=60",
        "integration={specification: monte_carlo, size: 150}",
        "solve.resample={replicates: 60, seed: 1}",
    ]
    options = [word for change in changes for word in ("--set", change)]
    code, output = finish(tmp_path, "run", SMALL, *options, "-o", "calm")
    assert code == 0, output
    assert len(marks(tmp_path / "calm")) == 120
    partial = tmp_path / "out.partial-1"
    process = start(tmp_path, "run", SMALL, *options, "-o", "out")
    before: dict[str, int] = {}
    for number, least in enumerate((7, 40, 75)):
        stop_when(process, lambda least=least: len(marks(partial)) >= least)
        assert process.returncode == -signal.SIGKILL
        now = marks(partial)
        print(f"killed after {recorded(partial)} sums and {len(now)} replicates")
        assert before == {name: now[name] for name in before}
        assert least <= len(now) < 120
        before = now
        engine = ["--engine", "serial"] if number % 2 else ["--threads", "2"]
        process = start(tmp_path, "resume", "out", *engine)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    after = marks(tmp_path / "out")
    assert after.keys() == marks(tmp_path / "calm").keys()
    assert before == {name: after[name] for name in before}
    same_runs(tmp_path / "out", tmp_path / "calm")
    found = blpdask.read_results(tmp_path / "out/results")
    assert (found.simulation_covariances != 0).any()


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def stopped(here):
    """Leave a calm run, and another that was cut after 20 sums."""
    options = ("--set", "data.simulated.markets=20", "--engine", "serial")
    assert invoke("run", SMALL, *options, "-o", "calm").exit_code == 0
    partial = here / "out.partial-1"
    (here / "calm").rename(partial)
    assert invoke("run", SMALL, *options, "-o", "calm").exit_code == 0
    stop_after(partial, 20)
    return partial


def stop_after(partial, count):
    """Leave of a run what there would be if it had been killed."""
    shutil.rmtree(partial / "results")
    for name in ("estimates.csv", "summary.json"):
        (partial / name).unlink()
    frames = list(read_frames(partial / LOG))
    os.truncate(partial / LOG, frames[count].stop + 11)
    lines = (partial / "evaluations.jsonl").read_bytes()
    (partial / "evaluations.jsonl").write_bytes(lines[: len(lines) // 3])


def test_a_run_is_resumed_by_its_directory_or_its_output(stopped, here):
    result = invoke("resume", "out")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "Resuming out.partial-1."
    assert "Replaying 20 recorded sums over blocks (" in lines[1]
    assert any(line.endswith("Replayed; computing again") for line in lines)
    assert lines[-1] == "Results are in out. Show them again: blpdask show out"
    assert not stopped.exists()
    same_runs(here / "out", here / "calm")
    summary = json.loads((here / "out/summary.json").read_text())
    lines = (here / "out/evaluations.jsonl").read_text().splitlines()
    assert 0 < summary["replayed_evaluations"] < len(lines)


def test_evaluations_that_are_written_down_stay_as_they_are(stopped):
    path = stopped / "evaluations.jsonl"
    before = path.read_bytes()
    whole = before[: before.rindex(b"\n") + 1]
    assert invoke("resume", stopped).exit_code == 0
    assert (stopped.with_name("out") / path.name).read_bytes().startswith(whole)


def test_a_new_run_names_one_that_did_not_finish(stopped, here):
    options = ("--set", "data.simulated.markets=20", "--engine", "serial")
    result = invoke("run", SMALL, *options, "-o", "out")
    assert f"Go on with that one: blpdask resume {stopped}" in result.stdout
    assert stopped.exists()
    result = invoke("run", SMALL, "--set", "data.simulated.markets=21", "-o", "else")
    assert "did not finish" not in result.stdout
    assert f"go on with it: blpdask resume {stopped}" in invoke("show", stopped).stderr


def test_damage_is_refused_with_the_command_that_keeps_what_is_good(stopped, here):
    frames = list(read_frames(stopped / LOG))
    content = bytearray((stopped / LOG).read_bytes())
    content[frames[13].start + 5] ^= 4
    (stopped / LOG).write_bytes(content)
    result = invoke("resume", stopped)
    assert result.exit_code == 2
    assert f"sum 13 in {stopped / LOG} is damaged" in result.stderr
    assert "Go on from there" not in result.stderr
    (line,) = (x for x in result.stderr.splitlines() if "blpdask resume" in x)
    words = line.partition("blpdask resume ")[2].split()
    assert words == [str(stopped), "--keep", "12"]
    assert invoke("resume", *words).exit_code == 0
    same_runs(here / "out", here / "calm")


def test_other_options_and_other_data_are_refused(stopped):
    resolved = stopped / "resolved.yaml"
    text = resolved.read_text()
    resolved.write_text(text.replace("method: 2s", "method: 1s"))
    result = invoke("resume", stopped)
    assert result.exit_code == 2
    assert "of another estimation (options " in result.stderr
    assert "bring the same options back" in result.stderr
    resolved.write_text(text.replace("endogeneity: 0.5", "endogeneity: 0.4"))
    result = invoke("resume", stopped)
    assert result.exit_code == 2
    assert "the data of the run that wrote this job" in result.stderr
    resolved.write_text(text)
    assert invoke("resume", stopped).exit_code == 0


def test_two_processes_never_resume_one_run(stopped):
    lock = RunLock(stopped / "run.lock")
    result = invoke("resume", stopped)
    assert result.exit_code == 2
    assert f"another process works in {stopped} (pid {os.getpid()} on" in result.stderr
    lock.release()
    assert invoke("resume", stopped).exit_code == 0


def test_there_is_nothing_to_resume(stopped, here):
    result = invoke("resume", "calm")
    assert result.exit_code == 2
    assert "a run that is complete" in result.stderr
    result = invoke("resume", "nowhere")
    assert result.exit_code == 2
    assert "no run that did not finish" in result.stderr


def test_the_results_of_another_job_are_not_replaced_unasked(stopped, here):
    (here / "calm").rename(here / "out")
    resolved = here / "out/resolved.yaml"
    resolved.write_text(resolved.read_text().replace("seed: 0", "seed: 1"))
    result = invoke("resume", stopped)
    assert result.exit_code == 2
    assert "results of another job" in result.stderr
    assert invoke("resume", stopped, "--force").exit_code == 0


def test_sums_of_a_recording_without_a_job_can_be_cut_off_too(here, stopped):
    (here / "alone").mkdir()
    (stopped / LOG).rename(here / "alone" / LOG)
    result = invoke("resume", "alone", "--keep", "4")
    assert result.exit_code == 0
    assert "4 sums are kept" in result.stdout
    assert recorded(here / "alone") == 4


def test_ctrl_c_says_how_to_go_on(tmp_path):
    options = ("--set", "data.simulated.markets=100", "--set", "engine.backend=numpy")
    process = start(tmp_path, "run", SMALL, *options, "-o", "out")
    partial = tmp_path / "out.partial-1"
    output = stop_when(process, lambda: recorded(partial) >= 8, signal.SIGINT)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    words = output.splitlines()[-1].partition("Go on from there: blpdask ")[2].split()
    assert words == ["resume", str(partial)]
    code, output = finish(tmp_path, *words)
    assert code == 0, output
    assert "Replaying " in output
    assert not partial.exists()


def test_a_full_disk_stops_a_run_and_room_lets_it_go_on(here):
    options = ("--set", "data.simulated.markets=20", "--engine", "serial")
    assert invoke("run", SMALL, *options, "-o", "calm").exit_code == 0
    disk = here / "disk"
    with small_disk(disk, "2m"):
        stops = 0
        arguments = ("run", SMALL, *options, "-o", disk / "out")
        for room in (20_000, 45_000, 60_000, 75_000, None):
            fill(disk, room)
            result = invoke(*arguments)
            if result.exit_code == 0:
                break
            stops += 1
            assert result.exit_code == 2, result.output
            assert "No space left on device" in result.stderr
            assert "Traceback" not in result.output
            assert f"Go on from there: blpdask resume {disk}/out.partial-1" in (
                result.stderr
            )
            arguments = ("resume", disk / "out")
        assert stops >= 2
        same_runs(disk / "out", here / "calm")


def fill(disk, room):
    """Leave so many bytes on a disk, or all of them."""
    filler = disk / "filler"
    filler.unlink(missing_ok=True)
    if room is not None:
        state = os.statvfs(disk)
        filler.write_bytes(bytes(state.f_bavail * state.f_frsize - room))
