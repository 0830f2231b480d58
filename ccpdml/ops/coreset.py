"""Core-sets: the few points that stand for many, chosen by greedy k-center or another rule."""

import gin
import tensorflow as tf

from ccpdml.bounds import Count, Whole
from ccpdml.ops import distances, precision

# Distances that differ by less, relative to the larger, are equal: rounding decides no pick.
_TIE = 1e-6


@gin.register
def farthest_first(pool: tf.Tensor, seeds: tf.Tensor, num_picks: Count) -> tf.Tensor:
    """Picks by greedy k-center: each pick is the point farthest from all before it.

    Without seeds the first pick is the point nearest to the mean of its class. Ties go to the
    lowest index, distances that differ by rounding being equal. Once every distinct point of the
    pool is picked, points repeat (`repeated` marks them).

    Args:
        pool: candidate embeddings, float [num_classes, pool_size, dim].
        seeds: embeddings that already cover the class, float [num_classes, num_seeds, dim]; there
            may be none.
        num_picks: picks per class, int in 1..pool_size.

    Returns:
        Indices into `pool` in picking order, int32 [num_classes, num_picks].

    Raises:
        ValueError: if `num_picks` is out of range or the shapes do not fit.

    Source: the paper's proxy selection (supplement, 1.2); a 2-approximation (Gonzalez, 1985),
        whose first pick is free.
    """
    pool, seeds = _checked(pool, seeds, num_picks)
    if seeds.shape[1] == 0:
        mean = tf.reduce_mean(pool, axis=1, keepdims=True)
        picks = [_first_of_the_largest(-tf.norm(pool - mean, axis=-1))]
        nearest = _distances_to(pool, picks[0])
    else:
        picks, nearest = [], tf.reduce_min(distances.euclidean(pool, seeds), axis=-1)
    while len(picks) < num_picks:
        picks.append(_first_of_the_largest(nearest))
        nearest = tf.minimum(nearest, _distances_to(pool, picks[-1]))
    return tf.stack(picks, axis=-1)


@gin.register
def k_medoids(pool: tf.Tensor, seeds: tf.Tensor, num_picks: Count) -> tf.Tensor:
    """Picks by greedy k-medoids: each pick is the point that shortens the way to the others most.

    The way of a point is its distance to the nearest seed or pick; their sum is what k-medoids
    makes small. One far point weighs no more than any other, so that, unlike k-center's, the picks
    are not drawn to outliers. Ties go to the lowest index; no point is picked twice.

    Args:
        pool: candidate embeddings, float [num_classes, pool_size, dim].
        seeds: embeddings that already cover the class, float [num_classes, num_seeds, dim]; there
            may be none.
        num_picks: picks per class, int in 1..pool_size.

    Returns:
        Indices into `pool` in picking order, int32 [num_classes, num_picks].

    Raises:
        ValueError: if `num_picks` is out of range or the shapes do not fit.

    Source: the building phase of PAM (Kaufman and Rousseeuw, "Finding Groups in Data", 1990). Given
    seeds, the ways become shorter by at least 1 - 1/e of what the best picks would make of them, as
    for every submodular gain (Nemhauser, Wolsey and Fisher, 1978).
    """
    pool, seeds = _checked(pool, seeds, num_picks)
    between = distances.euclidean(pool, pool)
    nearest = tf.reduce_min(distances.euclidean(pool, seeds), axis=-1)
    taken, picks = tf.zeros_like(nearest), []
    for _ in range(num_picks):
        way = tf.reduce_sum(tf.minimum(nearest[..., None], between), axis=1)
        picks.append(_first_of_the_largest(-tf.where(taken > 0.0, way.dtype.max, way)))
        taken += tf.one_hot(picks[-1], pool.shape[1], dtype=taken.dtype)
        nearest = tf.minimum(nearest, tf.gather(between, picks[-1], axis=2, batch_dims=1))
    return tf.stack(picks, axis=-1)


@gin.register
def random_picks(
    pool: tf.Tensor, seeds: tf.Tensor, num_picks: Count, instance: Whole = 0, seed: Whole = 0
) -> tf.Tensor:
    """Picks at random, no point twice: the rule that others have to beat.

    Args:
        pool: candidate embeddings, float [num_classes, pool_size, dim].
        seeds: not looked at, float [num_classes, num_seeds, dim].
        num_picks: picks per class, int in 1..pool_size.
        instance: number of the problem instance, int.
        seed: the picks depend on it and on `instance` alone, int.

    Returns:
        Indices into `pool` in picking order, int32 [num_classes, num_picks].

    Raises:
        ValueError: if `num_picks` is out of range or the shapes do not fit.
    """
    pool, _ = _checked(pool, seeds, num_picks)
    order = tf.random.stateless_uniform(pool.shape[:2], (seed, instance))
    return tf.argsort(order, axis=-1)[:, :num_picks]


