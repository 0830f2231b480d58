"""An encoder of stored features, for a network below that stays as it is."""

from collections.abc import Sequence
from typing import Annotated

import gin
import tensorflow as tf

from ccpdml.bounds import Count, Range, Rate, checked


@gin.register
@checked
def feature_head(
    input_shape: Sequence[int],
    hidden_units: Sequence[Count] = (256,),
    embedding_size: Annotated[int, Range(2)] = 128,
    dropout: Rate = 0.0,
) -> tf.keras.Model:
    """Dense layers with ReLU between them, then a linear embedding head.

    Args:
        input_shape: (dim,) of the features.
        hidden_units: units of each layer before the embedding, ints; empty for a linear map.
        embedding_size: entries of the embedding.
        dropout: share of the features that is dropped in training, in [0, 1).

    Returns:
        Keras model [batch, dim] -> embeddings [batch, embedding_size], not normalized.

    Raises:
        ValueError: if the input is no vector: images want `build_encoder`.
    """
    if len(input_shape) == 2:
        raise ValueError(
            "`feature_head` takes one vector of an image. Of several stored views, "
            "`train.training_view = @AnyStored` and `train.evaluation_view = @FirstStored` take "
            f"one, as in gin/datasets/features.gin. Received: input_shape={tuple(input_shape)}"
        )
    if len(input_shape) != 1:
        raise ValueError(
            "`feature_head` takes vectors (`data.load.name = 'features'`); for images bind "
            f"`train.encoder = @build_encoder`. Received: input_shape={tuple(input_shape)}"
        )
    inputs = tf.keras.Input(tuple(input_shape))
    features = tf.keras.layers.Dropout(dropout)(inputs) if dropout else inputs
    for units in hidden_units:
        features = tf.keras.layers.Dense(units, "relu", kernel_initializer="he_normal")(features)
    # Keras's own layer: the encoder then loads where this package is not installed.
    head = tf.keras.layers.Dense(embedding_size, use_bias=False, name="embedding", dtype="float32")
    return tf.keras.Model(inputs, head(features), name="encoder")
