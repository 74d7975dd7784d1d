"""Scripts written for PyBLP run after changing their import, and print the same.

Each file in ``scripts`` is run twice: as it is, and with ``import pyblp`` made
``import blpdask as pyblp``. What they print is rounded to what both packages' searches,
which differ, agree on.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.references.specifications import needs_nevo_data

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.py"))
pytestmark = [needs_nevo_data, pytest.mark.slow]


def printed(text: str) -> list[str]:
    """Run a script's text in a process of its own, and give what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", text],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_prints_the_same_under_both_packages(script: Path) -> None:
    pytest.importorskip("pyblp")
    text = script.read_text()
    assert text.count("\nimport pyblp\n") == 1
    here = printed(text.replace("\nimport pyblp\n", "\nimport blpdask as pyblp\n"))
    assert len(here) > 5
    assert here == printed(text)
