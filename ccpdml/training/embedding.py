"""Embedding images on every worker of a cluster at once."""

import numpy as np
import tensorflow as tf


class ShardedEmbedding:
    """Embeds images in shards, one per worker; each worker gets all embeddings, in order.

    `predict` of Keras 2 fails where the last batches of two workers differ in size.

    Args:
        learner: a `MetricLearner`, or another model, under a multi-worker strategy.
    """

    def __init__(self, learner):
        self.learner = learner
        self.strategy = learner.distribute_strategy

    def __call__(self, batches):
        """Embeds a `tf.data.Dataset` of image batches; returns float32 [n, dim]."""

        def of_pipeline(context):
            # In turn, one batch for each replica: what they hold at one time is consecutive.
            per_turn = context.num_replicas_in_sync // context.num_input_pipelines

            def is_own(number, _):
                return number // per_turn % context.num_input_pipelines == context.input_pipeline_id

            return batches.enumerate().filter(is_own).map(lambda _, images: images)

        distributed = self.strategy.distribute_datasets_from_function(of_pipeline)
        return np.concatenate([self._embed(images).numpy() for images in distributed])

    @tf.function(reduce_retracing=True)
    def _embed(self, images):
        return self.strategy.gather(self.strategy.run(self._embed_part, args=(images,)), axis=0)

    def _embed_part(self, images):
        # Where the data end, some replicas get no image, which some CPU kernels do not survive.
        count = tf.shape(images)[0]
        padding = [[0, tf.cast(count == 0, tf.int32)]] + [[0, 0]] * (images.shape.rank - 1)
        return self.learner(tf.pad(images, padding))[:count]
