"""A cluster of this machine's own is whole again, whoever dies.

Invariants: however a worker or its nanny ends, and however long it takes, there are as
many workers as were asked for; when the cluster is closed, there are none.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import dask
import psutil

from .clusters import cluster, nannies, worker_pids, workers_of


def _wait_for_workers(client: Any, n_workers: int) -> set[int]:
    client.wait_for_workers(n_workers, timeout=60)
    pids = set(worker_pids(client).values())
    assert len(pids) == n_workers
    return pids


def test_a_nanny_that_is_killed_is_replaced():
    with cluster(2) as client:
        before = _wait_for_workers(client, 2)
        struck, other = nannies()
        (lost,), (kept,) = map(workers_of, (struck, other))
        struck.kill()
        while psutil.pid_exists(lost.pid):
            time.sleep(0.05)
        after = _wait_for_workers(client, 2)
        assert before == {lost.pid, kept.pid}
        assert after & before == {kept.pid}
        assert struck.pid not in {nanny.pid for nanny in nannies()}


def test_a_worker_may_take_its_time_to_come_back():
    # Dask would end the nanny of a worker that is not there so long after a death, be
    # it that it is slow or that it has died once more.
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "500ms"}),
        cluster(1) as client,
    ):
        (before,) = _wait_for_workers(client, 1)
        (nanny,) = nannies()
        nanny.suspend()
        os.kill(before, signal.SIGKILL)
        time.sleep(3.0)
        nanny.resume()
        assert before not in _wait_for_workers(client, 1)
        assert nannies() == [nanny]


def test_a_cluster_leaves_nobody_behind():
    with cluster(2) as client:
        _wait_for_workers(client, 2)
        started = [*nannies(), *(w for n in nannies() for w in workers_of(n))]
    assert len(started) == 4
    assert not psutil.wait_procs(started, timeout=5)[1]
    assert nannies() == []


def test_an_interrupt_before_a_call_has_begun_is_not_an_error(caplog):
    """As in distributed's ``sync``, which cancels a future that is not there yet."""
    with cluster(1) as client:
        loop = client.loop

        def interrupt() -> None:
            def cancel() -> None:
                future.cancel()

            loop.add_callback(cancel)
            client.sync(client.scheduler.identity)
            future = None

        def fail() -> None:
            raise NameError("something else")

        interrupt()
        assert not [r for r in caplog.records if r.name == "tornado.application"]
        loop.add_callback(fail)
        client.sync(client.scheduler.identity)
        (said,) = [r for r in caplog.records if r.name == "tornado.application"]
        assert "something else" in str(said.exc_info)
