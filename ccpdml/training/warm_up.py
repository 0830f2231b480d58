"""Warm-up: the first steps of a run, in which only the embedding head and the proxies learn."""

import tensorflow as tf

from ccpdml import layers
from ccpdml.models.encoder import nested_layers


def backbone_mask(encoder):
    """Tells for every trainable weight of an encoder whether it belongs to the backbone.

    Raises:
        ValueError: if the encoder has no `EmbeddingHead` to warm up.
    """
    heads = [e for e in nested_layers(encoder) if isinstance(e, layers.EmbeddingHead)]
    if not heads:
        raise ValueError(
            "`warm_up_steps` needs an encoder with an `EmbeddingHead`, as `build_encoder` makes."
        )
    owned = {id(variable) for head in heads for variable in head.trainable_variables}
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
