"""Put options from a command line in place of a job file's.

``--set data.simulated.markets=500`` names an option by its path and gives its value as
YAML; rows and entries of matrices are numbered from 0: ``--set sigma.0.0=0.3``.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from ..errors import Faults, InputError
from .yaml_text import Path, read_yaml


def apply_overrides(
    content: dict[str, Any], overrides: Sequence[str], faults: Faults
) -> tuple[dict[str, Any], tuple[Path, ...]]:
    """Put values from a command line in place of a file's.

    Parameters
    ----------
    content
        What the file says; it is left as it is.
    overrides
        Texts of the form ``path=value``.
    faults
        What the faults of the overrides are added to.

    Returns
    -------
    tuple
        A new content, and the paths that were set.

    Examples
    --------
    >>> faults = Faults("--set")
    >>> apply_overrides({"solve": {"method": "2s"}}, ["solve.method=1s"], faults)
    ({'solve': {'method': '1s'}}, (('solve', 'method'),))
    """
    changed = copy.deepcopy(content)
    paths: list[Path] = []
    for override in overrides:
        name, equals, text = override.partition("=")
        if not equals or not name.strip():
            faults.add(
                f"--set {override}",
                "path=value, say --set solve.method=1s",
                "write the option's path, an equals sign and its value",
            )
            continue
        path = tuple(
            int(part) if part.isdecimal() else part for part in name.strip().split(".")
        )
        try:
            value = read_yaml(text, f"--set {name}").content
        except InputError as error:
            faults.extend(error)
            continue
        if _put(changed, path, value, override, faults):
            paths.append(path)
    return changed, tuple(paths)


def _put(content: Any, path: Path, value: Any, override: str, faults: Faults) -> bool:
    """Put a value at a path, making groups that are not there yet."""
    group = content
    for step, part in enumerate(path):
        last = step == len(path) - 1
        if isinstance(group, list) and isinstance(part, int) and part < len(group):
            if last:
                group[part] = value
            else:
                group = group[part]
        elif isinstance(group, dict) and isinstance(part, str):
            if last:
                group[part] = value
            elif group.get(part) is None:
                group[part] = group = {}
            else:
                group = group[part]
        else:
            where = ".".join(map(str, path[:step])) or "the job"
            faults.add(
                f"--set {override}",
                f"an option inside {where}, which has no entry {part!r}",
                "write the path as the job file nests it, rows numbered from 0",
            )
            return False
    return True
