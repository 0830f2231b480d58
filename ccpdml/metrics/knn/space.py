"""The space in which one float32 matrix product ranks a gallery by distance, with a known error."""

import numpy as np

VALUES_PER_READ = 2**16


class ScoreSpace:
    """Centers and scales embeddings so that `query_side(x) @ gallery_side(y).T` scores nearness.

    With u, v the embeddings moved to the gallery's mean and scaled into the unit ball, the score is
    u.v - |v|^2 / 2 = (|u|^2 - |u - v|^2) / 2, so it falls as the distance grows. Its rounding error
    is at most `slack / 2` whatever the order in which the product sums: two scores further apart
    than `slack` are ordered as the true distances are.

    Args:
        query: float32 [num_queries, dim].
        gallery: float32 [gallery_size, dim].
    """

    def __init__(self, query, gallery):
        self.origin = sum(rows.sum(axis=0) for rows in _doubles(gallery)) / len(gallery)
        radius = max(_radius(query, self.origin), _radius(gallery, self.origin))
        self.scale = 1.0 / radius if radius > 0.0 else 1.0
        # A sum of dim + 1 products whose absolute values add up to 1.5, after rounding u and v.
        self.slack = 2.0 * np.finfo(np.float32).eps * (gallery.shape[1] + 8)

    def query_side(self, rows):
        """Float32 [n, dim] -> float32 [n, dim + 1]."""
        moved = self._moved(rows)
        return _joined(moved, np.ones(len(rows)))

    def gallery_side(self, rows):
        """Float32 [n, dim] -> float32 [n, dim + 1]."""
        moved = self._moved(rows)
        return _joined(moved, -0.5 * _squared_norms(moved))

    def scores_at(self, rows, distances):
        """Scores of gallery points at these squared distances from `rows`, float64 [n]."""
        return 0.5 * (_squared_norms(self._moved(rows)) - self.scale**2 * distances)

    def _moved(self, rows):
        return (rows - self.origin) * self.scale


def squared_distances(query, gallery, rows, columns):
    """Squared Euclidean distances of pairs, in float64 from differences (equal vectors: 0).

    Args:
        query, gallery: float32 [num_queries, dim], [gallery_size, dim].
        rows, columns: int [num_pairs], the two ends of each pair.

    Returns:
        Float64 [num_pairs].
    """
    distances = np.empty(len(rows))
    for part in parts(len(rows), query.shape[1]):
        difference = gallery[columns[part]].astype(np.float64)
        difference -= query[rows[part]]
        distances[part] = _squared_norms(difference)
    return distances


def parts(num_rows, dim):
    """Slices that cover `num_rows` rows of `dim` values, each small enough to fit a cache."""
    step = max(1, VALUES_PER_READ // dim)
    return [slice(start, start + step) for start in range(0, num_rows, step)]


def _doubles(embeddings):
    for part in parts(*embeddings.shape):
        yield embeddings[part].astype(np.float64)


def _radius(embeddings, origin):
    return max(np.sqrt(_squared_norms(rows - origin).max()) for rows in _doubles(embeddings))


def _squared_norms(rows):
    return np.einsum("ij,ij->i", rows, rows)


def _joined(moved, last):
    return np.concatenate([moved, last[:, None]], axis=1, dtype=np.float32, casting="same_kind")
