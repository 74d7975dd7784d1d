"""Print the progress of an estimation of choices as it comes, for people who watch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from .. import options
from ..progress import BlocksEvent, EvaluationEvent, Event, Listener, silent
from .printing import Printer


class ChoicePrinter(Printer, ABC):
    """Print a line an evaluation, and a header where a list of them begins."""

    header: ClassVar[str]

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
            self._tell(self.header)
            self._listed = True
        self._tell(self.line(event))

    @abstractmethod
    def line(self, event: EvaluationEvent) -> str:
        """Write an evaluation as one line."""


class LikelihoodPrinter(ChoicePrinter):
    """Print a line an evaluation, of minus its objective."""

    header = "evaluation    log-likelihood  gradient norm  seconds"

    def line(self, event: EvaluationEvent) -> str:
        """Write an evaluation as one line."""
        return (
            f"{event.number:>10}  {-event.objective:>16.8e}  "
            f"{event.gradient_norm:>13.3e}  {event.seconds:>7.3f}"
            f"{'  best' if event.best else ''}"
        )


class MomentPrinter(ChoicePrinter):
    """Print a line an evaluation, of the root of its objective."""

    header = "evaluation  standard errors from zero  largest moment  seconds"

    def line(self, event: EvaluationEvent) -> str:
        """Write an evaluation as one line."""
        return (
            f"{event.number:>10}  {event.objective**0.5:>25.3e}  "
            f"{event.gradient_norm:>14.3e}  {event.seconds:>7.3f}"
        )


def choose_likelihood_listener(progress: Listener | None) -> Listener:
    """Choose who listens: the given one, a printer, or nobody where not verbose."""
    return _choose(progress, LikelihoodPrinter)


def choose_moment_listener(progress: Listener | None) -> Listener:
    """Choose who listens to moments that come near to zero, likewise."""
    return _choose(progress, MomentPrinter)


def _choose(progress: Listener | None, printer: type[ChoicePrinter]) -> Listener:
    if progress is not None:
        return progress
    return printer(options.verbose_output) if options.verbose else silent
