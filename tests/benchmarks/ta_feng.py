"""Choices of Ta Feng's customers: which of ten kinds of goods is bought, and again.

The data of a grocery store over four months (817,741 lines of receipts of 32,266
customers) as a panel of choices: a situation is a purchase of one of the ten subclasses
of products that are bought most, and its alternatives are all ten. Of each is known

- ``price``: the logarithm of what a unit cost on average that day, of all customers, or
  on the last day before on which it was bought;
- ``last``: whether the customer's purchase before, among these, was of it;
- ``before``: the logarithm of one plus the customer's purchases of it so far.

Purchases of a day are in the order of the file.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

ALTERNATIVES = 10
FORMULA = "1 + C(alternative_ids) + price + last + before"
RANDOM = {"price": "normal", "last": "normal", "before": "normal"}


def purchases(table: pd.DataFrame) -> pd.DataFrame:
    """Give purchases of the leading subclasses, a customer's together, in time."""
    days = pd.to_datetime(table["TRANSACTION_DT"], format="%m/%d/%Y")
    found = pd.DataFrame(
        {
            "person_ids": table["CUSTOMER_ID"],
            "day": (days - days.min()).dt.days,
            "kind": table["PRODUCT_SUBCLASS"],
            "unit": table["SALES_PRICE"] / table["AMOUNT"],
        }
    )
    leading = found["kind"].value_counts().index[:ALTERNATIVES]
    found = found[found["kind"].isin(leading) & (found["unit"] > 0)]
    codes = pd.Series(range(ALTERNATIVES), index=sorted(leading))
    found = found.assign(kind=found["kind"].map(codes))
    return found.sort_values(["person_ids", "day"], kind="stable", ignore_index=True)


def daily_prices(bought: pd.DataFrame) -> Any:
    """Average prices of units, days by kinds; those of days without are carried on."""
    means = bought.pivot_table(index="day", columns="kind", values="unit")
    days = range(int(bought["day"].max()) + 1)
    return np.log(means.reindex(days).ffill().bfill().to_numpy())


def situations(
    bought: pd.DataFrame, prices: Any, purchases_at_once: int = 5_000
) -> Iterator[pd.DataFrame]:
    """Give tables of choices, a row an alternative, of some customers at a time."""
    people = bought["person_ids"].to_numpy()
    firsts = np.flatnonzero(np.append(True, people[1:] != people[:-1]))
    cuts = np.unique(firsts // purchases_at_once, return_index=True)[1]
    edges = [*firsts[cuts].tolist(), len(bought)]
    for first, stop in itertools.pairwise(edges):
        part = bought.iloc[first:stop]
        kind = part["kind"].to_numpy()
        chosen = kind[:, None] == np.arange(ALTERNATIVES)
        own = part["person_ids"].to_numpy()
        new = np.append(True, own[1:] != own[:-1])
        last = np.vstack([chosen[:1] & False, chosen[:-1]]) & ~new[:, None]
        so_far = np.cumsum(chosen, axis=0) - chosen
        start = np.maximum.accumulate(np.where(new, np.arange(len(part)), 0))
        before = np.log1p(so_far - so_far[start])
        yield pd.DataFrame(
            {
                "person_ids": np.repeat(own, ALTERNATIVES),
                "situation_ids": np.repeat(np.arange(first, stop), ALTERNATIVES),
                "alternative_ids": np.tile(np.arange(ALTERNATIVES), len(part)),
                "chosen": chosen.ravel(),
                "price": prices[part["day"].to_numpy()].ravel(),
                "last": last.ravel().astype(np.int64),
                "before": before.ravel(),
            }
        )
