"""Zero-shot retrieval on validation classes, at the end of every epoch."""

import gin
import numpy as np
import tensorflow as tf

from ccpdml import metrics
from ccpdml.ops import replicas

LOG_NAMES = {
    "mean_average_precision_at_r": "map_at_r",
    "precision_at_1": "precision_at_1",
    "r_precision": "r_precision",
}


def embed(learner, images):
    """Embeds images and normalizes them as the learner's criterion does.

    Args:
        learner: a compiled `MetricLearner`.
        images: array [n, ...] or `tf.data.Dataset` of image batches.

    Returns:
        float32 array [n, dim], in the order of the images.
    """
    embeddings = learner.predict(images, verbose=0)
    return np.asarray(learner.criterion.normalization(embeddings))


def proxies(learner):
    """Proxies as embeddings are compared with them, and their classes.

    Returns:
        float32 [num_proxies, dim] and int [num_proxies]; (None, None) if there are no proxies.
    """
    if not hasattr(learner.criterion, "head"):
        return None, None
    points, labels = learner.criterion.head.references()
    return np.asarray(learner.criterion.normalization(points)), np.asarray(labels)


@gin.register
class RetrievalEvaluation(tf.keras.callbacks.Callback):
    """Writes `val_map_at_r`, `val_precision_at_1` and `val_r_precision` into the logs.

    Put it before the callbacks that read them. An epoch is the time between two evaluations.

    Args:
        validation_data: (images, labels): images as an array [n, ...] or a `tf.data.Dataset` of
            image batches, labels int [n]; or a dataset of (images, labels) batches.
        gallery_data: likewise, what the validation images search in; None searches in the
            validation images themselves.
        recall_at: further R@K to compute, ints above 1.
        prefix: put before every name.

    Attributes:
        embeddings: of the validation images, as last evaluated, float32 [n, dim]; or None.
    """

    def __init__(self, validation_data, gallery_data=None, recall_at=(), prefix="val_"):
        super().__init__()
        self.images, self.labels = _images_and_labels(validation_data)
        self.gallery = None if gallery_data is None else _images_and_labels(gallery_data)
        self.recall_at = tuple(recall_at)
        self.prefix = prefix
        self.embeddings = None

    def evaluate(self, learner):
        """Returns the scores of `learner` as a dictionary, without prefix."""
        self.embeddings, gallery = self.embed(learner)
        scores = self.score(self.embeddings, gallery)
        # Whatever is decided by a score is decided by the first worker's.
        values = np.array(list(scores.values()), np.float64)
        values = replicas.broadcast(values, learner.distribute_strategy)
        return dict(zip(scores, np.asarray(values).tolist(), strict=True))

    def embed(self, learner):
        """Embeddings of the queries and of the gallery (None if there is none), float32."""
        return embed(learner, self.images), self.gallery and embed(learner, self.gallery[0])

    def score(self, query, gallery=None):
        """Returns the scores of embeddings from `embed` as a dictionary, without prefix."""
        sides = (query, self.labels) + (() if gallery is None else (gallery, self.gallery[1]))
        scores = metrics.retrieval(*sides, recall_at=(1, *self.recall_at))
        names = LOG_NAMES | {f"recall_at_{k}": f"recall_at_{k}" for k in self.recall_at}
        return {short: float(scores[name]) for name, short in names.items()}

    def on_epoch_end(self, epoch, logs=None):
        scores = self.evaluate(self.model)
        if logs is not None:
            logs.update({self.prefix + name: value for name, value in scores.items()})


def _images_and_labels(source):
    if not isinstance(source, tf.data.Dataset):
        images, labels = source
        return images, np.asarray(labels).reshape(-1)
    labels = [np.asarray(batch).reshape(-1) for batch in source.map(lambda _, y: y)]
    return source.map(lambda x, _: x), np.concatenate(labels)
