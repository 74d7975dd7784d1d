"""Read a job file: is it a job, and which one.

Every fault of the file, of what the command line changes, and of the data's places is
reported in one message, with lines. Nothing in a job is ever evaluated as code.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ..errors import Faults
from .kinds import JobKind, kind_named
from .mistakes import add_mistakes, option_path
from .overrides import apply_overrides
from .yaml_text import Path, YamlText, read_yaml

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


@dataclass(frozen=True, slots=True)
class LoadedJob:
    """A job and the file that it is from.

    Attributes
    ----------
    job
        Every option, defaults filled in.
    path
        The file; its directory is what the job's paths are relative to.
    """

    job: Any
    path: FilePath


def load_job(path: FilePath | str, overrides: Sequence[str] = ()) -> LoadedJob:
    """Read a job file and check all of it.

    Parameters
    ----------
    path
        The file.
    overrides
        Texts of the form ``option.path=value`` that replace what the file says.

    Returns
    -------
    LoadedJob
        The job with its defaults filled in.

    Raises
    ------
    blpdask.errors.InputError
        With every fault of the file and of the overrides.
    """
    file = FilePath(path)
    text = read_yaml(_read(file), str(file))
    faults = Faults(str(file))
    content = text.content if isinstance(text.content, dict) else {}
    if text.content is not content:
        faults.add(
            f"{type(text.content).__name__} at the top of the file",
            "a group of options, one 'name: value' a line",
            "start from a job file under workflows/",
        )
        faults.check()
    content, changed = apply_overrides(content, overrides, faults)
    kind = kind_named(content.get("kind"))
    job = _validate(content, kind, _places(text, changed), file.parent, faults)
    faults.check()
    return LoadedJob(job=job, path=file)


def _read(file: FilePath) -> str:
    """Read the text of a job file."""
    faults = Faults(str(file))
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        faults.add("no such file", "a job file", "check the path")
    except IsADirectoryError:
        remedy = f"name the file in it, say {file / 'job.yaml'}"
        faults.add("a directory", "a job file", remedy)
    except (OSError, UnicodeDecodeError) as error:
        faults.add(f"it cannot be read: {error}", "a text file", "check the file")
    faults.check()
    raise AssertionError  # pragma: no cover


def _places(text: YamlText, changed: tuple[Path, ...]) -> dict[Path, str]:
    """Say where every option was given."""
    places = {path: f"line {line}" for path, line in text.lines.items() if path}
    places.update({path: "--set" for path in changed})
    return places


def _validate(
    content: dict[str, Any],
    kind: JobKind,
    places: dict[Path, str],
    directory: FilePath,
    faults: Faults,
) -> Any:
    """Check options one by one, then against one another and against the disk.

    Options that are wrong on their own are left out of the second check, and what every
    job must have is put in its place, so that all that can be said about the rest is
    said at once.
    """
    wrong: set[str] = set()
    job = None
    while job is None:
        try:
            job = kind.schema.model_validate(content)
        except ValidationError as error:
            mistakes = error.errors(include_url=False)
            if not wrong:
                add_mistakes(mistakes, kind.schema, places, faults)
                wrong = {str(mistake["loc"][0]) for mistake in mistakes}
            content = {**kind.placeholders, **_without(content, mistakes)}
    for conflict in kind.find_conflicts(job):
        if wrong.isdisjoint(conflict.options):
            faults.add(conflict.found, conflict.expected, conflict.remedy)
    kind.add_faults(job, directory, faults)
    return job


def _without(content: dict[str, Any], mistakes: list[ErrorDetails]) -> dict[str, Any]:
    """Leave out what is wrong, with the whole list or group where need be.

    Where nothing could be left out by itself, whole options are, so that this ends.
    """
    pruned = copy.deepcopy(content)
    for mistake in mistakes:
        path = option_path(mistake)
        if mistake["type"] == "missing":
            path = path[:-1] or path
        group: Any = pruned
        for depth, part in enumerate(path[:-1]):
            if not isinstance(group.get(part), dict):
                path = path[: depth + 1]
                break
            group = group[part]
        group.pop(path[-1], None)
    if pruned == content:
        for mistake in mistakes:
            pruned.pop(str(mistake["loc"][0]), None)
    return pruned
