"""An estimation in a process that can be killed with its workers; started by the tests.

python -m tests.chaos.driver STORE RECORDING RESULTS MARK [PHASE]: two worker processes;
a worker that is in the middle of the phase kills this process, unless MARK is there.
The last phase, "saving", kills itself in the middle of writing results.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import blpdask
from blpdask.results import store as results_store
from tests.chaos import problems
from tests.chaos.blows import PHASES, Ambush, lying_in_wait, strike

SAVING = "saving"


def run(store: Path, recording: Path, results: Path, mark: Path, phase: str) -> None:
    """Estimate, or go on; save, and print the digests of all arrays."""
    told: list[str] = []
    with ExitStack() as opened:
        if phase in PHASES:
            ambush = Ambush(PHASES[phase], mark, victim=os.getpid())
            opened.enter_context(lying_in_wait(ambush))
        opened.enter_context(blpdask.parallel(2))
        found = problems.solve(
            store,
            resume=recording,
            progress=lambda event: told.append(getattr(event, "message", "")),
        )
        if phase == SAVING:
            die_while_saving(mark)
        found.save(results)
    replayed = [message for message in told if message.startswith("Replaying")]
    print(json.dumps({"bits": problems.bits(found), "replayed": replayed}))


def die_while_saving(mark: Path) -> None:
    """Kill this process when it is about to write its fortieth array."""
    create, calls = results_store.create_checked, 0

    def create_or_die(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 40:
            strike(mark, signal.SIGKILL, os.getpid())
        return create(*arguments)

    results_store.create_checked = create_or_die


if __name__ == "__main__":
    blpdask.options.verbose = False
    paths = [Path(argument) for argument in sys.argv[1:5]]
    run(*paths, phase=sys.argv[5] if len(sys.argv) > 5 else "")
