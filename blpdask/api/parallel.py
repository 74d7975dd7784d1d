"""Worker processes for the length of a block: PyBLP's ``parallel``.

Here they are the workers of a Dask cluster of this machine. They are started from the
command line, so that a script needs no ``if __name__ == "__main__"`` and a notebook
needs nothing; what is sent to them is pickled by cloudpickle, lambdas included.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from .. import options
from ..driver.choose import active_client
from ..driver.clusters import check_workers, local_client
from ..errors import Faults


@contextmanager
def parallel(processes: int, use_pathos: bool = False) -> Iterator[None]:
    """Start worker processes that everything in a ``with`` block uses.

    Parameters
    ----------
    processes
        Number of worker processes of this machine, one thread each.
    use_pathos
        Accepted for PyBLP scripts, without effect.

    Raises
    ------
    InputError
        Where the number is no whole number of at least 1, or where a Dask client is
        active already, inside another such block say.
    blpdask.driver.faults.ClusterError
        Where the workers do not come.

    Notes
    -----
    Threads of this process, which are used elsewhere, are as fast on one machine and
    cost nothing to start. Numbers are the same, to the last bit. For workers of other
    machines make a ``distributed.Client`` of their scheduler.

    Examples
    --------
    >>> with parallel(0):
    ...     pass
    Traceback (most recent call last):
    ...
    blpdask.errors.InputError: parallel: 1 fault.
    - found: 0 workers
      expected: a whole number, at least 1
      what to do: correct it
    """
    del use_pathos
    faults = Faults("parallel")
    check_workers(processes, faults)
    if active_client() is not None:
        faults.add(
            "a Dask client that is active already",
            "no cluster within a cluster",
            "leave this parallel out, or close the other client first",
        )
    faults.check()
    began = time.monotonic()
    with local_client(processes):
        if options.verbose:
            seconds = time.monotonic() - began
            many = "process" if processes == 1 else "processes"
            options.verbose_output(
                f"Started {processes} worker {many} after {seconds:.1f} s."
            )
        yield
