"""A run of 500 replicates that can be killed at any moment; started by the tests.

python -m tests.driver.replicate_run DIRECTORY LOG ENGINE: every replicate that is
computed leaves its number in LOG before its work begins.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from pathlib import Path

import numpy as np

from blpdask.driver.choose import choose_engine
from blpdask.driver.replicates import fields_like, run_replicates
from blpdask.partitions.replicate_store import ReplicateStore

N = 500
BLOCKS = ["to be", "or not", "to be"]


@dataclasses.dataclass(frozen=True)
class Drawn:
    """Numbers that only the state and the replicate's number decide."""

    values: np.ndarray
    total: float


def draw(source, state, replicate):
    """Draw one replicate, slowly enough to be killed in the middle of it."""
    log, seed = state
    if log:
        handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(handle, f"{replicate}\n".encode())
        os.close(handle)
        time.sleep(0.002)
    stream = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(replicate,)))
    length = sum(len(source.load(block)) for block in range(len(source)))
    return Drawn(stream.normal(size=(4, 3)), float(length + replicate))


def run(directory, log, engine, listener=None):
    """Do the replicates that are missing."""
    placement = choose_engine(engine).place(BLOCKS)
    example = Drawn(np.zeros((4, 3)), 0.0)
    with ReplicateStore(directory, N, fields_like(example), fingerprint="a") as store:
        run_replicates(placement, draw, (log, 7), N, store, listener)
        digest = store.digest()
    placement.close()
    return digest


if __name__ == "__main__":
    print(run(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
