"""The outer loop: when an instance ends, and what the next one is made of."""

import gin
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


def evaluate(scores, model=None, **kwargs):
    """What the logs tell of scripted evaluations, two lists by name; nothing is trained."""
    outer = training.ProxyReinitialization(pool, **kwargs)
    outer.set_model(model or tiny.learner(prox_weight=0.1))
    outer.on_train_begin()
    rows = [{"val_map_at_r": score} for score in scores]
    for epoch, row in enumerate(rows):
        outer.on_epoch_end(epoch, row)
    return {name: [row[name] for row in rows] for name in ("problem_instance", "prox_weight")}


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
    logs = evaluate([0.5, 0.500001, 0.500002, 0.5], patience=2, min_delta=1e-5)
    assert logs["problem_instance"] == [0, 0, 0, 1]


def test_min_evaluations_keeps_an_instance_alive():
    logs = evaluate([0.5, 0.4, 0.4, 0.4, 0.4, 0.4], patience=1, min_evaluations=4)
    assert logs["problem_instance"] == [0, 0, 0, 0, 1, 1]


def test_prox_weight_decays_per_instance():
    logs = evaluate([0.5] * 6, patience=1, decay=0.5)
    # Instance 0 sees the first score and one without gain, as does every later one.
    np.testing.assert_allclose(logs["prox_weight"], [0, 0, 0.05, 0.05, 0.025, 0.025])


def test_one_instance_picks_proxies_once_and_keeps_no_prox_term():
    model = tiny.learner(prox_weight=0.1)
    logs = evaluate([0.5] * 6, model, patience=1, max_instances=1)
    assert set(logs["problem_instance"]) == {0}
    assert model.prox_center is None


@pytest.mark.parametrize("normalized", [True, False])
def test_first_proxies_begin_at_the_mean_of_the_class_or_raw_with_the_longest(normalized):
    model = tiny.learner(optimizer=tf.keras.optimizers.SGD(0.0))
    fit([0.5], model, placing=training.Placing(normalized=normalized))
    points = np.array(normalization.lipschitz_normalize(pool())) if normalized else pool()
    to_mean = np.linalg.norm(points - points.mean(axis=1, keepdims=True), axis=-1)
    lengths = np.linalg.norm(points, axis=-1)
    first = to_mean.argmin(axis=1) if normalized else lengths.argmax(axis=1)
    expected = np.take_along_axis(pool(), first[:, None, None], axis=1)[:, 0]
    np.testing.assert_array_equal(np.array(model.criterion.head.proxies)[:, 0], expected)


def test_a_random_start_keeps_the_proxies_the_criterion_was_built_with():
    model = tiny.learner(optimizer=tf.keras.optimizers.SGD(0.0))
    before = np.array(model.criterion.head.proxies)
    fit([0.5], model, placing=training.Placing(random_start=True))
    np.testing.assert_array_equal(np.array(model.criterion.head.proxies), before)


def moments(optimizer):
    """What an optimizer keeps for the rows of its weight."""
    values = [np.array(tf.convert_to_tensor(v)) for v in optimizer.variables]
    return [value for value in values if value.ndim == 3]


def test_new_proxies_forget_their_moments_unless_asked_otherwise():
    for restart in (True, False):
        placing = training.Placing(restart_optimizer=restart)
        model = fit([0.5, 0.5], patience=1, placing=placing)[0]
        (optimizer,) = model.criterion_optimizers
        assert int(tf.convert_to_tensor(optimizer.iterations)) == (0 if restart else 10)
        assert [np.any(m) for m in moments(optimizer)] == [not restart] * 2
        assert int(tf.convert_to_tensor(model.optimizer.iterations)) == 10


def values(optimizer):
    return [np.array(tf.convert_to_tensor(v)) for v in optimizer.variables]


def test_only_rows_of_replaced_proxies_are_forgotten():
    loss = losses.MarginLoss(learn_beta=True)
    model = tiny.learner(losses.ChanceConstrainedLoss(loss, tiny.NUM_CLASSES, 2))
    model.fit(tiny.dataset(), steps_per_epoch=5, verbose=0, shuffle=False)
    proxies = model.criterion.head.proxies
    (own,) = [
        optimizer
        for optimizer, weight in zip(
            model.criterion_optimizers, model.criterion_weights, strict=True
        )
        if weight is proxies
    ]
    others = [o for o in [model.optimizer, *model.criterion_optimizers] if o is not own]
    assert len(others) == 2
    before, kept = [values(optimizer) for optimizer in others], moments(own)
    rows = np.zeros([tiny.NUM_CLASSES, 2], bool)
    rows[1, 0] = rows[3] = True
    model.forget_moments(proxies, tf.constant(rows))
    for old, new in zip(kept, moments(own), strict=True):
        assert not new[rows].any()
        np.testing.assert_array_equal(new[~rows], old[~rows])
    assert int(tf.convert_to_tensor(own.iterations)) == 5
    for optimizer, old in zip(others, before, strict=True):
        for one, other in zip(values(optimizer), old, strict=True):
            np.testing.assert_array_equal(one, other)


