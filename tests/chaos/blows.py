"""Where a computation is struck, and by what: signals out of the middle of its work.

A pass is wrapped where the engine sends it out; the third block that a task works on
sends the signal, once, to the worker that works on it or to its driver. What is struck
is so always under way, and nobody has to guess a number of seconds.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from distributed import WorkerPlugin

from blpdask.driver import bundles
from blpdask.driver.dask_engine import DaskPlacement
from blpdask.driver.dask_worker import open_bundle

#: Variable that marks a process that a test started, and all that it starts.
MARK = "BLPDASK_CHAOS"


@dataclass(frozen=True)
class Call:
    """A call of a placement: the pass's name, its state, and what it keeps."""

    name: str
    state: Any
    anchor: str | None
    keep: str | None


@dataclass(frozen=True)
class Phase:
    """Some calls of a placement, of which one is struck: the ``number``-th, from 1."""

    matches: Callable[[Call], bool]
    number: int = 1


def of_data(call: Call) -> bool:
    return call.name == "sums_pass" and call.state.columns != "errors"


def of_errors(call: Call) -> bool:
    return call.name == "sums_pass" and call.state.columns == "errors"


def named(name: str) -> Callable[[Call], bool]:
    return lambda call: call.name == name


def evaluation(call: Call) -> bool:
    return call.name == "demand_pass" and call.keep is not None


def of_second_step(call: Call) -> bool:
    return evaluation(call) and str(call.keep).startswith("step 2")


def hessian(call: Call) -> bool:
    of_second = str(call.anchor).startswith("step 2")
    return call.name == "demand_pass" and call.keep is None and of_second


#: Every kind of work of a two-step estimation from a store, in order.
PHASES = {
    "levels of effects": Phase(named("distinct_pass")),
    "absorption": Phase(of_data, 7),
    "sums": Phase(named("stored_sums_pass")),
    "first evaluation": Phase(evaluation),
    "evaluation": Phase(evaluation, 4),
    "rows of the first step": Phase(named("rows_pass")),
    "evaluation of the second step": Phase(of_second_step, 2),
    "Hessian": Phase(hessian, 4),
    "absorption of errors": Phase(of_errors, 5),
    "moments": Phase(named("moments_pass"), 2),
    "rows": Phase(named("rows_pass"), 2),
}


@dataclass
class Blow:
    """A pass that strikes once on its way; None for the worker's own process."""

    pass_: Callable[..., Any]
    mark: Path
    how: int
    victim: int | None
    calls: int = 0

    def __call__(self, block: Any, state: Any, anchor: Any) -> Any:
        """Work on a block; strike before the third one."""
        self.calls += 1
        if self.calls == 3:
            strike(self.mark, self.how, self.victim)
        return self.pass_(block, state, anchor)


