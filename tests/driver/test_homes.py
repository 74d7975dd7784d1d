"""Bundles stay where they are unless their home is gone or too full."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from blpdask.driver.homes import assign_homes, cut_bundles


@pytest.mark.parametrize("n_bundles", [1, 2, 3, 16, 200])
def test_every_block_is_in_one_bundle(n_bundles):
    bundles = cut_bundles(128, n_bundles)
    assert sorted(block for bundle in bundles for block in bundle) == list(range(128))
    sizes = [len(bundle) for bundle in bundles]
    assert max(sizes) - min(sizes) <= 1


def test_nothing_moves_while_nobody_leaves():
    threads = {"a": 1, "b": 2, "c": 1}
    homes = assign_homes(8, threads, {})
    assert assign_homes(8, threads, homes) == homes


def test_only_the_dead_workers_bundles_move():
    homes = assign_homes(6, {"a": 1, "b": 1, "c": 1}, {})
    moved = assign_homes(6, {"a": 1, "c": 1}, homes)
    kept = {bundle: home for bundle, home in homes.items() if home != "b"}
    assert {b: h for b, h in moved.items() if b in kept} == kept
    assert set(moved.values()) == {"a", "c"}


def test_a_new_worker_gets_its_part():
    homes = assign_homes(6, {"a": 1, "b": 1}, {})
    spread = assign_homes(6, {"a": 1, "b": 1, "c": 1}, homes)
    assert Counter(spread.values()) == {"a": 2, "b": 2, "c": 2}


def test_loads_follow_threads():
    rng = np.random.default_rng(0)
    for _ in range(50):
        names = "abcdef"[: rng.integers(1, 7)]
        threads = {name: int(rng.integers(1, 5)) for name in names}
        n_bundles = int(rng.integers(1, 40))
        homes = assign_homes(n_bundles, threads, {0: "gone"})
        assert sorted(homes) == list(range(n_bundles))
        fair = n_bundles / sum(threads.values())
        for worker, count in Counter(homes.values()).items():
            assert count <= np.ceil(fair * threads[worker])


def test_without_workers_there_are_no_homes():
    assert assign_homes(4, {}, {0: "gone"}) == {}
