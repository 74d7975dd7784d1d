"""Read and write YAML, and know on which line everything stands.

PyYAML reads YAML 1.1, where ``1e-5`` is a word, ``no`` is false, and the second of two
equal keys silently wins. A tolerance that is a word and an option given twice are the
mistakes that job files really contain, so here numbers and truth values are those of
YAML 1.2 (Ben-Kiki, Evans and döt Net 2021, section 10.3) and equal keys are a fault.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from ..errors import Faults

Path = tuple[str | int, ...]

_CORE_SCALARS = {
    "tag:yaml.org,2002:null": r"~|null|Null|NULL|",
    "tag:yaml.org,2002:bool": r"true|True|TRUE|false|False|FALSE",
    "tag:yaml.org,2002:int": r"[-+]?(0|[1-9][0-9]*)",
    "tag:yaml.org,2002:float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
    ),
}


@dataclass(frozen=True, slots=True)
class YamlText:
    """What a YAML text says.

    Attributes
    ----------
    content
        Mappings, lists, strings, numbers, booleans and None.
    lines
        Line number, from 1, of every entry by its path.
    """

    content: Any
    lines: dict[Path, int] = field(default_factory=dict)


def read_yaml(text: str, subject: str) -> YamlText:
    """Read a YAML text without ever running anything that it says.

    Parameters
    ----------
    text
        The text.
    subject
        What faults are reported about, a file name say.

    Returns
    -------
    YamlText
        Its content and where its entries stand.

    Raises
    ------
    blpdask.errors.InputError
        If it is not YAML, or if a mapping has a key twice.

    Examples
    --------
    >>> read_yaml("gtol: 1e-5", "example").content
    {'gtol': 1e-05}
    """
    faults = Faults(subject)
    try:
        loader = _CoreLoader(text)
        node = loader.get_single_node()
        lines: dict[Path, int] = {}
        if node is not None:
            _locate(node, (), lines, faults)
        faults.check()
        content = loader.construct_document(node) if node is not None else None
    except yaml.YAMLError as error:
        faults.add(
            _where(error),
            "plain YAML: mappings, lists, words and numbers",
            "check indentation, colons and brackets near that line",
        )
        faults.check()
    return YamlText(content=content, lines=lines)


def write_yaml(content: Any, comment: str = "") -> str:
    """Write a content as YAML that :func:`read_yaml` reads back as the same.

    Parameters
    ----------
    content
        Mappings, lists, strings, numbers, booleans and None.
    comment
        Lines to stand at the top.
    """
    head = "".join(f"# {line}\n" for line in comment.splitlines())
    return head + yaml.dump(
        content,
        Dumper=_CoreDumper,
        sort_keys=False,
        allow_unicode=False,  # PyYAML would write some line breaks as they are
        default_flow_style=None,
        width=88,
    )


class _CoreLoader(yaml.SafeLoader):
    """A safe loader with the scalars of YAML 1.2, and without aliases."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Refuse aliases, which could contain themselves."""
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(
                None, None, f"an alias, *{event.anchor}", event.start_mark
            )
        return super().compose_node(parent, index)


class _CoreDumper(yaml.SafeDumper):
    """A safe dumper that quotes what the scalars of YAML 1.2 would misread."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write equal entries out in full."""
        return True

    def represent_options(self, options: dict[str, Any]) -> yaml.Node:
        """Write a mapping as one option a line."""
        tag = "tag:yaml.org,2002:map"
        return self.represent_mapping(tag, options.items(), flow_style=not options)


def _core_resolvers() -> dict[str | None, list[tuple[str, re.Pattern[str]]]]:
    """Map every first character to the scalars that may start with it."""
    patterns = [
        (tag, re.compile(rf"^(?:{pattern})$")) for tag, pattern in _CORE_SCALARS.items()
    ]
    return dict.fromkeys((*"-+.~0123456789nNtTfF", ""), patterns)


_CoreLoader.yaml_implicit_resolvers = _core_resolvers()
_CoreDumper.yaml_implicit_resolvers = _core_resolvers()
_CoreDumper.add_representer(dict, _CoreDumper.represent_options)


def _locate(
    node: yaml.Node, path: Path, lines: dict[Path, int], faults: Faults
) -> None:
    """Note the line of every entry below a node, and keys that come twice."""
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        for index, entry in enumerate(node.value):
            _locate(entry, (*path, index), lines, faults)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, entry in node.value:
        name = str(key.value)
        line = key.start_mark.line + 1
        if name in seen:
            faults.add(
                f"line {line}: a second {'.'.join(map(str, (*path, name)))}",
                "every option once",
                "delete one of the two",
            )
        seen.add(name)
        lines[*path, name] = line
        _locate(entry, (*path, name), lines, faults)


def _where(error: yaml.YAMLError) -> str:
    """Say in one line where and why a text is not YAML."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return f"line {mark.line + 1}: {problem}" if mark else str(problem)
