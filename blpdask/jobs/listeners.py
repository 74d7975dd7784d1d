"""Write down every evaluation as it happens.

One JSON object a line, flushed at once: whatever ends a run, every evaluation before it
is on disk.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from ..errors import StoreError
from ..progress import EvaluationEvent, Event, Listener, StepEvent


@contextmanager
def evaluation_listener(path: Path) -> Iterator[Listener]:
    """Open a file and give a listener that writes evaluations to it.

    Evaluations that a run which was stopped has written stay as they are: a resumed run
    tells of them again, and those are passed over. From the first one that is not the
    same, should there be any, lines are written anew.

    Parameters
    ----------
    path
        The file, new or of a run that is resumed.
    """
    earlier = _whole_lines(path)
    with path.open("ab", buffering=0) as file:
        file.truncate(sum(map(len, earlier)))
        passed = 0

        def listen(event: Event) -> None:
            nonlocal passed
            if not isinstance(event, EvaluationEvent):
                return
            line = _line(event)
            if passed < len(earlier):
                if _same_evaluation(earlier[passed], line):
                    passed += 1
                    return
                file.truncate(sum(map(len, earlier[:passed])))
                del earlier[passed:]
            _write(file, line, path)

        yield listen


def log_listener(log: logging.Logger) -> Listener:
    """Give a listener that logs steps, and evaluations in which markets failed."""

    def listen(event: Event) -> None:
        if isinstance(event, StepEvent):
            log.info("step %d: %s", event.step, event.message)
        elif isinstance(event, EvaluationEvent) and event.markets_failed:
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
    handler = _QuietHandler(path, encoding="utf-8")
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


class _QuietHandler(logging.FileHandler):
    """Logs while the disk takes it; a disk that is full stops the run elsewhere."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Say nothing of a line that cannot be written."""

    def close(self) -> None:
        """Close the file, whatever the disk says."""
        with suppress(OSError):
            super().close()


def _whole_lines(path: Path) -> list[bytes]:
    """Read the lines of a file, without a last one that was cut short."""
    if not path.exists():
        return []
    lines = path.read_bytes().splitlines(keepends=True)
    return [line for line in lines if line.endswith(b"\n")]


def _line(event: EvaluationEvent) -> bytes:
    """Write an evaluation as a line; numbers that are not finite become null."""
    entries = {name: _finite(value) for name, value in asdict(event).items()}
    return json.dumps(entries).encode() + b"\n"


def _same_evaluation(one: bytes, other: bytes) -> bool:
    """Whether two lines tell of one evaluation, seconds aside."""
    try:
        entries, others = (json.loads(line) | {"seconds": 0} for line in (one, other))
    except (ValueError, TypeError):
        return False
    return bool(entries == others)


def _write(file: Any, line: bytes, path: Path) -> None:
    """Write a line whole, or say that the disk refuses."""
    try:
        while line:
            line = line[file.write(line) :]
    except OSError as error:
        raise StoreError(
            f"found: {path} cannot be written: {error.strerror}\n  expected: a disk "
            "with room\n  what to do: make room, then resume the run"
        ) from error


def _finite(value: Any) -> Any:
    """Turn what JSON cannot say into null, and scalars of arrays into numbers."""
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
