"""The vectors that a learner would be compared by if it were not trained."""

import hashlib

import numpy as np
import tensorflow as tf

from ccpdml.cluster import strategies
from ccpdml.models import untrained
from ccpdml.ops import normalization, precision
from ccpdml.training.embedding import ShardedEmbedding


class UntrainedFeatures(tf.keras.Model):
    """Gives what `models.untrained` finds in an encoder, of length 1, as a learner embeddings.

    Args:
        network: Keras model, preprocessed images -> vectors; None takes them as they are.
        preprocess: the learner's.
    """

    def __init__(self, network, preprocess, **kwargs):
        super().__init__(**kwargs)
        self.network, self.preprocess = network, preprocess
        self.built = True

    def call(self, images, training=False):
        vectors = self.preprocess(images)
        if self.network is not None:
            vectors = self.network(vectors, training=training)
        return normalization.unit_normalize(precision.at_least_float32(vectors))

    def predict(self, x, batch_size=None, **kwargs):
        """Vectors of length 1, as of `MetricLearner.predict`."""
        if strategies.is_multi_worker(self.distribute_strategy):
            return ShardedEmbedding(self)(x)
        return super().predict(x, batch_size, **kwargs)


def of(learner: tf.keras.Model) -> tuple[tf.keras.Model, str]:
    """Something to evaluate as a learner is, before its first step, and what it is, in words.

    Args:
        learner: a `MetricLearner`; itself where its embeddings are what can be compared.
    """
    network, measured = untrained.comparable(learner.encoder)
    if network is learner.encoder:
        return learner, measured
    with learner.distribute_strategy.scope():
        return UntrainedFeatures(network, learner.preprocess), measured


def fingerprint(model: tf.keras.Model) -> str:
    """Tells by their weights the models that `of` gives apart."""
    digest = hashlib.sha256()
    for array in model.get_weights():
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
