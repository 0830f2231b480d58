"""What trains of a backbone that comes with weights: nothing, or small additions to its kernels."""

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
    if not compat.KERAS_3:
        raise ValueError(
            "`lora` needs Keras 3 (TensorFlow 2.16 or later). "
            f"Received: Keras {compat.keras_version()}"
        )
    network = backbone(input_shape)
    layers = compat.sublayers(network)
    dense = [layer for layer in layers if _is_dense(layer)]
    if not dense:
        raise ValueError(
            "`lora` adapts dense and attention layers, which a convolutional backbone has none of: "
            "bind `lora.backbone` to a transformer, or train the backbone whole. "
            f"Received: backbone={network.name}"
        )
    for weight in network.weights:
        weight.trainable = False
    for layer in layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            layer.trainable = False
    for layer in dense:
        layer.enable_lora(rank)
    return network


def plain_copy(network: tf.keras.Model) -> tf.keras.Model:
    """A copy of a network of layers of Keras, with additions of `lora` merged into the kernels."""
    adapted = [each for each in compat.sublayers(network) if _is_adapted(each)]
    additions = {id(each) for layer in adapted for each in _additions(layer)}
    merged = {id(layer.weights[0]): _merged(layer) for layer in adapted}
    if adapted:
        copy = tf.keras.models.clone_model(network, clone_function=_cloned, recursive=True)
    else:
        copy = tf.keras.models.clone_model(network)
    copy.set_weights(
        [
            merged.get(id(weight), tf.convert_to_tensor(weight).numpy())
            for weight in network.weights
            if id(weight) not in additions
        ]
    )
    return copy


def _is_dense(layer):
    return isinstance(layer, (tf.keras.layers.Dense, tf.keras.layers.EinsumDense))


def _is_adapted(layer):
    return compat.KERAS_3 and _is_dense(layer) and layer.lora_enabled


def _additions(layer):
    return layer.lora_kernel_a, layer.lora_kernel_b


def _merged(layer):
    """The kernel with its addition, in float32 even where the layer computes in less."""
    a, b = map(np.asarray, _additions(layer))
    kernel = np.asarray(layer.weights[0])
    return kernel + (layer.lora_alpha / layer.lora_rank) * np.matmul(a, b)


def _cloned(layer):
    config = layer.get_config()
    return type(layer).from_config({k: v for k, v in config.items() if not k.startswith("lora_")})
