"""Alarms for an encoder or proxies that have collapsed, with the likely causes."""

LEAST_VARIANCE = 1e-4  # of the mean squared length
# Where classes do not stand out, this much is too little: networks that were never trained have
# 0.01 to 0.9, those that collapsed on images hardly told apart 0.0001 to 0.004.
LEAST_VARIANCE_WITHOUT_CLASSES = 5e-3
LEAST_NEARNESS = 0.9  # distance within classes over that between classes
LEAST_DIMENSIONS = 1.5
LEAST_PROXY_SPREAD = 0.01  # of the distance between images of a class


def alarms(description: dict[str, float]) -> dict[str, str]:
    """Names signs of a collapse in a geometry.

    Args:
        description: dict of `geometry.spread` or `geometry.describe`.

    Returns:
        Dict from the kind of an alarm ('point', 'line', 'gap', 'proxies') to a sentence about it
        with its likely causes; empty if all is well.
    """
    point = _is_one_point(description) or _is_a_crowd(description)
    if point:
        return {"point": point}
    found = {
        "line": _is_one_line(description),
        "gap": _has_no_gap(description),
        "proxies": _has_equal_proxies(description),
    }
    return {kind: alarm for kind, alarm in found.items() if alarm}


def _is_one_point(description):
    length, variance = description["embedding_length"], description["embedding_variance"]
    if variance > LEAST_VARIANCE * length**2:
        return None
    return (
        f"All images are embedded at nearly the same point (variance {variance:.1e} at length "
        f"{length:.1e}). Likely causes: a learning rate that is too high, a loss stuck at its "
        "margin, a wrong input scale, images that are all alike."
    )


def _is_a_crowd(description):
    length, variance = description["embedding_length"], description["embedding_variance"]
    positive, negative = description["positive_distance"], description["negative_distance"]
    is_close = variance <= LEAST_VARIANCE_WITHOUT_CLASSES * length**2
    if not is_close or positive < LEAST_NEARNESS * negative:
        return None
    return (
        f"All images are embedded close together (variance {variance:.1e} at length {length:.1e}), "
        f"those of one class ({positive:.3g} apart) hardly closer than those of different classes "
        f"({negative:.3g}). Likely causes: a learning rate that is too high, too few steps, a "
        "wrong input scale, a loss stuck at its margin."
    )


def _is_one_line(description):
    dimensions = description["effective_dimensions"]
    if dimensions > LEAST_DIMENSIONS:
        return None
    return (
        f"The embeddings lie along one line (effective dimensions {dimensions:.2f}). Likely "
        "causes: an embedding size of 1, dead units before the last layer, a learning rate that "
        "is too high."
    )


def _has_no_gap(description):
    positive, negative = description["positive_distance"], description["negative_distance"]
    if positive < negative or not positive:
        return None
    return (
        f"Images of one class are as far apart ({positive:.3g}) as images of different classes "
        f"({negative:.3g}). Likely causes: labels that do not belong to the images, training that "
        "has not begun to work, a wrong input scale."
    )


def _has_equal_proxies(description):
    spread, positive = description.get("proxy_spread"), description["positive_distance"]
    if spread is None or spread > LEAST_PROXY_SPREAD * positive:
        return None
    return (
        f"The proxies of a class have moved onto one point (apart by {spread:.1e}, images of a "
        f"class by {positive:.1e}). Likely causes: proxies that are never re-initialized, a proxy "
        "learning rate that is too high, more proxies than the classes have modes."
    )
