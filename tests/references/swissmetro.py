"""Choices of journeys by Swissmetro, train or car, as Biogeme's examples take them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tests.references.choice_data import read_choices


def swissmetro(*, panel: bool = False) -> pd.DataFrame:
    """Give choices of journeys for work or business, a row a mode.

    Of a panel 9 choices are one person's; else each is a person of its own.
    """
    table = read_choices("swissmetro")
    kept = table["PURPOSE"].isin([1, 3]) & (table["CHOICE"] != 0)
    table = table[kept].reset_index(drop=True)
    free = (table["GA"] != 0).to_numpy()
    frames = []
    for code, mode in enumerate(("TRAIN", "SM", "CAR"), start=1):
        cost = table[f"{mode}_CO"].to_numpy() / 100.0
        there = table[f"{mode}_AV"].to_numpy()
        if mode != "SM":
            there = there * (table["SP"] != 0).to_numpy()
        frames.append(
            pd.DataFrame(
                {
                    "situation_ids": np.arange(len(table)),
                    "person_ids": table["ID"] if panel else np.arange(len(table)),
                    "alternative_ids": code,
                    "chosen": (table["CHOICE"] == code).to_numpy(),
                    "availability": there
                    if mode == "SM"
                    else there * (table["SP"] != 0),
                    "cost": cost if mode == "CAR" else np.where(free, 0.0, cost),
                    "time": table[f"{mode}_TT"].to_numpy() / 100.0,
                    "car": float(mode == "CAR"),
                    "train": float(mode == "TRAIN"),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)
