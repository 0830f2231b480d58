"""The content of a SavedModel: bytes of image files in, embeddings or nearest images out."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ccpdml import compat
from ccpdml.serving import calibration, neighbors
from ccpdml.serving.embeddings import Embeddings
from ccpdml.serving.image_encoder import ImageEncoder
from ccpdml.serving.results import UNKNOWN

_IMAGES = tf.TensorSpec([None], tf.string, name="images")


class Service(tf.Module):
    """An encoder as a TensorFlow module.

    Args:
        encoder: a trained encoder.
    """

    def __init__(self, encoder: ImageEncoder):
        super().__init__()
        self.encoder = encoder
        # By name, or a SavedModel does not find the variables of a Keras 3 model.
        self.weights = [compat.raw(variable) for variable in encoder.model.weights]

    @tf.function(input_signature=[_IMAGES])
    def embed(self, images):
        """Bytes of image files, string [n] -> their embeddings.

        Returns:
            Dict: `embeddings`, float32 [n, dim], and `valid`, bool [n]: whether an image could be
            decoded. The embedding of one that could not is NaN.
        """
        embeddings, valid = self._embed(images)
        return {"embeddings": embeddings, "valid": valid}

    def _embed(self, images):
        """Embeddings, NaN where an image cannot be decoded, and where it can, bool [n]."""
        pixels, valid = self._look(images)
        # Not all layers take a batch of nothing: one image too many is embedded then.
        count = tf.size(images)
        embeddings = self.encoder.embed_pixels(pixels[: tf.maximum(count, 1)])[:count]
        return tf.where(valid[:, None], embeddings, np.nan), valid

    def _look(self, images):
        """Views of the images and a black one, uint8 [n + 1, height, width, channels], and which of
        the n there are, bool [n].

        An op that cannot decode fails with all of its batch; a data set can leave out what fails.
        """
        count = tf.size(images)

        def look(place, contents):
            return place, self.encoder.view.of_bytes(contents)

        numbered = tf.data.Dataset.from_tensor_slices((tf.range(count), images))
        views = numbered.map(look, num_parallel_calls=tf.data.AUTOTUNE).ignore_errors()
        # One more, so that there is a batch even if none can be decoded.
        blank = tf.zeros([1, *self.encoder.pixels_shape], tf.uint8)
        views = views.concatenate(tf.data.Dataset.from_tensor_slices((count[None], blank)))
        places, pixels = views.batch(tf.cast(count + 1, tf.int64)).get_single_element()
        shape = [count + 1, *self.encoder.pixels_shape]
        seen = tf.scatter_nd(places[:, None], tf.cast(pixels, tf.int32), shape)
        valid = tf.scatter_nd(places[:, None], tf.ones_like(places), [count + 1])
        return tf.cast(seen, tf.uint8), valid[:-1] > 0

    def signatures(self) -> dict[str, Any]:
        """The functions that a SavedModel offers, by name."""
        return {"serving_default": self.embed}

    def save(self, directory: str | Path) -> None:
        """Writes a SavedModel."""
        tf.saved_model.save(self, str(directory), signatures=self.signatures())


class SearchService(Service):
    """An encoder, and a gallery that it searches.

    Args:
        encoder: a trained encoder.
        gallery: what is searched.
        k: images to find, int in 1..len(gallery); None finds 10, or all of a smaller gallery.

    Raises:
        ValueError: if `k` is out of range.
    """

    def __init__(self, encoder: ImageEncoder, gallery: Embeddings, k: int | None = None):
        super().__init__(encoder)
        k = min(neighbors.DEFAULT_K, len(gallery)) if k is None else k
        if not 1 <= k <= len(gallery):
            raise ValueError(f"`k` must be in 1..{len(gallery)}. Received: {k=}")
        self.k = k
        self.gallery = tf.Variable(gallery.embeddings, trainable=False)
        with tf.device("CPU"):
            self.paths = _texts(gallery.paths)
            self.classes = _texts(gallery.classes)

    def signatures(self) -> dict[str, Any]:
        return super().signatures() | {"search": self.search}

    @tf.function(input_signature=[_IMAGES])
    def search(self, images):
        """Bytes of image files, string [n] -> the `k` nearest images of the gallery.

        Returns:
            Dict of [n, k], nearest first: `indices` int32, `paths` and `classes` string,
            `distances` (Euclidean) and `similarities` (1 - distance² / 2) float32; and `valid`,
            bool [n]: whether an image could be decoded. What is found for one that could not is -1,
            empty and NaN.
        """
        embeddings, valid = self._embed(images)
        indices, squared = self._nearest(embeddings, self.k)
        found = {
            "indices": (indices, -1),
            "paths": (tf.gather(self.paths, indices), ""),
            "classes": (tf.gather(self.classes, indices), ""),
            "distances": (tf.cast(tf.sqrt(squared), tf.float32), np.nan),
            "similarities": (tf.cast(1 - squared / 2, tf.float32), np.nan),
        }
        known = {name: tf.where(valid[:, None], *pair) for name, pair in found.items()}
        return known | {"valid": valid}

    def _nearest(self, embeddings, k):
        """Indices int32 and squared distances float64 of the `k` nearest, [n, k] each.

        Products in float32 choose more candidates than are wanted; differences in float64 put
        those in order, so that rounding does not swap neighbors.
        """
        lengths = tf.reduce_sum(self.gallery**2, axis=-1)
        scores = 2.0 * tf.matmul(embeddings, self.gallery, transpose_b=True) - lengths
        num_candidates = min(2 * k + 16, self.gallery.shape[0])
        candidates = tf.sort(tf.math.top_k(scores, num_candidates).indices)
        rows = tf.cast(tf.gather(self.gallery, candidates), tf.float64)
        offsets = rows - tf.cast(embeddings, tf.float64)[:, None]
        squared = tf.reduce_sum(offsets**2, axis=-1)
        order = tf.argsort(squared, stable=True)[:, :k]
        indices = tf.gather(candidates, order, batch_dims=1)
        return indices, tf.gather(squared, order, batch_dims=1)


class MatchService(SearchService):
    """An encoder, and a gallery that says what images are, or that they are unknown.

    Args:
        encoder, gallery, k: as of `SearchService`.
        threshold: distance within which the nearest image says what a query is, or thresholds of
            the encoder, of which the first counts.

    Raises:
        ValueError: as of `SearchService`; if the thresholds are another encoder's, or a class of
            the gallery is called "unknown".
    """

    def __init__(
        self,
        encoder: ImageEncoder,
        gallery: Embeddings,
        k: int | None,
        threshold: float | calibration.Thresholds,
    ):
        super().__init__(encoder, gallery, k)
        distance = calibration.distance_of(threshold, encoder.info)
        self.threshold = tf.constant(distance, tf.float32)
        neighbors.refuse_class(UNKNOWN, gallery)

    def signatures(self) -> dict[str, Any]:
        return super().signatures() | {"match": self.match}

    @tf.function(input_signature=[_IMAGES])
    def match(self, images):
        """Bytes of image files, string [n] -> the class of each, or that it is unknown.

        Returns:
            Dict of [n]: `classes` string, that of the nearest image of the gallery if it is within
            the threshold, else "unknown"; that image as `indices` int32, `paths` string and
            `distances` float32; `known`, bool, whether it is within; `valid`, bool, whether an
            image could be decoded. Of one that could not these are empty, -1, NaN and false. And
            `threshold`, float32 [].
        """
        embeddings, valid = self._embed(images)
        indices, squared = (each[:, 0] for each in self._nearest(embeddings, 1))
        distances = tf.cast(tf.sqrt(squared), tf.float32)
        known = valid & (distances <= self.threshold)
        classes = tf.where(known, tf.gather(self.classes, indices), UNKNOWN)
        return {
            "classes": tf.where(valid, classes, ""),
            "indices": tf.where(valid, indices, -1),
            "paths": tf.where(valid, tf.gather(self.paths, indices), ""),
            "distances": tf.where(valid, distances, np.nan),
            "known": known,
            "valid": valid,
            "threshold": tf.identity(self.threshold),
        }


def _texts(array):
    return tf.Variable(array.astype(object), dtype=tf.string, trainable=False)
