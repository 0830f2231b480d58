"""What every pair loss has in common."""

import tensorflow as tf

from ccpdml.losses.compare import compare
from ccpdml.ops import distances


class PairLoss(tf.keras.layers.Layer):
    """Base of the losses on pairs: `loss(embeddings, labels)`, of what `call` makes of the pairs.

    `call(distances, positive, negative)` -> float scalar: all three are float [anchors,
    references], the masks are 1 where a pair counts. `loss(distances, positive, negative)` calls
    it; `loss(embeddings, labels, ...)` is `losses.compare(loss, embeddings, labels, ...)`, which
    normalizes and measures first. It computes in float32 whatever the dtype policy.

    Attributes:
        distance: name of the function of `ops.distances` that the loss is defined on.
    """

    distance = "euclidean"

    def __init__(self, **kwargs):
        super().__init__(**({"dtype": "float32", "autocast": False} | kwargs))

    def __call__(self, *inputs, **options) -> tf.Tensor:
        """Returns the loss, float scalar.

        Args:
            *inputs: (embeddings, labels) or (distances, positive, negative).
            **options: with embeddings, the other arguments of `losses.compare`.
        """
        if len(inputs) == 3 or "negative" in options:
            return super().__call__(*inputs, **options)
        return compare(self, *inputs, **options)

    def measure(self, anchors: tf.Tensor, references: tf.Tensor | None = None) -> tf.Tensor:
        """Distances that the loss is defined on.

        Args:
            anchors: float [num_anchors, dim], normalized.
            references: float [num_references, dim]; None takes the anchors.

        Returns:
            float [num_anchors, num_references].
        """
        return getattr(distances, self.distance)(anchors, references)
