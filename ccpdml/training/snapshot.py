"""Copies of weights: the prox center, the best weights of an instance, of a run."""

import tensorflow as tf


class Snapshot(tf.Module):
    """A copy of variables that is taken, and put back, when asked.

    Args:
        sources: list of variables; create the snapshot under the strategy scope they live in.

    Attributes:
        copies: list of `tf.Variable` like `sources`, zero until taken.
    """

    def __init__(self, sources):
        super().__init__()
        self.sources = sources
        self.copies = [
            tf.Variable(tf.zeros(v.shape, v.dtype), trainable=False, name="copy") for v in sources
        ]

    def take(self):
        """Copies the sources as they are now."""
        self.assign(self.sources)

    def assign(self, values):
        """Copies `values`, tensors or variables in the order of the sources."""
        for copy, value in zip(self.copies, values, strict=True):
            copy.assign(tf.convert_to_tensor(value))

    def put_back(self):
        """Gives the sources the copied values."""
        for source, copy in zip(self.sources, self.copies, strict=True):
            source.assign(tf.convert_to_tensor(copy))
