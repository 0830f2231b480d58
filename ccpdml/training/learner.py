"""The learner: an encoder and a criterion, trained by the compiled inner loop."""

from collections.abc import Callable, Sequence
from typing import NoReturn

import gin
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from ccpdml import compat, losses
from ccpdml.bounds import NonNegative, Positive, Whole, checked
from ccpdml.cluster import replicas, strategies
from ccpdml.models.encoder import nested_layers
from ccpdml.ops import precision
from ccpdml.training import descent, layer_rates, loop, optimizers, warm_up
from ccpdml.training.embedding import ShardedEmbedding
from ccpdml.training.snapshot import Snapshot


@gin.register
class MetricLearner(tf.keras.Model):
    """Trains an encoder so that `criterion(embeddings, labels)` falls.

    It is a Keras model of its own: `compile(optimizer)`, then `fit` on batches of (images, labels),
    `predict` for embeddings as they are compared. Under a `tf.distribute` strategy the criterion
    sees the global batch. Build the encoder, the learner and the optimizer in `strategy.scope()`.

    Args:
        encoder: Keras model, images -> embeddings [batch, dim].
        criterion: a `losses.Criterion`, or a `losses.PairLoss`, which is then taken on the pairs
            of the batch.
        prox_weight: λ of the prox term `λ/2·|θ - θ_center|²` over the encoder's trainable
            weights, float; in force from the second problem instance on.
        weight_decay: coupled L2, `weight_decay · w` added to the gradient of the encoder's weights
            except those of batch normalization, float.
        decay_proxies: whether the criterion's weights decay as well, as they did in the original;
            by `weight_decay` or by that of the optimizer.
        clip_norm: largest norm of all gradients together; None leaves it.
        clip_value: largest absolute value of a gradient's entry; None leaves it.
        proxy_learning_rate_multiplier: how many times faster the criterion's weights learn.
        preprocess: function of an image batch, run on the device before the encoder; None takes
            images as they come.
        warm_up_steps: steps at the start in which the backbone rests and only the embedding head
            and the criterion learn, int.
        jit_compile: whether XLA compiles the criterion; only for one that writes no weights in its
            call, as memories and miners that draw do. XLA raises nothing: labels that are no
            classes show as a loss of NaN, at which training stops.

    Raises:
        ValueError: if a number is out of its range, the encoder gives no vectors, or XLA cannot
            compile the criterion.

    Source: the paper, section 4; order of the gradient terms from the original program.
    """

    train_function: loop.InnerLoop | None

    @checked
    def __init__(
        self,
        encoder: tf.keras.Model,
        criterion: tf.keras.layers.Layer,
        prox_weight: NonNegative = 2e-4,
        weight_decay: NonNegative = 0.0,
        decay_proxies: bool = False,
        clip_norm: Positive | None = None,
        clip_value: Positive | None = None,
        proxy_learning_rate_multiplier: Positive = 1.0,
        preprocess: Callable[[tf.Tensor], tf.Tensor] | None = None,
        warm_up_steps: Whole = 0,
        jit_compile: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        _check(encoder)
        self.encoder = encoder
        is_pair_loss = isinstance(criterion, losses.PairLoss)
        self.criterion = losses.BatchPairs(criterion) if is_pair_loss else criterion
        if not self.criterion.built:
            self.criterion.build((None, encoder.output_shape[-1]))
        self.prox_weight = prox_weight
        self.weight_decay = weight_decay
        self.decay_proxies = decay_proxies
        self.clip_norm, self.clip_value = clip_norm, clip_value
        self.proxy_learning_rate_multiplier = proxy_learning_rate_multiplier
        self.preprocess = preprocess or tf.identity
        self.warm_up_steps = warm_up_steps
        self.measure = _compiled(self.criterion) if jit_compile else self.criterion
        self.loss_tracker = tf.keras.metrics.Mean(name="loss")
        self.prox_center: Snapshot | None = None
        self.encoder_rests_until: tf.Variable | None = None
        self.sharded_embedding: ShardedEmbedding | None = None
        self.built = True

    def compile(
        self,
        optimizer: tf.keras.optimizers.Optimizer | str = "adam",
        steps_per_execution: int = 1,
        **kwargs,
    ) -> None:
        """Sets the optimizer and the length of the compiled inner loop.

        Args:
            optimizer: a `tf.keras.optimizers.Optimizer` for the encoder; the criterion's weights
                get a linked copy of it.
            steps_per_execution: steps in one call of the compiled loop (N), int above 0.
            **kwargs: as in `tf.keras.Model.compile`, except `loss`: the criterion is the loss.

        Raises:
            ValueError: for a `loss`, and for settings of the optimizer that would not do here what
                they say, such as `gradient_accumulation_steps`.
        """
        if kwargs.get("loss") is not None:
            raise ValueError("The criterion is the loss: leave `loss` out of `compile`.")
        kwargs = {"jit_compile": False} | kwargs
        optimizers.check(tf.keras.optimizers.get(optimizer), self.weight_decay)
        super().compile(optimizer=optimizer, steps_per_execution=steps_per_execution, **kwargs)
        self.steps_per_loop = int(steps_per_execution)
        self.encoder_weights = list(self.encoder.trainable_variables)
        self.criterion_weights = list(self.criterion.trainable_variables)
        self.decayed = [_decays(self.encoder, v) for v in self.encoder_weights]
        self.decayed += [self.decay_proxies] * len(self.criterion_weights)
        self.is_backbone = warm_up.backbone_mask(self.encoder) if self.warm_up_steps else None
        self.rates = layer_rates.rates(self.encoder)
        with self.distribute_strategy.scope():
            self.optimizer.build(self.encoder_weights)
            # One for each, so that each can forget for itself.
            self.criterion_optimizers = [self._linked_optimizer(w) for w in self.criterion_weights]

    def _linked_optimizer(self, weight):
        optimizer = optimizers.linked_copy(
            self.optimizer, self.proxy_learning_rate_multiplier, self.decay_proxies
        )
        optimizer.build([weight])
        return optimizer

    def fit(
        self, *args, steps_per_epoch: int | None = None, **kwargs
    ) -> tf.keras.callbacks.History:
        """Trains as Keras's `fit` does; an epoch is what lies between two evaluations.

        Raises:
            ValueError: if `steps_per_epoch` is not a multiple of `steps_per_execution`.
        """
        if steps_per_epoch and steps_per_epoch % self.steps_per_loop:
            raise ValueError(
                "`steps_per_epoch` of `fit` must be a multiple of `steps_per_execution` of "
                f"`compile`: that many steps run in one call. Received: {steps_per_epoch=}, "
                f"steps_per_execution={self.steps_per_loop}"
            )
        return super().fit(*args, steps_per_epoch=steps_per_epoch, **kwargs)

    def forget_moments(self, weight: tf.Variable, rows: tf.Tensor) -> None:
        """Forgets the moments of rows of a weight of the criterion, as if never trained.

        Args:
            weight: one of `criterion_weights`, [..., dim].
            rows: which ones, bool, of the shape of the weight without its last axis.
        """
        (index,) = (i for i, own in enumerate(self.criterion_weights) if own is weight)
        with self.distribute_strategy.scope():
            fresh = self._linked_optimizer(weight)
        optimizers.forget(self.criterion_optimizers[index], fresh, rows)

    def start_prox(self, center: Sequence[tf.Tensor], weight: float) -> None:
        """Pulls the encoder to `center` from now on.

        Args:
            center: values of the encoder's trainable weights, in their order.
            weight: λ of this problem instance, float.

        Raises:
            ValueError: if there is no room for it: `add_prox` makes it.
        """
        if self.prox_center is None:
            raise ValueError("Call `add_prox` before `start_prox`: it makes room for the center.")
        self.prox_center.assign(center)
        self.prox_weight_in_force.assign(weight)

    def add_prox(self) -> None:
        """Makes room for the prox term, which rests at λ = 0 until `start_prox`."""
        if self.prox_center is None and self.prox_weight:
            with self.distribute_strategy.scope():
                self.prox_center = Snapshot(self.encoder_weights)
                self.prox_weight_in_force = tf.Variable(0.0, trainable=False)
            self.make_train_function(force=True)

    def add_encoder_rest(self) -> None:
        """Makes room for `rest_encoder`; the compiled loop is traced for it."""
        if self.encoder_rests_until is None:
            with self.distribute_strategy.scope():
                self.encoder_rests_until = tf.Variable(0, trainable=False, dtype=tf.int64)
            self.make_train_function(force=True)

    def rest_encoder(self, num_steps: int) -> None:
        """Lets only the criterion's weights learn in the next `num_steps` steps.

        Raises:
            ValueError: if the loop does not know of it: `add_encoder_rest` has it traced.
        """
        if self.encoder_rests_until is None:
            raise ValueError("Call `add_encoder_rest` before `rest_encoder`.")
        step = tf.cast(tf.convert_to_tensor(self.optimizer.iterations), tf.int64)
        self.encoder_rests_until.assign(step + num_steps)

    @property
    def metrics(self) -> list[tf.keras.metrics.Metric]:
        return [self.loss_tracker]

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Embeddings [batch, dim] in float32, as the encoder gives them: not normalized."""
        return precision.at_least_float32(self.encoder(self.preprocess(images), training=training))

    def predict(
        self, x: npt.ArrayLike | tf.data.Dataset, batch_size: int | None = None, **kwargs
    ) -> np.ndarray:
        """Embeddings as they are compared: normalized by the criterion, as in `encoder.keras`.

        Args:
            x: images, array [n, ...], or dataset of batches of them.
            batch_size: images embedded at a time, where `x` is an array; None is 32.
            **kwargs: as of Keras's `predict`.

        Returns:
            float32 [n, dim]; on every worker, all of them.
        """
        return np.asarray(self.criterion.normalization(self.predict_raw(x, batch_size, **kwargs)))

    def predict_raw(
        self, x: npt.ArrayLike | tf.data.Dataset, batch_size: int | None = None, **kwargs
    ) -> np.ndarray:
        """Embeddings as the encoder gives them, not normalized, of which pools are made."""
        if not strategies.is_multi_worker(self.distribute_strategy):
            with compat.one_step_per_execution(self):
                return super().predict(x, batch_size, **kwargs)
        if self.sharded_embedding is None:
            self.sharded_embedding = ShardedEmbedding(self)
        if not isinstance(x, tf.data.Dataset):
            x = tf.data.Dataset.from_tensor_slices(x).batch(batch_size or 32)
        return self.sharded_embedding(x)

    def save(self, *args, **kwargs) -> NoReturn:
        """Refuses, and says what is saved instead."""
        raise NotImplementedError(
            "A `MetricLearner` is an encoder and what trains it, and is not saved as one model. "
            "`models.standalone(learner.encoder, learner.criterion.normalization)` is a Keras "
            "model of its own, to be saved as `encoder.keras` and loaded without this library; "
            "`training.Checkpoint` keeps all that training needs."
        )

    def export(self, *args, **kwargs) -> NoReturn:
        """Refuses as `save` does."""
        self.save()

    def get_config(self) -> NoReturn:
        """Refuses as `save` does, for whatever function of Keras asks to save it."""
        self.save()

    def train_step(self, data: tuple[tf.Tensor, ...]) -> tf.Tensor:
        """One step of one replica; returns the loss of the global batch."""
        loss, gradients, _ = self.gradients_of(data)
        self.apply(gradients)
        self.loss_tracker.update_state(loss)
        return loss

    def gradients_of(
        self, data: tuple[tf.Tensor, ...], encoder_rests: bool = False
    ) -> tuple[tf.Tensor, list[tf.Tensor], tf.Tensor]:
        """Differentiates the loss of the global batch, on one replica.

        Args:
            data: tuple (images, labels), this replica's part.
            encoder_rests: whether only the criterion's weights are to learn; the encoder then
                embeds as in evaluation.

        Returns:
            Tuple (loss, gradients summed over the replicas, whether all of that is finite).
        """
        images, labels, _ = tf.keras.utils.unpack_x_y_sample_weight(data)
        num_replicas = tf.distribute.get_replica_context().num_replicas_in_sync
        # Keras 3's own variables make TensorFlow fail where a weight has no part in the loss.
        variables = [compat.raw(variable) for variable in self._learning(encoder_rests)[0]]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            embeddings = replicas.gather(self(images, training=not encoder_rests))
            loss = self.measure(embeddings, replicas.gather(labels))
            loss += sum(self.encoder.losses)
            # Every replica computes the whole loss, and their gradients are summed.
            share = loss / num_replicas
        gradients = tape.gradient(share, variables, unconnected_gradients="zero")
        gradients = replicas.sum_over([tf.convert_to_tensor(each) for each in gradients])
        return loss, gradients, descent.are_finite([loss, *gradients])

    def _learning(self, encoder_rests):
        """The weights that learn, and for each whether weight decay holds for it."""
        first = len(self.encoder_weights) if encoder_rests else 0
        return (self.encoder_weights + self.criterion_weights)[first:], self.decayed[first:]

    def apply(self, gradients: list[tf.Tensor], encoder_rests: bool = False) -> None:
        """Adds prox term and weight decay to summed gradients, clips them and applies them."""
        variables, decayed = self._learning(encoder_rests)
        count = len(variables) - len(self.criterion_weights)
        # Identity: called under `tf.cond`, where Keras 3 refuses gradients of two graphs at once.
        gradients = [tf.identity(each) for each in gradients]
        if count and self.prox_center is not None:
            weight, center = self.prox_weight_in_force, self.prox_center.copies
            gradients[:count] = descent.add_decay(
                gradients[:count], variables[:count], weight, center
            )
        if self.weight_decay:
            rates = [self.weight_decay * decays for decays in decayed]
            gradients = [
                descent.add_decay([gradient], [variable], rate)[0] if rate else gradient
                for gradient, variable, rate in zip(gradients, variables, rates, strict=True)
            ]
        if count and self.warm_up_steps:
            is_over = tf.convert_to_tensor(self.optimizer.iterations) >= self.warm_up_steps
            gradients[:count] = warm_up.hold(gradients[:count], self.is_backbone, is_over)
        gradients = descent.clip(gradients, self.clip_norm, self.clip_value)
        # First the criterion's: their rate is the one that the encoder's optimizer has now.
        for optimizer, gradient, weight in zip(
            self.criterion_optimizers, gradients[count:], self.criterion_weights, strict=True
        ):
            compat.apply_summed_gradients(optimizer, [gradient], [weight])
        if count:
            layer_rates.apply(self.optimizer, gradients[:count], self.encoder_weights, self.rates)
        else:
            compat.raw(self.optimizer.iterations).assign_add(1)  # A step of the run all the same.

    def make_train_function(self, force: bool = False) -> loop.InnerLoop:
        """Installs the compiled inner loop where `fit` looks for it."""
        if self.train_function is None or force:
            self.train_function = loop.InnerLoop(self, self.steps_per_loop)
        return self.train_function

    def _maybe_symbolic_build(self, *args, **kwargs):
        """Does nothing: all is built. Keras 3's own version fails under multi-worker strategies."""


def _check(encoder):
    if len(encoder.output_shape) != 2:
        raise ValueError(
            "`encoder` must give vectors [batch, dim]; end it in pooling and a dense layer. "
            f"Received: output shape {encoder.output_shape}"
        )


def _compiled(criterion):
    if criterion.non_trainable_weights:
        raise ValueError(
            "`jit_compile` is for criteria that keep nothing between steps. "
            f"Received: {type(criterion).__name__}"
        )
    return tf.function(criterion, jit_compile=True)


def _decays(encoder, variable):
    """Tells whether weight decay holds for `variable`: not if batch normalization owns it."""
    return not any(
        variable is owned
        for layer in nested_layers(encoder)
        if isinstance(layer, tf.keras.layers.BatchNormalization)
        for owned in layer.weights
    )
