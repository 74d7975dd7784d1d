"""Lay answers about situations out as tables that a user can read and join."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..analysis.choice_answers import pair_rows
from ..problem.asked_choice_rows import AskedTable
from ..records import Floats

if TYPE_CHECKING:
    import pandas as pd


def pairs_frame(
    table: AskedTable, name: str, values: Floats, *, own: bool
) -> pd.DataFrame:
    """List pairs of rows of situations, sorted by person and situation.

    Parameters
    ----------
    table
        What was asked.
    name
        Of the values.
    values
        ``(F,)``.
    own
        Whether pairs of a row with itself are listed.
    """
    import pandas as pd

    left, right = pair_rows(table.asked.situations)
    if not own:
        kept = left != right
        left, right, values = left[kept], right[kept], values[kept]
    columns = {key: ids[left] for key, ids in table.ids.items()}
    columns["row"] = table.rows[left]
    if "alternative_ids" in table.ids:
        columns["other_alternative_ids"] = table.ids["alternative_ids"][right]
    columns["other_row"] = table.rows[right]
    return pd.DataFrame({**columns, name: values})


def situations_frame(table: AskedTable, name: str, values: Floats) -> pd.DataFrame:
    """List situations ``(S,)``, sorted by person and situation."""
    import pandas as pd

    firsts = table.asked.situations.situation_offsets[:-1]
    columns = {
        key: ids[firsts] for key, ids in table.ids.items() if key != "alternative_ids"
    }
    return pd.DataFrame({**columns, name: values})


def alternatives_frame(table: AskedTable, values: Floats) -> pd.DataFrame:
    """Label a matrix ``(A, A)`` with alternatives."""
    import pandas as pd

    names = name_alternatives(table)
    return pd.DataFrame(values, index=names, columns=names.rename(None))


def name_alternatives(table: AskedTable) -> pd.Index[Any]:
    """Give alternatives of all situations as an index, sorted."""
    import pandas as pd

    assert table.alternative_ids is not None
    names: pd.Index[Any] = pd.Index(
        table.alternative_ids.tolist(), name="alternative_ids"
    )
    return names


def in_given_order(table: AskedTable, values: Floats) -> Floats:
    """Put probabilities ``(N,)`` of what is available in the order of the table."""
    found = np.zeros(table.n_given)
    found[table.rows] = values
    found[table.single_rows] = 1.0
    return found
