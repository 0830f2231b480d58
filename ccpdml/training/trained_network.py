"""Training on from the encoder that a run left."""

from pathlib import Path

import gin
import tensorflow as tf

from ccpdml import models, serving
from ccpdml.bounds import checked

# The layer of an encoder file that gives embeddings before they are normalized.
RAW = "raw"
_POOLING = {
    ("GlobalAveragePooling2D",): "avg",
    ("GlobalMaxPooling2D",): "max",
    ("GlobalAveragePooling2D", "GlobalMaxPooling2D"): "both",
}


@gin.register
@checked
def trained_network(
    input_shape: tuple[int, int, int], path: str | Path = gin.REQUIRED, keep_head: bool = True
) -> tf.keras.Model:
    """The network of a run's encoder, as the backbone of `build_encoder`, to be trained on.

    The normalization that the encoder ends in is left off: the criterion of the new run normalizes.
    Nothing of the network rests; `build_encoder.freeze_bn` says whether batch normalization does.

    Args:
        input_shape: (height, width, channels) of the images; those that it was trained on.
        path: of the run's directory, or of its `encoder.keras` with `encoder.json` beside it.
        keep_head: whether the embedding head goes on from its weights; then
            `build_encoder.embedding_size` and `.pooling` must be those of the run. False begins
            with a new head.

    Returns:
        Keras model [batch, height, width, channels] -> feature map, with the run's preprocessing
        as `preprocess`, and with `trained_head` if the head is kept.

    Raises:
        FileNotFoundError: if there is no encoder, or nothing says how its input is made.
        ValueError: if it takes images of another shape, or is none that `build_encoder` made.
    """
    encoder = serving.load_encoder(path)
    network, head, pooling = _parts(encoder.model, path)
    if tuple(network.input_shape[1:]) != tuple(input_shape):
        raise ValueError(
            f"The encoder of {path} takes images {tuple(network.input_shape[1:])}; bind the sizes "
            f"of the run's views to this. Received: {input_shape=}"
        )
    for layer in models.encoder.nested_layers(network):
        layer.trainable = True
    network.preprocess = encoder.preprocess
    if keep_head:
        network.trained_head = models.encoder.TrainedHead(head.get_weights()[0], pooling)
    return network


def _parts(model, path):
    """Network, embedding head and kind of pooling of an encoder file."""
    layers = list(model.layers)
    names = [layer.name for layer in layers]
    layers = layers[: names.index(RAW)] if RAW in names else []
    networks = [layer for layer in layers if isinstance(layer, tf.keras.Model)]
    heads = [layer for layer in layers if isinstance(layer, tf.keras.layers.Dense)]
    pools = [type(layer).__name__ for layer in layers]
    pooling = _POOLING.get(tuple(sorted(name for name in pools if name.startswith("Global"))))
    if len(networks) != 1 or len(heads) != 1 or heads[0].use_bias or pooling is None:
        raise ValueError(
            f"Expected an encoder that a run with `build_encoder` left. Received: {path=}, made "
            f"of {names}. A network of another origin, which ends in a feature map, is read by "
            "`saved_network`."
        )
    return networks[0], heads[0], pooling
