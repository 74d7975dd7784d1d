"""What a job about choices of people asks of its estimates, and the answers' files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .choice_schema import ChoiceJob

if TYPE_CHECKING:
    from ..api.choice_results import ChoiceResults


def answer_questions(
    job: ChoiceJob, data: Any, results: ChoiceResults, partial: Path
) -> dict[str, Any]:
    """Answer what a job asks, a CSV file a question."""
    del data
    asked = job.questions
    del results, partial, asked
    return {}
