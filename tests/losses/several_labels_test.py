"""Images with several labels: positives of each other where they share one."""

import numpy as np
import pytest
import tensorflow as tf

from ccpdml import losses
from ccpdml.cluster import replicas
from ccpdml.ops import masks
from tests.losses import labels_test

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(9, 5)) * RNG.uniform(0.2, 1.0, size=(9, 1))
SEVERAL = RNG.random((9, 4)) < 0.3
SEVERAL[0] = False  # An image without any label has no positive.
CLASSES = np.array([0, 0, 1, 1, 2, 2, 3, 3, 3])
ONE_EACH = np.eye(4, dtype=bool)[CLASSES]


def test_masks_are_intersections():
    positive, negative = masks.pairs(SEVERAL)
    for i, one in enumerate(SEVERAL):
        for j, other in enumerate(SEVERAL):
            share = bool(set(np.flatnonzero(one)) & set(np.flatnonzero(other)))
            assert (positive[i, j], negative[i, j]) == ((0, 0) if i == j else (share, not share))
    assert not np.any(positive[0])
    positive, negative = masks.pairs(SEVERAL[:2], SEVERAL)
    np.testing.assert_array_equal(positive, (SEVERAL[:2].astype(int) @ SEVERAL.T.astype(int)) > 0)
    np.testing.assert_array_equal(positive + negative, np.ones((2, 9)))


def mean_of_paying(terms):
    return terms[terms > 0.0].mean() if (terms > 0.0).any() else 0.0


def contrastive(d, pos, neg):
    pull, push = pos * np.maximum(d - 0.1, 0.0), neg * np.maximum(0.9 - d, 0.0)
    return mean_of_paying(pull) + mean_of_paying(push)


def cosine_contrastive(d, pos, neg):
    terms = pos * np.maximum(1.0 + d - 1e-5, 0.0) + neg * np.maximum(-d - 0.1, 0.0)
    return terms.sum(axis=1).mean()


def triplet(d, pos, neg):
    paid = np.maximum(d[:, :, None] - d[:, None, :] + 0.3, 0.0)
    return mean_of_paying(paid * pos[:, :, None] * neg[:, None, :])


def margin(d, pos, neg):
    pull, push = pos * np.maximum(d - 0.5, 0.0), neg * np.maximum(0.9 - d, 0.0)
    return mean_of_paying(pull) + mean_of_paying(push) + 0.1 * 0.7


def multi_similarity(d, pos, neg):
    pull = np.log1p((pos * np.exp(-2.0 * (-d - 0.5))).sum(axis=1)) / 2.0
    push = np.log1p((neg * np.exp(40.0 * (-d - 0.5))).sum(axis=1)) / 40.0
    return (pull + push).mean()


def normalized_softmax(d, pos, neg):
    weights, has = np.exp(-d / 0.2), pos.any(axis=1)
    own, all_ = (weights * pos).sum(axis=1)[has], (weights * (pos + neg)).sum(axis=1)[has]
    return -np.log(own / all_).mean()


def threshold_consistent(d, pos, neg):
    cosines = 1.0 - d**2 / 2.0
    pull, push = pos * np.maximum(0.9 - cosines, 0.0), neg * np.maximum(cosines - 0.5, 0.0)
    return triplet(d, pos, neg) + mean_of_paying(pull) + mean_of_paying(push)


def euclidean(points):
    return np.linalg.norm(points[:, None] - points, axis=-1)


def negative_cosine(points):
    return -points @ points.T


# The loss, and what it is in NumPy: of distances and masks, and the distances.
TWINS = [
    (losses.ContrastiveLoss(0.1, 0.9), contrastive, euclidean),
    (losses.CosineContrastiveLoss(0.1), cosine_contrastive, negative_cosine),
    (losses.TripletLoss(0.3), triplet, euclidean),
    (losses.MarginLoss(margin=0.2, beta=0.7, nu=0.1), margin, euclidean),
    (losses.MultiSimilarityLoss(2.0, 40.0, 0.5), multi_similarity, negative_cosine),
    (losses.NormalizedSoftmaxLoss(0.2), normalized_softmax, negative_cosine),
    (losses.ThresholdConsistentLoss(losses.TripletLoss(0.3)), threshold_consistent, euclidean),
]
PAIR_LOSSES = [loss for loss, _, _ in TWINS]


def test_every_pair_loss_has_a_twin_here():
    public = [getattr(losses, name) for name in losses.__all__ if name != "compare"]
    bases = (losses.PairLoss, losses.MinedLoss)
    pair_losses = {p for p in public if issubclass(p, losses.PairLoss) and p not in bases}
    assert set(map(type, PAIR_LOSSES)) == pair_losses


