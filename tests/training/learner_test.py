"""MetricLearner: what one step does, and that it does not depend on how it is run."""

import warnings

import numpy as np
import pytest
import tensorflow as tf

from ccpdml import losses, models, training
from tests.training import tiny

CRITERIA = {
    "ccp_c2": lambda: losses.ChanceConstrainedLoss(losses.ContrastiveLoss(), tiny.NUM_CLASSES, 2),
    "ccp_ms": lambda: losses.ChanceConstrainedLoss(
        losses.MultiSimilarityLoss(), tiny.NUM_CLASSES, 3
    ),
}


def train(criterion, strategy=None, steps=20, prox=0.05):
    with (strategy or tf.distribute.get_strategy()).scope():
        model = tiny.learner(
            CRITERIA[criterion](),
            weight_decay=1e-3,
            clip_norm=0.5,
            clip_value=0.2,
            prox_weight=prox,
            proxy_learning_rate_multiplier=10.0,
        )
        model.add_prox()
        model.start_prox(model.encoder_weights, prox)
    history = model.fit(tiny.dataset(), steps_per_epoch=steps, epochs=1, verbose=0, shuffle=False)
    return model, history.history["loss"]


@pytest.mark.parametrize("criterion", CRITERIA)
def test_two_replicas_train_as_one(criterion, two_replicas):
    one, loss = train(criterion)
    two, losses_of_two = train(criterion, two_replicas)
    np.testing.assert_allclose(losses_of_two, loss, rtol=1e-5)
    np.testing.assert_allclose(tiny.weights(two), tiny.weights(one), rtol=1e-5, atol=1e-5)


def test_the_loop_counts_every_step_once():
    for steps_per_execution in (1, 5, 20):
        model = tiny.learner(steps_per_execution=steps_per_execution)
        model.fit(tiny.dataset(), steps_per_epoch=20, verbose=0, shuffle=False)
        assert int(tf.convert_to_tensor(model.optimizer.iterations)) == 20


class WithSpare(tf.keras.layers.Layer):
    """Passes its input on, and has a weight for which nothing asks, as the mask token of DINOv2."""

    def build(self, input_shape):
        self.spare = self.add_weight(name="spare", shape=(2,), initializer="ones")
        super().build(input_shape)

    def call(self, inputs):
        return inputs


@pytest.mark.parametrize("prox_weight", [0.0, 0.05])
def test_a_weight_that_has_no_part_in_the_loss_stays(prox_weight):
    inputs = tf.keras.Input((tiny.SIZE,))
    network = tf.keras.Model(inputs, WithSpare()(tiny.encoder()(inputs)))
    learner = training.MetricLearner(
        network, losses.BatchPairs(losses.TripletLoss()), prox_weight=prox_weight
    )
    learner.compile(tf.keras.optimizers.Adam(0.01), steps_per_execution=5)
    before = tiny.weights(learner)
    learner.fit(tiny.dataset(), steps_per_epoch=5, verbose=0, shuffle=False)
    np.testing.assert_array_equal(network.get_weights()[-1], [1.0, 1.0])
    assert not np.array_equal(tiny.weights(learner), before)


def test_finite_data_end_inside_a_loop():
    model = tiny.learner(steps_per_execution=4)
    model.fit(tiny.dataset().take(10), epochs=1, verbose=0, shuffle=False)
    assert int(tf.convert_to_tensor(model.optimizer.iterations)) == 10


def test_a_last_batch_with_fewer_images_trains_two_replicas_as_one(two_replicas):
    # 16 images, 16 and 1, of which the second replica gets none.
    images, labels = (x.reshape(-1, *x.shape[2:])[:33] for x in tiny.batches(3))
    data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(16)
    trained = []
    for strategy in (tf.distribute.get_strategy(), two_replicas):
        with strategy.scope():
            model = tiny.learner(steps_per_execution=4)
        model.fit(data, epochs=2, verbose=0, shuffle=False)
        assert int(tf.convert_to_tensor(model.optimizer.iterations)) == 6
        trained.append(tiny.weights(model))
    np.testing.assert_allclose(*trained, rtol=1e-5, atol=1e-5)


def test_an_epoch_that_is_no_whole_number_of_calls_is_refused():
    with pytest.raises(ValueError, match="steps_per_epoch=6, steps_per_execution=4"):
        tiny.learner(steps_per_execution=4).fit(tiny.dataset(), steps_per_epoch=6)


def test_data_that_end_before_an_epoch_are_trained_once_an_epoch():
    model = tiny.learner(steps_per_execution=4)
    with warnings.catch_warnings(action="ignore"):  # Keras 3 says that the data are too few.
        model.fit(tiny.dataset().take(3), steps_per_epoch=8, verbose=0, shuffle=False)
    assert int(tf.convert_to_tensor(model.optimizer.iterations)) == 3


def moved_in_one_step(learning_rate, multiplier, change_to=None):
    # Adam's first step has length lr for every entry, whatever the gradient.
    model = tiny.learner(
        optimizer=tf.keras.optimizers.Adam(learning_rate),
        steps_per_execution=1,
        proxy_learning_rate_multiplier=multiplier,
    )
    if change_to:
        model.optimizer.learning_rate = change_to
    before = np.array(model.criterion.head.proxies)
    model.fit(tiny.dataset(), steps_per_epoch=1, verbose=0, shuffle=False)
    return np.abs(np.array(model.criterion.head.proxies) - before).max()


def test_proxies_learn_faster_by_the_multiplier():
    assert moved_in_one_step(1e-4, 1.0) == pytest.approx(1e-4, rel=1e-2)
    assert moved_in_one_step(1e-4, 100.0) == pytest.approx(1e-2, rel=1e-2)


