"""Which coefficients vary, and how: names that were asked for, found among columns.

    β_ik = h_k(b_k + Σ_m Π_km d_im + Σ_l L_kl z_il),

where ``random`` names the columns k of X with an L and their h, ``shifts`` those with a
Π, and ``correlated`` groups of columns within which L is triangular. In
willingness-to-pay space (Train and Weeks 2005) prices p enter with λ_i = h(η_ip) > 0,

    u_ij = λ_i (-p_j + Σ_k ω_ik x_jk) + ε_ij,

so that the column of prices is negated, here, and what the others have is ω.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ..choice_records import CENTRED, SCALE, MixedCoefficients
from ..errors import Faults
from ..records import Floats
from .fields import some
from .formula_columns import Column
from .formula_expressions import Constant, Indicator, Operation

if TYPE_CHECKING:
    from .choice_table import ChoiceTable

#: Kinds that a scale cannot be of: they are negative for some, or have no mean.
UNSIGNED = ("normal", "uniform", "triangular", "component")
Groups = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class AskedCoefficients:
    """What varies, by names of columns.

    Attributes
    ----------
    random
        Kinds of random coefficients by their columns.
    correlated
        Whether all of them are, or groups of columns within which they are.
    shifts
        Demographics that shift the coefficient of each column; None for all of the
        random ones with a mean, by all demographics.
    wtp
        The column whose coefficient, of the other sign, scales the others; or None.
    random_scale
        Whether a scale that is no column's does.
    """

    random: Mapping[str, str] = field(default_factory=dict)
    correlated: bool | Groups = False
    shifts: Mapping[str, tuple[str, ...]] | None = None
    wtp: str | None = None
    random_scale: bool = False


def name_coefficients(
    asked: AskedCoefficients,
    columns: Sequence[Column],
    demographics: Sequence[Column],
    faults: Faults,
) -> MixedCoefficients:
    """Find what was asked for.

    Parameters
    ----------
    asked
        By names, or labels, of columns.
    columns, demographics
        ``(K,)`` and ``(M,)`` of X and of d.
    faults
        Where every name that is none goes; with some, the answer is incomplete.
    """
    kinds = _name_kinds(asked.random, columns, faults)
    wtp = _name_scale(asked, columns, kinds, faults)
    labels = [column.name for column in columns]
    if wtp is not None:
        labels[wtp] = negated(labels[wtp])
    correlated = _name_groups(asked.correlated, columns, kinds, faults)
    shifted = _name_shifts(asked.shifts, columns, kinds, demographics, faults)
    scale = "" if wtp is None else labels[wtp]
    found = MixedCoefficients(
        labels=tuple(labels),
        kinds=kinds,
        correlated=correlated,
        demographics=tuple(column.name for column in demographics),
        shifted=shifted,
        scale=SCALE if asked.random_scale else scale,
    )
    if correlated is True and not any(d != c for d, c in found.entries):
        faults.add(
            "correlated coefficients of which fewer than two are random and not "
            "truncated",
            "at least two random coefficients that are not truncated",
            "name more columns in random, or leave correlated out",
        )
    return found


def negate_column(table: ChoiceTable, place: int) -> ChoiceTable:
    """Change the sign of a column of X, and of what it computes from data."""
    X, columns = table.X.copy(), list(table.columns)
    X[:, place] *= -1.0
    given = columns[place]
    columns[place] = Column(
        name=negated(given.name),
        label=negated(given.label),
        names=given.names,
        expression=Operation("*", (Constant(-1), given.expression)),
    )
    return replace(table, X=X, columns=tuple(columns))


def negated(name: str) -> str:
    """Name a column whose sign was changed.

    Examples
    --------
    >>> negated("prices"), negated("prices*income")
    ('-prices', '-(prices*income)')
    """
    return f"-{name}" if name.isidentifier() else f"-({name})"


def shift_columns(
    coefficients: MixedCoefficients, within: Floats, demographics: Floats
) -> Floats:
    """Multiply columns ``(N, K)`` by what shifts their coefficients, ``(N, entries)``.

    ``demographics`` are ``(N, M)``, of whom each row belongs to.
    """
    columns = [k for k, _ in coefficients.shifted]
    shifters = [m for _, m in coefficients.shifted]
    return within[:, columns] * demographics[:, shifters]


def _find(name: str, columns: Sequence[Column]) -> int | None:
    """Find the first column of a name or label."""
    found = [k for k, c in enumerate(columns) if name in (c.name, c.label)]
    return found[0] if found else None


def _find_all(
    what: str,
    names: Iterable[str],
    columns: Sequence[Column],
    faults: Faults,
    *,
    dummies: bool = False,
) -> list[int]:
    """Find columns, once each, and dummies of variables; faults for other names."""
    places: list[int] = []
    for name in names:
        place = _find(name, columns)
        found = [] if place is None else [place]
        if dummies and not found:
            found = _dummies(name, columns)
        if not found:
            faults.add(
                f"no column '{name}', which {what} names",
                f"one of {some([column.name for column in columns])}",
                "correct the name, or add the column to the formulation",
            )
        places += found
    return list(dict.fromkeys(places))


def _dummies(name: str, columns: Sequence[Column]) -> list[int]:
    """Find the dummies of a categorical variable, by ``region`` or ``C(region)``."""
    return [
        k
        for k, column in enumerate(columns)
        if isinstance(column.expression, Indicator)
        and name in (column.expression.name, f"C({column.expression.name})")
    ]


def _name_kinds(
    random: Mapping[str, str], columns: Sequence[Column], faults: Faults
) -> tuple[str, ...]:
    """Give each column's kind, ``(K,)``."""
    kinds = ["fixed"] * len(columns)
    for name, kind in random.items():
        place = _find(name, columns)
        if place is not None:
            kinds[place] = kind
            continue
        faults.add(
            f"no column '{name}' of the formulation, which random names",
            f"one of {some([column.name for column in columns])}",
            "correct the name, or add the column to the formulation",
        )
    return tuple(kinds)