@pytest.mark.parametrize(("loss", "twin", "measure"), TWINS)
def test_values_and_gradients_are_those_of_numpy_with_masks_by_intersection(loss, twin, measure):
    share = SEVERAL.astype(int) @ SEVERAL.T.astype(int) > 0
    off = ~np.eye(9, dtype=bool)
    pos, neg = (share & off).astype(float), (~share & off).astype(float)

    def value(points):
        points = points / np.maximum(1.0, np.linalg.norm(points, axis=1, keepdims=True))
        return twin(measure(points), pos, neg)

    points = tf.constant(POINTS, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(points)
        found = loss(points, SEVERAL)
    np.testing.assert_allclose(found, value(POINTS), rtol=1e-5)
    slopes = np.zeros_like(POINTS)
    for place in np.ndindex(POINTS.shape):
        step = np.zeros_like(POINTS)
        step[place] = 1e-6
        slopes[place] = (value(POINTS + step) - value(POINTS - step)) / 2e-6
    np.testing.assert_allclose(tape.gradient(found, points), slopes, rtol=1e-3, atol=1e-5)


CRITERIA = [
    *(lambda num_labels, loss=loss: losses.BatchPairs(loss) for loss in PAIR_LOSSES),
    lambda num_labels: losses.BatchPairs(
        losses.MinedLoss(losses.TripletLoss(), losses.HardNegativeMiner())
    ),
    lambda num_labels: losses.BatchPairs(
        losses.MinedLoss(losses.MarginLoss(), losses.DistanceWeightedMiner())
    ),
    lambda num_labels: losses.DistanceRegularizedLoss(losses.TripletLoss()),
    lambda num_labels: losses.CrossBatchMemory(
        losses.MultiSimilarityLoss(), 20, warmup_steps=1, num_labels=num_labels
    ),
]


@pytest.mark.parametrize("make", CRITERIA)
def test_one_label_of_each_image_is_its_class_to_the_last_digit(make):
    one, other = make(None), make(4)
    points = tf.constant(POINTS, tf.float32)
    for criterion in (one, other):
        criterion.build((None, 5))
    for _ in range(4):  # A memory is empty, then fuller, then goes round.
        found = []
        for criterion, labels in ((one, CLASSES), (other, ONE_EACH)):
            with tf.GradientTape() as tape:
                tape.watch(points)
                value = criterion(points, labels)
            found.append((value, tape.gradient(value, points)))
        for int_, bool_ in zip(*found, strict=True):
            np.testing.assert_array_equal(int_, bool_)
    again = type(other).from_config(other.get_config())
    assert again.get_config() == other.get_config()


@pytest.mark.parametrize("name", labels_test.CRITERIA)
def test_what_counts_classes_refuses_several_labels_and_says_what_takes_them(name):
    criterion = labels_test.build(name)
    with pytest.raises(ValueError, match=rf"`{name}` needs one class.*train.criterion = @Batch"):
        criterion(labels_test.EMBEDDINGS, np.ones((4, 4), bool))


def test_a_memory_is_told_how_many_labels_there_are():
    for num_labels, labels in ((None, ONE_EACH), (3, ONE_EACH), (4, CLASSES)):
        memory = losses.CrossBatchMemory(losses.TripletLoss(), 20, num_labels=num_labels)
        memory.build((None, 5))
        with pytest.raises(ValueError, match=rf"CrossBatchMemory.num_labels.*={num_labels}, lab"):
            memory(tf.constant(POINTS, tf.float32), labels)


def test_an_image_without_labels_meets_its_own_copy_in_a_memory_neither_way():
    memory = losses.CrossBatchMemory(
        losses.ContrastiveLoss(0.0, 0.5), 20, warmup_steps=0, pair_weight=0.0, num_labels=4
    )
    memory.build((None, 5))
    far = tf.constant(np.eye(2, 5), tf.float32)  # √2 apart: nothing pays but a copy, at 0.
    assert memory(far, np.zeros((2, 4), bool)) == 0.0


def test_both_sides_have_several_labels_or_none():
    points = tf.constant(POINTS, tf.float32)
    with pytest.raises(ValueError, match="labels of bool and of int64"):
        losses.TripletLoss()(points, SEVERAL, points, CLASSES)
    found = losses.TripletLoss()(points, ONE_EACH, points, ONE_EACH)
    np.testing.assert_array_equal(found, losses.TripletLoss()(points, CLASSES, points, CLASSES))
    for labels in (SEVERAL[:3], SEVERAL[0], SEVERAL[:, 0], SEVERAL[:, :1]):
        with pytest.raises(ValueError, match="bool .batch, num_labels.*astype.bool"):
            losses.TripletLoss()(points, labels)


def test_replicas_see_the_labels_of_all(two_replicas):
    loss, points = losses.TripletLoss(0.3), tf.constant(POINTS[:8], tf.float32)

    @tf.function
    def of_all(points, labels):
        return loss(replicas.gather(points), replicas.gather(labels))

    def part(context):
        own = slice(4 * context.replica_id_in_sync_group, None)
        return points[own][:4], tf.constant(SEVERAL[:8])[own][:4]

    shares = two_replicas.experimental_distribute_values_from_function(part)
    found = two_replicas.run(of_all, shares)
    for value in two_replicas.experimental_local_results(found):
        np.testing.assert_allclose(value, loss(points, SEVERAL[:8]), rtol=1e-6)


def test_stock_keras_compiles_it():
    model = tf.keras.Sequential([tf.keras.Input((5,)), tf.keras.layers.Dense(3)])
    model.compile("sgd", loss=losses.InBatch(losses.TripletLoss(0.3)))
    inputs = POINTS.astype("float32")
    expected = losses.TripletLoss(0.3)(model(inputs), SEVERAL)
    history = model.fit(inputs, SEVERAL, batch_size=9, shuffle=False, verbose=0)
    np.testing.assert_allclose(history.history["loss"], [expected], rtol=1e-5)
