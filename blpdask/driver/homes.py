"""Which worker is the home of which bundle of blocks.

A bundle is the blocks that one thread of a worker works on, and is asked for again at
every evaluation: it should stay where its blocks are. Bundles move only where their
home is gone, or where a worker has too many while another has too few. Where a bundle
lives never changes a number.
"""

from __future__ import annotations

from collections.abc import Mapping


def cut_bundles(n_blocks: int, n_bundles: int) -> list[tuple[int, ...]]:
    """Deal blocks out to bundles, one after another.

    Examples
    --------
    >>> cut_bundles(5, 2)
    [(0, 2, 4), (1, 3)]
    """
    n_bundles = max(1, min(n_bundles, n_blocks))
    return [tuple(range(first, n_blocks, n_bundles)) for first in range(n_bundles)]


def assign_homes(
    n_bundles: int, threads: Mapping[str, int], homes: Mapping[int, str]
) -> dict[int, str]:
    """Give every bundle a worker, moving as few as balance allows.

    Parameters
    ----------
    n_bundles
        Number of bundles.
    threads
        Threads of each worker that is there, by address.
    homes
        Where bundles are now.

    Examples
    --------
    >>> assign_homes(3, {"a": 1, "b": 1}, {0: "a", 1: "dead", 2: "b"})
    {0: 'a', 2: 'b', 1: 'a'}
    """
    total = sum(threads.values())
    if total == 0:
        return {}
    room = {w: -(-n_bundles * n // total) for w, n in threads.items()}
    assigned: dict[int, str] = {}
    for bundle in range(n_bundles):
        home = homes.get(bundle, "")
        if room.get(home, 0) > 0:
            assigned[bundle] = home
            room[home] -= 1
    for bundle in range(n_bundles):
        if bundle not in assigned:
            home = max(room, key=lambda w: (room[w] / threads[w], w == min(room)))
            assigned[bundle] = home
            room[home] -= 1
    return assigned
