"""Cross-batch memory: the batch against the embeddings of the last steps."""

from typing import Any

import gin
import tensorflow as tf

from ccpdml.bounds import Count, NonNegative, Whole, checked
from ccpdml.losses import state
from ccpdml.losses.criterion import Criterion
from ccpdml.ops import masks


@gin.register
@tf.keras.utils.register_keras_serializable(package="ccpdml")
class CrossBatchMemory(Criterion):
    """XBM: `pair_weight · L(batch, batch) + memory_weight · L(batch, memory)`.

    The memory holds the latest embeddings and takes no gradient. The batch enters it before the
    comparison, but no embedding meets its own copy. In the first `warmup_steps` steps nothing
    enters and the batch is alone: embeddings still move too fast to be kept. Under a strategy every
    replica writes the global batch, in rank order, so all memories are equal; they are part of
    checkpoints.

    Args:
        loss: a `PairLoss`.
        memory_size: embeddings kept, int; at least the batch size.
        warmup_steps: steps before the memory begins to fill, int.
        pair_weight: weight of the batch's own pairs.
        memory_weight: weight of the pairs of batch and memory.
        wait_until_full: whether the memory is used from the step on that fills it (the original
            program), not from its first step on (the paper).
        exclude_own_copy: False lets an embedding meet its own copy as a positive (the original
            program), at distance 0.
        num_labels: how many labels there are, int, if images have several; None if each is of one
            class.

    Source: Wang et al., "Cross-Batch Memory for Embedding Learning" (2020), algorithm 1.
    """

    takes_several_labels = True

    @checked
    def __init__(
        self,
        loss: tf.keras.layers.Layer,
        memory_size: Count = 1024,
        warmup_steps: Whole = 1000,
        pair_weight: NonNegative = 1.0,
        memory_weight: NonNegative = 1.0,
        wait_until_full: bool = False,
        exclude_own_copy: bool = True,
        num_labels: Count | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.loss = loss
        self.memory_size = memory_size
        self.warmup_steps = warmup_steps
        self.pair_weight = pair_weight
        self.memory_weight = memory_weight
        self.wait_until_full = wait_until_full
        self.exclude_own_copy = exclude_own_copy
        self.num_labels = num_labels

    def build(
        self, embeddings_shape: tf.TensorShape, labels_shape: tf.TensorShape | None = None
    ) -> None:
        shape = (self.memory_size, embeddings_shape[-1])
        self.memory = state.add(self, "memory", shape)
        of_each = () if self.num_labels is None else (self.num_labels,)
        # Integers also for several labels, 0 or 1: devices write them as they do classes.
        self.memory_labels = state.add(self, "memory_labels", (self.memory_size, *of_each), "int32")
        self.num_steps = state.add(self, "num_steps", dtype="int64")
        self.num_written = state.add(self, "num_written", dtype="int64")
        super().build(embeddings_shape)

    def call(self, embeddings: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        anchors, labels = self.normalization(embeddings), self._as_kept(labels)
        in_batch = self.pair_weight * self.loss(self.loss.measure(anchors), *masks.pairs(labels))
        slots, num_written = self._remember(anchors, labels)
        needed = self.memory_size if self.wait_until_full else 1
        # No `tf.cond`: a loss may write weights of its own, which replicas cannot do under one.
        is_used = tf.cast(num_written >= needed, anchors.dtype)
        pairs = [is_used * mask for mask in self._pairs(labels, slots, num_written)]
        measured = self.loss.measure(anchors, tf.convert_to_tensor(self.memory))
        with_memory = self.loss(measured, *pairs)
        return in_batch + self.memory_weight * is_used * with_memory

    def _as_kept(self, labels):
        """Labels of the shape and kind that the memory has."""
        several = labels.shape[-1] if masks.are_several(labels) else None
        if several != self.num_labels:
            raise ValueError(
                "`CrossBatchMemory.num_labels` must be the number of labels where images have "
                "several of them, and None where each is of one class. Received: "
                f"num_labels={self.num_labels}, labels {labels.dtype.name} of {labels.shape}"
            )
        return tf.reshape(labels, [-1]) if self.num_labels is None else labels

    def _remember(self, anchors, labels):
        """Writes the batch; returns its slots, int64 [batch], and how many were ever written."""
        batch_size = tf.shape(labels, tf.int64)[0]
        tf.debugging.assert_less_equal(
            batch_size,
            tf.constant(self.memory_size, tf.int64),
            message=f"`memory_size` must hold a batch. Received: memory_size={self.memory_size}",
        )
        num_steps, num_written = state.read(self.num_steps), state.read(self.num_written)
        slots = (num_written + tf.range(batch_size)) % self.memory_size
        state.write_rows(self.memory, slots, tf.stop_gradient(anchors))
        state.write_rows(self.memory_labels, slots, labels)
        # What is written during the warm-up does not count and is written over.
        entered = tf.where(num_steps < self.warmup_steps, tf.zeros_like(batch_size), batch_size)
        self.num_steps.assign(num_steps + 1)
        self.num_written.assign(num_written + entered)
        return slots, num_written + entered

    def _pairs(self, labels, slots, num_written):
        """Masks of batch and memory without empty slots and an embedding's own copy."""
        kept = tf.convert_to_tensor(self.memory_labels)
        kept = kept if self.num_labels is None else tf.cast(kept, tf.bool)
        positive, negative = masks.pairs(labels, kept)
        places = tf.range(self.memory_size, dtype=tf.int64)
        filled = tf.cast(places < num_written, positive.dtype)
        if self.exclude_own_copy:
            # A negative it is too, where an image has no label at all.
            filled *= tf.cast(slots[:, None] != places, positive.dtype)
        return positive * filled, negative * filled

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "loss": tf.keras.layers.serialize(self.loss),
            "memory_size": self.memory_size,
            "warmup_steps": self.warmup_steps,
            "pair_weight": self.pair_weight,
            "memory_weight": self.memory_weight,
            "wait_until_full": self.wait_until_full,
            "exclude_own_copy": self.exclude_own_copy,
            "num_labels": self.num_labels,
        }
