"""Matches: the gallery rows that a query is to find."""

import numpy as np

from ccpdml.metrics.knn import space


class Matches:
    """Queries, gallery, and which rows of it match a query.

    Args:
        query, gallery: float32 [num_queries, dim], [gallery_size, dim].
        excluded: gallery index that is no match of the query (itself) or -1, int [num_queries].
        relation: of `relations`, of these queries and this gallery.

    Attributes:
        counts: number of matches per query (R), int [num_queries].
    """

    def __init__(self, query, gallery, excluded, relation):
        self.query, self.gallery, self.excluded = query, gallery, excluded
        self.relation = relation
        own = np.flatnonzero(excluded >= 0)
        self.counts = relation.sizes.copy()
        self.counts[own] -= relation.hits(slice(None), own, excluded[own])

    def take(self, queries):
        """The same for some of the queries, increasing ints [n]."""
        if len(queries) == len(self.query):
            return self
        relation = self.relation.take(queries)
        return Matches(self.query[queries], self.gallery, self.excluded[queries], relation)

    def hits(self, queries, rows, columns):
        """Tells of pairs whether they match, as `relations.SameClass.hits`."""
        return self.relation.hits(queries, rows, columns)

    def nearest_squared_distances(self, wanted):
        """Squared distance to the nearest match, for the queries `wanted` (bool [num_queries]).

        Returns:
            Float64 [num_queries]; -inf (nothing is nearer) where not wanted.
        """
        nearest = np.full(len(self.query), -np.inf)
        queries = np.flatnonzero(wanted)
        batch_of = np.cumsum(self.relation.sizes[queries]) // space.VALUES_PER_READ
        for batch in np.split(queries, np.flatnonzero(np.diff(batch_of)) + 1):
            nearest[batch] = self._nearest(batch)
        return nearest

    def _nearest(self, queries):
        sizes = self.relation.sizes[queries]
        rows, columns = np.repeat(queries, sizes), self.relation.columns(queries)
        distances = space.squared_distances(self.query, self.gallery, rows, columns)
        distances[columns == self.excluded[rows]] = np.inf
        return np.minimum.reduceat(distances, np.cumsum(sizes) - sizes)
