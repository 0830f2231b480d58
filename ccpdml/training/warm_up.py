"""Warm-up: the first steps of a run, in which pooling, embedding head and proxies learn alone."""

import tensorflow as tf

from ccpdml import layers
from ccpdml.models.encoder import nested_layers

_POOLING = (layers.GeneralizedMeanPooling, layers.GeneralizedSumPooling)


def backbone_mask(encoder):
    """Tells for every trainable weight of an encoder whether it belongs to the backbone.

    Raises:
        ValueError: if the encoder has no `EmbeddingHead` to warm up.
    """
    found = list(nested_layers(encoder))
    heads = [layer for layer in found if isinstance(layer, layers.EmbeddingHead)]
    if not heads:
        raise ValueError(
            "`warm_up_steps` needs an encoder with an `EmbeddingHead`, as `build_encoder` makes."
        )
    new = heads + [layer for layer in found if isinstance(layer, _POOLING)]
    owned = {id(variable) for layer in new for variable in layer.trainable_variables}
    return [id(variable) not in owned for variable in encoder.trainable_variables]


def hold(gradients, is_held, is_over):
    """Sets the gradients of held weights to 0 until the warm-up is over.

    Adam and momentum move no weight whose gradients have all been 0.

    Args:
        gradients: list of tensors, weight decay included.
        is_held: list of bools, one for each.
        is_over: bool scalar tensor.

    Returns:
        List of tensors.
    """
    return [
        tf.where(is_over, gradient, tf.zeros_like(gradient)) if held else gradient
        for gradient, held in zip(gradients, is_held, strict=True)
    ]