def strike(mark: Path, how: int, victim: int | None) -> None:
    """Send a signal where nobody has before, and leave the victim's pid as a mark."""
    victim = victim or os.getpid()
    try:
        handle = os.open(mark, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        return
    os.write(handle, str(victim).encode())
    os.close(handle)
    os.kill(victim, how)


@dataclass
class Ambush:
    """Waits for a phase, and measures how long every call of a placement takes.

    Attributes
    ----------
    mark
        Is there as soon as there was a blow, with the pid of the process that was hit.
    seconds
        Of every call of a placement.
    """

    phase: Phase | None
    mark: Path
    how: int = signal.SIGKILL
    victim: int | None = None
    seen: int = 0
    seconds: list[float] = field(default_factory=list)

    def send(self, pass_: Any, state: Any, anchor: Any, keep: Any) -> Any:
        """Give the pass that is to be sent: itself, or the one that strikes."""
        call = Call(pass_.__name__, state, anchor, keep)
        if self.phase is None or not self.phase.matches(call):
            return pass_
        self.seen += 1
        if self.seen != self.phase.number:
            return pass_
        return Blow(pass_, self.mark, self.how, self.victim)

    @property
    def struck(self) -> int | None:
        """The pid of what was hit, None where nothing was."""
        return int(self.mark.read_text()) if self.mark.exists() else None


@dataclass
class Slow:
    """A pass that takes its time, as with more data, and no processor."""

    pass_: Callable[..., Any]
    seconds: float

    def __call__(self, block: Any, state: Any, anchor: Any) -> Any:
        """Work on a block and wait."""
        found = self.pass_(block, state, anchor)
        time.sleep(self.seconds)
        return found


class Slowness(Ambush):
    """Makes workers slow at evaluations; strikes nothing."""

    def send(self, pass_: Any, state: Any, anchor: Any, keep: Any) -> Any:
        """Give the pass that is to be sent, slowed down where it is an evaluation."""
        return Slow(pass_, 0.1) if pass_.__name__ == "demand_pass" else pass_


@contextmanager
def lying_in_wait(ambush: Ambush) -> Iterator[Ambush]:
    """Put an ambush between estimators and the Dask engine."""
    reduce, collect = DaskPlacement.reduce, DaskPlacement.collect

    def struck_reduce(
        placement: Any, pass_: Any, state: Any, *, anchor: Any = None, keep: Any = None
    ) -> Any:
        sent = ambush.send(pass_, state, anchor, keep)
        began = time.monotonic()
        record = reduce(placement, sent, state, anchor=anchor, keep=keep)
        ambush.seconds.append(time.monotonic() - began)
        return record

    def struck_collect(
        placement: Any, pass_: Any, state: Any, *, anchor: Any = None
    ) -> Iterator[Any]:
        sent = ambush.send(pass_, state, anchor, None)
        began = time.monotonic()
        yield from collect(placement, sent, state, anchor=anchor)
        ambush.seconds.append(time.monotonic() - began)

    DaskPlacement.reduce = struck_reduce  # type: ignore[method-assign]
    DaskPlacement.collect = struck_collect  # type: ignore[method-assign]
    try:
        yield ambush
    finally:
        DaskPlacement.reduce = reduce  # type: ignore[method-assign]
        DaskPlacement.collect = collect  # type: ignore[method-assign]


@contextmanager
def bundles_that_strike(mark: Path) -> Iterator[None]:
    """Kill the first worker that opens a bundle."""

    def open_and_strike(source: Any) -> Any:
        strike(mark, signal.SIGKILL, None)
        return open_bundle(source)

    bundles.open_bundle = open_and_strike
    try:
        yield
    finally:
        bundles.open_bundle = open_bundle


class Setting(WorkerPlugin):  # type: ignore[misc]
    """Sets a name of the worker's module, on workers of now and of later."""

    def __init__(self, attribute: str, value: Any) -> None:
        self.name = f"chaos-{attribute}"
        self.attribute, self.value = attribute, value

    def setup(self, worker: Any) -> None:
        from blpdask.driver import dask_worker

        del worker
        self.before = getattr(dask_worker, self.attribute)
        setattr(dask_worker, self.attribute, self.value)

    def teardown(self, worker: Any) -> None:
        from blpdask.driver import dask_worker

        del worker
        setattr(dask_worker, self.attribute, self.before)


@contextmanager
def workers_with(client: Any, attribute: str, value: Any) -> Iterator[None]:
    """Set a name of the worker's module on all workers, for the length of a block."""
    plugin = Setting(attribute, value)
    client.register_plugin(plugin)
    try:
        yield
    finally:
        client.unregister_worker_plugin(plugin.name)


def processes_marked(mark: str) -> list[psutil.Process]:
    """List the processes that inherited a mark from the one that was started with it.

    Parents are of no use to find them by: those of a killed driver have none, and
    workers lead sessions of their own.
    """
    return [process for process in psutil.process_iter() if _is_marked(process, mark)]


def _is_marked(process: psutil.Process, mark: str) -> bool:
    try:
        alive = process.status() != psutil.STATUS_ZOMBIE
        return alive and process.environ().get(MARK) == mark
    except psutil.Error:
        return False
