"""Least squares with parameters that are never negative, and how far the data let them be.

The model is y = X theta with theta >= 0. The region of the parameters is that of the profile
likelihood, {theta >= 0: RSS(theta) <= RSS_min + s^2 t^2} with Student's t of the residuals' degrees
of freedom (D. M. Bates and D. G. Watts, Nonlinear Regression Analysis and Its Applications, Wiley
1988, chapter 6). Without the bounds it gives the textbook's intervals of linear regression; at a
bound, where a covariance matrix says nothing true, it is cut off by it.

The region is convex, so a linear function of the parameters is greatest inside one of its faces
(the subsets of parameters that are not 0), where it is an ellipsoid: a few closed formulas.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

    Vector = NDArray[float64]

_STEPS = 60
_SMALLEST = 1e-12


@dataclass(frozen=True)
class _Face:
    """The fit with some of the parameters alone, the others being 0.

    Attributes:
        free: which parameters are not 0, of the P there are.
        theta: (P,)
        rss: the sum of squared residuals.
        inverse: (F, F), the inverse of X'X, where F parameters are free.
    """

    free: list[int]
    theta: "Vector"
    rss: float
    inverse: "Vector"


@dataclass(frozen=True)
class Fit:
    """Parameters with the region that the data leave them.

    Attributes:
        theta: (P,), the best parameters.
        rss: their sum of squared residuals.
        faces: the fits of all subsets of parameters.
        slack: by how much the sum of squared residuals may exceed `rss` within the region.
    """

    theta: "Vector"
    rss: float
    faces: Sequence[_Face]
    slack: float

    def interval(self, gradient: "Vector", noise: float = 0.0) -> tuple[float, float]:
        """Return the least and the greatest value of gradient @ theta in the region.

        Args:
            gradient: (P,)
            noise: the scale of a new observation's own residual, where the interval is one for
                such an observation (as `y` was scaled to 1 in the fit); 0 for its mean.
        """
        return 0.0 - self._greatest(-gradient, noise)[0], self._greatest(gradient, noise)[0]

    def ratio(self, over: "Vector", under: "Vector") -> tuple[float, float, float]:
        """Return (over @ theta) / (under @ theta): the least, that of the fit, the greatest.

        By W. Dinkelbach, On nonlinear fractional programming, Management Science 13 (1967): a
        ratio r is the greatest where max (over - r under) @ theta = 0.

        Args:
            over: (P,)
            under: (P,), without negative elements.
        """
        fitted = _divided(float(over @ self.theta), float(under @ self.theta))
        least = 0.0 - self._greatest_ratio(-over, under)
        return least, fitted, self._greatest_ratio(over, under)

    def _greatest_ratio(self, over: "Vector", under: "Vector") -> float:
        theta = self.theta
        ratio = _divided(float(over @ theta), float(under @ theta))
        for _ in range(_STEPS):
            if math.isinf(ratio):
                break
            theta = self._greatest(over - ratio * under)[1]
            found = _divided(float(over @ theta), float(under @ theta))
            if not found > ratio + _SMALLEST * abs(ratio):
                break
            ratio = found
        return ratio

    def _greatest(self, gradient: "Vector", noise: float = 0.0) -> tuple[float, "Vector"]:
        """Return the greatest value of gradient @ theta in the region, and where it is."""
        best, where = float(gradient @ self.theta), self.theta
        for face in self.faces:
            room = self.rss + self.slack - face.rss
            if room <= 0:
                continue
            along = gradient[face.free]
            step = face.inverse @ along  # (F,)
            variance = float(along @ step) + noise**2
            if variance <= 0:
                continue
            theta = face.theta.copy()
            theta[face.free] += step * math.sqrt(room / variance)
            value = float(gradient @ face.theta) + math.sqrt(room * variance)
            if value > best and (theta >= 0).all():
                best, where = value, theta
        return best, where


def fit(rows: "Vector", level: float, least_variance: float = 0.0) -> Fit:
    """Fit rows @ theta to 1 with theta >= 0.

    Args:
        rows: (N, P) with N > P, each row divided by what was observed.
        level: of the region, between 0 and 1, for one parameter or prediction at a time.
        least_variance: what the residuals' variance is at least, where more is known of it than
            these few residuals tell.

    Returns:
        The fit. The residuals' variance is RSS / (N - P), whichever parameters are 0.
    """
    from scipy.special import stdtrit

    count, parameters = rows.shape
    faces = [
        face
        for size in range(1, parameters + 1)
        for free in combinations(range(parameters), size)
        if (face := _face(rows, list(free))) is not None
    ]
    best = min((face for face in faces if (face.theta >= 0).all()), key=lambda face: face.rss)
    freedom = count - parameters
    variance = max(best.rss / freedom, least_variance)
    quantile = float(stdtrit(freedom, (1 + level) / 2))
    return Fit(theta=best.theta, rss=best.rss, faces=faces, slack=variance * quantile**2)


def _face(rows: "Vector", free: list[int]) -> _Face | None:
    """Fit with these parameters alone; None where the data do not tell them apart."""
    import numpy as np

    part = rows[:, free]
    scale = np.sqrt((part**2).sum(axis=0))
    q, r = np.linalg.qr(part / scale)
    if np.abs(np.diag(r)).min() < _SMALLEST:
        return None
    backwards = np.linalg.inv(r) / scale[:, None]  # (F, F): (X'X)^-1 = backwards @ backwards'.
    solution = backwards @ (q.T @ np.ones(len(rows)))
    theta = np.zeros(rows.shape[1])
    theta[free] = solution
    residuals = part @ solution - 1
    return _Face(free, theta, float(residuals @ residuals), backwards @ backwards.T)


def _divided(over: float, under: float) -> float:
    if over == 0:
        return 0.0
    return over / under if under > 0 else math.copysign(math.inf, over)
