"""Re-initialisation of the proxies: a problem instance is over, the next one is posed."""

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import gin
import numpy as np
import tensorflow as tf
from absl import logging

from ccpdml import losses
from ccpdml.bounds import Count, Length, NonNegative, Share, Whole, checked
from ccpdml.cluster import replicas
from ccpdml.ops import coreset, distances
from ccpdml.training.callbacks.instance_end import InstanceEnd
from ccpdml.training.callbacks.monitor import Monitor
from ccpdml.training.callbacks.outer_callback import Stage, Stateful, StatefulCallback
from ccpdml.training.callbacks.pool import Pool
from ccpdml.training.snapshot import Snapshot


@dataclasses.dataclass(frozen=True)
class Placement:
    """Proxies that were moved; all points are in the space in which k-center compares them.

    Attributes:
        instance: the problem instance that begins, int.
        pool: float [num_classes, pool_size, dim].
        old: the proxies before, float [num_classes, proxies_per_class, dim].
        new: the proxies after, likewise.
        picks: place in the pool that each new proxy was picked from, int [num_classes,
            proxies_per_class].
    """

    instance: int
    pool: tf.Tensor
    old: tf.Tensor
    new: tf.Tensor
    picks: tf.Tensor


@gin.register
class Placing:
    """The way in which new proxies are put in their places, and what follows from it.

    Args:
        normalized: whether k-center compares normalized embeddings, as the loss does; the original
            compares raw ones, whose lengths then decide, and seen from the origin at first: the
            longest is picked first.
        random_start: whether the first proxies are those the criterion was built with; otherwise
            they are picked from a pool, as seen by the untrained encoder.
        restart_optimizer: whether the moments of replaced proxies are forgotten, so that they learn
            as if never trained; the original keeps them, and they then push the new proxies where
            the old ones went. What other weights have is kept in any case.
        proxies_only_steps: steps after each re-initialization in which proxies alone learn, int,
            counted among the steps of the run. The encoder rests: its weights, their moments, the
            statistics of batch normalization; it embeds as in evaluation.
        jitter: how far repeated picks are moved apart, relative to their length, float.
        seed: of that movement, int.

    Source: as of `ProxyReinitialization`; that proxies learn alone is not in the paper.
    """

    @checked
    def __init__(
        self,
        normalized: bool = True,
        random_start: bool = False,
        restart_optimizer: bool = True,
        proxies_only_steps: Whole = 0,
        jitter: NonNegative = 0.05,
        seed: Whole = 0,
    ):
        self.normalized = normalized
        self.random_start = random_start
        self.restart_optimizer = restart_optimizer
        self.proxies_only_steps = proxies_only_steps
        self.jitter, self.seed = jitter, seed


