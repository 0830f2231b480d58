"""The outer loop: when an instance ends, and what the next one is made of."""

import numpy as np
import pytest
import tensorflow as tf

from ccpdml import losses, training
from ccpdml.ops import coreset, normalization
from tests.training import tiny


class Scores(tf.keras.callbacks.Callback):
    """Writes scripted scores into the logs, and notes the weights it saw."""

    def __init__(self, scores):
        super().__init__()
        self.scores, self.seen = scores, []

    def on_epoch_end(self, epoch, logs=None):
        logs["val_map_at_r"] = self.scores[epoch]
        self.seen.append([np.array(w) for w in self.model.encoder_weights])


def pool():
    return np.random.default_rng(5).normal(size=(tiny.NUM_CLASSES, 6, tiny.DIM)).astype("float32")


def fit(scores, model=None, draw_pool=pool, **kwargs):
    model = model or tiny.learner(prox_weight=0.1)
    script = Scores(scores)
    outer = training.ProxyReinitialization(draw_pool, **kwargs)
    history = model.fit(
        tiny.dataset(),
        steps_per_epoch=5,
        epochs=len(scores),
        callbacks=[script, outer],
        verbose=0,
        shuffle=False,
    )
    return model, script, outer, history.history


def test_an_instance_ends_after_patience_evaluations_without_a_gain():
    scores = [0.5, 0.6, 0.6, 0.59, 0.1, 0.2, 0.15]
    _, _, _, logs = fit(scores, patience=2)
    # 0.6 is the best of instance 0; two evaluations later it ends; 0.1 starts afresh.
    assert logs["problem_instance"] == [0, 0, 0, 0, 1, 1, 1]
    np.testing.assert_allclose(logs["prox_weight"], [0, 0, 0, 0, 0.1, 0.1, 0.1])


def test_prox_center_is_the_best_of_the_instance_and_training_goes_on_from_the_live_weights():
    model, script, _, _ = fit([0.5, 0.6, 0.6, 0.59], patience=2)
    for center, best in zip(model.prox_center.copies, script.seen[1], strict=True):
        np.testing.assert_array_equal(np.array(center), best)
    for live, last in zip(model.encoder_weights, script.seen[3], strict=True):
        np.testing.assert_array_equal(np.array(live), last)


def test_a_metric_that_only_rounds_up_is_no_gain():
    _, _, _, logs = fit([0.5, 0.500001, 0.500002, 0.5], patience=2, min_delta=1e-5)
    assert logs["problem_instance"] == [0, 0, 0, 1]


def test_min_evaluations_keeps_an_instance_alive():
    _, _, _, logs = fit([0.5, 0.4, 0.4, 0.4, 0.4, 0.4], patience=1, min_evaluations=4)
    assert logs["problem_instance"] == [0, 0, 0, 0, 1, 1]


def test_prox_weight_decays_per_instance():
    _, _, _, logs = fit([0.5] * 6, patience=1, decay=0.5)
    # Instance 0 sees the first score and one without gain, as does every later one.
    np.testing.assert_allclose(logs["prox_weight"], [0, 0, 0.05, 0.05, 0.025, 0.025])


def test_one_instance_picks_proxies_once_and_keeps_no_prox_term():
    model, _, _, logs = fit([0.5] * 6, patience=1, max_instances=1)
    assert set(logs["problem_instance"]) == {0}
    assert model.prox_center is None


def test_first_proxies_are_the_core_set_seeded_by_the_origin():
    model = tiny.learner(optimizer=tf.keras.optimizers.SGD(0.0))
    fit([0.5], model)
    origin = np.zeros((tiny.NUM_CLASSES, 1, tiny.DIM), "float32")
    picks = coreset.farthest_first(normalization.lipschitz_normalize(pool()), origin, 2)
    expected = np.take_along_axis(pool(), np.array(picks)[..., None], axis=1)
    np.testing.assert_array_equal(np.array(model.criterion.head.proxies), expected)


def test_a_random_start_keeps_the_proxies_the_criterion_was_built_with():
    model = tiny.learner(optimizer=tf.keras.optimizers.SGD(0.0))
    before = np.array(model.criterion.head.proxies)
    fit([0.5], model, random_start=True)
    np.testing.assert_array_equal(np.array(model.criterion.head.proxies), before)


def test_new_proxies_forget_their_moments_unless_asked_otherwise():
    for restart in (True, False):
        model = fit([0.5, 0.5], patience=1, restart_optimizer=restart)[0]
        iterations = int(tf.convert_to_tensor(model.criterion_optimizer.iterations))
        assert iterations == (0 if restart else 10)
        assert int(tf.convert_to_tensor(model.optimizer.iterations)) == 10


def test_logs_tell_the_radii_and_the_padded_classes():
    few = np.repeat(pool()[:, :1], 6, axis=1)  # one distinct point a class, two proxies
    logs = {}
    model = tiny.learner()
    outer = training.ProxyReinitialization(lambda: few, patience=1)
    outer.set_model(model)
    outer.on_train_begin()
    for _ in range(2):
        logs = {"val_map_at_r": 0.5}
        outer.on_epoch_end(0, logs)
    assert logs["padded_classes"] == tiny.NUM_CLASSES
    assert logs["covering_radius_after"] == pytest.approx(0.0, abs=1e-3)
    assert not np.array(coreset.repeated(np.array(model.criterion.head.proxies))).any()


def test_a_missing_score_is_an_error_that_names_the_order():
    model = tiny.learner()
    with pytest.raises(ValueError, match="RetrievalEvaluation"):
        model.fit(
            tiny.dataset(),
            steps_per_epoch=5,
            callbacks=[training.ProxyReinitialization(pool)],
            verbose=0,
            shuffle=False,
        )


def test_a_score_that_is_not_a_number_is_an_error():
    with pytest.raises(ValueError, match="not a number"):
        fit([float("nan")])


def test_a_criterion_without_proxies_is_refused():
    with pytest.raises(ValueError, match="BatchPairs"):
        fit([0.5], tiny.learner(losses.TripletLoss()))


def test_two_replicas_get_the_same_proxies(two_replicas):
    one = fit([0.5] * 4, patience=1)[0]
    with two_replicas.scope():
        model = tiny.learner(prox_weight=0.1)
    two = fit([0.5] * 4, model, patience=1)[0]
    np.testing.assert_allclose(tiny.weights(two), tiny.weights(one), rtol=1e-5, atol=1e-5)
