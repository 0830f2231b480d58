"""The compiled inner loop: N steps of gradient descent in one call."""

import math

import tensorflow as tf

from ccpdml import compat
from ccpdml.cluster import replicas


class NonFiniteLossError(FloatingPointError):
    """The loss, or a gradient, became NaN or infinite; the weights are those before that step.

    Attributes:
        step: the step that failed, counted from 1.
    """

    def __init__(self, loss: float, step: int):
        what = "A gradient is not finite" if math.isfinite(loss) else f"The loss is {loss}"
        super().__init__(
            f"{what} at step {step}, which was not applied. Lower the learning rate or clip the "
            "gradients (`MetricLearner.clip_norm`), and look for images or margins that are not "
            "numbers."
        )
        self.step = step


class InnerLoop:
    """Runs N steps of a learner on the replicas of its strategy; `fit` calls it as train function.

    Args:
        learner: a `MetricLearner`.
        num_steps: steps in a call (N); fewer run where the data end.

    Attributes:
        num_to_skip: calls to pass over, because a run that is resumed made them before it stopped.
    """

    def __init__(self, learner, num_steps):
        self.learner = learner
        self.num_steps = num_steps
        self.num_to_skip = 0
        self.strategy = learner.distribute_strategy
        statistics = [compat.raw(v) for v in learner.encoder.non_trainable_variables]
        self.statistics = [v for v in statistics if v.dtype.is_floating]

    def __call__(self, iterator):
        """Runs up to N steps and returns the logs.

        Args:
            iterator: iterator over batches of (images, labels), distributed or not.

        Raises:
            StopIteration: if the data had ended before the first step.
            NonFiniteLossError: if a loss or gradient is NaN or infinite, naming the step.
        """
        if self.num_to_skip:
            self.num_to_skip -= 1
            return self._logs()
        # Collectives of one call keep the shapes of its first step, so that a last batch with fewer
        # images would break them: where batches may differ in size, each step is a call.
        num_calls = self.num_steps if self._may_differ_in_size(iterator) else 1
        num_done = sum(self._call(iterator, self.num_steps // num_calls) for _ in range(num_calls))
        if num_done == 0:
            raise StopIteration
        return self._logs()

    def _may_differ_in_size(self, iterator):
        specs = tf.nest.flatten(iterator.element_spec, expand_composites=True)
        is_known = all(spec.shape.rank and spec.shape[0] is not None for spec in specs)
        return self.strategy.num_replicas_in_sync > 1 and not is_known

    def _call(self, iterator, num_steps):
        """Runs up to `num_steps` steps in one call; returns how many there were data for."""
        num_done, loss, is_finite = self._run(iterator, num_steps)
        if not bool(is_finite):
            num_applied = int(tf.convert_to_tensor(self.learner.optimizer.iterations))
            raise NonFiniteLossError(float(loss), num_applied + 1)
        return int(num_done)

    def _logs(self):
        return {metric.name: metric.result() for metric in self.learner.metrics}

    @tf.function(reduce_retracing=True)
    def _run(self, iterator, num_steps):
        num_done, loss, is_finite = tf.constant(0), tf.constant(0.0), tf.constant(True)
        for _ in tf.range(num_steps):
            batch = iterator.get_next_as_optional()
            if not batch.has_value():
                break
            if self._encoder_rests():
                loss, is_finite = self._step(batch.get_value(), encoder_rests=True)
            else:
                loss, is_finite = self._step(batch.get_value(), encoder_rests=False)
            if not is_finite:
                break
            num_done += 1
        if self.strategy.num_replicas_in_sync > 1:
            self.strategy.run(self._average_statistics)
        return num_done, loss, is_finite

    def _encoder_rests(self):
        until = self.learner.encoder_rests_until
        if until is None:
            return False  # Known while tracing: the other branch is not built.
        return tf.cast(tf.convert_to_tensor(self.learner.optimizer.iterations), tf.int64) < until

    def _step(self, batch, encoder_rests):
        """One step; returns the loss, and whether the step was finite, and so applied."""
        results = self.strategy.run(self.learner.gradients_of, args=(batch, encoder_rests))
        # All replicas hold the same loss and gradients: those of the global batch.
        loss, is_finite = (self._of_first(results[i]) for i in (0, 2))
        if is_finite:
            self.strategy.run(self._apply, args=(*results[:2], encoder_rests))
        return loss, is_finite

    def _of_first(self, per_replica):
        return self.strategy.experimental_local_results(per_replica)[0]

    def _apply(self, loss, gradients, encoder_rests):
        self.learner.apply(gradients, encoder_rests)
        self.learner.loss_tracker.update_state(loss)

    def _average_statistics(self):
        # Keras 3 lets each replica keep its own moving averages of batch normalization.
        means = replicas.mean_over([tf.identity(v) for v in self.statistics])
        for variable, mean in zip(self.statistics, means, strict=True):
            variable.assign(mean)
