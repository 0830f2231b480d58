"""What a criterion may own beside its call, as types."""

from typing import Protocol, runtime_checkable

import tensorflow as tf

from ccpdml import layers


@runtime_checkable
class WithProxies(Protocol):
    """A criterion with trained proxies.

    Attributes:
        head: the `MultiProxyHead` that owns them.
    """

    head: layers.MultiProxyHead


@runtime_checkable
class WithPairLoss(Protocol):
    """A criterion made of a pair loss.

    Attributes:
        loss: the `PairLoss`.
    """

    loss: tf.keras.layers.Layer