def test_the_multiplier_follows_a_changed_learning_rate():
    moved = moved_in_one_step(1e-4, 100.0, change_to=2e-4)
    assert moved == pytest.approx(2e-2, rel=1e-2)


def test_prox_term_is_the_gradient_of_its_definition():
    # Without a loss (all weights 0), one SGD step of rate 1 moves by -λ (θ - center).
    criterion = losses.ChanceConstrainedLoss(
        losses.ContrastiveLoss(), tiny.NUM_CLASSES, 2, pair_weight=0.0, proxy_weight=0.0
    )
    model = tiny.learner(criterion, tf.keras.optimizers.SGD(1.0), 1, prox_weight=0.25)
    model.add_prox()
    before = [np.array(w) for w in model.encoder_weights]
    model.start_prox([np.zeros_like(w) for w in before], 0.25)
    model.fit(tiny.dataset(), steps_per_epoch=1, verbose=0, shuffle=False)
    for old, new in zip(before, model.encoder_weights, strict=True):
        np.testing.assert_allclose(np.array(new), 0.75 * old, rtol=1e-5, atol=1e-7)


def test_weight_decay_leaves_batch_normalization_alone():
    network = tf.keras.Sequential(
        [tf.keras.Input((4,)), tf.keras.layers.BatchNormalization(), tf.keras.layers.Dense(2)]
    )
    model = training.MetricLearner(network, losses.ContrastiveLoss(), weight_decay=0.1)
    model.compile("sgd")
    decays = zip(model.encoder_weights, model.decayed, strict=True)
    decayed = [tuple(v.shape) for v, is_decayed in decays if is_decayed]
    assert decayed == [(4, 2), (2,)]


def test_weight_decay_without_clipping_trains_a_network_with_batch_normalization():
    normalize = tf.keras.layers.BatchNormalization()
    network = tf.keras.Sequential(
        [tf.keras.Input((tiny.SIZE,)), normalize, tf.keras.layers.Dense(2)]
    )
    model = training.MetricLearner(network, losses.ContrastiveLoss(), weight_decay=0.1)
    model.compile("sgd")
    before = np.array(normalize.gamma)
    model.fit(tiny.dataset(), steps_per_epoch=3, verbose=0, shuffle=False)
    assert np.any(np.array(normalize.gamma) != before)


def test_a_pair_loss_is_taken_on_the_pairs_of_the_batch():
    model = tiny.learner(losses.TripletLoss())
    assert isinstance(model.criterion, losses.BatchPairs)
    assert not model.criterion_weights


def test_nan_stops_at_its_step():
    # Linear: the fused ReLU of CPUs turns what is not a number into 0.
    model = tiny.learner(steps_per_execution=5, activation="linear")
    images, labels = tiny.batches(20)
    images[12] = np.nan
    data = tf.data.Dataset.from_tensor_slices((images, labels))
    with pytest.raises(training.NonFiniteLossError, match="step 13"):
        model.fit(data, steps_per_epoch=20, verbose=0, shuffle=False)


def test_predict_gives_float32_embeddings_in_order_as_scores_and_the_saved_encoder_have_them():
    model = tiny.learner()
    images, labels = (x.reshape(-1, *x.shape[2:]) for x in tiny.batches(3))
    embeddings = model.predict(images, batch_size=7, verbose=0)
    assert embeddings.dtype == np.float32
    encoder = models.standalone(model.encoder, model.criterion.normalization)
    np.testing.assert_allclose(embeddings, encoder(images), atol=1e-6)
    evaluation = training.RetrievalEvaluation((images, labels))
    evaluation.evaluate(model)
    np.testing.assert_allclose(embeddings, evaluation.embeddings, atol=1e-6)
    raw = model.predict_raw(images, batch_size=7, verbose=0)
    assert np.linalg.norm(raw, axis=1).max() > 1.01
    np.testing.assert_allclose(raw, np.array(model.encoder(images)), atol=1e-6)


@pytest.mark.parametrize(
    "save",
    [
        lambda model, path: model.save(path / "learner.keras"),
        lambda model, path: model.save(path / "learner"),
        lambda model, path: model.export(path / "learner"),
        lambda model, path: tf.keras.models.save_model(model, path / "learner.keras"),
        lambda model, path: model.to_json(),
    ],
)
def test_a_learner_is_not_saved_as_one_model_and_says_what_is(save, tmp_path):
    with pytest.raises(NotImplementedError, match=r"models\.standalone.*Checkpoint"):
        save(tiny.learner(), tmp_path)


def test_predict_goes_batch_by_batch_whatever_the_length_of_the_inner_loop():
    seen = []

    def look(images):
        seen.append(images.shape)
        return images

    model = tiny.learner(steps_per_execution=5, preprocess=look)
    images = tf.data.Dataset.from_tensor_slices(tiny.batches(5)[0])
    model.predict(images, verbose=0)
    assert len(seen) <= 2  # Traced once; Keras 2 has a first step and a loop.
    model.fit(tiny.dataset(), steps_per_epoch=5, verbose=0, shuffle=False)
    assert int(tf.convert_to_tensor(model.optimizer.iterations)) == 5


@pytest.mark.parametrize(
    "arguments", [{"prox_weight": -1.0}, {"proxy_learning_rate_multiplier": 0.0}]
)
def test_impossible_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match="Received"):
        tiny.learner(**arguments)


def test_an_encoder_must_give_vectors():
    network = tf.keras.Sequential([tf.keras.Input((8, 8, 1)), tf.keras.layers.Conv2D(2, 3)])
    with pytest.raises(ValueError, match="pooling"):
        training.MetricLearner(network, losses.ContrastiveLoss())


def test_compile_refuses_a_second_loss():
    with pytest.raises(ValueError, match="criterion is the loss"):
        tiny.learner().compile("adam", loss="mse")
