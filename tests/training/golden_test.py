"""Gradient terms, optimizers, training steps and the outer loop against the reference's numbers."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from ccpdml import layers, losses, training
from ccpdml.training import descent, optimizers

EXACT = {"rtol": 1e-6, "atol": 1e-7}
# The reference's optimizer keeps its hyper-parameters in float32.
TRAJECTORY = {"rtol": 1e-5, "atol": 2e-6}


def by_class(rows, per_class):
    """The reference's proxies, row k * C + c, as ours: [classes, per class, dim]."""
    num_classes = len(rows) // per_class
    return rows.reshape(per_class, num_classes, -1).transpose(1, 0, 2)


def linear_learner(num_inputs, num_outputs, num_classes, per_class, **options):
    """A learner of `x @ W` with the CCP loss of the reference's runs."""
    encoder = tf.keras.Sequential([tf.keras.Input([num_inputs]), layers.EmbeddingHead(num_outputs)])
    loss = losses.ContrastiveLoss(pos_margin=0.0, neg_margin=0.3841)
    criterion = losses.ChanceConstrainedLoss(loss, num_classes, per_class)
    return training.MetricLearner(encoder, criterion, **options)


# -- gradient terms


@pytest.mark.golden("grad_transforms")
def test_gradient_terms_one_by_one(case):
    settings, hp = case.settings, case.settings["hp"]
    names = settings["variables"]

    def every(field, count=8):
        return [tf.constant(case[f"var{index}/{field}"]) for index in range(count)]

    count, weights = settings["n_prox"], every("weight")
    steps = every("grad")
    centers = every("prox_center", count)
    steps[:count] = descent.add_decay(steps[:count], weights[:count], hp["lam"], centers)
    for step, expected in zip(steps, every("after_prox_f64"), strict=True):
        np.testing.assert_allclose(step, expected, **EXACT)

    for index, name in enumerate(names):
        if not any(part in name.lower() for part in settings["excluded_substrings"]):
            steps[index : index + 1] = descent.add_decay(
                steps[index : index + 1], weights[index : index + 1], hp["wd"]
            )
    for step, expected in zip(steps, every("after_weight_decay_f64"), strict=True):
        np.testing.assert_allclose(step, expected, **EXACT)

    steps = descent.clip(steps, hp["clipnorm"], hp["clipvalue"])
    for step, expected in zip(steps, every("after_clip_f64"), strict=True):
        np.testing.assert_allclose(step, expected, **EXACT)


@pytest.mark.golden("grad_transforms")
def test_learner_applies_the_gradient_terms_in_order(case):
    settings, hp = case.settings, case.settings["hp"]
    values, steps, centers = (
        [case[f"var{index}/{field}"] for index in range(count)]
        for field, count in [("weight", 8), ("grad", 8), ("prox_center", settings["n_prox"])]
    )
    encoder = tf.keras.Sequential(
        [
            tf.keras.Input([values[0].shape[0]]),
            tf.keras.layers.Dense(values[0].shape[1]),
            tf.keras.layers.BatchNormalization(),
            # The reference goes by names and decays "batch_normalization", which has neither "bn"
            # nor "batchnorm" in it. We go by the kind of layer, so another kind stands in here.
            tf.keras.layers.LayerNormalization(),
            layers.EmbeddingHead(values[6].shape[1]),
        ]
    )
    criterion = losses.ChanceConstrainedLoss(losses.TripletLoss(), len(values[7]), 1)
    learner = training.MetricLearner(
        encoder,
        criterion,
        weight_decay=hp["wd"],
        decay_proxies=True,
        clip_norm=hp["clipnorm"],
        clip_value=hp["clipvalue"],
    )
    # With plain SGD of rate 1, a weight moves by exactly the gradient that is applied.
    learner.compile(tf.keras.optimizers.SGD(1.0))
    variables = learner.encoder_weights + learner.criterion_weights
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value.reshape(variable.shape))
    learner.add_prox()
    learner.start_prox(centers, hp["lam"])
    shaped = [tf.reshape(step, v.shape) for step, v in zip(steps, variables, strict=True)]
    learner.apply(shaped)
    for index, (variable, value) in enumerate(zip(variables, values, strict=True)):
        moved = value - np.asarray(variable).reshape(value.shape)
        np.testing.assert_allclose(moved, case[f"var{index}/after_clip_f64"], rtol=1e-5, atol=1e-6)


# -- optimizers


@pytest.mark.golden("adam")
@pytest.mark.parametrize(
    ("run", "multiplier", "gradient_scale"),
    [("adamlrm1", 1.0, 1.0), ("adamlrm100", 100.0, 1.0), ("adam_gradscale100", 1.0, 100.0)],
)
def test_linked_adam(case, run, multiplier, gradient_scale):
    hp = case.settings["hp"]
    weights, proxies = tf.Variable(case["w0"]), tf.Variable(case["p0"])
    optimizer = tf.keras.optimizers.Adam(**hp)
    optimizer.build([weights])
    linked = optimizers.linked_copy(optimizer, multiplier)
    linked.build([proxies])
    for step, (to_weights, to_proxies) in enumerate(zip(case["gw"], case["gp"], strict=True)):
        linked.apply_gradients([(tf.constant(gradient_scale * to_proxies), proxies)])
        optimizer.apply_gradients([(tf.constant(to_weights), weights)])
        np.testing.assert_allclose(weights, case[f"{run}/w_f64"][step], **TRAJECTORY)
        np.testing.assert_allclose(proxies, case[f"{run}/p_f64"][step], **TRAJECTORY)


