"""Automobiles of the eighties, with supply, and what a merger of two firms would do."""

import numpy as np
import pandas as pd
import pyblp

pyblp.options.verbose = False

product_data = pd.read_csv(pyblp.data.BLP_PRODUCTS_LOCATION)
agent_data = pd.read_csv(pyblp.data.BLP_AGENTS_LOCATION)
product_data = product_data[product_data["market_ids"] > 1980].reset_index(drop=True)
agent_data = agent_data[agent_data["market_ids"] > 1980].reset_index(drop=True)
product_formulations = (
    pyblp.Formulation("1 + hpwt + air + mpd + space"),
    pyblp.Formulation("1 + prices + hpwt + air + mpd + space"),
    pyblp.Formulation("1 + log(hpwt) + air + log(mpg) + log(space) + trend"),
)
problem = pyblp.Problem(
    product_formulations,
    product_data,
    pyblp.Formulation("0 + I(1 / income)"),
    agent_data,
    costs_type="log",
)
results = problem.solve(
    np.diag([3.612, 0, 4.628, 1.818, 1.050, 2.056]),
    np.c_[[0, -43.501, 0, 0, 0, 0]],
    method="1s",
    optimization=pyblp.Optimization("l-bfgs-b", {"gtol": 1e-7, "ftol": 0}),
    costs_bounds=(0.001, None),
    check_optimality="gradient",
    W_type="clustered",
    se_type="clustered",
)
print("dimensions", problem.T, problem.N, problem.F, problem.K3, problem.MS)
print("objective", np.round(results.objective, 4))
print("sigma", np.round(np.diag(results.sigma), 3).tolist())
print("pi", np.round(results.pi[1, 0], 3))
print("gamma", np.round(results.gamma[:, 0], 3).tolist())

costs = results.compute_costs()
markups = results.compute_markups(costs=costs)
print("markups", markups.shape, np.round(markups.mean(), 4))
elasticities = results.compute_elasticities()
print("own", np.round(results.extract_diagonal_means(elasticities).mean(), 3))
print("hhi", np.round(results.compute_hhi().mean(), 6))
profits = results.compute_profits(costs=costs)
surpluses = results.compute_consumer_surpluses()

product_data["merger_ids"] = product_data["firm_ids"].replace(16, 19)
firms = product_data["merger_ids"]
approximate = results.compute_approximate_prices(firm_ids=firms, costs=costs)
changed = results.compute_prices(firm_ids=firms, costs=costs)
shares = results.compute_shares(changed)
last = (product_data["market_ids"] == 1990).values
for name, prices in (("approximate", approximate), ("equilibrium", changed)):
    rise = (prices - product_data[["prices"]].values)[last]
    print(name, prices.shape, np.round([rise.mean(), rise.max()], 3).tolist())
print("hhi after", np.round(results.compute_hhi(firms, shares).mean(), 1))
gain = results.compute_profits(changed, shares, costs) - profits
print("profits", np.round(1e3 * gain[last].sum(), 3))
loss = results.compute_consumer_surpluses(changed) - surpluses
print("surplus", loss.shape, np.round(loss[-1, 0], 4))
