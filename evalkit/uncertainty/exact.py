"""The exact bound on a share of which few or none were seen."""


def share_at_most(n_seen: int, n: int, *, level: float) -> float:
    """Return the upper Clopper-Pearson bound on a share, one-sided; 1 where nothing was looked at.

    >>> round(share_at_most(0, 100, level=0.95), 4)
    0.0295

    Args:
        n_seen: How many had it.
        n: Of how many, drawn at random.
        level: How often the bound holds.
    """
    from scipy.special import betaincinv  # noqa: PLC0415 - half a second that most commands do without

    return 1.0 if n_seen >= n else float(betaincinv(n_seen + 1, n - n_seen, level))
