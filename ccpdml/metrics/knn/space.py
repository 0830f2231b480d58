"""The space in which one float32 matrix product ranks a gallery by distance, with a known error."""

import numpy as np

VALUES_PER_READ = 2**16
VALUES_PER_CALL = 2**18  # of a thread
ROWS_FOR_MEAN = 4096
_SAFE_RADIUS = (1e-15, 1e15)


class ScoreSpace:
    """Centers and scales embeddings so that `query_side(x) @ gallery_side(y).T` scores nearness.

    With u, v the embeddings moved to about the gallery's mean and scaled into the unit ball, the
    score is u.v - |v|^2 / 2 = (|u|^2 - |u - v|^2) / 2, so it falls as the distance grows. Its
    rounding error is at most `slack / 2` whatever the order in which the product sums: two scores
    further apart than `slack` are ordered as the true distances are.

    Args:
        query: float32 [num_queries, dim].
        gallery: float32 [gallery_size, dim].
        each: calls a function for each of a list, as `map` does; that of a pool in its threads.

    Attributes:
        squared_norms: of gallery rows, moved but not scaled, float [gallery_size].
    """

    def __init__(self, query, gallery, each=map):
        some = gallery[:: -(-len(gallery) // ROWS_FOR_MEAN)]
        self.origin = some.mean(axis=0, dtype=np.float64).astype(np.float32)
        # Values whose squares float32 cannot hold are moved and scaled in float64.
        for dtype in (np.float32, np.float64):
            squares = [_squares(rows, self.origin, dtype, each) for rows in (query, gallery)]
            self.dtype, self.squared_norms = dtype, squares[1]
            radius = np.sqrt(float(max(of_side.max() for of_side in squares)))
            if _SAFE_RADIUS[0] < radius < _SAFE_RADIUS[1]:
                break
        # A power of two: scaling rounds nothing. The radius itself was rounded.
        exponent = np.ceil(np.log2(1.001 * radius)) if radius > 0.0 else 0.0
        self.scale = self.dtype(2.0**-exponent)
        # u and v are rounded once, |v|^2 / 2 and the product sum dim + 1 values: absolute values
        # that add up to 0.5 and to 1.5.
        self.slack = 2.0 * np.finfo(np.float32).eps * (gallery.shape[1] + 8)

    def query_side(self, rows):
        """Float32 [n, dim] -> float32 [n, dim + 1]."""
        side = np.ones((len(rows), rows.shape[1] + 1), np.float32)
        self._move(rows, side[:, :-1])
        return side

    def fill_gallery_side(self, side, rows, squared_norms):
        """Writes gallery rows, float32 [n, dim], into `side`, float32 [n, dim + 1]."""
        self._move(rows, side[:, :-1])
        side[:, -1] = squared_norms * (-0.5 * self.scale**2)

    def scores_at(self, rows, distances):
        """Scores of gallery points at these squared distances from `rows`, float64 [n]."""
        moved = np.empty(rows.shape)
        self._move(rows, moved)
        return 0.5 * (_squared_norms(moved) - float(self.scale) ** 2 * distances)

    def _move(self, rows, moved):
        """Writes rows, moved and scaled, into an array of their shape."""
        np.subtract(rows, self.origin, out=moved, dtype=self.dtype, casting="same_kind")
        np.multiply(moved, self.scale, out=moved, dtype=self.dtype, casting="same_kind")


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


def parts(num_rows, dim, num_values=VALUES_PER_READ):
    """Slices that cover `num_rows` rows of `dim` values, each small enough to fit a cache."""
    step = max(1, num_values // dim)
    return [slice(start, start + step) for start in range(0, num_rows, step)]


def _squares(embeddings, origin, dtype, each):
    """Squared distances from `origin`, float [n]; infinite or 0 where `dtype` is too narrow."""
    squares = np.empty(len(embeddings), dtype)

    def fill(part):
        with np.errstate(over="ignore"):
            squares[part] = _squared_norms(np.subtract(embeddings[part], origin, dtype=dtype))

    for _ in each(fill, parts(*embeddings.shape, VALUES_PER_CALL)):
        pass
    return squares


def _squared_norms(rows):
    return np.einsum("ij,ij->i", rows, rows)