# -- training steps


def learner_of_steps(case, **compile_options):
    """The learner of a case of train_steps, at its start."""
    settings, hp = case.settings, case.settings["hp"]
    learner = linear_learner(
        settings["in_dim"],
        settings["D"],
        settings["C"],
        settings["ppc"],
        prox_weight=1.0,  # Whatever is above 0: the weight in force is set below.
        weight_decay=hp["weight_decay"],
        decay_proxies=True,
        clip_norm=hp["clipnorm"],
        clip_value=hp["clipvalue"],
    )
    adam = {key: hp[key] for key in ("learning_rate", "beta_1", "beta_2", "epsilon")}
    learner.compile(tf.keras.optimizers.Adam(**adam), **compile_options)
    learner.encoder.set_weights([case["W0"]])
    learner.criterion.head.proxies.assign(by_class(case["P0"], settings["ppc"]))
    learner.add_prox()
    learner.start_prox([case["prox_center"]], settings["lam"])
    return learner


def assert_weights(learner, case, step):
    (weights,) = learner.encoder.get_weights()
    expected = by_class(case["proxy_after_f64"][step], case.settings["ppc"])
    np.testing.assert_allclose(weights, case["w_after_f64"][step], **TRAJECTORY)
    np.testing.assert_allclose(learner.criterion.head.proxies, expected, **TRAJECTORY)


@pytest.mark.golden("train_steps")
def test_training_steps_one_by_one(case):
    learner = learner_of_steps(case)
    train_step = tf.function(learner.train_step)
    for step, batch in enumerate(zip(case["x"], case["labels"], strict=True)):
        loss = train_step(tuple(map(tf.constant, batch)))
        np.testing.assert_allclose(loss, case["loss_f64"][step], rtol=1e-5, atol=2e-6)
        assert_weights(learner, case, step)


@pytest.mark.golden("train_steps")
def test_training_steps_by_fit(case):
    learner = learner_of_steps(case, steps_per_execution=4)
    batches = tf.data.Dataset.from_tensor_slices((case["x"], case["labels"]))
    history = learner.fit(batches, verbose=0)
    assert_weights(learner, case, len(case["x"]) - 1)
    np.testing.assert_allclose(history.history["loss"], [case["loss_f64"].mean()], rtol=1e-5)


# -- the outer loop


@pytest.mark.golden(
    "ccp_loop",
    skip={
        "no_early_stopping": "defect of the reference: prox center and seeds become 0",
    },
)
def test_outer_loop(case):
    settings, hp = case.settings, case.settings["hp"]
    per_class = settings["ppc"]
    learner = linear_learner(
        settings["in_dim"],
        settings["D"],
        settings["C"],
        per_class,
        prox_weight=hp["regularization_coeff"],
    )
    learner.compile(tf.keras.optimizers.SGD())
    learner.encoder.set_weights([case["W0"]])
    stream = itertools.cycle(case["draws"])

    def draw_pool():
        draws = list(itertools.islice(stream, settings["draws_per_update"]))
        return (
            learner.encoder(np.stack(draws, axis=1).reshape(-1, settings["in_dim"]))
            .numpy()
            .reshape(settings["C"], len(draws), settings["D"])
        )

    outer = training.ProxyReinitialization(
        draw_pool,
        monitor="score",
        mode="min" if hp["stop_at_min"] else "max",
        patience=hp["early_stopping_patience"],
        min_evaluations=hp["min_iterations"],
        count_early_scores=False,
        decay=hp["coeff_decay"],
        placing=training.Placing(normalized=False, random_start=hp.get("random_init", False)),
    )
    learner.criterion.head.proxies.assign(by_class(case["P0"], per_class))
    outer.set_model(learner)

    def assert_state(row):
        proxies = np.asarray(learner.criterion.head.proxies)
        expected = by_class(case["after_proxy"][row], per_class)
        if settings["pool_cfg"] == 1:  # All draws are taken; only their order differs.
            proxies, expected = np.sort(proxies, axis=1), np.sort(expected, axis=1)
        np.testing.assert_allclose(proxies, expected, **TRAJECTORY)
        assert outer.instance == case["after_global_step"][row]
        np.testing.assert_allclose(learner.prox_weight_in_force, case["after_lam"][row], rtol=1e-6)
        (center,) = learner.prox_center.copies
        np.testing.assert_allclose(center, case["after_prox_center"][row], **EXACT)
        best_weights, best_proxies = outer.best.copies
        np.testing.assert_allclose(best_weights, case["after_best_w"][row], **EXACT)
        expected = by_class(case["after_best_proxy"][row], per_class)
        np.testing.assert_allclose(best_proxies, expected, **EXACT)
        assert outer.monitor.num_without_gain == case["after_steps_wo_improvement"][row]

    outer.on_train_begin()
    assert_state(0)
    for call, score in enumerate(case["metrics"]):
        learner.encoder.set_weights([case["w_at_call"][call]])
        learner.criterion.head.proxies.assign(by_class(case["proxy_before_call"][call], per_class))
        logs = {"score": score}
        outer.on_epoch_end(call, logs)
        assert ("proxy_displacement" in logs) == case["after_triggered"][call + 1]
        assert_state(call + 1)
        np.testing.assert_array_equal(learner.encoder.get_weights()[0], case["w_at_call"][call])
