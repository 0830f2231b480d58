"""Types of what a criterion may own beside its call."""

from typing import Protocol, runtime_checkable

import tensorflow as tf

from ccpdml import layers


@runtime_checkable
class WithProxies(Protocol):
    """A criterion with trained proxies.

    Attributes:
        head: the `MultiProxyHead` that owns them.
        normalization: layer that embeddings and proxies pass before they are compared.
    """

    head: layers.MultiProxyHead
    normalization: tf.keras.layers.Layer

    def retire(self, proxies: tf.Tensor) -> None:
        """Told which proxies the next problem instance replaces.

        Args:
            proxies: float [num_classes, proxies_per_class, dim], not normalized.
        """


@runtime_checkable
class WithPairLoss(Protocol):
    """A criterion made of a pair loss.

    Attributes:
        loss: the `PairLoss`.
    """

    loss: tf.keras.layers.Layer
