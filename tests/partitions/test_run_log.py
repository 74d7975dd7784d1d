"""The log of a run is whole, or says what is wrong with it and what is good.

Invariants: whatever byte a log is cut at, what is read is a prefix of what was written;
a flipped byte is never read as a sum; two processes never write one log; a full disk
costs the sum under way and nothing else.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from blpdask.errors import StoreError
from blpdask.partitions import run_log
from blpdask.partitions.log_frames import read_frames
from blpdask.partitions.run_lock import RunLock, is_locked
from blpdask.partitions.run_log import LOCK, LOG, RunLog, keep_first

ROOT = Path(__file__).parents[2]
DATA = {"data": "0123", "options": "abcd"}


@dataclasses.dataclass(frozen=True)
class Sums:
    value: float
    array: np.ndarray
    wide: np.ndarray
    text: str | None = None


def sums(number):
    rng = np.random.default_rng(number)
    values = np.asfortranarray(rng.normal(size=(4, 3)))
    return Sums(float(rng.normal()), values, values.astype(np.longdouble) / 3)


def key(number):
    return f"{number:032x}"


def write(directory, numbers):
    with closing(RunLog(directory, DATA)) as log:
        return [log.append(key(n), 0.5, sums(n)) for n in numbers]


def read(directory):
    found = []
    with closing(RunLog(directory, DATA)) as log:
        while (replayed := log.replay(key(len(found)), "sums")) is not None:
            found.append(replayed.record)
    return found


def same(one, other):
    return (
        one.value == other.value
        and np.array_equal(one.array, other.array)
        and np.array_equal(one.wide, other.wide)
        and one.wide.dtype == other.wide.dtype
        and one.array.strides == other.array.strides
    )


def test_sums_are_read_as_append_gave_them_back(tmp_path):
    written = write(tmp_path, range(4))
    assert all(map(same, read(tmp_path), written))
    for number, record in enumerate(written):
        assert record.value == sums(number).value
        assert np.array_equal(record.wide, sums(number).wide)
        assert record.array.flags.c_contiguous


def test_a_log_goes_on_where_it_ended(tmp_path):
    write(tmp_path, range(2))
    write(tmp_path, [2, 3])
    with closing(RunLog(tmp_path, DATA)) as log:
        assert (log.recorded, log.recorded_seconds, log.finished) == (4, 2.0, False)
        log.finish()
    with closing(RunLog(tmp_path, DATA)) as log:
        assert (log.recorded, log.finished) == (4, True)


def test_a_log_cut_at_any_byte_is_a_prefix(tmp_path):
    written = write(tmp_path, range(3))
    path = tmp_path / LOG
    content, frames = path.read_bytes(), list(read_frames(path))
    for length in range(frames[0].stop, len(content)):
        path.write_bytes(content[:length])
        found = read(tmp_path)
        assert len(found) == sum(frame.stop <= length for frame in frames) - 1
        assert path.stat().st_size == frames[len(found)].stop
    assert all(map(same, found, written))
    write(tmp_path, [2])
    assert all(map(same, read(tmp_path), written))


def test_a_log_cut_within_its_head_is_damaged(tmp_path):
    write(tmp_path, range(2))
    path = tmp_path / LOG
    content, head = path.read_bytes(), next(read_frames(path)).stop
    for length in (8, 60, head - 1):
        path.write_bytes(content[:length])
        for read_again in (
            lambda: RunLog(tmp_path, DATA),
            lambda: keep_first(tmp_path, 0),
        ):
            with pytest.raises(StoreError, match=r"found: the head of .* is damaged"):
                read_again()
        assert not is_locked(tmp_path / LOCK)
    flipped = bytearray(content[:head])
    flipped[-1] ^= 1
    path.write_bytes(flipped)
    with pytest.raises(StoreError, match="start anew in another directory"):
        RunLog(tmp_path, DATA)


def test_zeros_after_a_power_failure_are_no_damage(tmp_path):
    write(tmp_path, range(3))
    with (tmp_path / LOG).open("ab") as file:
        file.write(bytes(5000))
    assert len(read(tmp_path)) == 3


def test_a_flipped_byte_anywhere_is_never_read_as_a_sum(tmp_path):
    written = write(tmp_path, range(3))
    path = tmp_path / LOG
    content, frames = path.read_bytes(), list(read_frames(path))
    outcomes = set()
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 0x10
        path.write_bytes(flipped)
        number = sum(frame.stop <= place for frame in frames)
        try:
            found = read(tmp_path)
        except StoreError as error:
            outcomes.add("refused")
            if number:
                text = f"found: sum {number} in {path} is damaged"
                assert str(error).startswith(text), place
                assert f"--keep {number - 1}" in str(error)
        else:
            # The payload of the last frame cannot be told from an unfinished write.
            outcomes.add("dropped")
            assert place >= frames[-1].start
            assert len(found) == 2
            assert all(map(same, found, written))
    assert outcomes == {"refused", "dropped"}


def test_what_is_before_the_damage_is_kept_when_asked(tmp_path):
    written = write(tmp_path, range(5))
    path = tmp_path / LOG
    frames = list(read_frames(path))
    content = bytearray(path.read_bytes())
    content[frames[3].start] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreError, match=f"the 2 before it .* {tmp_path} --keep 2"):
        RunLog(tmp_path, DATA)
    with pytest.raises(StoreError, match=r"sum 3 in .* is damaged"):
        keep_first(tmp_path, 4)
    keep_first(tmp_path, 2)
    assert all(map(same, read(tmp_path), written[:2]))
    with pytest.raises(StoreError, match="found: 2 sums"):
        keep_first(tmp_path, 3)


def test_other_data_options_and_schemas_are_refused_by_name(tmp_path, monkeypatch):
    write(tmp_path, range(2))
    content = (tmp_path / LOG).read_bytes()
    with pytest.raises(StoreError, match=r"\(options abcd\)\n  expected: options x\n"):
        RunLog(tmp_path, DATA | {"options": "x"})
    with pytest.raises(StoreError, match=r"\(data 0123\)\n  expected: data none\n"):
        RunLog(tmp_path, {"options": "abcd"})
    monkeypatch.setattr(run_log, "SCHEMA", 2)
    with pytest.raises(StoreError, match=r"of schema 1, recorded .*\n.* schema 2, "):
        RunLog(tmp_path, DATA)
    assert (tmp_path / LOG).read_bytes() == content
    (tmp_path / LOG).write_text("the thesis, chapter one")
    with pytest.raises(StoreError, match="no recording"):
        RunLog(tmp_path, DATA)


def test_one_process_at_a_time(tmp_path):
    with closing(RunLog(tmp_path, DATA)):
        with pytest.raises(StoreError, match=f"another process .*pid {os.getpid()} on"):
            RunLog(tmp_path, DATA)
        with pytest.raises(StoreError, match="another process"):
            keep_first(tmp_path, 0)
        assert is_locked(tmp_path / LOCK)
    assert not is_locked(tmp_path / LOCK)
    assert [path.name for path in tmp_path.iterdir()] == [LOG]


def test_a_killed_process_leaves_no_lock(tmp_path):
    code = (
        "import sys, time; from pathlib import Path\n"
        "from blpdask.partitions.run_lock import RunLock\n"
        "lock = RunLock(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    )
    path = tmp_path / LOCK
    command = [sys.executable, "-c", code, str(path)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    with pytest.raises(StoreError, match=f"pid {process.pid} on"):
        RunLock(path)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    lock = RunLock(path)
    lock.release()
    assert not path.exists()


@contextmanager
def small_disk(folder, size):
    """Mount a small disk in memory; skip where that is not possible."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        subprocess.run(["mount", *options], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no disk can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_costs_the_sum_under_way(tmp_path):
    disk = tmp_path / "disk"
    with small_disk(disk, "64k"):
        number = 0
        with closing(RunLog(disk, DATA)) as log, pytest.raises(StoreError) as caught:
            while number < 1000:
                log.append(key(number), 0.1, sums(number))
                number += 1
        assert 20 < number < 1000
        message = str(caught.value)
        assert "No space left on device" in message and "make room" in message
        assert len(read(disk)) == number
        grow = ["mount", "-o", "remount,size=1m", str(disk)]
        subprocess.run(grow, check=True)
        write(disk, range(number, number + 5))
        found = read(disk)
        assert len(found) == number + 5
        assert all(same(found[n], found[n]) for n in range(number + 5))
        assert all(f.value == sums(n).value for n, f in enumerate(found))


def test_writing_is_quick(tmp_path):
    record = sums(0)
    with closing(RunLog(tmp_path, DATA)) as log:
        began = time.perf_counter()
        for number in range(500):
            log.append(key(number), 0.1, record)
        seconds = (time.perf_counter() - began) / 500
    print(f"a small record: {1000 * seconds:.3f} ms")
    assert seconds < 0.005