def _first_of_the_largest(values):
    """Index of the first of the values [num_classes, n] that only rounding tells from the top."""
    largest = tf.reduce_max(values, axis=-1, keepdims=True)
    is_largest = values >= largest - _TIE * tf.abs(largest)
    return tf.argmax(tf.cast(is_largest, tf.int32), axis=-1, output_type=tf.int32)


def _distances_to(pool, pick):
    """Distance of every point to the one picked in its class: 0 for the pick itself."""
    # A difference: exactly 0 for the pick, so that it is not picked again.
    return tf.norm(pool - tf.gather(pool, pick, batch_dims=1)[:, None], axis=-1)


def _checked(pool, seeds, num_picks):
    pool, seeds = precision.at_least_float32(pool), precision.at_least_float32(seeds)
    if pool.shape.rank != 3 or seeds.shape.rank != 3:
        raise ValueError(
            "`pool` and `seeds` must be [num_classes, points, dim]. "
            f"Received: {pool.shape=}, {seeds.shape=}"
        )
    if not 1 <= num_picks <= pool.shape[1]:
        raise ValueError(f"`num_picks` must be in 1..{pool.shape[1]}. Received: {num_picks=}")
    return pool, seeds


def covering_radius(points: tf.Tensor, centers: tf.Tensor) -> tf.Tensor:
    """Largest distance from a point of a class to the nearest center of that class.

    Args:
        points: float [num_classes, num_points, dim].
        centers: float [num_classes, num_centers, dim].

    Returns:
        float [num_classes], in the unit of the embeddings.

    Source: the generalization bound of the paper (Cor. 4.2.1).
    """
    nearest = tf.reduce_min(distances.euclidean(points, centers), axis=-1)
    return tf.reduce_max(nearest, axis=-1)


def covering_radii(points: tf.Tensor, centers: tf.Tensor) -> tf.Tensor:
    """Covering radius of the best 1, 2, ... centers of each class.

    The best are found greedily: each time the center that leaves the smallest radius.

    Args:
        points: float [num_classes, num_points, dim].
        centers: float [num_classes, num_centers, dim].

    Returns:
        float [num_classes, num_centers], not increasing; the last is that of all centers.
    """
    measured = distances.euclidean(points, centers)
    num_centers = measured.shape[-1]
    nearest = tf.fill(tf.shape(measured)[:2], measured.dtype.max)
    taken, radii = 0.0, []
    for _ in range(num_centers):
        radius_with = tf.reduce_max(tf.minimum(nearest[..., None], measured), axis=1)
        best = tf.argmin(tf.where(taken > 0.0, measured.dtype.max, radius_with), axis=-1)
        taken += tf.one_hot(best, num_centers, dtype=measured.dtype)
        nearest = tf.minimum(nearest, tf.gather(measured, best, axis=2, batch_dims=1))
        radii.append(tf.reduce_max(nearest, axis=-1))
    return tf.stack(radii, axis=-1)


def radius_of_each(points: tf.Tensor, centers: tf.Tensor) -> tf.Tensor:
    """Largest distance to each center from the points that have no nearer one; 0 if there are none.

    Args:
        points: float [num_classes, num_points, dim].
        centers: float [num_classes, num_centers, dim].

    Returns:
        float [num_classes, num_centers]; the largest of a class is its `covering_radius`.
    """
    measured = distances.euclidean(points, centers)
    is_nearest = tf.one_hot(tf.argmin(measured, axis=-1), measured.shape[-1], dtype=measured.dtype)
    return tf.reduce_max(is_nearest * measured, axis=1)


def repeated(points: tf.Tensor) -> tf.Tensor:
    """Marks the points that equal an earlier one of their class.

    Args:
        points: float [num_classes, num_points, dim].

    Returns:
        bool [num_classes, num_points]; the first of equal points is not marked.
    """
    points = tf.convert_to_tensor(points)
    equal = tf.reduce_all(points[:, :, None] == points[:, None], axis=-1)
    earlier = tf.linalg.band_part(tf.ones(tf.shape(equal)[1:], tf.int32), -1, 0) - tf.eye(
        tf.shape(equal)[1], dtype=tf.int32
    )
    return tf.reduce_any(equal & (earlier > 0), axis=-1)


def separate_repeated(
    points: tf.Tensor, scale: float, seed: tuple[int, int]
) -> tuple[tf.Tensor, int]:
    """Moves repeated points apart, so that no two centers of a class coincide.

    Args:
        points: float [num_classes, num_points, dim].
        scale: length of the move relative to the point's own length, float; 0 moves none.
        seed: of the random directions, int [2].

    Returns:
        Tuple (points with each repeated one moved, number of classes that had any).
    """
    moved = repeated(points)
    direction = tf.random.stateless_normal(tf.shape(points), seed, dtype=points.dtype)
    direction = tf.math.l2_normalize(direction, axis=-1)
    length = tf.maximum(tf.norm(points, axis=-1, keepdims=True), 1e-3)
    apart = tf.where(moved[..., None], points + scale * length * direction, points)
    return apart, int(tf.math.count_nonzero(tf.reduce_any(moved, axis=-1)))
