"""Libraries have one thread while anybody computes, and their own afterwards."""

from __future__ import annotations

import threading

from threadpoolctl import threadpool_info

from blpdask.driver.cores import single_threaded_libraries


def threads_of_blas() -> int:
    return max(i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas")


def test_computations_that_overlap_are_all_held_at_one_thread():
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with single_threaded_libraries():
            entered.set()
            leave.wait(20)

    with single_threaded_libraries():
        pass
    before = threads_of_blas()
    thread = threading.Thread(target=other)
    thread.start()
    entered.wait(20)
    with single_threaded_libraries():
        leave.set()
        thread.join()
        assert threads_of_blas() == 1
    assert threads_of_blas() == before
