"""Base of all pair losses."""

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
        measure: the distances that the loss is defined on, a function of `ops.distances`:
            (anchors [num_anchors, dim], references [num_references, dim] or None for the anchors),
            both normalized, -> float [num_anchors, num_references]. Euclidean unless a class says
            otherwise: `measure = staticmethod(distances.negative_cosine)`.
    """

    measure = staticmethod(distances.euclidean)

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if isinstance(vars(cls).get("distance"), str):
            raise TypeError(
                f"{cls.__name__} must say `measure = staticmethod(distances.{cls.distance})`. "
                f"Received: distance={cls.distance!r}, as losses once named it"
            )

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
