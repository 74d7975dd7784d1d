"""Print progress as it comes, for people who watch."""

from __future__ import annotations

from collections.abc import Callable

from .. import options
from ..progress import EvaluationEvent, Event, Listener, silent

_HEADER = "step  evaluation        objective  gradient norm  share maps  seconds"


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

    def __call__(self, event: Event) -> None:
        """Print one event."""
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
