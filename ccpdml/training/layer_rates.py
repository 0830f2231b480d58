"""Layer-wise learning rates: the nearer to the image a layer is, the slower it learns."""

import tensorflow as tf

from ccpdml import compat
from ccpdml.cluster import replicas
from ccpdml.models import depth
from ccpdml.models.contracts import WithLayerDecay


def rates(encoder):
    """Share of the learning rate by which each trainable weight of an encoder learns.

    Args:
        encoder: Keras model; one `WithLayerDecay` is as `build_encoder` makes it.

    Returns:
        List of floats in the order of `encoder.trainable_variables`, 1.0 outside of the backbone;
        None for an encoder that says nothing of them.
    """
    if not isinstance(encoder, WithLayerDecay):
        return None
    of_backbone = depth.rates(encoder.layers[1], encoder.layer_decay)
    return [of_backbone.get(id(weight), 1.0) for weight in encoder.trainable_variables]


def apply(optimizer, gradients, weights, rates):
    """One step of an optimizer, of which each weight goes the share that `rates` says.

    The step is shortened, not the gradient, whose size Adam divides out again. So the optimizer's
    own, decoupled weight decay is that of the lower rate as well.

    Args:
        optimizer: a `tf.keras.optimizers.Optimizer`.
        gradients: list of tensors, summed over the replicas.
        weights: the variables they belong to.
        rates: list of floats; None goes the whole step everywhere.
    """
    slow = [] if rates is None else [i for i, rate in enumerate(rates) if rate != 1.0]
    before = [tf.identity(tf.convert_to_tensor(weights[i])) for i in slow]
    compat.apply_summed_gradients(optimizer, gradients, weights)
    values = [
        old + rates[i] * (tf.convert_to_tensor(weights[i]) - old)
        for i, old in zip(slow, before, strict=True)
    ]
    replicas.assign([compat.raw(weights[i]) for i in slow], values)
