"""Training on from the encoder that a run left."""

from pathlib import Path

import gin
import tensorflow as tf

from ccpdml import models, serving
from ccpdml.bounds import checked

# The layer of an encoder file that gives embeddings before they are normalized.
RAW = "raw"
# Kinds of `layers.GlobalPooling` by the layers that a file has for them, in alphabetical order.
_OF_MAPS = {
    ("GlobalAveragePooling2D",): "avg",
    ("GlobalMaxPooling2D",): "max",
    ("Add", "GlobalAveragePooling2D", "GlobalMaxPooling2D"): "both",
}
_POOLING = {
    **_OF_MAPS,
    **{tuple(name.replace("2D", "1D") for name in names): kind for names, kind in _OF_MAPS.items()},
    ("Cropping1D", "Flatten"): "cls",
    ("Cropping1D", "GlobalAveragePooling1D"): "patches",
    ("Concatenate", "Cropping1D", "Cropping1D", "Flatten", "GlobalAveragePooling1D"): (
        "cls_and_patches"
    ),
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
        ValueError: if it takes images of another shape, is none that `build_encoder` made, or has
            a head behind a pooling with weights of its own, which is not kept.
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
        if pooling is None:
            raise ValueError(
                "The embedding head can be kept behind the kinds of `layers.GlobalPooling`; bind "
                f"`trained_network.keep_head = False` to begin with a new one. Received: {path=}, "
                "whose pooling is another"
            )
        network.trained_head = models.encoder.TrainedHead(head.get_weights()[0], pooling)
    return network


def _parts(model, path):
    """Network, embedding head and kind of pooling of an encoder file; None for an unknown kind."""
    layers = list(model.layers)
    names = [layer.name for layer in layers]
    layers = layers[: names.index(RAW)] if RAW in names else []
    networks = [layer for layer in layers if isinstance(layer, tf.keras.Model)]
    if len(networks) != 1 or not _is_head(layers[-1]):
        raise ValueError(
            f"Expected an encoder that a run with `build_encoder` left. Received: {path=}, made "
            f"of {names}. A network of another origin, which ends in a feature map, is read by "
            "`saved_network`."
        )
    between = layers[layers.index(networks[0]) + 1 : -1]
    pooling = _POOLING.get(tuple(sorted(type(layer).__name__ for layer in between)))
    crops = [layer.cropping for layer in between if isinstance(layer, tf.keras.layers.Cropping1D)]
    networks[0].num_prefix_tokens = max((first for first, _ in crops), default=0) or 1
    return networks[0], layers[-1], pooling


def _is_head(layer):
    return isinstance(layer, tf.keras.layers.Dense) and not layer.use_bias