def _name_scale(
    asked: AskedCoefficients,
    columns: Sequence[Column],
    kinds: Sequence[str],
    faults: Faults,
) -> int | None:
    """Find the column whose coefficient scales the others."""
    if asked.wtp is None:
        return None
    places = _find_all("wtp", [asked.wtp], columns, faults)
    if places and kinds[places[0]] in UNSIGNED:
        faults.add(
            f"wtp='{asked.wtp}', whose coefficient is of kind {kinds[places[0]]!r}",
            "a coefficient that is positive for all: fixed, lognormal, truncated, …",
            f"say random={{'{asked.wtp}': 'lognormal'}}, or leave it fixed",
        )
    if len(columns) < 2:
        faults.add(
            f"wtp='{asked.wtp}' with no other column",
            "columns that something is paid for",
            "add them to the formulation, or leave wtp out",
        )
    return places[0] if places else None


def _name_groups(
    correlated: bool | Groups,
    columns: Sequence[Column],
    kinds: Sequence[str],
    faults: Faults,
) -> bool | tuple[tuple[int, ...], ...]:
    """Find the columns of groups, each random and in one of them."""
    if isinstance(correlated, bool):
        return correlated
    groups = []
    for names in correlated:
        before = len(faults)
        places = _find_all("correlated", names, columns, faults, dummies=True)
        groups.append(places)
        if len(places) < 2 and len(faults) == before:
            faults.add(
                f"a group ({some(names)}) of correlated coefficients",
                "groups of two or more columns that differ",
                "name more columns, or leave the group out",
            )
        for k in [k for k in places if kinds[k] in ("fixed", "truncated")]:
            faults.add(
                f"'{columns[k].name}' of kind {kinds[k]!r} among correlated ones",
                "random coefficients that are not truncated",
                "leave it out of the groups, or choose another kind",
            )
    every = [k for places in groups for k in places]
    twice = sorted({k for k in every if every.count(k) > 1})
    if twice:
        faults.add(
            f"[{some([columns[k].name for k in twice])}] in several groups",
            "each column in one group of correlated coefficients",
            "join the groups, or leave the column out of all but one",
        )
    return tuple(tuple(sorted(places)) for places in groups)


def _name_shifts(
    shifts: Mapping[str, tuple[str, ...]] | None,
    columns: Sequence[Column],
    kinds: Sequence[str],
    demographics: Sequence[Column],
    faults: Faults,
) -> tuple[tuple[int, int], ...]:
    """Find which coefficients which demographics shift, by columns of X."""
    if shifts is None:
        shifted = [k for k, kind in enumerate(kinds) if kind not in ("fixed", *CENTRED)]
        if demographics and not shifted:
            faults.add(
                "demographics, and no random coefficient with a mean to shift",
                "shifts that say whose means they shift",
                "say so, as in shifts={'prices': ['income']}, or name random ones",
            )
        return tuple((k, m) for k in shifted for m in range(len(demographics)))
    pairs = set()
    for name, shifters in shifts.items():
        what = f"shifts of '{name}'"
        found = _find_all(what, shifters, demographics, faults, dummies=True)
        for k in _find_all("shifts", [name], columns, faults, dummies=True):
            if kinds[k] in CENTRED:
                faults.add(
                    f"shifts of '{columns[k].name}', of kind {kinds[k]!r}",
                    "coefficients with a mean that is a parameter",
                    "choose another kind, or leave it out of shifts",
                )
            pairs |= {(k, m) for m in found}
    return tuple(sorted(pairs))
