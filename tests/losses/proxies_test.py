"""Losses on proxies: groups, mixtures, extremes."""

import numpy as np
import pytest
import tensorflow as tf

from ccpdml import losses

ON_PROXIES = [
    losses.ProxyAnchorLoss,
    losses.ProxyNCALoss,
    losses.SoftTripleLoss,
    losses.VirtualSoftmaxLoss,
    losses.ProxySynthesisLoss,
    losses.HierarchicalProxyAnchorLoss,
]


def build(criterion, dim=6):
    criterion.build((None, dim))
    return criterion


def inputs(num_classes=4, per_class=2, dim=6, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(num_classes), per_class).astype("int32")
    return tf.constant(rng.normal(size=(len(labels), dim)), tf.float32), labels


def gradients(criterion, embeddings, labels):
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        value = criterion(embeddings, labels)
    return value, *tape.gradient(value, [embeddings, *criterion.trainable_variables])


@pytest.mark.parametrize("criterion_class", ON_PROXIES)
def test_survives_its_config(criterion_class):
    criterion = build(criterion_class(5))
    again = build(type(criterion).from_config(criterion.get_config()))
    again.set_weights(criterion.get_weights())
    embeddings, labels = inputs()
    np.testing.assert_allclose(again(embeddings, labels), criterion(embeddings, labels))


@pytest.mark.parametrize("criterion_class", ON_PROXIES)
def test_one_class_in_all_is_finite(criterion_class):
    """Neither a proxy nor a sample has a negative: 0/0 in the original program."""
    criterion = build(criterion_class(1))
    embeddings, _ = inputs()
    for result in gradients(criterion, embeddings, np.zeros(8, "int32")):
        assert np.isfinite(result).all()


def test_proxies_that_coincide_have_finite_gradients():
    criterion = build(losses.SoftTripleLoss(4, 3))
    criterion.head.proxies.assign(tf.ones((4, 3, 6)))
    for result in gradients(criterion, *inputs()):
        assert np.isfinite(result).all()


@pytest.mark.parametrize("criterion_class", ON_PROXIES)
def test_lengths_of_embeddings_and_proxies_do_not_matter(criterion_class):
    """The papers of these losses compare vectors of length 1."""
    criterion = build(criterion_class(4))
    embeddings, labels = inputs()
    value = criterion_class.call(criterion, embeddings, labels)
    again = build(criterion_class(4))
    again.head.proxies.assign(0.17 * tf.convert_to_tensor(criterion.head.proxies))
    np.testing.assert_allclose(again(1e-3 * embeddings, labels), value, rtol=1e-4)


def test_equal_centers_of_a_class_pay_nothing_however_short():
    criterion, free = build(losses.SoftTripleLoss(4, 2)), build(losses.SoftTripleLoss(4, 2, tau=0))
    short = np.repeat(np.random.default_rng(1).normal(size=(4, 1, 6)), 2, axis=1)
    short *= 0.123 / np.linalg.norm(short, axis=-1, keepdims=True)
    for loss in (criterion, free):
        loss.head.proxies.assign(short)
    np.testing.assert_allclose(criterion(*inputs()), free(*inputs()), atol=1e-3)


def test_probabilities_that_underflow_still_cost_what_they_should():
    """The sample opposite to its proxy, T = 0.01: the loss is 2 / T = 200, not a constant."""
    criterion = build(losses.ProxyNCALoss(2, temperature=0.01), dim=2)
    criterion.head.proxies.assign([[[1.0, 0.0]], [[-1.0, 0.0]]])
    value, to_embeddings, _ = gradients(criterion, tf.constant([[-1.0, 0.5]]), np.array([0]))
    assert float(value) == pytest.approx(2.0 / np.sqrt(1.25) / 0.01, rel=1e-5)
    assert np.abs(to_embeddings).max() > 1.0


