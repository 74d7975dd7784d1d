"""Cereals: logit and nested logit with product effects."""

import numpy as np
import pandas as pd
import pyblp

pyblp.options.digits = 6
pyblp.options.verbose = False

product_data = pd.read_csv(pyblp.data.NEVO_PRODUCTS_LOCATION)
formulation = pyblp.Formulation("0 + prices", absorb="C(product_ids)")
problem = pyblp.Problem(formulation, product_data)
results = problem.solve()
print(problem.N, problem.T, problem.K1, problem.MD, problem.ED)
print("objective", np.round(results.objective, 6))
print("beta", np.round(results.beta, 6).tolist(), np.round(results.beta_se, 6).tolist())

elasticities = results.compute_elasticities()
own = results.extract_diagonals(elasticities)
print("elasticities", elasticities.shape, np.round(np.nansum(elasticities), 5))
print("own", np.round(own[:3, 0], 6).tolist(), np.round(own.mean(), 6))
aggregates = results.compute_aggregate_elasticities(factor=0.1)
print("aggregate", np.round(aggregates[:3, 0], 6).tolist())
means = results.extract_diagonal_means(elasticities)
print("means", means.shape, np.round(means.mean(), 6))

# Nests of mushy cereals, with the size of the nest as an instrument.
frame = product_data.copy()
frame["nesting_ids"] = frame["mushy"]
groups = frame.groupby(["market_ids", "nesting_ids"])
frame["demand_instruments20"] = groups["shares"].transform(np.size)
nested = pyblp.Problem(pyblp.Formulation("0 + prices"), frame)
nested_results = nested.solve(
    rho=0.7, optimization=pyblp.Optimization("l-bfgs-b", {"gtol": 1e-9, "ftol": 0})
)
print("rho", np.round(nested_results.rho, 4).tolist())
print("scale", np.round(nested_results.beta[0] / (1 - nested_results.rho), 2).tolist())
diversion = nested_results.compute_long_run_diversion_ratios(market_id="C01Q1")
print("diversion", diversion.shape, np.round(diversion.sum(axis=1), 10).tolist()[:3])
try:
    pyblp.Problem(pyblp.Formulation("0 + prices"), frame.drop(columns="shares"))
except (KeyError, ValueError):
    print("there are no shares")
