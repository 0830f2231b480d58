"""Zero-shot retrieval on validation classes, at the end of every epoch."""

from collections.abc import Sequence

import gin
import numpy as np
import tensorflow as tf
import tqdm

from ccpdml import losses, metrics
from ccpdml.bounds import Count, checked
from ccpdml.cluster import replicas
from ccpdml.training.callbacks.outer_callback import OuterCallback, Stage


def embed(
    learner: tf.keras.Model, images: np.ndarray | tf.data.Dataset, progress: bool = False
) -> np.ndarray:
    """Embeds images and normalizes them as the learner's criterion does.

    Args:
        learner: a compiled `MetricLearner`.
        images: array [n, ...] or `tf.data.Dataset` of image batches.
        progress: whether to show a progress bar.

    Returns:
        float32 array [n, dim], in the order of the images.
    """
    return learner.predict(images, verbose=0, callbacks=[_Bar()] if progress else None)


def proxies(learner: tf.keras.Model) -> tuple[np.ndarray, np.ndarray] | tuple[None, None]:
    """Proxies as embeddings are compared with them, and their classes.

    Returns:
        float32 [num_proxies, dim] and int [num_proxies]; (None, None) if there are no proxies.
    """
    if not isinstance(learner.criterion, losses.WithProxies):
        return None, None
    points, labels = learner.criterion.head.references()
    return np.asarray(learner.criterion.normalization(points)), np.asarray(labels)


@gin.register
class RetrievalEvaluation(OuterCallback):
    """Writes `val_map_at_r`, `val_precision_at_1` and `val_r_precision` into the logs.

    Put it before the callbacks that read them. An epoch is the time between two evaluations.

    Args:
        validation_data: (images, labels): images as an array [n, ...] or a `tf.data.Dataset` of
            image batches, labels int [n], or bool [n, num_labels] of several labels of each; or a
            dataset of (images, labels) batches.
        gallery_data: likewise, what the validation images search in; None searches in the
            validation images themselves.
        recall_at: further R@K to compute, ints above 1.
        prefix: put before every name.
        progress: whether to show a progress bar while images are embedded.

    Attributes:
        embeddings: of the validation images, as last evaluated, float32 [n, dim]; not there before.
        gallery_embeddings: likewise, of the gallery; None if there is none.
        query_scores: of each validation image, as of `metrics.per_query`; not there before.
    """

    embeddings: np.ndarray
    query_scores: metrics.names.Scores

    stage = Stage.EVALUATION

    @checked
    def __init__(
        self,
        validation_data: tuple | tf.data.Dataset,  # type: ignore[type-arg]
        gallery_data: tuple | tf.data.Dataset | None = None,  # type: ignore[type-arg]
        recall_at: Sequence[Count] = (),
        prefix: str = "val_",
        progress: bool = False,
    ):
        super().__init__()
        self.images, self.labels = _images_and_labels(validation_data)
        self.gallery = None if gallery_data is None else _images_and_labels(gallery_data)
        self.recall_at = tuple(recall_at)
        self.prefix = prefix
        self.progress = progress
        self.gallery_embeddings: np.ndarray | None = None

    def evaluate(self, learner: tf.keras.Model) -> dict[str, float]:
        """Returns the scores of `learner` as a dictionary, without prefix, equal on all workers."""
        self.embeddings = embed(learner, self.images, self.progress)
        self.gallery_embeddings = self.gallery and embed(learner, self.gallery[0], self.progress)
        self.query_scores = self._per_query(learner.distribute_strategy)
        scores = metrics.average(self.query_scores)
        return {key: scores[key] for key in metrics.names.keys(self.recall_at)}

    def _per_query(self, strategy):
        """The scores of each query, of which each worker computes a share."""
        gallery = (self.gallery_embeddings, self.gallery[1]) if self.gallery else (None, None)
        index, count = replicas.worker(strategy)
        edges = np.linspace(0, len(self.labels), count + 1).astype(int)
        part = slice(edges[index], edges[index + 1])
        recall_at = (1, *self.recall_at)
        own = metrics.per_query(self.embeddings, self.labels, *gallery, recall_at, part=part)
        whole = {}
        for name, values in own.items():
            padded = np.zeros(len(self.labels), values.dtype)
            padded[part] = values
            whole[name] = np.asarray(replicas.sum_over_workers(padded, strategy))
        return metrics.names.Scores(whole)

    def on_epoch_end(self, epoch, logs=None):
        scores = self.evaluate(self.model)
        if logs is not None:
            logs.update({self.prefix + name: value for name, value in scores.items()})


class _Bar(tf.keras.callbacks.Callback):
    """A bar of the batches embedded; on standard error, as that of training."""

    def on_predict_begin(self, logs=None):
        self.bar = tqdm.tqdm(desc="embedding", unit="batch", total=self.params.get("steps"))

    def on_predict_batch_end(self, batch, logs=None):
        # Keras counts whole calls of the compiled loop, beyond the last batch.
        done = min(batch + 1, self.bar.total or batch + 1)
        self.bar.update(done - self.bar.n)

    def on_predict_end(self, logs=None):
        self.bar.close()


def _images_and_labels(source):
    if not isinstance(source, tf.data.Dataset):
        images, labels = source
        return images, _rows(labels)
    labels = [_rows(batch) for batch in source.map(lambda _, y: y)]
    return source.map(lambda x, _: x), np.concatenate(labels)


def _rows(labels):
    """Classes as a vector; several labels of each image, which are bool, as they are."""
    labels = np.asarray(labels)
    return labels if labels.dtype == bool else labels.reshape(-1)
