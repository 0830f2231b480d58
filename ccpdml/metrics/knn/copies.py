"""Identical gallery rows: only the first few of them can be among a query's nearest."""

import numpy as np

from ccpdml.metrics.knn import space


def first_copies(gallery, limit, squared_norms):
    """Rows with fewer than `limit` identical rows before them.

    A collapsed encoder maps thousands of images to one point. Between identical rows the lower
    index wins, so later copies than a search asks for cannot be found and need not be looked at.

    Args:
        gallery: float32 [gallery_size, dim].
        limit: copies to keep of each distinct row, int >= 1.
        squared_norms: of the rows, float [gallery_size]: most rows differ in it.

    Returns:
        Increasing row indices, int [num_kept].
    """
    if not _are_repeated(squared_norms, limit):
        return np.arange(len(gallery))
    prints = _fingerprints(gallery)
    if not _are_repeated(prints, limit):
        return np.arange(len(gallery))
    order = np.argsort(prints, kind="stable")
    _, starts, sizes = np.unique(prints[order], return_index=True, return_counts=True)
    dropped = np.zeros(len(gallery), bool)
    for group in np.flatnonzero(sizes > limit):
        members = order[starts[group] : starts[group] + sizes[group]]
        if all(np.array_equal(gallery[member], gallery[members[0]]) for member in members):
            dropped[members[limit:]] = True
    return np.flatnonzero(~dropped)


def _are_repeated(values, limit):
    """Tells whether a value is there more than `limit` times."""
    in_order = np.sort(values)
    return bool((in_order[limit:] == in_order[:-limit]).any())


def _fingerprints(gallery):
    """A 64-bit number per row, the same for rows of the same bits, uint64 [gallery_size]."""
    factors = np.random.default_rng(0).integers(2**63, size=gallery.shape[1], dtype=np.uint64)
    prints = np.empty(len(gallery), np.uint64)
    for part in space.parts(*gallery.shape):
        bits = np.ascontiguousarray(gallery[part]).view(np.uint32).astype(np.uint64)
        prints[part] = (bits * (2 * factors + 1)).sum(axis=1)
    return prints
