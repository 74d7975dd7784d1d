"""Scratch directories last as long as somebody wants them, whatever ends a process.

Invariants: one goes with its owner and at the end of a process; one that a killed
process left goes when the next is made; one that a living process holds stays, and so
does what cannot be told apart from that.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import socket
import subprocess
import sys
import time

import pytest

from blpdask.errors import StoreError
from blpdask.partitions.scratch import FOREIGN, YOUNG, Scratch

CODE = """
import sys, time
from pathlib import Path
from blpdask.partitions.scratch import Scratch
scratch = Scratch(Path(sys.argv[1]))
(scratch.path / "left").write_text("here")
print(scratch.path, flush=True)
sys.stdin.read(1)
"""


def start(parent):
    return subprocess.Popen(
        [sys.executable, "-c", CODE, str(parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def age(path, seconds):
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_a_directory_goes_with_its_owner(tmp_path):
    scratch = Scratch(tmp_path / "s")
    assert not (tmp_path / "s").exists()
    path = scratch.path
    assert path.is_dir() and scratch.path == path
    travelled = pickle.loads(pickle.dumps(scratch))
    assert travelled.path == path
    del travelled
    gc.collect()
    assert path.is_dir()
    del scratch
    gc.collect()
    assert not path.exists()


def test_what_the_living_hold_stays_and_what_the_dead_left_goes(tmp_path):
    with start(tmp_path) as living, start(tmp_path) as dying, start(tmp_path) as ending:
        held, left, gone = (
            tmp_path / p.stdout.readline().strip() for p in (living, dying, ending)
        )
        ending.communicate("\n", timeout=30)
        assert not gone.exists()
        dying.send_signal(signal.SIGKILL)
        dying.wait(timeout=30)
        _ = Scratch(tmp_path).path
        assert held.is_dir() and left.is_dir()  # too young to tell
        for path in (held, left):
            age(path, YOUNG + 1)
        _ = Scratch(tmp_path).path
        assert (held / "left").is_file() and not left.exists()
        living.communicate("\n", timeout=30)
        assert not held.exists()


def test_what_other_machines_left_is_given_a_week(tmp_path):
    other = tmp_path / "elsewhere-1234"
    other.mkdir()
    age(other, FOREIGN - 100)
    _ = Scratch(tmp_path).path
    assert other.is_dir()
    age(other, FOREIGN + 100)
    _ = Scratch(tmp_path).path
    assert not other.exists()


def test_a_place_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=f"(?s){socket.gethostname()}.*what to do"):
        _ = Scratch(tmp_path / "file" / "s").path
