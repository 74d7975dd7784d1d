"""Print how near to zero moments of choices come, for people who watch."""

from __future__ import annotations

from collections.abc import Callable

from .. import options
from ..progress import BlocksEvent, EvaluationEvent, Event, Listener, silent
from .printing import Printer

_HEADER = "evaluation  standard errors from zero  largest moment  seconds"


def choose_moment_listener(progress: Listener | None) -> Listener:
    """Choose who listens: the given one, a printer, or nobody where not verbose."""
    if progress is not None:
        return progress
    return MomentPrinter(options.verbose_output) if options.verbose else silent


class MomentPrinter(Printer):
    """Print a line an evaluation, of the root of its objective."""

    def __init__(self, output: Callable[[str], None]) -> None:
        """Print with ``output``."""
        super().__init__(output)
        self._tell = output
        self._listed = False

    def __call__(self, event: Event) -> None:
        """Print one event."""
        if isinstance(event, BlocksEvent):
            super().__call__(event)
            return
        if not isinstance(event, EvaluationEvent):
            self._listed = False
            self._tell(f"{event.message} ...")
            return
        if not self._listed:
            self._tell(_HEADER)
            self._listed = True
        self._tell(
            f"{event.number:>10}  {event.objective**0.5:>25.3e}  "
            f"{event.gradient_norm:>14.3e}  {event.seconds:>7.3f}"
        )
