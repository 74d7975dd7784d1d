"""A store that is damaged while an estimation reads it: named, and mended, and no loss.

Workers let go of the blocks that they hold, as workers do that have no room for them.
Invariants: no damaged byte becomes a number; the error names the array, the block and
its markets; when the store is mended, the recording goes on to the bits of the calm
run.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from blpdask.errors import StoreError
from blpdask.partitions.log_frames import read_frames
from blpdask.partitions.residency import RESIDENT
from blpdask.partitions.run_log import LOG
from blpdask.partitions.stored_arrays import write_array
from blpdask.progress import EvaluationEvent, StepEvent
from tests.chaos import problems

pytestmark = pytest.mark.slow
BLOCK = 3
N_BLOCKS = 6


@pytest.fixture(scope="module")
def small_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a store that is read fast."""
    path = tmp_path_factory.mktemp("damage") / "store"
    return Path(problems.build(path, n_markets=120, blocks=N_BLOCKS).path)


@pytest.fixture(scope="module")
def small_calm(small_store: Path) -> dict[str, str]:
    return problems.bits(problems.solve(small_store, engine="serial"))


def chunk(store: Path, array: str) -> Path:
    return store / f"blocks/{BLOCK:05d}/{array}/c/0/0"


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def remove(path: Path) -> None:
    path.unlink()


def write_nan(path: Path, column: int = -1) -> None:
    """Write a number that is none into the last row, with a correct checksum."""
    folder = path.parents[2]
    values = np.array(zarr.open_array(str(folder), mode="r")[...])
    values[column, -1] = np.nan
    root = zarr.open_group(str(folder.parent), mode="r+")
    del root[folder.name]
    write_array(root, folder.name, values)


def write_nan_first(path: Path) -> None:
    write_nan(path, column=0)


def forget_blocks() -> None:
    """Let go of blocks, in a worker's process; what they remember stays."""
    RESIDENT.drop(lambda owner: isinstance(owner, str))


class Vandal:
    """Damages a chunk after the third evaluation of a step."""

    def __init__(
        self, client: Any, step: int, path: Path, how: Callable[[Path], None]
    ) -> None:
        self.client, self.step, self.path, self.how = client, step, path, how
        self.content: bytes | None = None

    def __call__(self, event: Any) -> None:
        if self.content is not None or not isinstance(event, EvaluationEvent):
            return
        if event.step == self.step and event.number == 3:
            self.content = self.path.read_bytes()
            self.how(self.path)
            self.client.run(forget_blocks)

    def mend(self) -> None:
        assert self.content is not None
        self.path.write_bytes(self.content)


@pytest.mark.parametrize(
    ("array", "how", "step", "found"),
    [
        ("product_numbers", flip, 2, "store/blocks/00003/product_numbers"),
        ("product_integers", flip, 1, "store/blocks/00003/product_integers"),
        ("agent_numbers", truncate, 1, "store/blocks/00003/agent_numbers"),
        ("agent_numbers", remove, 2, "(the file is missing)"),
        ("product_numbers", write_nan, 2, "1 rows of ZD that are not finite"),
        ("agent_numbers", write_nan, 2, "1 of 510 rows of 'demographic1' not finite"),
        ("agent_numbers", write_nan_first, 1, "1 rows of weights that are not finite"),
    ],
)
def test_damage_while_a_recorded_estimation_runs(
    client, small_store, small_calm, tmp_path, array, how, step, found
):
    vandal = Vandal(client, step, chunk(small_store, array), how)
    try:
        with pytest.raises(StoreError) as caught:
            problems.solve(small_store, engine=client, resume=tmp_path, progress=vandal)
    finally:
        vandal.mend()
    assert found in str(caught.value)
    assert "block 3 (markets 63 to 79)" in str(caught.value)
    assert "what to do: " in str(caught.value)
    before = len(list(read_frames(tmp_path / LOG))) - 1
    assert before >= 3 * step
    told: list[Any] = []
    again = problems.solve(
        small_store, engine=client, resume=tmp_path, progress=told.append
    )
    assert problems.bits(again) == small_calm
    sentences = [event.message for event in told if isinstance(event, StepEvent)]
    replaying = f"Replaying {before} recorded sums"
    assert any(sentence.startswith(replaying) for sentence in sentences)
