"""List the options of a job: name, default, meaning.

The list is read off the schema, so that it cannot be out of date.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from pydantic import BaseModel

from ..errors import Faults
from .kinds import kind_named, kind_names
from .mistakes import group_of

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


def explain_options(group: str = "") -> str:
    """Write the options of a job, or of one of its groups, one by one.

    Parameters
    ----------
    group
        Name of a group or option, say ``solve``; empty for all. Those of jobs about
        choices of people are ``choices``, ``choices.solve`` and so on.

    Raises
    ------
    blpdask.errors.InputError
        If there is no such group.

    Examples
    --------
    >>> print(explain_options("engine.threads"))
    engine.threads: null
        How many threads; left out, one a usable core.
    """
    kind, _, rest = group.partition(".")
    named = kind in kind_names()
    model = kind_named(kind).schema
    wanted = rest if named else group
    texts = [
        _describe(name, field)
        for name, field in _walk(model, "")
        if not wanted or name == wanted or name.startswith(f"{wanted}.")
    ]
    if not texts:
        faults = Faults("blpdask options")
        faults.add(
            f"no option {group!r}",
            f"one of {', '.join(model.model_fields)}, or a group in them; of jobs "
            "about choices of people, choices or a group in it, say choices.solve",
            "leave it out to see all",
        )
        faults.check()
    return "\n".join(texts)


def _walk(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    """Give every option below a group with its full name."""
    for name, field in model.model_fields.items():
        full = f"{prefix}{name}"
        inner = group_of(field.annotation)
        yield full, field
        if inner is not None:
            yield from _walk(inner, f"{full}.")


def _describe(name: str, field: FieldInfo) -> str:
    """Write one option: its default or choices, then its meaning."""
    meaning = " ".join((field.description or "").split())
    if choices := _choices(field.annotation):
        meaning += f" One of: {', '.join(choices)}."
    indented = textwrap.indent(textwrap.fill(meaning, 84), "    ")
    return f"{name}:{_default(field)}\n{indented}"


def _default(field: FieldInfo) -> str:
    """Write a default as YAML; a group has none of its own."""
    if field.is_required():
        return " (required)"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return ""
    return f" {_yaml(value)}"


def _yaml(value: Any) -> str:
    """Write a value on one line of YAML."""
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(_yaml, value))}]"
    words = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    return '""' if value == "" else str(value)


def _choices(annotation: Any) -> tuple[str, ...]:
    """Give the words among which an option chooses, if it does."""
    if get_origin(annotation) is Literal:
        return tuple(map(str, get_args(annotation)))
    for inner in get_args(annotation):
        if inner is not None and inner is not type(None) and (found := _choices(inner)):
            return found
    return ()