def test_groups_are_the_clusters_of_the_proxies():
    criterion = build(losses.HierarchicalProxyAnchorLoss(6, num_groups=2))
    near = np.zeros((6, 1, 6), "float32")
    near[::2, 0, 0], near[1::2, 0, 1] = 1.0, 1.0  # even classes in one corner, odd in another
    near += 0.01 * np.random.default_rng(0).normal(size=near.shape)
    criterion.head.proxies.assign(near)
    criterion(*inputs())
    groups = np.asarray(criterion.groups)
    assert len(set(groups[::2])) == len(set(groups[1::2])) == 1
    assert groups[0] != groups[1]


def test_groups_add_the_loss_of_their_means():
    criterion = build(losses.HierarchicalProxyAnchorLoss(4, num_groups=2, group_weight=0.5))
    embeddings, labels = inputs()
    value = float(criterion(embeddings, labels))
    groups = np.asarray(criterion.groups)
    plain, coarse = build(losses.ProxyAnchorLoss(4)), build(losses.ProxyAnchorLoss(2))
    plain.head.proxies.assign(criterion.head.proxies)
    proxies = np.asarray(criterion.normalization(criterion.head.proxies[:, 0]))
    means = np.stack([proxies[groups == g].mean(axis=0) for g in (0, 1)])
    coarse.head.proxies.assign((means / np.linalg.norm(means, axis=-1, keepdims=True))[:, None])
    expected = plain(embeddings, labels) + 0.5 * coarse(embeddings, groups[labels])
    assert value == pytest.approx(float(expected), rel=1e-5)


def test_groups_stay_between_refreshes():
    criterion = build(losses.HierarchicalProxyAnchorLoss(6, num_groups=3, refresh_steps=2))
    seen = []
    for seed in range(4):
        noise = np.random.default_rng(seed).normal(size=(6, 1, 6))
        criterion.head.proxies.assign(noise)
        criterion(*inputs())
        seen.append(np.asarray(criterion.groups))
    np.testing.assert_array_equal(seen[0], seen[1])
    np.testing.assert_array_equal(seen[2], seen[3])
    assert not np.array_equal(seen[1], seen[2])


def test_mixtures_of_one_class_do_not_count():
    """Classes in rows of two, mixed with the row before: each second mixture is of one class."""
    embeddings, labels = inputs(num_classes=3)
    criterion = build(losses.ProxySynthesisLoss(3, mix=0.7))
    plain = build(losses.ProxyNCALoss(3))
    plain.head.proxies.assign(criterion.head.proxies)
    only = build(losses.ProxySynthesisLoss(3, mix=0.7))
    only.head.proxies.assign(criterion.head.proxies)
    one_class = np.ones(6, "int32")
    np.testing.assert_allclose(only(embeddings, one_class), plain(embeddings, one_class), rtol=1e-6)
    assert float(criterion(embeddings, labels)) > float(plain(embeddings, labels))


def test_mixing_shares_are_drawn_anew_and_repeatable():
    embeddings, labels = inputs()
    runs = []
    for _ in range(2):
        criterion = build(losses.ProxySynthesisLoss(4))
        criterion.head.proxies.assign(np.eye(6, dtype="float32")[:4, None])
        runs.append([float(criterion(embeddings, labels)) for _ in range(3)])
    assert runs[0] == runs[1]
    assert len(set(runs[0])) == 3


@pytest.mark.parametrize(
    ("dtype", "length"), [("float32", 1e-20), ("float16", 1e-6), ("float32", 1e20)]
)
def test_distance_regularization_is_finite_at_any_length(dtype, length):
    criterion = build(losses.DistanceRegularizedLoss(losses.ContrastiveLoss()))
    embeddings, labels = inputs()
    embeddings = tf.cast(tf.math.l2_normalize(embeddings, axis=-1) * length, dtype)
    for result in gradients(criterion, embeddings, labels):
        assert np.isfinite(result).all()
