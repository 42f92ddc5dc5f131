"""Losses of landmark heads: how far each point is off, and how well its predicted error describes that.

A loss takes the raw outputs of a head, the true points (N, K, 2) and the side of the crop, all in pixels, and
gives a loss per point. The raw outputs are ``points`` (N, K, 2), ``log_sigma`` (N, K) and, for the losses of
ANISOTROPIC, ``shape`` (N, K, 2): numbers (a, b) that make the error an ellipse, with the covariance

    S = c^2 exp([[a, b], [b, -a]])

(a matrix exponential). With m = |(a, b)| its eigenvalues are c^2 exp(m) and c^2 exp(-m), the longer axis lies
at the angle atan2(b, a) / 2, and det S = c^4: the shape is free of the size, and any (a, b) is a covariance.

Adaptive Wing (Wang et al., ICCV 2019) is not among them: it bends with the value of a heatmap's pixel, and a
head that regresses coordinates has no heatmap.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

PointLoss = Callable[[Mapping[str, Tensor], Tensor, int], Tensor]

_ERROR_WEIGHT = 0.1  # of the expected error's likelihood
_UNITS = 20.0  # distances are counted in twentieths of the crop where they are not divided by a sigma
_WING_WIDTH, _WING_CURVATURE = 10 / 256, 2 / 256  # of the crop
# The smooth L1's scale and the least eigenvalue; the authors' code counts in half crops, this in whole ones.
_STAR_SCALE, _STAR_FLOOR = 0.01 / 2, 1e-5 / 4


def laplace(raw: Mapping[str, Tensor], truth: Tensor, size: int) -> Tensor:
    """(N, K) distance in units of a twentieth of the crop, plus the likelihood of the expected error.

    With p(d) proportional to exp(-2 |d| / s) / s^2, an isotropic Laplace density in the plane, s is the
    mean distance and the negative log-likelihood is 2 (|d| / s + log s). The distance is detached in it:
    uncertain points stay worth learning, and s only learns to describe them.
    """
    distance = _length((raw["points"] - truth).square().sum(-1))
    return (_UNITS / size) * distance + _expected_error(raw, distance.detach())


def wing(raw: Mapping[str, Tensor], truth: Tensor, size: int) -> Tensor:
    """(N, K) Wing loss, plus the likelihood of the expected error as in ``laplace``.

    Feng et al., "Wing Loss for Robust Facial Landmark Localisation with Convolutional Neural Networks", CVPR
    2018, the mean over x and y of wing(x) = w ln(1 + |x| / e) where |x| < w, else |x| - w + w ln(1 + w / e).
    The paper's w = 10 and e = 2 pixels are taken as those of a crop of 256, and its units as twentieths of
    the crop, which makes errors beyond w weigh what they do in ``laplace``.
    """
    error = raw["points"] - truth
    width, curvature = _UNITS * _WING_WIDTH, _UNITS * _WING_CURVATURE
    offset = (_UNITS / size) * error.abs()
    inner = width * torch.log1p(offset / curvature)
    outer = offset - width + width * math.log1p(width / curvature)
    distance = _length(error.detach().square().sum(-1))
    return torch.where(offset < width, inner, outer).mean(-1) + _expected_error(raw, distance)


def laplace_nll(raw: Mapping[str, Tensor], truth: Tensor, size: int) -> Tensor:
    """(N, K) negative log-likelihood of points and covariance together, a Laplace density in the plane.

    Kumar et al., "LUVLi Face Alignment: Estimating Landmarks' Location, Uncertainty, and Visibility
    Likelihood", CVPR 2020: log(det S) / 2 + sqrt(3 d' S^-1 d), less constants. LUVLi writes S by its Cholesky
    factor; here c = s sqrt(3) / 2, so that s is the mean distance where the ellipse is a circle:
    2 (log s + r / s) with r^2 = c^2 d' S^-1 d.
    """
    distance = _length(_elliptic_square(raw["points"] - truth, raw["shape"]))
    return 2 * (raw["log_sigma"] + distance * (-raw["log_sigma"]).exp())


def gaussian_nll(raw: Mapping[str, Tensor], truth: Tensor, size: int) -> Tensor:
    """(N, K) negative log-likelihood of points and covariance together, a Gaussian density in the plane.

    Kumar et al., "UGLLI Face Alignment: Estimating Uncertainty with Gaussian Log-Likelihood Loss", ICCV
    Workshops 2019: log(det S) / 2 + d' S^-1 d / 2, less constants; c = s sqrt(2 / pi), see ``laplace_nll``.
    """
    square = _elliptic_square(raw["points"] - truth, raw["shape"])
    return 2 * raw["log_sigma"] + (math.pi / 4) * square * (-2 * raw["log_sigma"]).exp()


def star(raw: Mapping[str, Tensor], truth: Tensor, size: int) -> Tensor:
    """(N, K) error along and across the direction in which the point is ambiguous, each in its deviations.

    After Zhou et al., "STAR Loss: Reducing Semantic Ambiguity in Facial Landmark Detection", CVPR 2023: the
    sum over the principal axes v of smooth_l1(v' d) / sqrt(eigenvalue). Two things differ from the paper. Its
    covariance is that of the predicted heatmap; a coordinate head has none and predicts the covariance, which
    learns by the likelihood of ``laplace_nll``, the error detached. And the decomposed error has no gradient
    to the covariance, which can therefore not grow to hide errors: the paper's eigenvalue restriction, which
    keeps the heatmap from doing so, has nothing to do and is left out.
    """
    error = raw["points"] - truth
    shape = raw["shape"].detach()
    stretch, angle = _log_ratio(shape), torch.atan2(shape[..., 1], shape[..., 0]) / 2
    along = error[..., 0] * angle.cos() + error[..., 1] * angle.sin()
    across = error[..., 1] * angle.cos() - error[..., 0] * angle.sin()
    axes = torch.stack([along, across], dim=-1)
    log_variance = math.log(0.75) + 2 * raw["log_sigma"].detach()  # of c^2, see laplace_nll
    variance = (log_variance[..., None] + torch.stack([stretch, -stretch], dim=-1)).exp()
    each = F.smooth_l1_loss(axes, torch.zeros_like(axes), reduction="none", beta=_STAR_SCALE * size)
    loss = (each / (variance + _STAR_FLOOR * size**2).sqrt()).sum(-1)
    distance = _length(_elliptic_square(error.detach(), raw["shape"]))
    return loss + _expected_error(raw, distance)


#: The losses by the name that a configuration gives.
POINT_LOSSES: dict[str, PointLoss] = {
    each.__name__: each for each in (laplace, wing, laplace_nll, gaussian_nll, star)
}

#: What each multiplies ``log_sigma`` by. All else in it is not negative.
LOG_SIGMA_FACTOR = {
    "laplace": _ERROR_WEIGHT,
    "wing": _ERROR_WEIGHT,
    "laplace_nll": 2.0,
    "gaussian_nll": 2.0,
    "star": _ERROR_WEIGHT,
}

#: Those that need ``shape`` among the raw outputs.
ANISOTROPIC = {"laplace_nll", "gaussian_nll", "star"}


def mean_stretch(shape: Tensor) -> Tensor:
    """(...) mean length of an error of this shape (..., 2), as a multiple of a round one's; at least 1.

    Stretching a circle by exp(m / 2) one way and exp(-m / 2) the other gives its points this mean length: the
    perimeter of that ellipse over 2 pi, in Ramanujan's approximation (1914).
    """
    log_ratio = _log_ratio(shape)
    return 3 * (log_ratio / 2).cosh() - (6 * log_ratio.cosh() + 10).sqrt() / 2


def _expected_error(raw: Mapping[str, Tensor], distance: Tensor) -> Tensor:
    """A tenth of |d| / s + log s."""
    return _ERROR_WEIGHT * (distance * (-raw["log_sigma"]).exp() + raw["log_sigma"])


def _elliptic_square(error: Tensor, shape: Tensor) -> Tensor:
    """c^2 d' S^-1 d = d' exp(-[[a, b], [b, -a]]) d, the matrix exponential written out."""
    log_ratio = _log_ratio(shape)
    x, y, a, b = error[..., 0], error[..., 1], shape[..., 0], shape[..., 1]
    leaning = a * (x.square() - y.square()) + 2 * b * x * y
    return log_ratio.cosh() * error.square().sum(-1) - log_ratio.sinh() / log_ratio * leaning


def _log_ratio(shape: Tensor) -> Tensor:
    """m: log of the ratio of the two deviations."""
    return _length(shape.square().sum(-1))


def _length(square: Tensor) -> Tensor:
    """Square root with a gradient at zero."""
    return square.add(1e-6).sqrt()
