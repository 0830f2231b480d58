"""Relations of queries and gallery rows that match: of one class, or with a label in common."""

import numpy as np
from scipy import sparse

_ROWS = 256  # Queries that are compared with the whole gallery at a time.
_BYTES = 2**22  # Of label sets that are compared at a time.


class SameClass:
    """Rows of one class match.

    Args:
        query_labels, gallery_labels: classes, [num_queries], [gallery_size].

    Attributes:
        sizes: gallery rows that match each query, int [num_queries]; itself, if it is one of them.
    """

    def __init__(self, query_labels, gallery_labels):
        self.query_labels, self.gallery_labels = query_labels, gallery_labels
        self.by_class = np.argsort(gallery_labels, kind="stable")
        in_order = gallery_labels[self.by_class]
        self.starts = np.searchsorted(in_order, query_labels)
        self.sizes = np.searchsorted(in_order, query_labels, side="right") - self.starts

    def take(self, queries):
        """The same for some of the queries, ints [n]."""
        return SameClass(self.query_labels[queries], self.gallery_labels)

    def hits(self, queries, rows, columns):
        """Tells of pairs whether they match.

        Args:
            queries: some of the queries, slice or ints.
            rows: which of them, int [num_pairs].
            columns: gallery rows, int [num_pairs].

        Returns:
            Bool [num_pairs].
        """
        return self.gallery_labels[columns] == self.query_labels[queries][rows]

    def columns(self, queries):
        """Gallery rows that match some queries (ints [n]), query after query; int, a vector."""
        sizes = self.sizes[queries]
        ends = np.cumsum(sizes)
        places = np.arange(ends[-1]) - np.repeat(ends - sizes - self.starts[queries], sizes)
        return self.by_class[places]


class SharedLabel:
    """Rows with a label in common match; a row without labels matches none, not even itself.

    Args:
        query_labels, gallery_labels: bool [num_queries, num_labels], [gallery_size, num_labels].
        sizes: if they are known.

    Attributes:
        sizes: as of `SameClass`.
    """

    def __init__(self, query_labels, gallery_labels, sizes=None):
        self.query_labels, self.gallery_labels = query_labels, gallery_labels
        self._bits = [np.packbits(labels, axis=1) for labels in (query_labels, gallery_labels)]
        self._queries = sparse.csr_array(query_labels, dtype=np.int32)
        self._gallery = sparse.csr_array(gallery_labels, dtype=np.int32).T.tocsr()
        self.sizes = self._count() if sizes is None else sizes

    def _count(self):
        starts = range(0, len(self.query_labels), _ROWS)
        shared = (self._queries[start : start + _ROWS] @ self._gallery for start in starts)
        return np.concatenate([np.diff(part.indptr) for part in shared]).astype(np.int64)

    def take(self, queries):
        """See `SameClass`."""
        return SharedLabel(self.query_labels[queries], self.gallery_labels, self.sizes[queries])

    def hits(self, queries, rows, columns):
        """See `SameClass`."""
        ours, theirs = self._bits
        ours, found = ours[queries], np.empty(len(rows), bool)
        step = max(1, _BYTES // max(1, ours.shape[1]))
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            found[part] = (ours[rows[part]] & theirs[columns[part]]).any(axis=1)
        return found

    def columns(self, queries):
        """See `SameClass`."""
        shared = self._queries[queries] @ self._gallery
        shared.sort_indices()
        return shared.indices.astype(np.int64)


def of(query_labels, gallery_labels):
    """The relation that labels stand for: bool [n, num_labels] are several of each, else classes.

    Raises:
        ValueError: if one side has classes and the other several labels of each, or of others.
    """
    one, other = query_labels.shape[1:], gallery_labels.shape[1:]
    if one != other:
        raise ValueError(
            "Queries and gallery must both have classes [n], or both several labels, bool "
            f"[n, num_labels], of the same. Received: {query_labels.shape}, {gallery_labels.shape}"
        )
    return (SharedLabel if one else SameClass)(query_labels, gallery_labels)
