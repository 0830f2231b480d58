"""Adaptation of a backbone that comes with weights: it rests, or small additions to it train."""

import gin
import numpy as np
import tensorflow as tf

from ccpdml import compat
from ccpdml.bounds import Count, checked
from ccpdml.models.contracts import Backbone


@gin.register
@checked
def frozen(input_shape: tuple[int, int, int], backbone: Backbone) -> tf.keras.Model:
    """A backbone of which nothing trains; the embedding head learns alone.

    Each image passes the network in every step: `ccpdml store-features` passes it once.

    Args:
        input_shape: (height, width, channels) of the images.
        backbone: as of `build_encoder`.

    Returns:
        The backbone's model; batch normalization keeps its statistics.
    """
    network = backbone(input_shape)
    network.trainable = False
    return network


@gin.register
@checked
def lora(input_shape: tuple[int, int, int], backbone: Backbone, rank: Count = 8) -> tf.keras.Model:
    """A backbone whose kernels stay, and of which low-rank additions train (LoRA).

    To every dense and attention kernel W [..., n] is added A·B with A [..., rank] and B [rank, n],
    B beginning at 0; all other weights of the backbone rest, and batch normalization keeps its
    statistics. The prox term and weight decay hold for A and B. `standalone` adds the products to
    the kernels: the encoder that is saved has the backbone's own layers.

    Args:
        input_shape: (height, width, channels) of the images.
        backbone: as of `build_encoder`.
        rank: of the additions.

    Returns:
        The backbone's model.

    Raises:
        ValueError: under Keras 2, which has no LoRA; or if there is no dense or attention layer.

    Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (ICLR 2022), section 4.
    """
    network = backbone(input_shape)
    layers = compat.sublayers(network)
    dense = [layer for layer in layers if _is_dense(layer)]
    if not dense:
        raise ValueError(
            "`lora` adapts dense and attention layers, which a convolutional backbone has none of: "
            "bind `lora.backbone` to a transformer, or train the backbone whole. "
            f"Received: backbone={network.name}"
        )
    own = network.weights
    for layer in dense:
        compat.add_lora(layer, rank)
    for weight in own:
        weight.trainable = False
    for layer in layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            layer.trainable = False
    return network


def plain_copy(network: tf.keras.Model) -> tf.keras.Model:
    """A copy of a network of layers of Keras, with additions of `lora` merged into the kernels."""
    dense = [each for each in compat.sublayers(network) if _is_dense(each)]
    found = [(layer.weights[0], compat.lora_of(layer)) for layer in dense]
    merged = {id(kernel): _merged(kernel, *lora) for kernel, lora in found if lora is not None}
    if not merged:
        copy = tf.keras.models.clone_model(network)
        copy.set_weights(network.get_weights())
        return copy
    additions = {id(each) for _, lora in found if lora is not None for each in lora[:2]}
    copy = tf.keras.models.clone_model(network, clone_function=_cloned)
    copy.set_weights(
        [
            merged[id(weight)] if id(weight) in merged else np.asarray(weight)
            for weight in network.weights
            if id(weight) not in additions
        ]
    )
    return copy


def _is_dense(layer):
    return isinstance(layer, (tf.keras.layers.Dense, tf.keras.layers.EinsumDense))


def _merged(kernel, a, b, factor):
    """A kernel with its addition, in float32 even where the layer computes in less."""
    return np.asarray(kernel) + factor * np.matmul(np.asarray(a), np.asarray(b))


def _cloned(layer):
    return type(layer).from_config(_without_lora(layer.get_config()))


def _without_lora(config):
    """A configuration without additions, at any depth."""
    if isinstance(config, dict):
        kept = {k: v for k, v in config.items() if not str(k).startswith("lora_")}
        return {k: _without_lora(v) for k, v in kept.items()}
    return [_without_lora(each) for each in config] if isinstance(config, list) else config
