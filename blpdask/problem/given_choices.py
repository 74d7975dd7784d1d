"""What of a table of choices questions after estimation need: columns as given.

A problem reads its table once; elasticities and changed data need the variables that
its formula is made of, not the columns of X alone. They are copied, so that what is
asked later is about the data of the estimation, whatever becomes of the table.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .fields import field_names, read_field
from .formulas import ParsedFormula

#: Columns that tell rows apart.
IDS = ("person_ids", "situation_ids", "alternative_ids")
#: What else is read of rows.
ROW_FIELDS = (*IDS, "availability")


def keep_fields(data: Any, formula: ParsedFormula) -> dict[str, np.ndarray[Any, Any]]:
    """Copy the fields of a table that its rows and a formula are made of.

    Parameters
    ----------
    data
        DataFrame, mapping of arrays or structured array.
    formula
        Of X.

    Examples
    --------
    >>> from .formulas import parse
    >>> data = {"situation_ids": [1, 1], "x": [0.5, 2.0], "other": [3, 4]}
    >>> sorted(keep_fields(data, parse("0 + x")))
    ['situation_ids', 'x']
    """
    wanted = {*ROW_FIELDS, *formula.names} & set(field_names(data))
    found = {name: read_field(data, name) for name in sorted(wanted)}
    return {
        name: np.array(values).reshape(len(values))
        for name, values in found.items()
        if values is not None
    }
