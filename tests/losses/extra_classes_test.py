"""Extra classes of CCP, each against a few lines of NumPy."""

from pathlib import Path

import gin
import numpy as np
import pytest
import tensorflow as tf

from ccpdml import config, layers, losses, training
from tests.training import tiny

NUM_CLASSES, PER_CLASS, DIM = 3, 2, 5
GIN = Path(__file__).parents[2] / "gin"
RNG = np.random.default_rng(0)
LABELS = np.repeat(np.arange(NUM_CLASSES), 2)
# Half of them inside the unit ball, where normalization leaves them.
SAMPLES = RNG.normal(size=(6, DIM)) * np.tile([1.0, 0.2], 3)[:, None]
SHAPE = (NUM_CLASSES, PER_CLASS, DIM)
PROXIES, *INSTANCES = 0.5 * RNG.normal(size=(4, *SHAPE))
PROXY_LABELS = np.repeat(np.arange(NUM_CLASSES), PER_CLASS)


def in_ball(points):
    return points / np.maximum(1.0, np.linalg.norm(points, axis=-1, keepdims=True))


def on_sphere(points):
    return points / np.linalg.norm(points, axis=-1, keepdims=True)


def criterion(extra_classes, loss=None, **kwargs):
    built = losses.ChanceConstrainedLoss(
        loss or losses.ContrastiveLoss(0.2, 1.1),
        NUM_CLASSES,
        PER_CLASS,
        extra_classes=extra_classes,
        **({"pair_weight": 0.0} | kwargs),
    )
    built.build((None, DIM))
    built.head.proxies.assign(PROXIES)
    return built


def c2(anchors, references, positive, negative):
    """C2 with margins 0.2 and 1.1: mean of what pairs pay that pay anything."""
    apart = np.linalg.norm(anchors[:, None] - references, axis=-1)
    pull = np.maximum(apart - 0.2, 0.0)[positive]
    push = np.maximum(1.1 - apart, 0.0)[negative]
    return pull[pull > 0].mean() + push[push > 0].mean()


def ms(anchors, references, positive, negative):
    """MS with its defaults, averaged over anchors."""
    excess = anchors @ references.T - 0.5
    pull = np.log1p((np.exp(-2.0 * excess) * positive).sum(1)) / 2.0
    push = np.log1p((np.exp(40.0 * excess) * negative).sum(1)) / 40.0
    return (pull + push).mean()


BY_HAND = pytest.mark.parametrize(
    ("loss", "by_hand"),
    [(losses.ContrastiveLoss(0.2, 1.1), c2), (losses.MultiSimilarityLoss(), ms)],
    ids=["c2", "ms"],
)


def run(subject, samples=SAMPLES, labels=LABELS):
    return float(subject(tf.constant(samples, tf.float32), tf.constant(labels)))


def retire(subject, proxies):
    subject.retire(tf.constant(proxies, tf.float32))


@BY_HAND
@pytest.mark.parametrize("own", [False, True])
def test_old_proxies_are_negatives_of_other_classes_or_of_all(loss, by_hand, own):
    subject = criterion(losses.VirtualClasses(2, include_own_class=own), loss)
    same = LABELS[:, None] == PROXY_LABELS
    seen = []
    for num_retired in range(4):  # The third instance drops what the first one left.
        kept = INSTANCES[:num_retired][-2:]
        references = in_ball(np.concatenate([PROXIES, *kept]).reshape(-1, DIM))
        positive = np.hstack([same, *[np.zeros_like(same) for _ in kept]])
        negative = np.hstack([~same, *[~same | own for _ in kept]])
        seen.append(run(subject))
        expected = by_hand(in_ball(SAMPLES), references, positive, negative)
        assert seen[-1] == pytest.approx(expected, rel=1e-5)
        if num_retired < 3:
            retire(subject, INSTANCES[num_retired])
    assert len(set(seen)) == 4


def test_without_an_earlier_instance_virtual_classes_change_nothing():
    assert run(criterion(losses.VirtualClasses(3))) == run(criterion(None))


def test_old_proxies_are_not_trained_and_take_no_gradient():
    subject = criterion(losses.VirtualClasses())
    retire(subject, INSTANCES[0])
    run(subject)
    assert [tuple(w.shape) for w in subject.trainable_variables] == [SHAPE]
    np.testing.assert_allclose(subject.extra_classes.memory[0], INSTANCES[0], rtol=1e-6)


def mixtures_by_hand(mix, shift, normalize):
    """Anchors, references and masks, one sample after the other."""
    samples, proxies = normalize(SAMPLES), normalize(PROXIES)
    anchors, of_anchors = list(samples), [(label,) for label in LABELS]
    references, of_references = list(proxies.reshape(-1, DIM)), [(c,) for c in PROXY_LABELS]

    def nearest(i):
        own = proxies[LABELS[i]]
        return own[np.linalg.norm(own - samples[i], axis=-1).argmin()]

    for i in range(len(LABELS)):
        j = i - shift  # Negative: from the end.
        if LABELS[i] != LABELS[j]:
            anchors.append(normalize(mix * samples[i] + (1 - mix) * samples[j]))
            references.append(normalize(mix * nearest(i) + (1 - mix) * nearest(j)))
            of_anchors.append((LABELS[i], LABELS[j]))
            of_references.append((LABELS[i], LABELS[j]))
    positive = np.array([[a == r for r in of_references] for a in of_anchors])
    return np.array(anchors), np.array(references), positive, ~positive


