"""Write down every evaluation as it happens.

One JSON object a line, flushed at once: whatever ends a run, every evaluation before it
is on disk.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from ..progress import EvaluationEvent, Event, Listener, StepEvent


@contextmanager
def evaluation_listener(path: Path) -> Iterator[Listener]:
    """Open a file and give a listener that writes evaluations to it.

    Parameters
    ----------
    path
        The file; it must not exist.
    """
    with path.open("x", encoding="utf-8") as file:

        def listen(event: Event) -> None:
            if isinstance(event, EvaluationEvent):
                _write_line(file, event)

        yield listen


def log_listener(log: logging.Logger) -> Listener:
    """Give a listener that logs steps, and evaluations in which markets failed."""

    def listen(event: Event) -> None:
        if isinstance(event, StepEvent):
            log.info("step %d: %s", event.step, event.message)
        elif event.markets_failed:
            log.warning(
                "step %d, evaluation %d: %d markets did not converge",
                event.step,
                event.number,
                event.markets_failed,
            )

    return listen


def tell_all(*listeners: Listener) -> Listener:
    """Give a listener that passes every event on to several."""

    def listen(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return listen


@contextmanager
def run_log(
    path: Path, show_warning: Callable[[str], None]
) -> Iterator[logging.Logger]:
    """Log to a file, Python's warnings included, for the length of a run.

    Parameters
    ----------
    path
        The log file.
    show_warning
        Called with the text of every warning too, to show it to who is watching.
    """
    import warnings

    log = logging.getLogger("blpdask")
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        del filename, lineno, file, line
        text = f"{category.__name__}: {message}"
        log.warning("%s", text)
        show_warning(text)

    try:
        with warnings.catch_warnings():
            warnings.showwarning = show
            yield log
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        handler.close()


def read_evaluations(path: Path) -> list[dict[str, Any]]:
    """Read the evaluations of a run; a last line that was cut short is left out.

    Parameters
    ----------
    path
        File of a run that is complete, interrupted or still going on.
    """
    evaluations = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.endswith("\n"):
                evaluations.append(json.loads(line))
    return evaluations


def _write_line(file: TextIO, event: EvaluationEvent) -> None:
    """Write an evaluation as one line; numbers that are not finite become null."""
    entries = {name: _finite(value) for name, value in asdict(event).items()}
    file.write(json.dumps(entries) + "\n")
    file.flush()


def _finite(value: Any) -> Any:
    """Turn what JSON cannot say into null, and scalars of arrays into numbers."""
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
