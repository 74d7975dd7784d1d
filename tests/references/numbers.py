"""What PyBLP gives on Nevo's cereal data, as it was run and written down.

Source of every number: PyBLP 1.3.0 (Conlon and Gortmaker 2020) with Python 3.11, NumPy
2.4.6 and SciPy 1.17.1, on the data that it ships (Nevo 2000): T = 94 markets, N = 2256
products, 20 instruments, product effects absorbed, 2SLS first weights, robust W and
standard errors, moments centred. Fixed points: SQUAREM to 1e-14. Optimiser: BFGS with a
gradient tolerance of 1e-5 (with demographics) or 1e-4 (without).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Estimate(NamedTuple):
    """One parameter: its matrix, row, column, value and standard error."""

    matrix: str
    row: int
    column: int
    value: float
    error: float


@dataclass(frozen=True, slots=True)
class Reference:
    """What PyBLP reports of one step: q, Σδ², Σξ² and the parameters."""

    objective: float
    delta_squares: float
    xi_squares: float
    estimates: tuple[Estimate, ...]


LOGIT_1S = Reference(
    objective=189.943177683,
    delta_squares=36719.3906,
    xi_squares=1841.892294,
    estimates=(Estimate("beta", 0, 0, -30.0977552, 1.01865902),),
)
LOGIT_2S = Reference(
    objective=187.455512976,
    delta_squares=36719.3906,
    xi_squares=1841.795503,
    estimates=(Estimate("beta", 0, 0, -30.0471029, 1.00858874),),
)
NEVO_START = Reference(
    objective=29.3533431262,
    delta_squares=56128.79849,
    xi_squares=1408.918515,
    estimates=(
        Estimate("sigma", 0, 0, 0.3302, 0.100818837),
        Estimate("sigma", 1, 1, 2.4526, 0.84363847),
        Estimate("sigma", 2, 2, 0.0163, 0.00883555643),
        Estimate("sigma", 3, 3, 0.2441, 0.143191845),
        Estimate("pi", 0, 0, 5.4819, 0.98823797),
        Estimate("pi", 0, 2, 0.2037, 0.325500169),
        Estimate("pi", 1, 0, 15.8935, 171.12926),
        Estimate("pi", 1, 1, -1.2, 8.86925243),
        Estimate("pi", 1, 3, 2.6342, 3.40937863),
        Estimate("pi", 2, 0, -0.2506, 0.0357200435),
        Estimate("pi", 2, 2, 0.0511, 0.0205891663),
        Estimate("pi", 3, 0, 1.265, 0.501630487),
        Estimate("pi", 3, 2, -0.8091, 0.470602389),
        Estimate("beta", 0, 0, -28.1885444, 7.88244501),
    ),
)
NEVO_1S = Reference(
    objective=4.56151416480,
    delta_squares=131623.455,
    xi_squares=1746.763481,
    estimates=(
        Estimate("sigma", 0, 0, 0.558093563, 0.162532595),
        Estimate("sigma", 1, 1, 3.31248885, 1.34018334),
        Estimate("sigma", 2, 2, -0.00578355175, 0.0135045249),
        Estimate("sigma", 3, 3, 0.0934144698, 0.185433279),
        Estimate("pi", 0, 0, 2.29197146, 1.20856905),
        Estimate("pi", 0, 2, 1.28443201, 0.631214889),
        Estimate("pi", 1, 0, 588.325089, 270.441008),
        Estimate("pi", 1, 1, -30.1920128, 14.1012295),
        Estimate("pi", 1, 3, 11.0546281, 4.1225636),
        Estimate("pi", 2, 0, -0.384954073, 0.121458411),
        Estimate("pi", 2, 2, 0.0522342705, 0.0259852923),
        Estimate("pi", 3, 0, 0.7483723, 0.80210812),
        Estimate("pi", 3, 2, -1.35339323, 0.667108601),
        Estimate("beta", 0, 0, -62.7298951, 14.8032138),
    ),
)
NEVO_2S = Reference(
    objective=6.12807966044,
    delta_squares=123882.1405,
    xi_squares=1707.027641,
    estimates=(
        Estimate("sigma", 0, 0, 0.544960832, 0.155398051),
        Estimate("sigma", 1, 1, 3.06525518, 1.23893518),
        Estimate("sigma", 2, 2, -0.00504675243, 0.0131622029),
        Estimate("sigma", 3, 3, 0.0791886867, 0.184730286),
        Estimate("pi", 0, 0, 2.25592824, 1.16047743),
        Estimate("pi", 0, 2, 1.32036638, 0.65017805),
        Estimate("pi", 1, 0, 545.03648, 250.807383),
        Estimate("pi", 1, 1, -27.9374435, 13.0651858),
        Estimate("pi", 1, 3, 11.3240451, 4.13287115),
        Estimate("pi", 2, 0, -0.36872949, 0.112558817),
        Estimate("pi", 2, 2, 0.0509376794, 0.0253233138),
        Estimate("pi", 3, 0, 0.811190962, 0.761575998),
        Estimate("pi", 3, 2, -1.39463992, 0.683580123),
        Estimate("beta", 0, 0, -60.3439741, 13.7485469),
    ),
)
NEVO_RESTRICTED_1S = Reference(
    objective=15.3846491089,
    delta_squares=51546.11719,
    xi_squares=1497.549337,
    estimates=(
        Estimate("sigma", 0, 0, 0.374599361, 0.119789214),
        Estimate("sigma", 1, 1, 1.80269554, 0.920357512),
        Estimate("sigma", 2, 2, -0.00435502013, 0.0117916687),
        Estimate("sigma", 3, 3, 0.0863889329, 0.193443525),
        Estimate("pi", 0, 0, 3.10056561, 1.05391798),
        Estimate("pi", 0, 2, 1.19802675, 1.04808429),
        Estimate("pi", 1, 0, 4.18671875, 4.63806694),
        Estimate("pi", 1, 3, 11.7549157, 5.19749156),
        Estimate("pi", 2, 0, -0.189986359, 0.0350040646),
        Estimate("pi", 2, 2, 0.0284167444, 0.0319193998),
        Estimate("pi", 3, 0, 1.49543099, 0.648250325),
        Estimate("pi", 3, 2, -1.53865516, 1.10679871),
        Estimate("beta", 0, 0, -32.0189757, 2.30369352),
    ),
)
MONTE_CARLO_DIAGONAL_1S = Reference(
    objective=184.476814065,
    delta_squares=37177.47007,
    xi_squares=1851.611205,
    estimates=(
        Estimate("sigma", 0, 0, -0.000897408147, 1.15907949),
        Estimate("sigma", 1, 1, -0.803294481, 8.06137709),
        Estimate("sigma", 2, 2, 0.0272998139, 0.062892177),
        Estimate("sigma", 3, 3, 0.431407081, 1.72065009),
        Estimate("beta", 0, 0, -30.2301319, 1.62909014),
    ),
)
MONTE_CARLO_DIAGONAL_2S = Reference(
    objective=179.011615303,
    delta_squares=37387.37909,
    xi_squares=1861.638332,
    estimates=(
        Estimate("sigma", 0, 0, 0.0524799361, 1.1442764),
        Estimate("sigma", 1, 1, -0.433867994, 8.01369799),
        Estimate("sigma", 2, 2, 0.035632256, 0.0576798783),
        Estimate("sigma", 3, 3, 0.501097545, 1.706887),
        Estimate("beta", 0, 0, -30.2122388, 1.36348428),
    ),
)
MONTE_CARLO_FULL_2S = Reference(
    objective=148.366509257,
    delta_squares=41869.46267,
    xi_squares=1999.805235,
    estimates=(
        Estimate("sigma", 0, 0, 1.20756626, 2.9618052),
        Estimate("sigma", 1, 0, -11.4476023, 17.7495564),
        Estimate("sigma", 1, 1, 8.42360026, 11.5730294),
        Estimate("sigma", 2, 0, 0.0605755506, 0.248550444),
        Estimate("sigma", 2, 1, -0.0913679006, 0.228268942),
        Estimate("sigma", 2, 2, 0.0378337369, 0.0829820639),
        Estimate("sigma", 3, 0, -0.587911416, 2.13281469),
        Estimate("sigma", 3, 1, -0.621828137, 1.53267908),
        Estimate("sigma", 3, 2, -0.0226170352, 2.53056125),
        Estimate("sigma", 3, 3, 0.480004753, 1.33082901),
        Estimate("beta", 0, 0, -31.3734983, 6.00648495),
    ),
)
PRODUCT_DIAGONAL_1S = Reference(
    objective=189.943177683,
    delta_squares=36719.3906,
    xi_squares=1841.892294,
    estimates=(
        Estimate("sigma", 0, 0, -5.28673002e-09, 151306.961),
        Estimate("sigma", 1, 1, -3.16247311e-08, 11334.5137),
        Estimate("sigma", 2, 2, -8.34381464e-10, 2769011.78),
        Estimate("sigma", 3, 3, -5.19264836e-09, 31869.4394),
        Estimate("beta", 0, 0, -30.0977552, 1.04765251),
    ),
)
PRODUCT_DIAGONAL_2S = Reference(
    objective=187.455512975,
    delta_squares=36719.3906,
    xi_squares=1841.795503,
    estimates=(
        Estimate("sigma", 0, 0, -5.28673002e-09, 132874.587),
        Estimate("sigma", 1, 1, -3.16247311e-08, 9324.1057),
        Estimate("sigma", 2, 2, -8.34381464e-10, 2653654.51),
        Estimate("sigma", 3, 3, -5.19264836e-09, 26917.2301),
        Estimate("beta", 0, 0, -30.0471029, 1.03308941),
    ),
)
PRODUCT_FULL_2S = Reference(
    objective=159.019426205,
    delta_squares=39912.32925,
    xi_squares=1944.558417,
    estimates=(
        Estimate("sigma", 0, 0, -0.740051081, 2.39238559),
        Estimate("sigma", 1, 0, 12.7480519, 7.78065994),
        Estimate("sigma", 1, 1, 1.08095346e-05, 1290.04906),
        Estimate("sigma", 2, 0, -0.1117948, 0.178931684),
        Estimate("sigma", 2, 1, -1.07186412e-07, 104298.337),
        Estimate("sigma", 2, 2, -1.30345557e-09, 2862.25825),
        Estimate("sigma", 3, 0, 0.148120132, 0.687086195),
        Estimate("sigma", 3, 1, -1.0884885e-06, 2310.7126),
        Estimate("sigma", 3, 2, 3.82953676e-08, 53.0783291),
        Estimate("sigma", 3, 3, 7.37756849e-09, 29.9594743),
        Estimate("beta", 0, 0, -30.8018316, 4.10816307),
    ),
)
#: Gradient at NEVO_START by parameter.
NEVO_START_GRADIENT = {
    "1 x 1": 9.84496172,
    "prices x prices": 0.316982592,
    "sugar x sugar": 363.5062,
    "mushy x mushy": 16.3595361,
    "1 x income": 10.6013051,
    "1 x age": -2.02631171,
    "prices x income": 0.702537464,
    "prices x income_squared": 13.4937504,
    "prices x child": -0.571189322,
    "sugar x income": 42.5021403,
    "sugar x age": 10.9049144,
    "mushy x income": -3.47563851,
    "mushy x age": 1.28397138,
}
