"""Matches: the gallery rows of a query's class."""

import numpy as np

from ccpdml.metrics.knn import space


class Matches:
    """Queries, gallery and labels; a match of a query is a gallery row of its class.

    Args:
        query, gallery: float32 [num_queries, dim], [gallery_size, dim].
        excluded: gallery index that is no match of the query (itself) or -1, int [num_queries].
        query_labels, gallery_labels: [num_queries], [gallery_size].

    Attributes:
        counts: number of matches per query (R), int [num_queries].
    """

    def __init__(self, query, gallery, excluded, query_labels, gallery_labels):
        self.query, self.gallery, self.excluded = query, gallery, excluded
        self.query_labels, self.gallery_labels = query_labels, gallery_labels
        self.by_class = np.argsort(gallery_labels, kind="stable")
        in_order = gallery_labels[self.by_class]
        self.starts = np.searchsorted(in_order, query_labels)
        self.class_sizes = np.searchsorted(in_order, query_labels, side="right") - self.starts
        self.counts = self.class_sizes - (excluded >= 0)

    def take(self, queries):
        """The same for some of the queries, increasing ints [n]."""
        if len(queries) == len(self.query):
            return self
        chosen = [values[queries] for values in (self.query, self.excluded, self.query_labels)]
        return Matches(chosen[0], self.gallery, chosen[1], chosen[2], self.gallery_labels)

    def nearest_squared_distances(self, wanted):
        """Squared distance to the nearest match, for the queries `wanted` (bool [num_queries]).

        Returns:
            Float64 [num_queries]; -inf (nothing is nearer) where not wanted.
        """
        nearest = np.full(len(self.query), -np.inf)
        queries = np.flatnonzero(wanted)
        batch_of = np.cumsum(self.class_sizes[queries]) // space.VALUES_PER_READ
        for batch in np.split(queries, np.flatnonzero(np.diff(batch_of)) + 1):
            nearest[batch] = self._nearest(batch)
        return nearest

    def _nearest(self, queries):
        sizes = self.class_sizes[queries]
        ends = np.cumsum(sizes)
        rows = np.repeat(queries, sizes)
        places = np.arange(ends[-1]) - np.repeat(ends - sizes - self.starts[queries], sizes)
        columns = self.by_class[places]
        distances = space.squared_distances(self.query, self.gallery, rows, columns)
        distances[columns == self.excluded[rows]] = np.inf
        return np.minimum.reduceat(distances, ends - sizes)
