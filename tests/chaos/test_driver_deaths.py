"""A driver that is killed in any phase is started again, and ends with the same bits.

Invariants: what was recorded before a kill is not computed again; the results are those
of a run that nobody disturbed; workers do not outlive their driver.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

import blpdask
from blpdask.partitions.log_frames import read_frames
from blpdask.partitions.run_log import LOG
from tests.chaos import problems
from tests.chaos.blows import MARK, processes_marked
from tests.chaos.driver import SAVING

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
#: Seconds that processes of a killed driver may go on.
ORPHANED = 20.0
DEATHS = [
    "absorption",
    "evaluation",
    "evaluation of the second step",
    "Hessian",
    "rows",
    SAVING,
]


class Started:
    """A process with all that it starts, and what they print.

    They print into a file, since a pipe would stay open as long as the last of them.
    """

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.mark, self.output = uuid.uuid4().hex, folder / "output"
        self.most, self._counted = 0, 0.0
        with self.output.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=folder,
                env=os.environ | {"PYTHONPATH": str(ROOT), MARK: self.mark},
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def is_over(self) -> bool:
        """Look whether it has ended, and now and then how many processes there are."""
        if time.monotonic() - self._counted > 0.5:
            self.most = max(self.most, len(processes_marked(self.mark)))
            self._counted = time.monotonic()
        return self.process.poll() is not None

    def wait(self) -> int:
        """Wait for its end and give its status."""
        deadline = time.monotonic() + 120
        while not self.is_over():
            assert time.monotonic() < deadline, self.output.read_text()
            time.sleep(0.05)
        return int(self.process.returncode)

    def wait_for_orphans(self) -> float:
        """Wait until none of its processes is left, and say how long that took."""
        assert self.most >= 3  # a driver, a nanny and a worker were really seen
        began = time.monotonic()
        while left := processes_marked(self.mark):
            if time.monotonic() - began > ORPHANED:
                for process in left:
                    process.kill()
                raise AssertionError(f"orphans: {left}")
            time.sleep(0.1)
        return time.monotonic() - began


def start(folder: Path, *arguments: Any) -> Started:
    """Start a driver."""
    return Started(folder, "tests.chaos.driver", *map(str, arguments))


def recorded(directory: Path) -> int:
    """Count the sums in a recording."""
    path = directory / LOG
    return len(list(read_frames(path))) - 1 if path.exists() else 0


def test_a_driver_killed_in_every_phase_in_turn(store, calm, tmp_path):
    recording, results = tmp_path / "recording", tmp_path / "results"
    kept: list[int] = []
    before: Started | None = None
    for phase in DEATHS:
        mark = tmp_path / phase
        driver = start(tmp_path, store, recording, results, mark, phase)
        if before is not None:
            print(f"no process left after {before.wait_for_orphans():.1f} s")
        assert driver.wait() == -signal.SIGKILL, (phase, driver.output.read_text())
        assert int(mark.read_text()) == driver.pid
        kept.append(recorded(recording))
        assert not results.exists()
        print(f"{phase}: {kept[-1]} sums kept")
        before = driver
    assert kept == sorted(kept) and kept[0] == 0 and kept[1] >= 3
    driver = start(tmp_path, store, recording, results, tmp_path / "mark")
    assert driver.wait() == 0, driver.output.read_text()
    found = json.loads(driver.output.read_text().splitlines()[-1])
    assert found["bits"] == calm
    assert problems.bits(blpdask.read_results(results)) == calm
    (replaying,) = found["replayed"]
    assert replaying.startswith(f"Replaying {kept[-1] - 1} recorded sums")
    assert replaying.endswith("to its end")
    assert before is not None
    for last in (before, driver):
        last.wait_for_orphans()


JOB = """
name: chaos
data: {{store: {store}}}
formulations:
  linear: "0 + prices + x1 + x2"
  absorb: "C(brand_ids) + C(region_ids)"
  random: "0 + prices + x1"
  demographics: "0 + demographic1"
sigma: [[0.5, 0], [0, 0.5]]
pi: [[0.1], [0.1]]
solve: {{method: 2s, W_type: clustered, se_type: clustered, check_optimality: both}}
"""


def test_a_run_of_a_job_killed_again_and_again(store, calm, tmp_path):
    (tmp_path / "job.yaml").write_text(JOB.format(store=store))
    partial = tmp_path / "out.partial-1"
    moments = [
        lambda: "absorbing" in read(partial / "log.txt"),
        lambda: recorded(partial) >= 50,
        lambda: partial.is_dir() and any(partial.glob("*results*")),
    ]
    arguments = ["run", "job.yaml", "-o", "out"]
    for happened in moments:
        driver = Started(tmp_path, "blpdask.cli", *arguments, "--workers", "2")
        deadline = time.monotonic() + 120
        while not happened():
            assert not driver.is_over(), driver.output.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.001)
        driver.process.kill()
        assert driver.wait() == -signal.SIGKILL
        driver.wait_for_orphans()
        arguments = ["resume", "out"]
    driver = Started(tmp_path, "blpdask.cli", "resume", "out", "--workers", "1")
    assert driver.wait() == 0, driver.output.read_text()
    found = blpdask.read_results(tmp_path / "out/results")
    assert problems.bits(found) == calm
    driver.wait_for_orphans()


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""