@gin.register
class ProxyReinitialization(StatefulCallback):
    """Moves the proxies to a core-set of fresh embeddings whenever a problem instance is over.

    An instance is over after `patience` evaluations without a gain, or after `period` evaluations.
    Then the prox center becomes the instance's best weights, the prox weight λ·decay^t in instance
    t (0 in the first), and the proxies what `pick` takes from a fresh pool, given the instance's
    best proxies, which the criterion is told are replaced (`retire`). Training goes on from the
    live weights. At train begin the proxies are picked the same way, without seeds: the first is
    the embedding nearest to the mean of its class.

    It adds to the logs: `problem_instance` and `prox_weight`, and where it acts also
    `covering_radius_before`, `covering_radius_after` (mean over classes of how far a pool reaches
    from its proxies), `proxy_displacement` (mean distance of a new proxy to the nearest old one of
    its class) and `padded_classes` (classes whose pool had fewer distinct points than proxies).
    Put it after `RetrievalEvaluation` and `EarlyStopping`: it changes what they look at.

    Args:
        draw_pool: a `Pool`, function without arguments -> embeddings float [num_classes,
            pool_size, dim].
        monitor: key of the logs.
        mode: "max" or "min".
        patience: evaluations without a gain that end an instance, int; 3 in the original. None
            goes by `period` alone.
        period: evaluations that end an instance, int, whatever the scores; None, as in the
            original, goes by patience alone. Where both are given, whichever comes first counts. A
            sequence gives the period of the first instance, the second and so on; its last entry
            holds for all later ones: (None, 4) lets the first instance converge, (2, 4, 8) lets
            them grow.
        min_evaluations: fewest evaluations of an instance, int.
        count_early_scores: whether a score before `min_evaluations` can be the instance's best and
            counts for patience; the original looks at none of them.
        min_delta: by how much a score must beat the instance's best, float.
        decay: λ shrinks by this factor per instance, float.
        max_instances: instances to pose, int; 1 picks the proxies once and for ever, None goes on.
        pick: which points of a pool become proxies: function of (pool, seeds, num_picks) -> int
            [num_classes, num_picks], `instance=` being given if it takes that.
            `coreset.farthest_first` is the paper's; `coreset.k_medoids` and `coreset.random_picks`
            are not drawn to outliers.
        placing: how they are put there, and what of the optimizer is kept; None is `Placing()`.

    Attributes:
        instance: the problem instance that is being solved, int; None before the first.
        placement: the `Placement` of this evaluation, or of train begin; None if there was none.

    Source: the paper, section 4; supplement, 1.2. Period and other picks are not in it.
    """

    stage = Stage.PROXIES

    @checked
    def __init__(
        self,
        draw_pool: Pool,
        monitor: str = "val_map_at_r",
        mode: Literal["max", "min"] = "max",
        patience: Count | None = 3,
        period: Count | Annotated[Sequence[Count | None], Length(1)] | None = None,
        min_evaluations: Count = 1,
        count_early_scores: bool = True,
        min_delta: NonNegative = 1e-5,
        decay: Share = 1.0,
        max_instances: Count | None = None,
        pick: Callable[..., tf.Tensor] = coreset.farthest_first,
        placing: Placing | None = None,
    ):
        super().__init__()
        self.draw_pool = draw_pool
        self.monitor = Monitor(monitor, mode, min_delta)
        self.end = InstanceEnd(self.monitor, patience, period, min_evaluations, count_early_scores)
        self.decay, self.max_instances = decay, max_instances
        self.pick = pick
        self.placing = Placing() if placing is None else placing
        self.instance = None
        self.placement = None
        self.best = None

    def set_model(self, model):
        super().set_model(model)
        if not isinstance(model.criterion, losses.WithProxies):
            raise ValueError(
                "`ProxyReinitialization` needs a criterion with proxies (a `head`), such as "
                f"`ChanceConstrainedLoss`. Received: {type(model.criterion).__name__}"
            )
        if self.best is None:
            if self.max_instances != 1:
                model.add_prox()
            if self.placing.proxies_only_steps:
                model.add_encoder_rest()
            with model.distribute_strategy.scope():
                self.best = Snapshot([*model.encoder_weights, model.criterion.head.proxies])

    def on_train_begin(self, logs=None):
        self.placement = None
        is_first = self.instance is None
        self.instance = self.instance or 0
        if logs is not None:  # For callbacks that must come before this one.
            logs["problem_instance"] = self.instance
        if is_first and not self.placing.random_start:
            proxies = tf.convert_to_tensor(self.model.criterion.head.proxies)
            # Raw vectors are seen from the origin, as in the original: the longest comes first.
            # Normalized ones would tie; without seeds the one nearest to the class mean does.
            seeds = proxies[:, :0] if self.placing.normalized else tf.zeros_like(proxies[:, :1])
            self._place(seeds)

    def on_epoch_end(self, epoch, logs=None):
        self.placement = None
        if self.end.update(logs):
            self.best.take()
        logs["problem_instance"] = self.instance
        logs["prox_weight"] = self._prox_weight()
        if self._is_over():
            logs.update(self._pose_next())

    def _is_over(self):
        # The first worker decides for all, lest one waits for another in a collective.
        over = self.end.is_due(self.instance) and self.instance + 1 != self.max_instances
        agreed = replicas.broadcast(tf.constant(int(over)), self.model.distribute_strategy)
        return bool(int(agreed))

    def _prox_weight(self):
        return self.model.prox_weight * self.decay**self.instance if self.instance else 0.0

    def _pose_next(self):
        *weights, best_proxies = self.best.copies
        self.instance += 1
        if self.model.prox_center is not None:
            self.model.start_prox(weights, self._prox_weight())
        proxies = self.model.criterion.head.proxies
        old = tf.convert_to_tensor(proxies)
        best_proxies = tf.convert_to_tensor(best_proxies)
        self.model.criterion.retire(best_proxies)
        report = self._place(best_proxies)
        if self.placing.restart_optimizer:
            is_replaced = tf.reduce_any(tf.convert_to_tensor(proxies) != old, axis=-1)
            self.model.forget_moments(proxies, is_replaced)
        if self.placing.proxies_only_steps:
            self.model.rest_encoder(self.placing.proxies_only_steps)
        self.end.restart()
        logging.info(
            "Problem instance %d begins: proxies moved by %.3f, covering radius from %.3f to %.3f",
            self.instance,
            *(report["proxy_displacement"], report["covering_radius_before"]),
            report["covering_radius_after"],
        )
        return report

    def comparable(self, points: tf.Tensor) -> tf.Tensor:
        """Points as k-center compares them: normalized or not."""
        return self.model.criterion.normalization(points) if self.placing.normalized else points

    def _place(self, seeds):
        """Moves the proxies to the core-set of a fresh pool; returns what that changed."""
        head = self.model.criterion.head
        old = tf.convert_to_tensor(head.proxies)
        pool = tf.convert_to_tensor(self.draw_pool(), old.dtype)
        compared = self.comparable(pool)
        picks = self._picks(compared, self.comparable(seeds), head.proxies_per_class)
        chosen = tf.gather(pool, picks, batch_dims=1)
        new, num_padded = coreset.separate_repeated(
            chosen, self.placing.jitter, (self.placing.seed, self.instance)
        )
        new = replicas.broadcast(new, self.model.distribute_strategy)
        head.proxies.assign(new)
        if num_padded:
            logging.warning(
                "%d of %d classes had fewer distinct pool points than proxies; repeated proxies "
                "were moved apart by %g of their length.",
                num_padded,
                head.num_classes,
                self.placing.jitter,
            )
        old, new = self.comparable(old), self.comparable(new)
        self.placement = Placement(self.instance, compared, old, new, picks)
        nearest_old = tf.reduce_min(distances.euclidean(new, old), axis=-1)
        return {
            "covering_radius_before": _mean(coreset.covering_radius(compared, old)),
            "covering_radius_after": _mean(coreset.covering_radius(compared, new)),
            "proxy_displacement": _mean(nearest_old),
            "padded_classes": num_padded,
        }

    def _picks(self, pool, seeds, num_picks):
        takes_instance = "instance" in inspect.signature(self.pick).parameters
        instance = {"instance": self.instance} if takes_instance else {}
        picks = tf.cast(self.pick(pool, seeds, num_picks, **instance), tf.int32)
        if picks.shape != (pool.shape[0], num_picks):
            raise ValueError(
                "`ProxyReinitialization.pick` must return indices [num_classes, num_picks] = "
                f"{(pool.shape[0], num_picks)}. Received: shape {tuple(picks.shape)}"
            )
        return picks

    def get_state(self) -> dict[str, Any]:
        """State for checkpoints, beside the best weights."""
        state = {**self.end.get_state(), "instance": self.instance}
        if isinstance(self.draw_pool, Stateful):
            state["draw_pool"] = self.draw_pool.get_state()
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes back what `get_state` gave."""
        self.end.set_state(state)
        self.instance = state["instance"]
        if isinstance(self.draw_pool, Stateful):
            self.draw_pool.set_state(state["draw_pool"])

    def trackables(self) -> dict[str, Any]:
        """Variables that a checkpoint must keep."""
        if not self.placing.proxies_only_steps:
            return {"best": self.best}
        return {"best": self.best, "encoder_rests_until": self.model.encoder_rests_until}


def _mean(x):
    return float(np.mean(x))