@BY_HAND
@pytest.mark.parametrize("shift", [None, 1, 2])
def test_mixtures_of_samples_and_of_their_nearest_proxies_are_classes(loss, by_hand, shift):
    subject = criterion(losses.SyntheticClasses(mix=0.3, shift=shift), loss)
    expected = by_hand(*mixtures_by_hand(0.3, shift or 3, in_ball))
    assert run(subject) == pytest.approx(expected, rel=1e-5)


def test_mixtures_are_normalized_as_everything_is():
    loss = losses.MultiSimilarityLoss()
    extra = losses.SyntheticClasses(mix=0.3)
    subject = criterion(extra, loss, normalization=layers.UnitNormalization())
    expected = ms(*mixtures_by_hand(0.3, 3, on_sphere))
    assert run(subject) == pytest.approx(expected, rel=1e-5)


def test_with_one_proxy_per_class_it_is_proxy_synthesis():
    """Its loss on ProxyNCA++ is the softmax over proxies on the sphere."""
    alone = losses.ProxySynthesisLoss(NUM_CLASSES, temperature=0.1, mix=0.3, shift=3)
    inside = losses.ChanceConstrainedLoss(
        losses.NormalizedSoftmaxLoss(0.1),
        NUM_CLASSES,
        1,
        pair_weight=0.0,
        extra_classes=losses.SyntheticClasses(mix=0.3, shift=3),
        normalization=layers.UnitNormalization(),
    )
    for loss in (alone, inside):
        loss.build((None, DIM))
        loss.head.proxies.assign(PROXIES[:, :1])
    assert run(inside) == pytest.approx(run(alone), rel=1e-5)


def test_samples_of_one_class_make_no_mixture():
    for labels in (np.zeros(6, int), LABELS):
        batch = np.argsort(labels, kind="stable")
        mixed = run(criterion(losses.SyntheticClasses(shift=6)), SAMPLES[batch], labels[batch])
        assert mixed == run(criterion(None), SAMPLES[batch], labels[batch])


def test_shares_are_drawn_anew_and_repeatable():
    drawn = []
    for _ in range(2):
        subject = criterion(losses.SyntheticClasses())
        drawn.append([run(subject) for _ in range(3)])
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == 3


@pytest.mark.parametrize("make", [losses.VirtualClasses, losses.SyntheticClasses])
def test_a_smaller_batch_may_follow(make):
    subject = criterion(make(), pair_weight=0.1)
    retire(subject, INSTANCES[0])
    function = tf.function(
        subject,
        input_signature=[tf.TensorSpec([None, DIM], tf.float32), tf.TensorSpec([None], tf.int64)],
    )
    for size in (6, 5, 3, 1):
        assert np.isfinite(run(function, SAMPLES[:size], LABELS[:size]))


def test_the_outer_loop_hands_over_the_best_proxies_of_an_instance():
    def pool():
        return np.random.default_rng(5).normal(size=(tiny.NUM_CLASSES, 6, tiny.DIM))

    extra = losses.VirtualClasses(2)
    loss = losses.ContrastiveLoss()
    model = tiny.learner(
        losses.ChanceConstrainedLoss(loss, tiny.NUM_CLASSES, 2, extra_classes=extra)
    )
    outer = training.ProxyReinitialization(pool, patience=None, period=3)
    outer.set_model(model)
    outer.on_train_begin()
    proxies = model.criterion.head.proxies
    for score in (0.2, 0.5, 0.3):
        assert int(tf.convert_to_tensor(extra.num_kept)) == 0
        proxies.assign(np.full(proxies.shape, score))
        outer.on_epoch_end(0, {"val_map_at_r": score})
    assert int(tf.convert_to_tensor(extra.num_kept)) == 1
    np.testing.assert_allclose(extra.memory[0], np.full(proxies.shape, 0.5), rtol=1e-6)
    assert not np.isin(np.array(proxies), [0.2, 0.5, 0.3]).any()


def test_what_cannot_be_is_refused():
    for make in (
        lambda: losses.VirtualClasses(0),
        lambda: losses.SyntheticClasses(concentration=0.0),
        lambda: losses.SyntheticClasses(mix=1.5),
        lambda: losses.SyntheticClasses(shift=0),
        lambda: criterion(losses.ContrastiveLoss()),
    ):
        with pytest.raises(ValueError, match="must be"):
            make()
    with pytest.raises(ValueError, match="PairLoss.*loss=BatchPairs"):
        criterion(losses.VirtualClasses(), losses.BatchPairs(losses.ContrastiveLoss()))


@pytest.mark.parametrize(
    ("name", "kind"),
    [("ccp_virtual", losses.VirtualClasses), ("ccp_synthesis", losses.SyntheticClasses)],
)
def test_its_gin_file_follows_those_of_ccp(name, kind):
    config.load([GIN / "features_ms.gin", GIN / "methods" / f"{name}.gin"])
    (make,) = [gin.query_parameter("train.criterion").scoped_configurable_fn]
    built = make(num_classes=3)
    assert isinstance(built.loss, losses.MultiSimilarityLoss)
    assert isinstance(built.extra_classes, kind)
