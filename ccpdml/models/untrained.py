"""The vectors that an encoder gives before it is trained."""

import tensorflow as tf

from ccpdml import layers
from ccpdml.models.encoder import WithTrainedHead

FEATURES = "the stored features (cosine)"
POOLED = "the pooled features of the backbone (cosine)"
EMBEDDINGS = "the embeddings of the untrained encoder"


def comparable(encoder: tf.keras.Model) -> tuple[tf.keras.Model | None, str]:
    """Finds what of an encoder can be used without training: what its embedding head takes.

    A head that begins with random weights would compare a random projection instead.

    Args:
        encoder: Keras model [batch, ...] -> embeddings, at the first step.

    Returns:
        Tuple (network, name). An encoder of vectors is compared with the vectors: no network, and
        `FEATURES`. Of one that `build_encoder` joined without a trained head it is a Keras model of
        the same input to the pooled features, which shares its weights, and `POOLED`. Of any
        other, whose head may be trained and cannot be told apart, the encoder, and `EMBEDDINGS`.
    """
    if len(encoder.input_shape) == 2:
        return None, FEATURES
    head = encoder.layers[-1]
    if isinstance(head, layers.EmbeddingHead) and not isinstance(encoder, WithTrainedHead):
        return tf.keras.Model(encoder.inputs, head.input, name="untrained"), POOLED
    return encoder, EMBEDDINGS
