"""The encoder: what a trained run leaves behind."""

import gin
import tensorflow as tf

from ccpdml import layers


@gin.register
def build_encoder(input_shape, backbone, embedding_size=128, pooling="avg", freeze_bn=False):
    """Joins a backbone, pooling and a linear embedding head.

    Args:
        input_shape: (height, width, channels) of the preprocessed images.
        backbone: function of `input_shape` that gives a Keras model to a feature map
            [batch, height, width, channels]. Its attribute `preprocess`, if it has one, is the
            function that makes its input of uint8 images, and becomes the encoder's.
        embedding_size: entries of the embedding.
        pooling: "avg", "max" or "both"; see `layers.GlobalPooling`.
        freeze_bn: whether batch normalization keeps its statistics and weights; the paper's does.

    Returns:
        Keras model [batch, *input_shape] -> embeddings [batch, embedding_size], not normalized.
    """
    network = backbone(input_shape)
    if freeze_bn:
        freeze_batch_norm(network)
    inputs = tf.keras.Input(input_shape)
    features = layers.GlobalPooling(pooling, name="pooling")(network(inputs))
    head = layers.EmbeddingHead(embedding_size, name="embedding", dtype="float32")
    encoder = tf.keras.Model(inputs, head(features), name="encoder")
    encoder.preprocess = getattr(network, "preprocess", None)
    return encoder


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


def standalone(encoder):
    """Rebuilds an encoder of `build_encoder` from layers that Keras itself brings.

    Args:
        encoder: the trained encoder.

    Returns:
        Keras model of the same function, sharing no variables, that `tf.keras.models.load_model`
        reads where `ccpdml` is not installed. A model without layers of ours is returned as it is.
    """
    if not any(isinstance(layer, layers.GlobalPooling) for layer in encoder.layers):
        return encoder
    inputs, backbone, pooling, head = encoder.layers
    copy = tf.keras.models.clone_model(backbone)
    copy.set_weights(backbone.get_weights())
    images = tf.keras.Input(inputs.output.shape[1:])
    dense = tf.keras.layers.Dense(head.units, use_bias=head.use_bias, dtype="float32")
    model = tf.keras.Model(images, dense(pooling.built_in(copy(images))), name="encoder")
    dense.set_weights(head.get_weights())
    return model
