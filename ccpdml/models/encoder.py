"""The encoder: a backbone, pooling and an embedding head."""

import dataclasses
from collections.abc import Callable
from typing import Annotated, Literal, Protocol, runtime_checkable

import gin
import numpy as np
import tensorflow as tf

from ccpdml import layers
from ccpdml.bounds import Range, checked
from ccpdml.models import adaptation, depth, hub
from ccpdml.models.contracts import Backbone, WithPrefixTokens, WithPreprocess


@dataclasses.dataclass(frozen=True)
class TrainedHead:
    """The embedding head that a backbone was trained with.

    Attributes:
        kernel: float32 [features, embedding_size].
        pooling: the kind of `layers.GlobalPooling` before it.
    """

    kernel: np.ndarray
    pooling: str

    def check(self, embedding_size: int, layer: tf.keras.layers.Layer) -> None:
        """Raises ValueError if it does not fit an encoder of this size and pooling."""
        is_plain = isinstance(layer, layers.GlobalPooling)
        size, pooling = self.kernel.shape[1], layer.kind if is_plain else type(layer).__name__
        if (size, self.pooling) != (embedding_size, pooling):
            raise ValueError(
                f"The trained embedding head needs `build_encoder.embedding_size = {size}` and "
                f"`build_encoder.pooling = {self.pooling!r}`; `trained_network.keep_head = False` "
                f"begins with a new one. Received: {embedding_size=}, {pooling=}"
            )


Pooling = Literal["avg", "max", "both", "cls", "patches", "cls_and_patches"]


@runtime_checkable
class WithTrainedHead(Protocol):
    """A network with the embedding head that it was trained with.

    Attributes:
        trained_head: the `TrainedHead`.
    """

    trained_head: TrainedHead


@gin.register
@checked
def build_encoder(
    input_shape: tuple[int, int, int],
    backbone: Backbone,
    embedding_size: Annotated[int, Range(2)] = 128,
    pooling: Pooling | Callable[[], tf.keras.layers.Layer] = "avg",
    freeze_bn: bool = False,
    layer_decay: Annotated[float, Range(high=1, above=0)] = 1.0,
) -> tf.keras.Model:
    """Joins a backbone, pooling and a linear embedding head.

    Args:
        input_shape: (height, width, channels) of the preprocessed images.
        backbone: function of `input_shape` that gives a Keras model to a feature map
            [batch, height, width, channels], or to tokens [batch, tokens, channels], of which
            one is a class token if it is not `WithPrefixTokens`. `preprocess` of one
            `WithPreprocess` becomes the encoder's; the `TrainedHead` of one `WithTrainedHead` is
            gone on from.
        embedding_size: entries of the embedding.
        pooling: "avg", "max" or "both", of tokens also "cls", "patches" or "cls_and_patches", see
            `layers.GlobalPooling`; or the class of another layer, such as
            `layers.GeneralizedMeanPooling`.
        freeze_bn: whether batch normalization keeps its statistics and weights; the paper's does.
        layer_decay: factor of the learning rate from one block of the backbone to the one before
            it, the stem slowest; the head learns at the whole rate, and at 1 all do.

    Returns:
        Keras model [batch, *input_shape] -> embeddings [batch, embedding_size], not normalized;
        `WithTrainedHead` if its backbone was, `WithLayerDecay` if it is below 1.

    Raises:
        ValueError: if the trained head is of another size or pooling, if batch normalization is
            to keep statistics that it does not have yet, or if there are no layers to order.
    """
    network = backbone(input_shape)
    pool = _pooling_layer(pooling, network)
    trained_head = network.trained_head if isinstance(network, WithTrainedHead) else None
    if trained_head is not None:
        trained_head.check(embedding_size, pool)
    if freeze_bn:
        _check_statistics(network)
        freeze_batch_norm(network)
    if layer_decay < 1.0:
        depth.rates(network, layer_decay)  # What cannot be ordered is refused here.
    inputs = tf.keras.Input(input_shape)
    features = pool(network(inputs))
    head = layers.EmbeddingHead(embedding_size, name="embedding", dtype="float32")
    encoder = tf.keras.Model(inputs, head(features), name="encoder")
    if trained_head is not None:
        head.set_weights([trained_head.kernel])
        encoder.trained_head = trained_head
    if layer_decay < 1.0:
        encoder.layer_decay = layer_decay
    encoder.preprocess = network.preprocess if isinstance(network, WithPreprocess) else None
    return encoder


