"""Hierarchical proxies: Proxy-Anchor on classes and on groups of similar classes."""

from typing import Any

import gin
import tensorflow as tf

from ccpdml.bounds import Cosine, Count, NonNegative, Positive, checked
from ccpdml.losses import state
from ccpdml.losses.proxy_anchor import ProxyAnchorLoss, anchored_on_proxies
from ccpdml.ops import distances, masks, normalization


@gin.register
@tf.keras.utils.register_keras_serializable(package="ccpdml")
class HierarchicalProxyAnchorLoss(ProxyAnchorLoss):
    """HPL-PA: `L(batch, proxies) + group_weight · L(batch, group proxies)`, L being Proxy-Anchor.

    Classes are grouped by k-means of their proxies, anew every `refresh_steps` steps and starting
    from the groups before. The proxy of a group is the mean of its classes' proxies, on the unit
    sphere; only the proxies of the classes are trained.

    Args:
        num_classes: classes of the training split, int above 0.
        margin: slack on the cosine (δ).
        alpha: sharpness (α).
        num_groups: groups of classes, int; None is a tenth of the classes, at least 2.
        group_weight: weight of the groups' loss, float.
        refresh_steps: steps between two groupings, int.
        iterations: of k-means, at each grouping, int.

    Source: Yang et al., "Hierarchical Proxy-based Loss for Deep Metric Learning" (2022), with two
        levels. The supplement names no setting for it; these are our choice.
    """

    @checked
    def __init__(
        self,
        num_classes: Count,
        margin: Cosine = 0.1,
        alpha: Positive = 32.0,
        num_groups: Count | None = None,
        group_weight: NonNegative = 0.1,
        refresh_steps: Count = 250,
        iterations: Count = 10,
        **kwargs,
    ):
        super().__init__(num_classes, margin, alpha, **kwargs)
        self.num_groups = num_groups or min(num_classes, max(2, num_classes // 10))
        if not 1 <= self.num_groups <= num_classes:
            raise ValueError(
                f"`num_groups` must be in 1..num_classes = {num_classes}. Received: {num_groups=}"
            )
        self.group_weight = group_weight
        self.refresh_steps = refresh_steps
        self.iterations = iterations
        nowhere = tf.keras.initializers.Constant(-1)
        self.groups = state.add(self, "groups", (num_classes,), "int32", nowhere)
        self.num_steps = state.add(self, "num_steps", dtype="int64")

    def call(self, embeddings: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        proxies, _ = self.references()
        groups = self._refresh(tf.stop_gradient(proxies))
        centers, is_used = _means(proxies, groups, self.num_groups)
        group_labels = tf.gather(groups, tf.reshape(labels, [-1]))
        cosines = tf.matmul(
            self.normalization(embeddings), normalization.unit_normalize(centers), transpose_b=True
        )
        positive, negative = masks.pairs(group_labels, tf.range(self.num_groups))
        of_groups = anchored_on_proxies(
            cosines, positive, negative * is_used, self.margin, self.alpha
        )
        return super().call(embeddings, labels) + self.group_weight * of_groups

    def _refresh(self, proxies):
        """Groups the classes anew if it is time to; returns their groups, int32 [num_classes]."""
        num_steps = state.read(self.num_steps)
        self.num_steps.assign(num_steps + 1)
        old = state.read(self.groups)
        groups = tf.cond(
            num_steps % self.refresh_steps == 0,
            lambda: _k_means(proxies, old, self.num_groups, self.iterations),
            lambda: old,
        )
        self.groups.assign(groups)
        return groups

    def get_config(self) -> dict[str, Any]:
        config = super().get_config() | {
            "num_groups": self.num_groups,
            "group_weight": self.group_weight,
            "refresh_steps": self.refresh_steps,
            "iterations": self.iterations,
        }
        del config["proxies_per_class"]
        return config


def _means(points, groups, num_groups):
    """Mean of each group's points [num_groups, dim], and 1 or 0 for groups with points or none."""
    counts = tf.math.unsorted_segment_sum(tf.ones_like(points[:, 0]), groups, num_groups)
    return tf.math.unsorted_segment_mean(points, groups, num_groups), tf.minimum(counts, 1.0)


def _k_means(points, groups, num_groups, iterations):
    """Lloyd's algorithm from given groups; a group without points starts at a point of its own."""
    num_points = tf.shape(points)[0]
    spare = tf.gather(points, tf.range(num_groups) * num_points // num_groups)
    for _ in range(iterations):
        means, is_used = _means(points, groups, num_groups)
        centers = tf.where(is_used[:, None] > 0.0, means, spare)
        groups = tf.argmin(distances.squared_euclidean(points, centers), -1, output_type=tf.int32)
    return groups
