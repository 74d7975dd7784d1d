"""Say what is wrong with options: found, expected, what to do, for every mistake.

Where a name is unknown, the closest known one is suggested (the ratio of Ratcliff and
Metzener 1988, as in :mod:`difflib`).
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, get_args, get_origin

from pydantic import BaseModel

from .fields import Options

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from ..errors import Faults
    from .yaml_text import Path

_EXPECTED = {
    "bool_type": "true or false",
    "dict_type": "a group of options, one 'name: value' a line",
    "float_type": "a number, without quotes",
    "int_type": "a whole number, without quotes",
    "model_type": "a group of options, one 'name: value' a line",
    "string_pattern_mismatch": "letters, digits, dots, dashes and underscores",
    "string_type": "text",
    "tuple_type": "a list",
}


def add_mistakes(
    errors: list[ErrorDetails],
    model: type[Options],
    places: dict[Path, str],
    faults: Faults,
) -> None:
    """Turn what validation found into faults.

    Parameters
    ----------
    errors
        What pydantic found.
    model
        Options that were validated.
    places
        Where in a file (or on a command line) each path stands, in words.
    faults
        What the faults are added to.
    """
    for error in errors:
        path = option_path(error)
        place = _place(path, places)
        kind = error["type"]
        if kind == "extra_forbidden":
            _add_unknown(path, _known_options(model, path[:-1]), place, faults)
        elif kind == "missing":
            _add_missing(path, model, place, faults)
        else:
            faults.add(
                f"{place}{dotted(path)} = {_shown(error['input'])}",
                _expected(error),
                _remedy(path, model),
            )


def option_path(error: ErrorDetails) -> Path:
    """Give the path of the option that a mistake is of; of a key, that of its entry."""
    path = tuple(error["loc"])
    return path[:-1] if path[-1] == "[key]" else path


def dotted(path: Path) -> str:
    """Write a path as it is written on a command line, say solve.method."""
    return ".".join(map(str, path)) or "the whole file"


def _place(path: Path, places: dict[Path, str]) -> str:
    """Say where a path, or the nearest group around it, stands."""
    while path and path not in places:
        path = path[:-1]
    return f"{places[path]}: " if path in places else ""


def _add_unknown(
    path: Path, known: tuple[str, ...], place: str, faults: Faults
) -> None:
    """Add an option that does not exist, with the closest that does."""
    name = str(path[-1])
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    faults.add(
        f"{place}unknown option {dotted(path)}",
        f"one of {', '.join(known)}",
        f"did you mean {near[0]}?" if near else "delete it, or see 'blpdask options'",
    )


def _add_missing(path: Path, model: type[Options], place: str, faults: Faults) -> None:
    """Add an option that has no default and was left out."""
    faults.add(
        f"{place}no option {dotted(path)}",
        _meaning(path, model) or "a value",
        f"add {dotted(path)}",
    )


def _expected(error: ErrorDetails) -> str:
    """Say what was expected in place of what was found."""
    plain = _EXPECTED.get(error["type"])
    return plain or error["msg"].removeprefix("Input should be ").replace("'", "")


def _remedy(path: Path, model: type[Options]) -> str:
    """Tell what the option means, or at least that it is to be changed."""
    meaning = _meaning(path, model)
    return f"change it. {dotted(path)}: {meaning}" if meaning else "change it"


def _meaning(path: Path, model: type[Options]) -> str:
    """Look up the sentence about an option (or the option that an entry belongs to)."""
    while path:
        group, known = _group(model, path[:-1]), str(path[-1])
        if group is not None and known in group.model_fields:
            sentence = group.model_fields[known].description or ""
            return " ".join(sentence.split()).removesuffix(".")
        path = path[:-1]
    return ""


def _known_options(model: type[Options], path: Path) -> tuple[str, ...]:
    """Name the options of the group at a path."""
    group = _group(model, path)
    return tuple(group.model_fields) if group is not None else ()


def _group(model: type[Options], path: Path) -> type[BaseModel] | None:
    """Find the options of the group at a path."""
    group: type[BaseModel] = model
    many = False
    for name in path:
        if many:
            many = False  # the name, or number, of one of many groups
            continue
        field = group.model_fields.get(str(name))
        inner = None if field is None else group_of(field.annotation)
        if inner is None:
            return None
        group, many = inner, _holds_many(field.annotation if field else None)
    return group


def _holds_many(annotation: Any) -> bool:
    """Tell whether an annotation is of a list or mapping of groups."""
    return get_origin(annotation) in (tuple, dict)


def group_of(annotation: Any) -> type[BaseModel] | None:
    """Find the group of options in an annotation, optional or one of many or not."""
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _shown(value: Any) -> str:
    """Show a value in at most one line."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
