"""Read the tables of a job, or open its store, and know them by their fingerprints.

The fingerprint of a table is a SHA-256 of column names and contents, that of a store
the digest that it holds itself: two that have the same one are the same data, whichever
file they came from.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Faults
from .schema import Job
from .simulated import market_design
from .sources import locate_source, locate_store

if TYPE_CHECKING:
    import pandas as pd

    from ..api.stores import Store


@dataclass(frozen=True, slots=True)
class JobData:
    """The tables of a job, or its store.

    Attributes
    ----------
    products
        Table of products, a row per product and market; or an open store, which holds
        the agents too.
    agents
        Table of agents, a row per agent and market; None where there is none.
    """

    products: pd.DataFrame | Store
    agents: pd.DataFrame | None

    def record(self) -> dict[str, Any]:
        """Describe the data so that they can be known again."""
        from ..api.stores import Store

        if isinstance(self.products, Store):
            store = self.products
            return {"store": {"rows": store.N, "fingerprint": store.fingerprint}}
        tables = {"products": self.products, "agents": self.agents}
        return {
            name: {"rows": len(table), "sha256": fingerprint(table)}
            for name, table in tables.items()
            if table is not None
        }


def read_data(job: Job, directory: Path) -> JobData:
    """Read, or simulate, the tables of a job, or open its store.

    Parameters
    ----------
    job
        The job.
    directory
        Directory of its file, which its paths are relative to.

    Returns
    -------
    JobData
        The data.

    Raises
    ------
    blpdask.errors.InputError
        If a table cannot be read, or is not the one that the job's record names.
    blpdask.errors.StoreError
        If there is no such store, or it is damaged.
    """
    if job.data.store is not None:
        from ..api.stores import open_store

        store = open_store(locate_store(job.data.store, directory))
        data = JobData(products=store, agents=None)
    elif job.data.simulated is not None:
        from ..simulation.markets import simulate_markets

        markets = simulate_markets(market_design(job.data.simulated), job.seed)
        agents = None if job.formulations.random is None else markets.agent_data
        data = JobData(products=markets.product_data, agents=agents)
    else:
        faults = Faults("data")
        tables = {
            name: read_table(locate_source(table.source, directory), name, faults)
            for name in ("products", "agents")
            if (table := getattr(job.data, name)) is not None
        }
        faults.check()
        data = JobData(products=tables["products"], agents=tables.get("agents"))
    compare_with_record(job.record, data.record())
    return data


def fingerprint(table: pd.DataFrame) -> str:
    """Hash a table's column names and contents, row by row.

    Parameters
    ----------
    table
        The table; its index does not matter.

    Examples
    --------
    >>> import pandas as pd
    >>> one, other = pd.DataFrame({"a": [1.0]}), pd.DataFrame({"a": [2.0]})
    >>> fingerprint(one) == fingerprint(one.copy())
    True
    >>> fingerprint(one) == fingerprint(other)
    False
    """
    import hashlib

    import pandas as pd

    digest = hashlib.sha256("\n".join(map(str, table.columns)).encode())
    digest.update(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes())
    return digest.hexdigest()


def read_table(path: Path, name: str, faults: Faults) -> Any:
    """Read a CSV or Parquet file.

    Parameters
    ----------
    path
        The file.
    name
        ``products`` or ``agents``.
    faults
        What the fault of a file that cannot be read is added to; it gives None.
    """
    import pandas as pd

    try:
        if path.suffix.lower() == ".parquet":
            return pd.read_parquet(path)
        return pd.read_csv(path)
    except ImportError:
        faults.add(
            f"data.{name}: {path} is Parquet, and no Parquet reader is installed",
            "the package pyarrow",
            "pip install pyarrow, or save the table as CSV",
        )
    except (OSError, ValueError) as error:
        faults.add(
            f"data.{name}: {path} cannot be read: {error}",
            f"a {path.suffix.lower().removeprefix('.')} table with a header",
            "open the file and check it",
        )
    return None


def compare_with_record(
    record: dict[str, Any] | None, found_data: dict[str, Any]
) -> None:
    """Refuse data that are not those that a job's record names."""
    recorded = (record or {}).get("data")
    if not isinstance(recorded, dict):
        return
    faults = Faults("data")
    for name, found in found_data.items():
        expected = recorded.get(name)
        if expected != found:
            faults.add(
                f"data.{name}: {found}",
                f"the data of the run that wrote this job: {expected}",
                "bring those data back, or run on these with --set record=null",
            )
    faults.check()
