"""What a job file says: numbers are numbers, keys come once, nothing is run."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blpdask.errors import InputError
from blpdask.jobs.yaml_text import read_yaml, write_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("-.5", -0.5),
        ("3", 3),
        (".inf", float("inf")),
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("~", None),
        ("null", None),
        ("1_000", "1_000"),
        ("0x10", "0x10"),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("'1e-5'", "1e-5"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text, value):
    found = read_yaml(f"x: {text}", "test").content["x"]
    assert found == value
    assert type(found) is type(value)


def test_lines_of_entries_are_known():
    text = "a: 1\nb:\n  c: 2\n  d:\n    - 3\n    - 4\n"
    lines = read_yaml(text, "test").lines
    assert lines[("a",)] == 1
    assert lines[("b", "c")] == 3
    assert lines[("b", "d", 1)] == 6


def test_keys_that_come_twice_are_all_faults():
    with pytest.raises(InputError) as caught:
        read_yaml("a: 1\nb: {c: 1, c: 2}\na: 3\n", "file.yaml")
    assert [fault.found for fault in caught.value.faults] == [
        "line 2: a second b.c",
        "line 3: a second a",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "a: !!python/object/apply:os.getcwd []",
        "a: !env PATH",
        "a: [1, 2",
        "&a [*a]",
        "{a: &x 1, b: *x}",
        "a: b: c",
    ],
)
def test_anything_but_plain_yaml_is_refused_with_its_line(text):
    with pytest.raises(InputError, match="line 1"):
        read_yaml(text, "file.yaml")


contents = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False)
    | st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True), inner)
    ),
    max_leaves=12,
)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(contents)
def test_what_is_written_is_read_back_the_same(content):
    found = read_yaml(write_yaml(content, "a comment\nof two lines"), "test").content
    assert found == content
    assert repr(found) == repr(content)
