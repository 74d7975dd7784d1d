"""Public data sets as tables that :class:`blpdask.ChoiceProblem` takes.

A row is an alternative of a situation. Columns are named as problems name them,
``situation_ids``, ``person_ids``, ``alternative_ids``, ``chosen`` and ``availability``,
beside each project's own. Filters and units are those of the studies that use the data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Faults
from .data_fetch import load

if TYPE_CHECKING:
    import pandas as pd

#: Guilders a euro, and cents a guilder, of the prices of ``train``.
_GUILDERS, _CENTS = 2.20371, 100.0


def load_choices(name: str, *, wheel: str | Path | None = None) -> pd.DataFrame:
    """Read a public data set of choices, an alternative a row, fetching it if need be.

    Parameters
    ----------
    name
        ``"electricity"`` (Huber and Train 2001), ``"train"`` (Meijer and Rouwendal
        2006: prices in euros, times in hours), ``"swissmetro"`` (Bierlaire, Axhausen
        and Abay 2001: commuters and business travellers with a known choice; ``time``
        and ``cost`` in hundreds of minutes and francs, none paid by holders of an
        annual ticket for train and Swissmetro), ``"modecanada"``, ``"artificial"`` or
        ``"car100"``.
    wheel
        As of :func:`blpdask.data.fetch`.

    Returns
    -------
    DataFrame
        Ready for a :class:`blpdask.ChoiceProblem`.

    Raises
    ------
    InputError
        Where there is no such table, or it cannot be fetched.

    Examples
    --------
    >>> load_choices("electricity").columns[:4].tolist()  # doctest: +SKIP
    ['chosen', 'person_ids', 'alternative_ids', 'pf']
    """
    if name not in _TABLES:
        faults = Faults("load_choices")
        faults.add(
            f"no table of choices {name!r}",
            f"one of {', '.join(map(repr, _TABLES))}",
            "choose one, or read other data with blpdask.data.load",
        )
        faults.check()
    table: pd.DataFrame = _TABLES[name](load(name, wheel=wheel))
    return table


def choice_tables() -> tuple[str, ...]:
    """Name the data sets that :func:`load_choices` knows."""
    return tuple(_TABLES)


def _rename(**columns: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Give a table its columns' names in problems."""
    return lambda table: table.rename(columns=columns)


def _train(table: pd.DataFrame) -> pd.DataFrame:
    """Stack the two journeys of each situation."""
    long = _stack(
        table.rename(columns={"id": "person_ids", "choiceid": "choice_ids"}),
        {
            f"choice{j}": {
                name: table[f"{name}{j}"]
                for name in ("price", "time", "change", "comfort")
            }
            for j in (1, 2)
        },
        keep=("person_ids", "choice_ids", "choice"),
    )
    long["chosen"] = long["choice"] == long["alternative_ids"]
    long["price"] /= _CENTS * _GUILDERS
    long["time"] /= 60.0
    return long.drop(columns="choice")


def _swissmetro(table: pd.DataFrame) -> pd.DataFrame:
    """Stack train, Swissmetro and car; leave out who is in no study of them."""
    kept = table["PURPOSE"].isin((1, 3)) & (table["CHOICE"] != 0)
    table = table[kept].reset_index(drop=True)
    pays, stated = table["GA"] == 0, table["SP"] != 0
    long = _stack(
        table.rename(columns={"ID": "person_ids"}),
        {
            "train": {
                "time": table["TRAIN_TT"],
                "cost": table["TRAIN_CO"] * pays,
                "availability": table["TRAIN_AV"] * stated,
            },
            "swissmetro": {
                "time": table["SM_TT"],
                "cost": table["SM_CO"] * pays,
                "availability": table["SM_AV"],
            },
            "car": {
                "time": table["CAR_TT"],
                "cost": table["CAR_CO"],
                "availability": table["CAR_AV"] * stated,
            },
        },
        keep=("person_ids", "CHOICE", "PURPOSE", "AGE", "MALE", "INCOME", "GA"),
    )
    names = long["CHOICE"].map({1: "train", 2: "swissmetro", 3: "car"})
    long["chosen"] = names == long["alternative_ids"]
    long[["time", "cost"]] /= 100.0
    for name in ("train", "car"):
        long[f"asc_{name}"] = (long["alternative_ids"] == name).astype(float)
    return long.drop(columns="CHOICE")


def _stack(
    table: pd.DataFrame,
    alternatives: Mapping[str, Mapping[str, Any]],
    *,
    keep: Sequence[str],
) -> pd.DataFrame:
    """Make of a row a situation a row an alternative, in order within situations."""
    import pandas as pd

    parts = [
        table[list(keep)].assign(
            situation_ids=range(len(table)), alternative_ids=name, **columns
        )
        for name, columns in alternatives.items()
    ]
    return pd.concat(parts).sort_index(kind="stable").reset_index(drop=True)


_TABLES: Mapping[str, Callable[[Any], Any]] = {
    "electricity": _rename(
        choice="chosen", id="person_ids", alt="alternative_ids", chid="situation_ids"
    ),
    "train": _train,
    "swissmetro": _swissmetro,
    "modecanada": _rename(case="situation_ids", alt="alternative_ids", choice="chosen"),
    "artificial": _rename(id="situation_ids", alt="alternative_ids", choice="chosen"),
    "car100": _rename(
        case_id="situation_ids", alt_id="alternative_ids", person_id="person_ids"
    ),
}
