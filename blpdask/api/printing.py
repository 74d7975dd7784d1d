"""Print progress as it comes, for people who watch."""

from __future__ import annotations

import time
from collections.abc import Callable

from .. import options
from ..progress import BlocksEvent, EvaluationEvent, Event, Listener, silent

_HEADER = "step  evaluation        objective  gradient norm  share maps  seconds"
#: Passes that take less say nothing of their blocks, and others no more often.
_BLOCKS_SECONDS = 5.0


def choose_listener(progress: Listener | None) -> Listener:
    """Choose who listens: the given one, a printer, or nobody where not verbose."""
    if progress is not None:
        return progress
    if not options.verbose:
        return silent
    return Printer(options.verbose_output)


class Printer:
    """Print a line an evaluation through a function."""

    def __init__(self, output: Callable[[str], None]) -> None:
        """Print with ``output``."""
        self._output = output
        self._in_table = False
        self._told = -_BLOCKS_SECONDS

    def __call__(self, event: Event) -> None:
        """Print one event."""
        if isinstance(event, BlocksEvent):
            self._tell_blocks(event)
            return
        if not isinstance(event, EvaluationEvent):
            self._in_table = False
            self._output(f"{event.message} (GMM step {event.step}) ...")
            return
        if not self._in_table:
            self._output(_HEADER)
            self._in_table = True
        failed = f"  {event.markets_failed} markets failed" * (event.markets_failed > 0)
        self._output(
            f"{event.step:>4}  {event.number:>10}  {event.objective:>15.8e}  "
            f"{event.gradient_norm:>13.3e}  {event.share_maps:>10}  "
            f"{event.seconds:>7.3f}{'  best' if event.best else ''}{failed}"
        )

    def _tell_blocks(self, event: BlocksEvent) -> None:
        """Print now and then how far a long pass has come."""
        now = time.monotonic()
        if min(event.seconds, now - self._told) >= _BLOCKS_SECONDS:
            self._told = now
            self._output(
                f"... {event.unit} {event.done} of {event.total}, {event.seconds:.0f} s"
            )
