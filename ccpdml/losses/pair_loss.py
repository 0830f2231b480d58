"""What every pair loss has in common."""

import tensorflow as tf


class PairLoss(tf.keras.layers.Layer):
    """Base of the losses on pairs: `call(distances, positive, negative)` -> float scalar.

    `distances`, `positive` and `negative` are float [anchors, references]; the masks are 1 where
    a pair counts. It computes in float32 whatever the dtype policy.

    Attributes:
        distance: name of the function of `ops.distances` that the loss is defined on.
    """

    distance = "euclidean"

    def __init__(self, **kwargs):
        super().__init__(**({"dtype": "float32", "autocast": False} | kwargs))
