"""The alphabet: which symbol has which name, what shape it has, where it is defined.

    u_ij = δ_j + μ_ij + ε_ij,   δ_j = x1_j'β + ξ_j,   μ_ij = x2_j'(Σν_i + Πd_i),
    s_j(δ, θ) = Σ_i w_i P_ij,   P_ij = e^{δ_j + μ_ij} / (1 + Σ_k e^{δ_k + μ_ik}),
    δ(θ) solves s(δ, θ) = S,   ξ(θ) = δ(θ) - X1 β,
    q(θ) = N ḡ(θ)'W ḡ(θ),   ḡ = Z'ξ / N;

and with a supply side

    Δη = s,   η = p - c,   Δ_jk = -H_jk ∂s_k/∂p_j,   c̃_j = x3_j'γ + ω_j,
    ḡ = (Z_D'ξ, Z_S'ω, Z_C'(ξω - m)) / N;

prices of an equilibrium solve p = c + ζ(p), where Λ (p - c - ζ) = 0. With nests ε_ij is
correlated within nest h by ρ_h, and P_ij = Q_ij M_ih: of those who choose the nest,
Q_ij choose j.

Documentation that code can read: :data:`ALPHABET` is a tuple of records, and
:func:`symbol` looks one up. Code uses these names; what only a kernel knows (E, o and D
of the share map) is defined where it is computed. A derivative of a by b is ``a_by_b``,
with the axes of a and then those of b; products Z'X are ``ZtX``. Arrays of a block have
agents first and products last, tables have a row a product.

References
----------
Berry (1994), "Estimating Discrete-Choice Models of Product Differentiation"; Berry,
Levinsohn and Pakes (1995), "Automobile Prices in Market Equilibrium"; Nevo (2000), "A
Practitioner's Guide to Estimation of Random-Coefficients Logit Models of Demand";
Cardell (1997), "Variance Components Structures for the Extreme-Value and Logistic
Distributions with Application to Models of Heterogeneity";
Morrow and Skerlos (2011), "Fixed-Point Approaches to Computing Bertrand-Nash
Equilibrium Prices Under Mixed-Logit Demand"; Hansen (1982), "Large Sample Properties
of Generalized Method of Moments Estimators"; Conlon and Gortmaker (2020), "Best
Practices for Differentiated Products Demand Estimation with PyBLP"; Conlon and
Gortmaker (2025), "Incorporating Micro Data into Differentiated Products Demand
Estimation with PyBLP"; MacKay and Miller (2025), "Estimating Models of Supply and
Demand: Instruments and Covariance Restrictions".
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Symbol:
    """One letter of the alphabet.

    Attributes
    ----------
    symbol
        As papers write it.
    name
        As code writes it.
    shape
        Of the array in results and tables; ``()`` for a number.
    meaning
        In a few words.
    source
        Equation or paper where it is first defined.
    """

    symbol: str
    name: str
    shape: str
    meaning: str
    source: str


def symbol(name: str) -> Symbol:
    """Look a symbol up by its name in code or as papers write it.

    Parameters
    ----------
    name
        Such as ``"delta"`` or ``"δ"``.

    Raises
    ------
    KeyError
        Where the alphabet has no such letter.

    Examples
    --------
    >>> symbol("delta").shape
    '(N, 1)'
    >>> symbol("Π").meaning
    'how demographics shift tastes'
    """
    for letter in ALPHABET:
        if name in (letter.symbol, letter.name):
            return letter
    raise KeyError(name)


_BERRY = "Berry (1994)"
_BLP = "Berry, Levinsohn and Pakes (1995)"
_NEVO = "Nevo (2000), equation 2"
_HANSEN = "Hansen (1982)"
_CARDELL = "Cardell (1997)"
_BERRY_JIA = "Berry and Jia (2010)"
_MORROW = "Morrow and Skerlos (2011)"
_PYBLP = "Conlon and Gortmaker (2020)"
_CONLON = "Conlon and Gortmaker (2025)"
_OBRIEN = "O'Brien and Salop (2000)"
_MACKAY = "MacKay and Miller (2025)"
_DUARTE = "Duarte, Magnolfi, Sølvsten and Sullivan (2024)"
_RIVERS = "Rivers and Vuong (2002)"
_MORTIMER = "Conlon and Mortimer (2021)"
_JAFFE = "Jaffe and Weyl (2013)"
_SMALL = "Small and Rosen (1981)"
_TRAIN = "Train (2009)"
_WEEKS = "Train and Weeks (2005)"
_FIEBIG = "Fiebig, Keane, Louviere and Wasi (2010)"
_HECKMAN = "Heckman (1981)"
_PINHEIRO = "Pinheiro and Bates (1995)"
_DAGSVIK = "Dagsvik and Karlström (2005)"

_COUNTS = (
    Symbol("T", "n_markets", "()", "markets", _BLP),
    Symbol("N", "n_products", "()", "products, all markets together", _BLP),
    Symbol("J", "J", "()", "products of a market", _BLP),
    Symbol("I", "I", "()", "agents: of a market, or all together", _NEVO),
    Symbol("K1", "K1", "()", "characteristics with linear coefficients", _NEVO),
    Symbol("K2", "K2", "()", "characteristics with random coefficients", _NEVO),
    Symbol("D", "D", "()", "demographics", _NEVO),
    Symbol("L", "L", "()", "columns of draws: nodes, then demographics", "K2 + D"),
    Symbol("K3", "K3", "()", "characteristics of marginal costs", _BLP),
    Symbol("MD", "MD", "()", "demand-side instruments", _PYBLP),
    Symbol("MS", "MS", "()", "supply-side instruments", _PYBLP),
    Symbol("MC", "MC", "()", "covariance instruments", _MACKAY),
    Symbol("P", "P", "()", "parameters in θ", _BLP),
    Symbol("E", "E", "()", "errors of a product: ξ, and ω of supply", _BLP),
    Symbol("C", "C", "()", "linear coefficients concentrated out of q", _NEVO),
)
_DATA = (
    Symbol("S_jt", "shares", "(N,)", "observed market shares", _BERRY),
    Symbol("X1", "X1", "(N, K1)", "characteristics with linear coefficients", _NEVO),
    Symbol("X2", "X2", "(N, K2)", "characteristics with random coefficients", _NEVO),
    Symbol("Z", "ZD", "(N, MD)", "instruments, effects absorbed", _BERRY),
    Symbol("p", "prices", "(N,)", "prices", _BLP),
    Symbol("X3", "X3", "(N, K3)", "characteristics of marginal costs", _BLP),
    Symbol("Z_S", "ZS", "(N, MS)", "supply-side instruments, effects absorbed", _BLP),
    Symbol("Z_C", "ZC", "(N, MC)", "instruments for products ξω", _MACKAY),
    Symbol("H_jk", "ownership", "(J, J)", "weights on others' profits", _PYBLP),
    Symbol("h(j)", "nests", "(N,)", "the nest of each product", _CARDELL),
    Symbol("a_ij", "availability", "(I, J)", "how far products are there", _PYBLP),
    Symbol("ν", "nodes", "(I, K2)", "integration nodes: unobserved tastes", _NEVO),
    Symbol("d", "demographics", "(I, D)", "observed traits of agents", _NEVO),
    Symbol("(ν, d)", "draws", "(I, L)", "what tastes depend on", _NEVO),
    Symbol("b_i", "amounts", "(A,)", "transfers to agents", "paid: p_j - b_i"),
    Symbol("w", "weights", "(I,)", "integration weights", "∫ P dF ≈ Σ_i w_i P_i"),
)
_PARAMETERS = (
    Symbol("β", "beta", "(K1, 1)", "mean tastes", _BLP),
    Symbol(
        "Σ", "sigma", "(K2, K2)", "lower root of unobserved tastes' variance", _NEVO
    ),
    Symbol("Π", "pi", "(K2, D)", "how demographics shift tastes", _NEVO),
    Symbol("ρ", "rho", "(H, 1)", "correlation of errors within nests", _CARDELL),
    Symbol("λ", "type_shares", "(R, 1)", "shares of agents' types", _BERRY_JIA),
    Symbol("φ", "phi", "(E, E)", "autocorrelation of ξ and ω", "u_j = φ u_l(j) + ũ_j"),
    Symbol("γ", "gamma", "(K3, 1)", "how characteristics shift costs", _BLP),
    Symbol("Γ", "loadings", "(K2, L)", "how draws load on tastes", "Γ = [Σ | Π]"),
    Symbol("θ", "theta", "(P,)", "free entries of Σ, Π, ρ, λ, φ, β, γ, in order", _BLP),
)
_MODEL = (
    Symbol("δ", "delta", "(N, 1)", "mean utilities", "δ_j = x1_j'β + ξ_j"),
    Symbol("μ", "μ", "(I, J)", "agents' deviations from δ", "μ_ij = x2_j'Γ(ν_i, d_i)"),
    Symbol("ξ", "xi", "(N, 1)", "unobserved quality", "ξ = δ(θ) - X1 β"),
    Symbol("P_ij", "probabilities", "(I, J)", "choice probabilities", _BLP),
    Symbol("Q_ij", "Q", "(I, J)", "probabilities within nests", _CARDELL),
    Symbol("M_ih", "M", "(I, H)", "probabilities of nests", _CARDELL),
    Symbol("s_jt", "Backend.shares", "(N,)", "shares at δ and θ", "Σ_i w_i P_ij"),
    Symbol("A", "A", "(J, J)", "share Jacobian ∂s/∂δ'", "diag(s) - P'diag(w)P"),
    Symbol("chol A", "factor", "(J, J)", "lower Cholesky factor of A", "A = LL'"),
    Symbol("∂δ/∂θ", "delta_by_theta", "(N, P)", "how δ(θ) moves", "-A⁻¹ ∂s/∂θ"),
    Symbol("α_ij", "alpha", "(I, J)", "how utility moves with price", "∂u_ij/∂p_j"),
    Symbol("Δ", "Delta", "(J, J)", "-H ∘ (∂s/∂p)'", _BLP),
    Symbol("c", "costs", "(N, 1)", "marginal costs", _BLP),
    Symbol("Λ", "Lambda", "(N,)", "own part of ∂s/∂p, times H_jj", _MORROW),
    Symbol("ζ", "zeta", "(N,)", "markups that a fixed point iterates", _MORROW),
    Symbol("η", "eta", "(N,)", "markups, prices less marginal costs", "Δη = s"),
    Symbol("c̃", "tilde_costs", "(N, 1)", "marginal costs or their logarithms", _PYBLP),
    Symbol("ω", "omega", "(N, 1)", "unobserved costs", "ω = c̃(θ) - X3 γ"),
    Symbol("κ_fg", "kappa", "(F, F)", "weight of f on profits of firm g", _OBRIEN),
    Symbol("t", "unit", "(N,)", "unit taxes", "p = (1 + τ) r + t"),
    Symbol("τ", "ad_valorem", "(N,)", "tax rates on r", "p = (1 + τ) r + t"),
    Symbol("r_j", "producer_prices", "(N,)", "prices less taxes", "p = (1 + τ) r + t"),
    Symbol("∂ξ/∂θ", "xi_by_theta", "(N, P)", "how ξ(θ) moves at given β", _NEVO),
)
_GMM = (
    Symbol("ḡ", "moments", "(MD, 1)", "mean moments", "ḡ = Z'ξ / N"),
    Symbol("Ḡ", "moments_jacobian", "(MD, P + C)", "how ḡ moves with θ and β", _HANSEN),
    Symbol("W", "W", "(MD, MD)", "weighting matrix", _HANSEN),
    Symbol("S", "moments_covariances", "(MD, MD)", "variance of √N ḡ", _HANSEN),
    Symbol("m", "covariance_moments_mean", "()", "mean of products ξω", _MACKAY),
    Symbol("Λ_g", "parameter_sensitivity", "(P + C, MD)", "dψ̂/dḡ", _HANSEN),
    Symbol("q", "objective", "()", "GMM objective, Hansen's J where W = S⁻¹", _HANSEN),
    Symbol("r", "residual", "(MD,)", "root of the objective", "q = r'r"),
    Symbol("∂r/∂θ'", "residual_jacobian", "(MD, P)", "how r moves", "∂q/∂θ = 2 J'r"),
    Symbol("H", "hessian", "(P, P)", "curvature of q", "H = ∂²q/∂θ∂θ'"),
)

_SURVEYS = (
    Symbol("MM", "MM", "()", "micro moments", _CONLON),
    Symbol("N_d", "observations", "()", "people whom survey d records", _CONLON),
    Symbol("W_dij", "compute_weights", "(I, 1 + J)", "survey d's weights", _CONLON),
    Symbol("v_pij", "compute_values", "(I, 1 + J)", "what part p averages", _CONLON),
    Symbol("f_m(v)", "micro_values", "(MM, 1)", "what surveys should find", _CONLON),
    Symbol("ḡ_M", "micro", "(MM, 1)", "what they found, less f_m(v)", _CONLON),
)

_CONDUCT = (
    Symbol(
        "g_m", "Fits.g", "(d, M)", "moments of M models of conduct, Z'ω_m / N", _DUARTE
    ),
    Symbol("Q_m", "Fits.Q", "(M,)", "lack of fit of each model, g_m'W g_m", _DUARTE),
    Symbol(
        "T^RV", "ConductTest.statistics", "(M, M)", "tests of two models' fit", _RIVERS
    ),
)

_PRESSURE = (
    Symbol("D_jk", "diversion_ratios", "(J, J)", "where who leaves j goes", _MORTIMER),
    Symbol("e_j", "efficiencies", "(N,)", "shares of costs a merger saves", _JAFFE),
    Symbol("g_j", "gepp", "(N,)", "how a merger moves conditions of prices", _JAFFE),
)

_WELFARE = (
    Symbol("CS_i", "compute_consumer_surpluses", "(T, 1)", "surplus", _SMALL),
    Symbol(
        "CV_i",
        "compute_compensating_variations",
        "(T, 1)",
        "money that makes up for new prices",
        _DAGSVIK,
    ),
    Symbol("q_0", "outside_price", "()", "where money is valued outside", _DAGSVIK),
)

_CHOICES = (
    Symbol("η_ik", "tastes", "(R, K)", "coefficients before h", _TRAIN),
    Symbol(
        "h_k", "kinds", "()", "what makes η a coefficient, β_ik = h_k(η_ik)", _TRAIN
    ),
    Symbol(
        "z_i", "ChoiceBlock.draws", "(R, D)", "standard variates of a person", _TRAIN
    ),
    Symbol("Π_km", "shifts", "(K, M)", "how demographics shift means of η", _TRAIN),
    Symbol("λ_i", "wtp", "()", "coefficient of -prices that scales others", _WEEKS),
    Symbol("e^(τ z - τ²/2)", "random_scale", "()", "a scale of its own", _FIEBIG),
    Symbol("LL", "log_likelihood", "()", "simulated log-likelihood", _TRAIN),
    Symbol("A_it", "values", "(N,)", "past choices: a lag or a stock", _HECKMAN),
    Symbol(
        "π_t(s)", "after", "(G + 1, R)", "chances of what was chosen last", _HECKMAN
    ),
    Symbol("k_i", "observed", "(I,)", "a person's first state", _HECKMAN),
    Symbol(
        "ω_ir",
        "PersonDraws.weights",
        "(R,)",
        "how likely a draw is given what a person chose",
        _TRAIN,
    ),
)

_CLASSES = (
    Symbol("D_i", "ClassedBlock.membership", "(I, M)", "what tells classes", _TRAIN),
    Symbol("γ_q", "ClassParameters.gamma", "(Q, M)", "how D tells them", _TRAIN),
    Symbol("π_iq", "log_class_shares", "(I, Q)", "probabilities of classes", _TRAIN),
    Symbol("h_iq", "posterior", "(I, Q)", "those given what i chose", _TRAIN),
    Symbol("D_h", "log_D", "(C,)", "sum of odds in a nest", _TRAIN),
    Symbol("B", "outer", "(P, P)", "outer products of people's scores", _TRAIN),
    Symbol("V_x", "squares", "(K, K)", "squares of x within situations", _TRAIN),
    Symbol("w_ir", "ChoiceBlock.log_weights", "(I, R)", "weights of draws", _TRAIN),
    Symbol("θ_c", "centre", "(P,)", "where draws around modes are made", _PINHEIRO),
    Symbol(
        "m_i", "Modes.places", "(D,)", "likeliest variates, choices given", _PINHEIRO
    ),
)

#: Every symbol, in the order in which a reader of the paper meets it.
ALPHABET: tuple[Symbol, ...] = (
    *(*_COUNTS, *_DATA, *_PARAMETERS, *_MODEL, *_GMM),
    *(*_SURVEYS, *_CONDUCT, *_PRESSURE, *_WELFARE, *_CHOICES, *_CLASSES),
)
