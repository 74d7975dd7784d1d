"""A run that is started again is handed what was recorded, and goes on with its bits.

Invariants: whatever the length of the recording that is left, and whatever is kept at
rest, all sums of the whole run are those of a run that was never stopped; nothing that
is recorded is computed twice; a recording of another computation is refused.
"""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest

from blpdask.driver import checkpointing
from blpdask.driver.recording import RecordingEngine
from blpdask.driver.serial import SerialEngine
from blpdask.driver.threads import ThreadsEngine
from blpdask.errors import StoreError
from blpdask.partitions.checkpoints import Checkpoints
from blpdask.partitions.log_frames import read_frames
from blpdask.partitions.run_log import LOG, RunLog, keep_first
from tests.driver.passes import Calls, Seen, chain_pass, recall_pass, wide_pass

BLOCKS = ["to", "be", "or", "not to be"]
DATA = {"data": "words"}


def run_chain(directory, n, *, engine=None, seconds=1e9, given=None):
    """Evaluate n times as an optimiser does; every third evaluation is accepted."""
    found = []
    with closing(RunLog(directory, DATA)) as log:
        recorder = RecordingEngine(
            engine or SerialEngine(), log, checkpoint_seconds=seconds
        )
        placement = recorder.place(BLOCKS)
        anchor = None
        if given is not None:
            placement.remember("initial", given)
            anchor = "initial"
        state = 1.0
        for number in range(n):
            name = f"no. {number}"
            record = placement.reduce(chain_pass, state, anchor=anchor, keep=name)
            found.append((record.total, record.words.tolist()))
            state = record.total * 1.1 + number
            if number % 3 == 0:
                if anchor is not None:
                    placement.forget(anchor)
                anchor = name
            else:
                placement.forget(name)
        found.append(list(placement.collect(recall_pass, None, anchor=anchor)))
        log.finish()
        placement.close()
    return found


def computed(function, *arguments, **keywords):
    """Count the blocks that a call works on."""
    before = Calls.number
    answer = function(*arguments, **keywords)
    return answer, Calls.number - before


@pytest.mark.parametrize("seconds", [0.0, 1e9], ids=["kept at rest", "not kept"])
@pytest.mark.parametrize("left", [0, 1, 2, 11, 12, 19])
def test_a_run_cut_anywhere_goes_on_with_the_same_bits(
    tmp_path, monkeypatch, left, seconds
):
    calm = run_chain(tmp_path / "calm", 20)
    monkeypatch.setattr(checkpointing, "SHARE", 0.0)
    run_chain(tmp_path / "cut", 20, seconds=seconds)
    keep_first(tmp_path / "cut", left)
    again = run_chain(tmp_path / "cut", 20, seconds=seconds, engine=ThreadsEngine(2))
    assert again == calm
    assert log_bytes(tmp_path / "cut") == log_bytes(tmp_path / "calm")


def log_bytes(directory):
    """Give keys and payloads of a log, which hold no times."""
    content = (directory / LOG).read_bytes()
    frames = read_frames(directory / LOG)
    return [(frame.key, content[frame.start : frame.stop]) for frame in frames][1:]


def test_what_is_recorded_is_not_computed_again(tmp_path):
    _, first = computed(run_chain, tmp_path, 10)
    assert first == 10 * len(BLOCKS)
    # The memory that is collected at the end is four accepted steps from the origin.
    _, again = computed(run_chain, tmp_path, 10)
    assert again == 4 * len(BLOCKS)


@pytest.mark.parametrize(("seconds", "again"), [(0.0, 2), (1e9, 8)])
def test_a_checkpoint_spares_the_way_from_the_origin(
    tmp_path, monkeypatch, seconds, again
):
    monkeypatch.setattr(checkpointing, "SHARE", 0.0)
    run_chain(tmp_path, 20, seconds=seconds)
    keep_first(tmp_path, 18)
    # Evaluations 18 and 19 are left, from the sixth accepted one, number 15.
    _, blocks = computed(run_chain, tmp_path, 20)
    assert blocks == again * len(BLOCKS)


