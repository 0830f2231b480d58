"""A run directory without training, and a few photographs, made in a moment."""

import numpy as np
import tensorflow as tf
from PIL import Image

from ccpdml import data, layers, models
from ccpdml.serving import description

CLASSES = ("ash", "birch", "cedar")
FORMATS = ("jpg", "png", "bmp", "jpg")


def make_run(
    directory, normalization=None, view=None, channels=3, seed=0, network=None, pooling="avg"
):
    """A run directory with what serving reads: encoder.keras and encoder.json.

    The embeddings have lengths on both sides of 1, so that normalizations differ.
    """
    directory.mkdir(parents=True)
    tf.keras.utils.set_random_seed(seed)
    normalization = normalization or layers.LipschitzNormalization()
    view = view or data.views.CenterCrop(size=16, short_side=20)
    network = network or (lambda shape: models.small_cnn(shape, (8, 8), batch_norm=False))
    trained = models.build_encoder((16, 16, channels), network, 6, pooling)
    trained.set_weights([0.9 * weight for weight in trained.get_weights()])
    encoder = models.standalone(trained, normalization)
    encoder.save(directory / "encoder.keras")
    about = description.describe(encoder, view, models.scale_to_unit_range, normalization)
    description.write(directory / "encoder.json", about)
    return trained


def make_photos(root, per_class=4, seed=0):
    """Folders of small pictures, one color per class, of several file formats."""
    rng = np.random.default_rng(seed)
    for name in CLASSES:
        (root / name).mkdir(parents=True)
        color = rng.integers(256, size=3)
        for index in range(per_class):
            shape = (*rng.integers(18, 40, size=2), 3)
            pixels = np.clip(color + rng.normal(0, 40, shape), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index}.{FORMATS[index % len(FORMATS)]}")
    return root
