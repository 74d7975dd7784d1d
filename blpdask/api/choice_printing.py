"""Print the progress of a likelihood as it comes, for people who watch."""

from __future__ import annotations

from collections.abc import Callable

from .. import options
from ..progress import BlocksEvent, EvaluationEvent, Event, Listener, silent
from .printing import Printer

_HEADER = "evaluation    log-likelihood  gradient norm  seconds"


def choose_likelihood_listener(progress: Listener | None) -> Listener:
    """Choose who listens: the given one, a printer, or nobody where not verbose."""
    if progress is not None:
        return progress
    return LikelihoodPrinter(options.verbose_output) if options.verbose else silent


class LikelihoodPrinter(Printer):
    """Print a line an evaluation, of minus its objective."""

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
            f"{event.number:>10}  {-event.objective:>16.8e}  "
            f"{event.gradient_norm:>13.3e}  {event.seconds:>7.3f}"
            f"{'  best' if event.best else ''}"
        )
