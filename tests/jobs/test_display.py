"""What is shown while a job runs: whole numbers in 80 columns, or plain lines."""

from __future__ import annotations

import io

from rich.console import Console

from blpdask.jobs.display import display_listener
from blpdask.progress import BlocksEvent, EvaluationEvent, StepEvent

EVENTS = [
    StepEvent(1, "begins [bold]"),
    EvaluationEvent(
        1, 0, 1, 0, 29.3533431, float("nan"), True, 0.5, 6740000, 0, (1.0,)
    ),
    EvaluationEvent(1, 12, 123456, 1, 30.25, 2e-3, False, 0.25, 740000, 3, (1.0,)),
]


def shown(events=EVENTS, **options):
    console = Console(file=io.StringIO(), width=80, **options)
    with display_listener(console) as listener:
        for event in events:
            listener(event)
    return console.file.getvalue()


def test_away_from_a_terminal_every_event_is_one_line():
    lines = shown(force_terminal=False).splitlines()
    assert len(lines) == 3
    assert lines[0] == "step 1: begins [bold]"
    assert lines[1].startswith("step 1  evaluation 1  objective 2.935334310e+01 *")
    assert lines[2].endswith("share maps 740000  0.250 s  markets failed 3")


def test_on_a_terminal_a_table_holds_whole_numbers_in_80_columns():
    text = shown(force_terminal=True, _environ={"TERM": "xterm"})
    assert "begins [bold]" in text
    for whole in ("2.93533431e+01", "6,740,000", "123456", "3.02500000e+01"):
        assert whole in text
    assert "best 2.935334310e+01   2 evaluations   7,480,000 share maps" in text
    assert "…" not in text


PASS = [BlocksEvent(12 * second, 128, float(second)) for second in range(1, 10)]


def test_a_long_pass_is_a_bar_on_a_terminal_and_a_line_elsewhere():
    lines = shown(PASS, force_terminal=False).splitlines()
    assert lines == ["block 24 of 128, 2 s"]  # and no second one within ten seconds
    terminal = {"force_terminal": True, "_environ": {"TERM": "xterm"}}
    text = shown(PASS, **terminal)
    assert "block 108 of 128, 9 s" in text
    assert "\u2501" in text or "-" * 8 in text
    assert "block" not in shown([*PASS, *EVENTS], **terminal)
    assert "block" not in shown(PASS[:1], **terminal)
