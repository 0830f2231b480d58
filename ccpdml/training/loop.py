"""The compiled inner loop: N steps of gradient descent in one call."""

import tensorflow as tf

from ccpdml.ops import replicas
from ccpdml.training import stacks


class NonFiniteLossError(FloatingPointError):
    """The loss became NaN or infinite."""


class InnerLoop:
    """Runs N steps of a learner on the replicas of its strategy; `fit` calls it as train function.

    Args:
        learner: a `MetricLearner`.
        num_steps: steps in a call (N); fewer run where the data end.
    """

    def __init__(self, learner, num_steps):
        self.learner = learner
        self.num_steps = num_steps
        self.strategy = learner.distribute_strategy
        statistics = [stacks.raw(v) for v in learner.encoder.non_trainable_variables]
        self.statistics = [v for v in statistics if v.dtype.is_floating]

    def __call__(self, iterator):
        """Runs up to N steps and returns the logs.

        Args:
            iterator: iterator over batches of (images, labels), distributed or not.

        Raises:
            StopIteration: if the data had ended before the first step.
            NonFiniteLossError: if a loss is NaN or infinite, naming the step.
        """
        num_done, loss = self._run(iterator)
        if int(num_done) == 0:
            raise StopIteration
        if not bool(tf.math.is_finite(loss)):
            step = int(tf.convert_to_tensor(self.learner.optimizer.iterations))
            raise NonFiniteLossError(
                f"The loss is {float(loss)} at step {step}. The weights of this step are spoilt, "
                "those of the last checkpoint are not. Lower the learning rate or clip the "
                "gradients (`MetricLearner.clip_norm`), and look for images or margins that are "
                "not numbers."
            )
        return {metric.name: metric.result() for metric in self.learner.metrics}

    @tf.function(reduce_retracing=True)
    def _run(self, iterator):
        num_done, loss = tf.constant(0), tf.constant(0.0)
        for _ in tf.range(self.num_steps):
            batch = iterator.get_next_as_optional()
            if not batch.has_value():
                break
            per_replica = self.strategy.run(self.learner.train_step, args=(batch.get_value(),))
            # All replicas hold the same loss: that of the global batch.
            loss = self.strategy.experimental_local_results(per_replica)[0]
            num_done += 1
            if not tf.math.is_finite(loss):
                break
        if self.strategy.num_replicas_in_sync > 1:
            self.strategy.run(self._average_statistics)
        return num_done, loss

    def _average_statistics(self):
        # Keras 3 lets each replica keep its own moving averages of batch normalization.
        means = replicas.mean_over([tf.identity(v) for v in self.statistics])
        for variable, mean in zip(self.statistics, means, strict=True):
            variable.assign(mean)