def _pooling_layer(pooling, network):
    if isinstance(pooling, str):
        num_prefix_tokens = (
            network.num_prefix_tokens if isinstance(network, WithPrefixTokens) else 1
        )
        return layers.GlobalPooling(pooling, num_prefix_tokens, name="pooling")
    return pooling()


def _check_statistics(network):
    """Refuses to keep the statistics of random weights: the network would collapse."""
    normalizations = [
        layer
        for layer in nested_layers(network)
        if isinstance(layer, tf.keras.layers.BatchNormalization)
    ]
    if normalizations and all(map(_is_fresh, normalizations)):
        raise ValueError(
            "`build_encoder.freeze_bn` keeps the statistics of batch normalization, and this "
            "network, whose weights are random, has none yet. Bind `build_encoder.freeze_bn = "
            "False` and a learning rate for random weights, about 1e-3, or give the backbone "
            f"weights. Received: freeze_bn=True, backbone={network.name}"
        )


def _is_fresh(normalization):
    """Tells whether a batch normalization has the statistics that it is built with."""
    statistics = (normalization.moving_mean, normalization.moving_variance)
    mean, variance = map(tf.convert_to_tensor, statistics)
    return bool(tf.reduce_all(mean == 0.0) & tf.reduce_all(variance == 1.0))


def freeze_batch_norm(model):
    """Makes every batch normalization of `model` use and keep its stored statistics."""
    for layer in nested_layers(model):
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            layer.trainable = False


def nested_layers(layer):
    """Yields every layer inside `layer`, itself included, at any depth."""
    yield layer
    for child in getattr(layer, "layers", ()):
        yield from nested_layers(child)


def standalone(
    encoder: tf.keras.Model, normalization: tf.keras.layers.Layer | None = None
) -> tf.keras.Model:
    """Rebuilds an encoder, and the normalization of its embeddings, without layers of ours.

    Args:
        encoder: the trained encoder.
        normalization: layer that the embeddings pass where they are compared, such as a
            criterion's `normalization`; None leaves them as the encoder gives them.

    Returns:
        Keras model [batch, ...] -> embeddings, float32, that `tf.keras.models.load_model` reads
        where `ccpdml` is not installed. A model that was not made by `build_encoder` is kept as a
        part of it, with whatever layers it has; a normalization that is not ours likewise.
    """
    images = tf.keras.Input(encoder.input_shape[1:], dtype=encoder.inputs[0].dtype)
    if isinstance(encoder.layers[-1], layers.EmbeddingHead):
        embeddings = _in_built_in_layers(encoder, images)
    else:
        embeddings = encoder(images)
    # A layer that does nothing but cast, and names the embeddings before they are normalized.
    embeddings = tf.keras.layers.Activation("linear", dtype="float32", name="raw")(embeddings)
    if isinstance(normalization, layers.BuiltIn):
        embeddings = normalization.built_in(embeddings)
    elif normalization is not None:
        embeddings = normalization(embeddings)
    return tf.keras.Model(images, embeddings, name="encoder")


def _in_built_in_layers(encoder, images):
    """Embeddings of symbolic images, by a copy of what `build_encoder` made."""
    _, backbone, pooling, head = encoder.layers
    copy = adaptation.plain_copy(backbone)
    hub.settle_positions(nested_layers(copy))
    dense = tf.keras.layers.Dense(head.units, use_bias=head.use_bias, dtype="float32")
    pool = pooling.built_in if isinstance(pooling, layers.BuiltIn) else pooling
    embeddings = dense(pool(copy(images)))
    dense.set_weights(head.get_weights())
    return embeddings
