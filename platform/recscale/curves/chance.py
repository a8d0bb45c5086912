"""Quantiles and probabilities of the normal, t and F laws, without the half second that scipy.stats takes to import."""

from scipy import special


def normal_quantile(share: float) -> float:
    """z below which a share of the standard normal law lies."""
    return float(special.ndtri(share))


def normal_share(z: float) -> float:
    """Share of the standard normal law below z."""
    return float(special.ndtr(z))


def t_quantile(share: float, freedom: float) -> float:
    """t below which a share of Student's law lies."""
    return float(special.stdtrit(freedom, share))


def t_share(t: float, freedom: float) -> float:
    """Share of Student's law below t."""
    return float(special.stdtr(freedom, t))


def f_share_above(ratio: float, freedom_above: float, freedom_below: float) -> float:
    """Share of the F law of two variances above their ratio."""
    return float(special.fdtrc(freedom_above, freedom_below, ratio))
