"""A simulated economy, estimated with instruments that are optimal there."""

import numpy as np
import pyblp

pyblp.options.verbose = False

id_data = pyblp.build_id_data(T=40, J=12, F=4)
integration = pyblp.Integration("product", size=7)
simulation = pyblp.Simulation(
    product_formulations=(
        pyblp.Formulation("1 + prices + x"),
        pyblp.Formulation("0 + x"),
        pyblp.Formulation("0 + x + z"),
    ),
    beta=[1, -2, 2],
    sigma=1.0,
    gamma=[1, 4],
    product_data=id_data,
    integration=integration,
    xi_variance=0.5,
    omega_variance=0.5,
    correlation=0.8,
    seed=0,
)
simulated = simulation.replace_endogenous()
print("prices", np.round(simulated.product_data.prices[:3, 0], 8).tolist())
print("shares", np.round(simulated.product_data.shares[:3, 0], 8).tolist())
print("converged", bool(simulated.fp_converged.all()))

problem = simulated.to_problem()
print("dimensions", problem.N, problem.MD, problem.MS)
optimization = pyblp.Optimization("l-bfgs-b", {"gtol": 1e-9, "ftol": 0})
first = problem.solve(
    sigma=0.5, beta=[None, -1.5, None], optimization=optimization, method="1s"
)
instruments = first.compute_optimal_instruments(method="approximate")
print(
    "instruments", instruments.demand_instruments.shape, instruments.fp_converged.all()
)
updated = instruments.to_problem()
second = updated.solve(
    sigma=first.sigma,
    beta=[None, first.beta[1, 0], None],
    optimization=optimization,
    method="1s",
)
for results in (first, second):
    print("sigma", np.round(results.sigma, 4).tolist())
    print("beta", np.round(results.beta[:, 0], 4).tolist())
    print("gamma", np.round(results.gamma[:, 0], 4).tolist())
    print("errors", np.round(results.beta_se[:, 0], 3).tolist())
surpluses = second.compute_consumer_surpluses()
print("surplus", surpluses.shape, np.round(surpluses.mean(), 4))
passthrough = second.compute_passthrough(market_id=0)
print("pass-through", passthrough.shape, np.round(np.diag(passthrough).mean(), 4))
print("parameters", ", ".join(results.theta_labels))
