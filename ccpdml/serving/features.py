"""Features of a frozen network, stored, on which a head is trained in seconds."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ccpdml import files
from ccpdml.data.image_set import ImageSet
from ccpdml.serving import image_encoder

_BATCH = 256


def pooled_features(encoder: image_encoder.ImageEncoder, images: ImageSet) -> np.ndarray:
    """Features that enter the embedding layer of an encoder, its last dense layer.

    Args:
        encoder: a trained encoder; see `load_encoder`.
        images: pixels of the encoder's input shape, in memory.

    Returns:
        float32 [n, features].

    Raises:
        ValueError: if the encoder has no dense layer, or the images have another shape.
    """
    dense = [e for e in encoder.model.layers if isinstance(e, tf.keras.layers.Dense)]
    if not dense:
        raise ValueError("Expected an encoder that ends in a dense layer. Received: none in it")
    if images.images.shape[1:] != encoder.pixels_shape:
        raise ValueError(
            f"Expected images of the encoder's shape {encoder.pixels_shape}, in memory. "
            f"Received: {images.images.shape[1:]}"
        )
    network = tf.keras.Model(encoder.model.inputs, dense[-1].input)
    embed = tf.function(lambda pixels: network(encoder.preprocess(pixels), training=False))
    batches = np.array_split(images.images, max(1, -(-len(images) // _BATCH)))
    return np.concatenate([embed(tf.constant(batch)).numpy() for batch in batches])


def write(
    path: str | Path, encoder: image_encoder.ImageEncoder, train: ImageSet, test: ImageSet
) -> None:
    """Writes the features of classes to develop and to test on, as `data.features` reads them.

    Args:
        path: .npz file.
        encoder: as for `pooled_features`.
        train, test: images of different classes.
    """
    parts = {"train": train, "test": test}
    arrays = {
        "features": [pooled_features(encoder, images) for images in parts.values()],
        "labels": [np.array(images.class_names)[images.labels] for images in parts.values()],
        "paths": [np.array(images.paths) for images in parts.values()],
        "split": [np.full(len(images), name) for name, images in parts.items()],
    }
    stored: dict[str, Any] = {name: np.concatenate(rows) for name, rows in arrays.items()}
    with files.replacing(path) as file:
        np.savez(file, **stored)