def test_the_two_newest_checkpoints_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpointing, "SHARE", 0.0)
    with closing(RunLog(tmp_path, DATA)) as log:
        engine = RecordingEngine(SerialEngine(), log, checkpoint_seconds=0.0)
        placement = engine.place(BLOCKS)
        placement.reduce(chain_pass, 1.0, keep="a")
        seen = []
        for one, other in ("ab", "bc", "cd"):
            placement.reduce(chain_pass, 1.0, anchor=one, keep=other)
            seen.append({path.name for path in (tmp_path / "memories").iterdir()})
    assert [len(names) for names in seen] == [1, 2, 2]
    assert seen[0] < seen[1] and not seen[0] & seen[2]


@pytest.mark.parametrize("harm", ["flip", "remove"])
def test_a_damaged_checkpoint_is_computed_again(tmp_path, harm, caplog):
    calm = run_chain(tmp_path / "calm", 20)
    run_chain(tmp_path / "cut", 20, seconds=0.0)
    keep_first(tmp_path / "cut", 17)
    for folder in (tmp_path / "cut/memories").iterdir():
        file = folder / "block-00002"
        if harm == "remove":
            file.unlink()
        else:
            content = bytearray(file.read_bytes())
            content[len(content) // 2] ^= 1
            file.write_bytes(content)
    assert run_chain(tmp_path / "cut", 20) == calm
    assert "computed again" in caplog.text


def test_memories_that_are_too_large_are_not_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path, largest=1000)
    assert checkpoints.write("small", [np.zeros(10)] * 2)
    assert not checkpoints.write("large", [np.zeros(100)] * 2)
    assert checkpoints.has("small") and not checkpoints.has("large")
    assert [path.name for path in (tmp_path / "memories").iterdir()] == ["small"]


def test_memories_that_were_handed_over_are_handed_over_again(tmp_path):
    given = [Seen(value, np.array([value])) for value in (0.1, 0.2, 0.3, 0.4)]
    calm = run_chain(tmp_path / "calm", 10, given=given)
    run_chain(tmp_path / "cut", 10, given=given)
    keep_first(tmp_path / "cut", 5)
    assert run_chain(tmp_path / "cut", 10, given=given) == calm
    with pytest.raises(StoreError, match=r"sum 1 in .* another computation"):
        run_chain(tmp_path / "cut", 10, given=given[::-1])


def test_records_that_are_too_large_are_computed_again(tmp_path):
    def run():
        with closing(RunLog(tmp_path, DATA)) as log:
            placement = RecordingEngine(SerialEngine(), log).place(BLOCKS)
            placement.reduce(chain_pass, 1.0, keep="a")
            wide = placement.reduce(wide_pass, 2.0, anchor="a")
            last = placement.reduce(chain_pass, 2.0, anchor="a")
            return wide.total, wide.words[-1], last.total

    first, blocks = computed(run)
    again, fewer = computed(run)
    assert first == again
    # The wide record, and the memory that it is computed from.
    assert (blocks, fewer) == (3 * len(BLOCKS), 2 * len(BLOCKS))
    assert (tmp_path / LOG).stat().st_size < 10_000


def test_another_computation_is_refused_and_can_be_cut_off(tmp_path):
    def run(states):
        with closing(RunLog(tmp_path, DATA)) as log:
            placement = RecordingEngine(SerialEngine(), log).place(BLOCKS)
            return [placement.reduce(chain_pass, state).total for state in states]

    run([1.0, 2.0, 3.0])
    with pytest.raises(StoreError, match=r"sum 2 .*\n.*chain_pass.*\n.*--keep 1"):
        run([1.0, 2.5, 3.0])
    keep_first(tmp_path, 1)
    assert run([1.0, 2.5, 3.0])[1] != run([1.0, 2.5])[0]


def test_unknown_names_are_unknown(tmp_path):
    with closing(RunLog(tmp_path, DATA)) as log:
        placement = RecordingEngine(SerialEngine(), log).place(BLOCKS)
        placement.reduce(chain_pass, 1.0, keep="a")
        placement.forget("a", "never kept")
        with pytest.raises(KeyError):
            placement.reduce(chain_pass, 1.0, anchor="a")
        with pytest.raises(KeyError):
            list(placement.collect(recall_pass, None, anchor="a"))


def test_replay_tells_when_it_ends(tmp_path):
    told = []

    def run(n):
        with closing(RunLog(tmp_path, DATA)) as log:
            engine = RecordingEngine(
                SerialEngine(), log, when_replayed=lambda: told.append(n)
            )
            placement = engine.place(BLOCKS)
            for state in range(n):
                placement.reduce(chain_pass, float(state))

    run(3)
    run(3)
    assert told == []
    run(5)
    assert told == [5]
