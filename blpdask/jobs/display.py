"""Show a run as it happens: a table that redraws itself, or plain lines.

On a terminal, the last evaluations of the objective stay in view with the best value
and the work done so far; anywhere else (a file, a batch system's log) every evaluation
is one line. A pass over the blocks that takes long says how far it has come.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..progress import BlocksEvent, EvaluationEvent, Event, Listener, StepEvent

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

_ROWS_IN_VIEW = 10
_REDRAWS_A_SECOND = 8
#: Passes that take less say nothing of their blocks.
_LONG_SECONDS = 2.0
#: Seconds between two lines about blocks.
_LINE_SECONDS = 10.0
_BAR_WIDTH = 40
_COLUMNS = (
    "step",
    "start",
    "evaluation",
    "objective",
    "gradient",
    "share maps",
    "failed",
    "seconds",
)


@contextmanager
def display_listener(console: Console) -> Iterator[Listener]:
    """Give a listener that shows events on a console.

    Parameters
    ----------
    console
        Where to.
    """
    if not console.is_terminal:
        yield _plain_listener(console)
        return
    from rich.live import Live

    view = _View(console)
    with Live(
        get_renderable=view.draw,
        console=console,
        refresh_per_second=_REDRAWS_A_SECOND,
        transient=True,
    ):
        yield view.listen


def evaluation_line(event: EvaluationEvent) -> str:
    """Write an evaluation as one line; a star marks the best so far.

    Parameters
    ----------
    event
        The evaluation.

    Examples
    --------
    >>> evaluation_line(
    ...     EvaluationEvent(1, 0, 3, 2, 4.5615, 2e-3, True, 0.04, 1200, 0, (1.0,))
    ... )
    'step 1  evaluation 3  objective 4.561500000e+00 *  gradient 2.0e-03  \
share maps 1200  0.040 s'
    """
    start = f"  start {event.start}" if event.start else ""
    failed = f"  markets failed {event.markets_failed}" if event.markets_failed else ""
    maps = f"share maps {event.share_maps}  " if event.share_maps else ""
    return (
        f"step {event.step}{start}  evaluation {event.number}  "
        f"objective {event.objective:.9e} {'*' if event.best else ' '}  "
        f"gradient {event.gradient_norm:.1e}  "
        f"{maps}{event.seconds:.3f} s{failed}"
    )


def blocks_line(event: BlocksEvent) -> str:
    """Write how far a pass has come.

    Parameters
    ----------
    event
        What was told of it.

    Examples
    --------
    >>> blocks_line(BlocksEvent(37, 128, 4.2))
    'block 37 of 128, 4 s'
    """
    return f"block {event.done} of {event.total}, {event.seconds:.0f} s"


def _plain_listener(console: Console) -> Listener:
    """Give a listener that prints a line an event, and few of them about blocks."""
    told = -_LINE_SECONDS

    def listen(event: Event) -> None:
        nonlocal told
        if isinstance(event, BlocksEvent):
            now = time.monotonic()
            if event.seconds < _LONG_SECONDS or now - told < _LINE_SECONDS:
                return
            told, text = now, blocks_line(event)
        elif isinstance(event, StepEvent):
            text = f"step {event.step}: {event.message}"
        else:
            text = evaluation_line(event)
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    return listen


class _View:
    """The last evaluations, the best one, and the work done so far."""

    def __init__(self, console: Console) -> None:
        """Start with nothing seen."""
        self._console = console
        self._began = time.monotonic()
        self._last: deque[EvaluationEvent] = deque(maxlen=_ROWS_IN_VIEW)
        self._best: EvaluationEvent | None = None
        self._evaluations = 0
        self._share_maps = 0
        self._blocks: BlocksEvent | None = None

    def listen(self, event: Event) -> None:
        """Take an event in; sentences are printed above the table."""
        if isinstance(event, BlocksEvent):
            self._blocks = event if event.seconds >= _LONG_SECONDS else None
            return
        self._blocks = None
        if isinstance(event, StepEvent):
            text = f"step {event.step}: {event.message}"
            self._console.print(text, markup=False, highlight=False)
            return
        if event.best:
            self._best = event
        self._last.append(event)
        self._evaluations += 1
        self._share_maps += event.share_maps

    def draw(self) -> RenderableType:
        """Draw the table and, below it, how far a long pass has come."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        blocks = self._blocks
        if blocks is None:
            return self.table()
        bar = ProgressBar(blocks.total, blocks.done, width=_BAR_WIDTH)
        return Group(self.table(), bar, Text(blocks_line(blocks)))

    def table(self) -> Table:
        """Draw the table."""
        from rich.table import Table

        table = Table(
            box=None,
            padding=(0, 1, 0, 0),
            caption=self._caption(),
            caption_justify="left",
        )
        for name in _COLUMNS:
            table.add_column(name, justify="right", no_wrap=True)
        for event in tuple(self._last):
            table.add_row(
                str(event.step),
                str(event.start),
                str(event.number),
                f"{event.objective:.8e}",
                f"{event.gradient_norm:.1e}",
                f"{event.share_maps:,}",
                str(event.markets_failed),
                f"{event.seconds:.3f}",
                style="bold" if event is self._best else "",
            )
        return table

    def _caption(self) -> str:
        """Sum up the run so far."""
        elapsed = time.monotonic() - self._began
        best = f"best {self._best.objective:.9e}" if self._best else "starting"
        return (
            f"{best}   {self._evaluations} evaluations   "
            f"{self._share_maps:,} share maps   {elapsed:.1f} s   Ctrl-C stops"
        )
