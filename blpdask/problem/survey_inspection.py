"""The one pass that asks all blocks of a store what surveys ask.

A block that is asked stays where it was asked, if there is room, and its findings come
to the driver. They travel apart from the block: the source of findings loads the same
blocks, and gives what was found of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import cast

from ..driver.cores import single_threaded_libraries
from ..driver.engine import Engine
from ..errors import Faults
from ..progress import Listener, StepEvent
from .stored_surveys import SurveyedBlocks
from .survey_block import SurveyQuestions
from .survey_findings import SurveyFindings


def findings_pass(
    block: SurveyFindings, state: None, memory: object
) -> tuple[SurveyFindings, None]:
    """Give what was found of a block."""
    del state, memory
    return block, None


def inspect_blocks(
    blocks: SurveyedBlocks, engine: Engine, listener: Listener
) -> SurveyFindings:
    """Ask all blocks once, and check what their functions give.

    Parameters
    ----------
    blocks
        The blocks of a store, which keep what they can of what they find.
    engine
        Where they are worked on.
    listener
        Told of the pass.

    Raises
    ------
    InputError
        With every fault of the functions.
    StoreError
        Where a block cannot be read.
    """
    if engine.name == "dask":
        _check_travel(blocks.questions)
    listener(StepEvent(0, "Evaluating the functions of micro moments"))
    with single_threaded_libraries():
        placement = engine.place(_Inspection(blocks))
        placement.listen(listener)
        try:
            found: SurveyFindings = placement.reduce(findings_pass, None)
        finally:
            placement.close()
    found.check(blocks.questions)
    return found


class _Inspection:
    """A block source whose blocks are what their functions were found to be."""

    def __init__(self, blocks: SurveyedBlocks) -> None:
        self._blocks = blocks
        self.name = f"{blocks.name} inspected"

    @property
    def scratch(self) -> Path:
        """Where workers leave what they share."""
        return self._blocks.scratch

    def __len__(self) -> int:
        return len(self._blocks)

    def load(self, index: int) -> SurveyFindings:
        """Ask a block."""
        return self._blocks.inspect(index)

    def size(self, index: int) -> int:
        """Estimate the bytes of the block itself."""
        return self._blocks.size(index)

    def describe(self, index: int) -> str:
        """Name a block, with its markets."""
        return self._blocks.describe(index)

    def only(self, indices: Iterable[int]) -> _Inspection:
        """Give the same source with large lookups filed."""
        return _Inspection(cast("SurveyedBlocks", self._blocks.only(indices)))


def _check_travel(questions: SurveyQuestions) -> None:
    """Check that functions can be sent to other processes.

    Raises
    ------
    InputError
        With every function that cannot.
    """
    from distributed.protocol.pickle import dumps

    faults = Faults("micro_moments")
    functions = [
        (f"compute_weights of {d.label}", d.weights) for d in questions.datasets
    ]
    functions += [(f"compute_values of {p.label}", p.values) for p in questions.parts]
    for label, function in functions:
        try:
            dumps(function)
        except Exception as error:
            faults.add(
                f"{label} that cannot be sent to workers ({type(error).__name__}: "
                f"{error})",
                "a formula, or a function that can be pickled",
                "write it as a formula or as a function of a module that workers have, "
                "which reads no open files, locks or connections; or use engine="
                "'threads'",
            )
    faults.check()
