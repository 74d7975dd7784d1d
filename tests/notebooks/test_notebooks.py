"""Notebooks run, and what they show is what they found when they were written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import blpdask

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

NOTEBOOKS = Path(blpdask.__file__).parents[1] / "notebooks"
#: What must be among the outputs of each.
KEY_NUMBERS = {
    "nevo.ipynb": ("4.561514", "588.3251", "-62.7299", "-60.34 (13.75)", "(True, True)")
}


def texts(notebook: Any, kind: str) -> list[str]:
    """Gather the texts of outputs of a kind: printed (stream) or shown."""
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", ())]
    if kind == "stream":
        return [o.text for o in outputs if o.output_type == "stream"]
    return [o.data["text/plain"] for o in outputs if "data" in o]


def executed(name: str) -> Any:
    """Run a notebook in a kernel of its own; any error of a cell is raised."""
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    client = nbclient.NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(NOTEBOOKS)}},
    )
    client.execute()
    return notebook


def test_every_notebook_is_tested() -> None:
    assert {path.name for path in NOTEBOOKS.glob("*.ipynb")} == set(KEY_NUMBERS)


@pytest.mark.filterwarnings("default")  # warnings of Jupyter's own threads and sockets
@pytest.mark.parametrize("name", KEY_NUMBERS)
def test_a_notebook_runs(name: str) -> None:
    stored = nbformat.read(NOTEBOOKS / name, as_version=4)
    nbformat.validate(stored)
    run = executed(name)
    shown = "\n".join([*texts(run, "stream"), *texts(run, "shown")])
    for number in KEY_NUMBERS[name]:
        assert number in shown
    assert texts(run, "stream") == texts(stored, "stream")
    assert "DeprecationWarning" not in shown and "DataWarning" not in shown


def test_stored_outputs_are_small_and_name_no_machine() -> None:
    for name in KEY_NUMBERS:
        text = (NOTEBOOKS / name).read_text()
        assert len(text) < 400_000
        assert "/tmp" not in text and "/home" not in text and "/work" not in text
