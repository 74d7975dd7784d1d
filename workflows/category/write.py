"""Write the tables that job.yaml reads, products.csv and agents.csv.

python workflows/category/write.py --seed 0
"""

from __future__ import annotations

import argparse
from pathlib import Path

from draw import draw_category
from instruments import join, list_candidates, select

import blpdask as blp


def main() -> None:
    """Draw the tables, choose instruments and write both."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--retailers", type=int, default=20)
    parser.add_argument("--months", type=int, default=36)
    parser.add_argument("--products", type=int, default=25)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    given = parser.parse_args()
    blp.options.verbose = False
    products, agents = draw_category(
        given.seed, given.retailers, given.months, given.products
    )
    candidates = list_candidates(products, agents)
    instruments = join(candidates, select(products, agents, candidates))
    names = {name: f"demand_instruments{m}" for m, name in enumerate(instruments)}
    given.output.mkdir(parents=True, exist_ok=True)
    table = products.join(instruments.rename(columns=names))
    table.to_csv(given.output / "products.csv", index=False)
    agents.to_csv(given.output / "agents.csv", index=False)
    print(f"{len(products)} products, {instruments.shape[1]} instruments selected:")
    print("\n".join(names))


if __name__ == "__main__":
    main()
