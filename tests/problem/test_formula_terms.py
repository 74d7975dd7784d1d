"""The algebra of terms against patsy's, and what a formula may not say."""

from __future__ import annotations

import patsy
import pytest

from blpdask.errors import InputError
from blpdask.problem.formula_terms import parse_terms
from blpdask.problem.formulas import parse

ALGEBRA = """0 | 1 | -1 | - 0 | + 0 | 0 + 1 | 1 + 0 | 1 - 0 | 0 - 1 | a - 1 | a - 0
1 - a | a + ((((b - a)))) | a + a + a | a:b:a | a:(b - c)
c + a:c + a:(b - c) | a:b - b:a | b + b:c + (a - b):c | 1 - (a + b)
a * b * a | a * (b + c) | (a + b) * c | c + a:c + a * (b - c)
(a + b)/c | b + b:c + (a - b)/c | a/(b + c) | a ** 2
(a + b + c + d) ** 2 | (a + b + c + d) ** 3 | (a + b) ** 100 | a + +a
~ a*b + 0 | a + b * c | a * b - a | a + b / c | a / b + c | a*b:c
a:b*c | 1 + 1 + 0 + 1 | ~ 0 + 1 + 0 | 0 - 1 - 1 + 0 + 1 | 0 + a + 1
1 + (a + 0) | 0 + (a + 1) | 1 - (a + 1) | -1 + a | a + -1
I(a+b)*log( c ) | I(-(a - -1)*b**-2) + I( - (a - -1) * b ** -2 )
a:I((a)) | 0*a | (a + b)**2/c - a:b:c | a / b / c | a / (b / c)
a:b ** 2 | (a:b) ** 2 | a*b*c - b - a:c
""".replace("\n", "|")

EVIL = [
    "__import__('os').system('true')",
    "I(__import__('os'))",
    "open(a)",
    "eval(a)",
    "I(eval(a))",
    "a.__class__",
    "I(a.b)",
    "np.log(a)",
    "lambda a: a",
    "I(lambda: a)",
    "I([a for a in b])",
    "a[0]",
    "I(a[0])",
    "I({a})",
    "I(a if b else c)",
    "I(a and b)",
    "I(not a)",
    "I(True * a)",
    "I(None)",
    "I(a := 3)",
    "I('a')",
    "`a`",
    "f'{a}'",
    "@a",
    "a; b",
    "a # b",
    "log(a)(b)",
    "I(a)(b)",
    "log(a)(b)(c)",
    "Q('a')",
    "bs(a)",
]

MALFORMED = [
    "y ~ a",
    "a +",
    "* a",
    "a b",
    "a 2",
    "()",
    "(a",
    "a)",
    "a ~ b",
    "a + 2",
    "2",
    "2 * a",
    "1:a",
    "(a + 1):b",
    "a ** b",
    "a ** 1.5",
    "a ** 0",
    "-a",
    "1 + -(a + b)",
    "sqrt(a)",
    "I(a > 0)",
    "I(a == b)",
    "I(a % b)",
    "I(a // b)",
    "I(a @ b)",
    "I(a:b)",
    "I()",
    "log()",
    "log(a, b)",
    "log(a + )",
    "I(1j * a)",
    "C()",
    "C(a + b)",
    "C(a, b)",
    "C(1)",
    "log(C(a))",
    "I(C(a) * b)",
    "C(C(a))",
    "I(1 / 0)",
    "I(log(0) * a)",
    "I(log(-1) * a)",
    "I((-8) ** (1 / 3))",
    "I(a ** 9 ** 9 ** 9 ** 9)",
    "I((1 / 2) ** 10 ** 300 * a)",
    "I(1e999 * a)",
    "I(" + "-" * 5000 + "a)",
    "I(" + "(" * 500 + "a" + ")" * 500 + ")",
    "(" * 5000 + "a" + ")" * 5000,
    "I(" + "a + " * 5000 + "a)",
]


@pytest.mark.parametrize(
    "formula", [formula.strip() for formula in ALGEBRA.split("|") if formula.strip()]
)
def test_terms_are_patsys(formula: str) -> None:
    peers = patsy.ModelDesc.from_formula(formula).rhs_termlist
    theirs = ["1" if peer == patsy.INTERCEPT else peer.name() for peer in peers]
    assert [term.label for term in parse_terms(formula)] == theirs


@pytest.mark.parametrize("formula", EVIL + MALFORMED)
def test_refused_formulas_say_why(formula: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_terms(formula)
    for fault in caught.value.faults:
        assert fault.found and fault.expected and "C, I, log, exp" in fault.remedy
    assert len(str(caught.value)) < 1000


def test_refused_calls_are_named() -> None:
    with pytest.raises(InputError) as caught:
        parse_terms("open(a) + I(sqrt(b)) + np.log(c) + log(d)")
    found = [fault.found for fault in caught.value.faults]
    assert [text for text in found if "the call" in text] == [
        "the call open(...)",
        "the call sqrt(...)",
        "the call np.log(...)",
    ]


def test_nothing_is_executed(monkeypatch: pytest.MonkeyPatch) -> None:
    # Importing a library executes its source: SymPy is fully imported before.
    data = {"x": [1.0, 2], "y": [4.0, 5]}
    parse("I(y ** 2)").build(data).columns[1].derivative("y", data)

    def forbidden(*arguments: object) -> None:
        raise AssertionError(arguments)

    monkeypatch.setattr("builtins.eval", forbidden)
    monkeypatch.setattr("builtins.exec", forbidden)
    column = parse("I(x ** 2 / y) + log(x)").build(data).columns[1]
    derivative = column.derivative("x", data)
    assert derivative.tolist() == pytest.approx([0.5, 0.8], rel=1e-15)


def test_faults_of_both_formulas_are_reported_together() -> None:
    with pytest.raises(InputError) as caught:
        parse("1 + I(2)", absorb="log(a) + b:C(c)")
    found = " | ".join(fault.found for fault in caught.value.faults)
    assert "several constant terms: 1, I(2)" in found
    assert "'log(a)' among the effects" in found
    with pytest.raises(InputError, match="no term in '1'"):
        parse("1", absorb="C(a)")
    with pytest.raises(InputError, match="no term in '0'"):
        parse("0")
