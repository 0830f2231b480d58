"""The geometry of embeddings and proxies, which the paper's Figures 1 and 2 are about."""

import numpy as np
import numpy.typing as npt

from ccpdml.metrics import checks
from ccpdml.metrics.knn import arrays, search


def describe(
    embeddings: npt.ArrayLike,
    labels: npt.ArrayLike,
    proxies: npt.ArrayLike | None = None,
    proxy_labels: npt.ArrayLike | None = None,
    num_centers: int = 8,
) -> dict[str, float]:
    """The diagnostics of this module in one dictionary.

    Args:
        embeddings, labels, proxies, proxy_labels: as of `spread`.
        num_centers: longest core-set of `covering_radii`, int.

    Returns:
        The dict of `spread`, and in it the float 'class_distance' and the list 'covering_radii'.
    """
    description = spread(embeddings, labels, proxies, proxy_labels)
    embeddings = arrays.embeddings(embeddings, "embeddings")
    labels = checks.labels(labels, len(embeddings), "labels")
    return description | {
        "class_distance": class_distance(embeddings, labels),
        "covering_radii": covering_radii(embeddings, labels, num_centers).tolist(),
    }


def of_each_label(embeddings: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings and classes; of several labels, each image once for every one that it has.

    Args:
        embeddings: float [n, dim].
        labels: classes [n]; or several labels of each, bool [n, num_labels].

    Returns:
        Float [m, dim] and [m]: with classes what was given.
    """
    if labels.ndim == 1:
        return embeddings, labels
    rows, classes = np.nonzero(labels)
    return embeddings[rows], classes


def spread(
    embeddings: npt.ArrayLike,
    labels: npt.ArrayLike,
    proxies: npt.ArrayLike | None = None,
    proxy_labels: npt.ArrayLike | None = None,
) -> dict[str, float]:
    """Measures the spread of embeddings and proxies, in time linear in their number.

    Args:
        embeddings: float [n, dim].
        labels: [n] or [n, 1].
        proxies: float [num_proxies, dim], or None.
        proxy_labels: [num_proxies] or [num_proxies, 1], or None.

    Returns:
        Dict of floats 'embedding_length' (root mean square), 'embedding_variance' (sum over
        dimensions), 'effective_dimensions', 'positive_distance', 'negative_distance' and, if a
        class has several proxies, 'proxy_spread' (root mean square distance of proxies of a
        class). Distances are in the embedding's unit.
    """
    embeddings = arrays.embeddings(embeddings, "embeddings")
    labels = checks.labels(labels, len(embeddings), "labels")
    positive, negative = pair_distances(embeddings, labels)
    description = {
        "embedding_length": float(np.sqrt((embeddings.astype(np.float64) ** 2).sum(axis=1).mean())),
        "embedding_variance": float(embeddings.var(axis=0, dtype=np.float64).sum()),
        "effective_dimensions": effective_dimensions(embeddings),
        "positive_distance": positive,
        "negative_distance": negative,
    }
    if proxies is not None:
        proxies = arrays.embeddings(proxies, "proxies")
        proxy_labels = checks.labels(proxy_labels, len(proxies), "proxy_labels")
        if len(np.unique(proxy_labels)) < len(proxies):
            description["proxy_spread"] = pair_distances(proxies, proxy_labels)[0]
    return description


def pair_distances(points: np.ndarray, labels: npt.ArrayLike) -> tuple[float, float]:
    """Root mean square distance of all pairs of one class, and of all pairs of different classes.

    Args:
        points: float [n, dim].
        labels: [n].

    Returns:
        Two floats; 0 where there is no such pair.

    From sums instead of pairs: the squared distances within a set of m points that add up to s,
    their squared lengths to q, add up to m q - |s|^2 over unordered pairs.
    """
    points = points.astype(np.float64) - points.mean(axis=0, dtype=np.float64)
    _, classes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    sums = _sums_of_classes(points, classes, sizes)
    lengths = (points**2).sum(axis=1)
    within = sizes * np.bincount(classes, lengths) - (sums**2).sum(axis=1)
    num_within = (sizes * (sizes - 1) // 2).sum()
    num_all = len(points) * (len(points) - 1) // 2
    total = len(points) * lengths.sum() - (points.sum(axis=0) ** 2).sum()
    return _root(within.sum(), num_within), _root(total - within.sum(), num_all - num_within)


def effective_dimensions(embeddings: np.ndarray) -> float:
    """Participation ratio of the variances along the principal axes: 1..dim; 0 for one point.

    (sum v)^2 / sum v^2 of the variances v: k if the embeddings spread evenly over k axes.
    """
    covariance = np.cov(embeddings.T.astype(np.float64), bias=True).reshape(embeddings.shape[1], -1)
    total = np.trace(covariance)
    return float(total**2 / (covariance**2).sum()) if total > 0.0 else 0.0


def _sums_of_classes(points, classes, sizes):
    """Sum of the points of each class, [num_classes, dim]; `classes` are 0..num_classes - 1."""
    in_order = points[np.argsort(classes, kind="stable")]
    return np.add.reduceat(in_order, np.cumsum(sizes) - sizes)


def class_distance(embeddings: np.ndarray, labels: npt.ArrayLike) -> float:
    """Mean over classes of the distance from the class mean to the nearest other class mean."""
    names, classes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    if len(names) == 1:
        return 0.0
    means = _sums_of_classes(embeddings.astype(np.float64), classes, sizes) / sizes[:, None]
    _, distances = search.nearest(means, k=1)
    return float(distances.mean(dtype=np.float64))


def covering_radii(embeddings: np.ndarray, labels: npt.ArrayLike, num_centers: int) -> np.ndarray:
    """Mean over classes of the radius that the best 1, 2, ... centers of a class need to cover it.

    Centers are points of the class: first the one nearest the class mean, then greedy k-center. A
    class with fewer points than centers is covered with radius 0.

    Args:
        embeddings: float [n, dim].
        labels: [n].
        num_centers: int >= 1.

    Returns:
        Float64 [num_centers], not increasing.

    Source: the paper's Figure 2 and supplement, 2.1.
    """
    order = np.argsort(labels, kind="stable")
    edges = np.flatnonzero(np.diff(np.unique(labels, return_inverse=True)[1][order])) + 1
    classes = np.split(order, edges)
    return np.mean([_radii(embeddings[rows], num_centers) for rows in classes], axis=0)


def _radii(points, num_centers):
    points = points.astype(np.float64)
    nearest = np.full(len(points), np.inf)
    pick = np.linalg.norm(points - points.mean(axis=0), axis=1).argmin()
    radii = np.zeros(num_centers)
    for count in range(min(num_centers, len(points))):
        nearest = np.minimum(nearest, np.linalg.norm(points - points[pick], axis=1))
        radii[count], pick = nearest.max(), nearest.argmax()
    return radii


def _root(total, count):
    return float(np.sqrt(max(total, 0.0) / count)) if count else 0.0
