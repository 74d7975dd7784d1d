"""Job files for tests."""

from __future__ import annotations

from pathlib import Path

PRODUCTS = """market_ids,shares,prices,x,demand_instruments0
a,0.2,1.5,1,0.3
a,0.3,1.0,2,0.1
b,0.1,2.5,1,0.9
b,0.4,1.0,3,0.2
"""

JOB = """
name: small
data:
  products: {source: products.csv}
formulations:
  linear: "1 + prices"
solve:
  method: 1s
"""


def write_job(folder: Path, text: str = JOB) -> Path:
    """Write a job file beside its table of products."""
    (folder / "products.csv").write_text(PRODUCTS)
    path = folder / "job.yaml"
    path.write_text(text)
    return path
