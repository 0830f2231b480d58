"""Streams of random choices that samplers draw from, pure functions of a key and of a place."""

import numpy as np


class Stream:
    """Random permutations of 0..num_items-1 end to end, cut into groups where nothing repeats.

    A group may begin at the end of one permutation and go on in the next. Items it already has are
    then passed over until it is full, and come after it, in order. Each permutation thus depends
    on the one before it: the last two are kept, earlier ones are made again when asked for.
    Where a group holds more than all items, each of them comes before one repeats in it.

    Args:
        num_items: int from 1.
        group_size: items in a group, int from 1.
        key: sequence of ints >= 0, of which the permutations depend.
    """

    def __init__(self, num_items, group_size, key):
        self._num_items, self._group_size, self._key = num_items, group_size, key
        self._last = -1, None, None  # Round, its permutation, and the permutation before it.

    def group(self, index):
        """Items of one group; int64 [group_size]."""
        position, stop = index * self._group_size, (index + 1) * self._group_size
        parts = []
        while position < stop:
            round_index, offset = divmod(position, self._num_items)
            parts.append(self._permutation(round_index)[offset : offset + stop - position])
            position += len(parts[-1])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def visits(self, index):
        """Groups before this one that each of its items was in; int64 [group_size].

        Only if a group does not hold more than all items.
        """
        first = index * self._group_size
        return np.arange(first, first + self._group_size) // self._num_items

    def _permutation(self, round_index):
        # One tuple, replaced as a whole: threads that share the stream only lose time.
        last, items, before = self._last
        if round_index == last - 1:
            return before
        if round_index < last:
            last, items = -1, None
        while last < round_index:
            last, items, before = last + 1, self._next(last + 1, items), items
        self._last = last, items, before
        return items

    def _next(self, round_index, before):
        items = np.random.default_rng([*self._key, round_index]).permutation(self._num_items)
        taken = round_index * self._num_items % self._group_size
        if not taken or taken >= self._num_items:
            return items
        fresh = np.setdiff1d(items, before[-taken:], assume_unique=True)
        head = fresh[: self._group_size - taken]
        return np.concatenate([head, np.setdiff1d(items, head, assume_unique=True)])


_GROUPS = 128  # Drawn at a time.


class WeightedStream:
    """Groups of different items, each group drawn by weight, and how often each came before it.

    The items of a group are drawn one after the other, each by its share of the weight of those
    that are left. How often an item came before is counted from the first group on: what is asked
    for in order, or nearly, is counted once.

    Args:
        weights: of the items, float [num_items], above 0.
        group_size: items in a group, int in 1..num_items.
        key: sequence of ints >= 0, of which the draws depend.
    """

    def __init__(self, weights, group_size, key):
        self._weights, self._group_size, self._key = np.asarray(weights), group_size, key
        nothing = np.zeros(len(self._weights), np.int64)
        self._last = -1, None, None, nothing  # Block, its items, their visits, counts after it.

    def group(self, index):
        """Items of one group, and the groups before that had them; two int64 [group_size]."""
        number, row = divmod(index, _GROUPS)
        last, items, visits, counts = self._last
        if number < last:
            last, counts = -1, np.zeros_like(counts)
        while last < number:
            last, (items, visits, counts) = last + 1, self._block(last + 1, counts)
        self._last = last, items, visits, counts
        return items[row], visits[row]

    def _block(self, number, counts):
        """Items and visits of a block of groups, int64 [groups, group_size], and counts after."""
        rng = np.random.default_rng([*self._key, number])
        # The first to arrive of independent exponential times is each item by its share.
        arrivals = rng.exponential(size=(_GROUPS, len(self._weights))) / self._weights
        items = np.argsort(arrivals, axis=1)[:, : self._group_size]
        comes = np.zeros(arrivals.shape, np.int64)
        np.put_along_axis(comes, items, 1, axis=1)
        so_far = counts + np.cumsum(comes, axis=0)
        return items, np.take_along_axis(so_far, items, axis=1) - 1, so_far[-1]