def test_replaced_proxies_learn_at_their_rate_from_the_first_step():
    # Adam's first step has length lr for every entry; with old moments or an old count it has not.
    model = tiny.learner(steps_per_execution=1)
    fit([0.5, 0.5], model, patience=1)
    placed = np.array(model.criterion.head.proxies)
    model.fit(tiny.dataset(), steps_per_epoch=1, verbose=0, shuffle=False)
    moved = np.abs(np.array(model.criterion.head.proxies) - placed)
    assert moved.max() == pytest.approx(0.01, rel=1e-2)


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ({"patience": None, "period": 2}, [0, 0, 1, 1, 2, 2, 3]),
        ({"patience": 2, "period": 3}, [0, 0, 0, 1, 1, 1, 2]),  # 0.6 gains, then two do not
        ({"patience": 1, "period": 4}, [0, 0, 0, 1, 1, 1, 1]),
        ({"patience": 2, "period": (None, 1)}, [0, 0, 0, 0, 1, 2, 3]),
        ({"patience": None, "period": (1, 2, 3)}, [0, 1, 1, 2, 2, 2, 3]),
        ({"patience": None, "period": 2, "max_instances": 2}, [0, 0, 1, 1, 1, 1, 1]),
    ],
)
def test_an_instance_ends_by_patience_or_period_whichever_comes_first(when, expected):
    logs = evaluate([0.5, 0.6, 0.6, 0.59, 0.7, 0.8, 0.9], **when)
    assert logs["problem_instance"] == expected


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ({"patience": None}, "never end"),
        ({"patience": None, "period": (2, None)}, "never end"),
        ({"period": 0}, "must be an integer"),
        ({"period": ()}, "must be an integer"),
        ({"patience": 0}, "must be an integer"),
        ({"min_evaluations": 0}, "must be an integer"),
        ({"period": (4, 2), "min_evaluations": 3}, "at least `.min_evaluations`"),
    ],
)
def test_an_end_that_cannot_be_is_refused(when, message):
    with pytest.raises(ValueError, match=message):
        training.ProxyReinitialization(pool, **when)


def test_steps_of_the_proxies_alone_are_counted_from_0():
    with pytest.raises(ValueError, match="proxies_only_steps"):
        training.Placing(proxies_only_steps=-1)


@pytest.mark.parametrize("count", [True, False])
def test_early_scores_count_unless_asked_otherwise(count):
    # Unheard, 0.4 of the third evaluation is the best, and two without a gain follow it.
    scores = [0.9, 0.5, 0.4] if count else [0.9, 0.5, 0.4, 0.4, 0.4]
    end = {"patience": 2, "min_evaluations": 3, "count_early_scores": count}
    model, script, outer, logs = fit(scores, **end)
    assert logs["problem_instance"] == [0] * len(scores)
    assert outer.instance == 1
    best = script.seen[0 if count else 2]
    for center, value in zip(model.prox_center.copies, best, strict=True):
        np.testing.assert_array_equal(np.array(center), value)


def test_proxies_are_what_the_rule_picks():
    seen = []

    def last(points, seeds, num_picks, instance):
        seen.append((points.shape, seeds.shape, num_picks, instance))
        return np.full([len(points), num_picks], 5) - np.arange(num_picks)

    model = tiny.learner(optimizer=tf.keras.optimizers.SGD(0.0))
    fit([0.5, 0.5], model, patience=1, pick=last)
    np.testing.assert_array_equal(np.array(model.criterion.head.proxies), pool()[:, [5, 4]])
    shape = (tiny.NUM_CLASSES, 6, tiny.DIM)
    assert seen == [
        (shape, (tiny.NUM_CLASSES, 0, tiny.DIM), 2, 0),
        (shape, (tiny.NUM_CLASSES, 2, tiny.DIM), 2, 1),
    ]


def test_a_rule_is_bound_by_gin_and_told_the_instance():
    gin.parse_config(
        "ProxyReinitialization.pick = @coreset.random_picks\nrandom_picks.seed = 5\n"
        "ProxyReinitialization.patience = None\nProxyReinitialization.period = (2, 1)"
    )
    outer = gin.get_configurable("ProxyReinitialization")(pool)
    outer.set_model(tiny.learner())
    outer.on_train_begin()
    for evaluation, instance in enumerate([0, None, 1, 2]):
        if evaluation:
            outer.on_epoch_end(0, {"val_map_at_r": 0.5})
        if instance is None:
            assert outer.placement is None
            continue
        expected = coreset.random_picks(pool(), pool(), 2, instance=instance, seed=5)
        np.testing.assert_array_equal(outer.placement.picks, expected)


def test_a_rule_that_returns_too_few_is_refused():
    with pytest.raises(ValueError, match=r"\[num_classes, num_picks\] = \(4, 2\)"):
        fit([0.5], pick=lambda points, seeds, num_picks: np.zeros([4, 1], int))


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
