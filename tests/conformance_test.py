"""What every public loss and layer must survive; new ones are found by themselves."""

import functools
import importlib.util
import inspect
import json
import re

import gin
import numpy as np
import pytest
import tensorflow as tf

from ccpdml import compat, layers, losses
from ccpdml.cluster import replicas
from ccpdml.ops import distances, masks

NUM_CLASSES, DIM = 4, 6
Layer = tf.keras.layers.Layer

# What arguments get where their default does not fit these tests or does not exist. A new loss with
# another argument that has no default needs a line here.
ARGUMENTS = {
    "num_classes": NUM_CLASSES,
    "proxies_per_class": 2,
    "embedding_size": DIM,
    "memory_size": 16,
    "warmup_steps": 0,
}
# Of layers that do not take [batch, dim].
INPUT_SHAPES = dict.fromkeys(
    ("GeneralizedMeanPooling", "GeneralizedSumPooling", "GlobalPooling"), (5, 3, 2, DIM)
)
ORDER_MATTERS = {
    "ProxySynthesisLoss": "mixes neighbors in the batch",
    "ChanceConstrainedLoss-SyntheticClasses": "mixes rows of the batch",
    "MinedLoss-DistanceWeightedMiner": "draws row after row",
}
# Inputs of HOSTILE that a loss is spared: a pattern of their names.
SPARED = {
    # The gradients of tensorflow-addons are not finite where points coincide.
    "AddonsLoss": ".",
}


def public(room, kind=object):
    """The classes of a room that can be called, and are of a kind."""
    found = [getattr(room, name) for name in room.__all__]
    found = [c for c in found if inspect.isclass(c) and issubclass(c, kind)]
    return [c for c in found if getattr(c, "call", None) is not Layer.call]


PAIR_LOSSES = public(losses, losses.PairLoss)
CRITERIA = public(losses, losses.Criterion)
KERAS_LOSSES = public(losses, tf.keras.losses.Loss)
EXTRA_CLASSES = [c for c in public(losses, losses.ExtraClasses) if c is not losses.ExtraClasses]
BASES = {"PairLoss", "Criterion", "ProxyCriterion", "ExtraClasses"}
CONTRACTS = {"BuiltIn", "WithPairLoss", "WithProxies"}
MINERS = [
    c
    for c in public(losses, Layer)
    if c not in PAIR_LOSSES + CRITERIA + EXTRA_CLASSES and c.__name__ not in BASES
]
LAYERS = public(layers, Layer)
NORMALIZATIONS = [c for c in LAYERS if c.__name__.endswith("Normalization")]


def parameters_of(cls):
    return inspect.signature(cls.__init__).parameters


def changed(default):
    """A value of an argument that is not its default, where that can be told from its type."""
    if isinstance(default, bool):
        return not default
    if isinstance(default, int):
        return default + 1
    return 0.93 * default + 0.01 if isinstance(default, float) else default


def build(cls, nested=None, change=False):
    """Builds a public class.

    Args:
        cls: the class.
        nested: class of the argument `loss`, or of `miner` or `extra_classes`.
        change: whether every number and switch is moved away from its default.
    """
    if cls.__name__ == "AddonsLoss" and not importlib.util.find_spec("tensorflow_addons"):
        pytest.skip("needs tensorflow-addons")
    arguments = {}
    for name, parameter in parameters_of(cls).items():
        if name == "loss":
            is_loss = nested is not None and nested not in MINERS + EXTRA_CLASSES
            arguments[name] = build(nested if is_loss else losses.ContrastiveLoss, change=change)
        elif name == "miner" and (nested in MINERS or parameter.default is parameter.empty):
            arguments[name] = build(nested or MINERS[0], change=change)
        elif name == "extra_classes" and nested in EXTRA_CLASSES:
            arguments[name] = build(nested, change=change)
        elif name in ARGUMENTS:
            arguments[name] = ARGUMENTS[name]
        elif change and name != "self" and parameter.default is not parameter.empty:
            arguments[name] = changed(parameter.default)
    return cls(**arguments)


def subjects():
    """Every way to get a scalar from embeddings and labels: pairs of `build`'s arguments."""
    around = losses.MinedLoss, losses.ThresholdConsistentLoss
    of_its_own = [cls for cls in PAIR_LOSSES if cls not in around]
    one_per_distance = {cls.measure: cls for cls in of_its_own}
    for cls in PAIR_LOSSES + CRITERIA + KERAS_LOSSES:
        nested = [None]
        if "miner" in parameters_of(cls) and "loss" in parameters_of(cls):
            nested = MINERS
        elif cls is losses.ChanceConstrainedLoss:
            nested = PAIR_LOSSES + EXTRA_CLASSES
        elif "loss" in parameters_of(cls):
            nested = one_per_distance.values()
        for inner in nested:
            name = "-".join(c.__name__ for c in (cls, inner) if c)
            yield pytest.param(cls, inner, id=name)


every_subject = pytest.mark.parametrize(("cls", "nested"), list(subjects()))


def as_function(subject):
    """(embeddings, labels) -> value, whatever kind of loss the subject is."""
    if isinstance(subject, losses.PairLoss):
        return lambda embeddings, labels: losses.compare(subject, embeddings, labels)
    if isinstance(subject, tf.keras.losses.Loss):
        return lambda embeddings, labels: subject(labels, embeddings)
    subject.build((None, DIM))
    subject.retire(tf.constant(RETIRED))  # As in its second problem instance.
    return subject


def differentiated(subject):
    """(embeddings, labels) -> value, and gradients for the embeddings and every trained weight."""
    function = as_function(subject)
    weights = list(getattr(subject, "trainable_variables", ()))

    def run(embeddings, labels):
        embeddings, labels = tf.convert_to_tensor(embeddings), tf.convert_to_tensor(labels)
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            value = function(embeddings, labels)
        return value, tape.gradient(value, [embeddings, *weights])

    return run


def first_call(cls, nested, embeddings, labels, wrap=lambda function: function):
    """Value and gradients of a new subject; equal calls give equal results, draws included."""
    tf.keras.utils.set_random_seed(1)
    return wrap(differentiated(build(cls, nested)))(embeddings, labels)


def first_value(cls, nested, embeddings, labels):
    """The value alone, for tests that do not look at gradients, which take longer."""
    tf.keras.utils.set_random_seed(1)
    function = as_function(build(cls, nested))
    return function(tf.convert_to_tensor(embeddings), tf.convert_to_tensor(labels))


@functools.cache
def ordinary(cls, nested):
    """The same of the ordinary batch, in float32 and one op after the other; once for all tests."""
    return first_call(cls, nested, EMBEDDINGS, LABELS)


RNG = np.random.default_rng(0)
EMBEDDINGS = RNG.normal(size=(8, DIM)).astype(np.float32)
LABELS = np.repeat(np.arange(NUM_CLASSES), 2)
RETIRED = RNG.normal(size=(NUM_CLASSES, ARGUMENTS["proxies_per_class"], DIM)).astype(np.float32)
POWERS = np.float32(10.0) ** np.linspace(-20, 20, 8, dtype=np.float32)

HOSTILE = {
    "ordinary": (EMBEDDINGS, LABELS),
    "one class": (EMBEDDINGS, np.zeros(8, int)),
    "no positive pair": (EMBEDDINGS[:4], np.arange(4)),
    "one sample": (EMBEDDINGS[:1], LABELS[:1]),
    "one point": (np.tile(EMBEDDINGS[:1], [8, 1]), LABELS),
    "one point inside the ball": (np.tile(0.01 * EMBEDDINGS[:1], [8, 1]), LABELS),
    "duplicates": (np.repeat(EMBEDDINGS[:4], 2, axis=0), LABELS),
    "opposite points": (np.concatenate([EMBEDDINGS[:4], -EMBEDDINGS[:4]]), LABELS),
    "zero vectors": (np.zeros_like(EMBEDDINGS), LABELS),
    "some zero vectors": (EMBEDDINGS * (np.arange(8) % 2)[:, None].astype(np.float32), LABELS),
    "norms of 1e-20 to 1e20": (EMBEDDINGS * POWERS[:, None], LABELS),
    "norms of 1e-38 to 1e38": (np.sign(EMBEDDINGS) * POWERS[:, None] ** 1.9, LABELS),
}


def assert_finite(value, gradients, name=""):
    assert value.shape == (), name
    assert value.dtype == tf.float32, name
    assert np.isfinite(value), (name, value)
    for gradient in gradients:
        assert gradient is not None, name
        # NumPy has no bfloat16.
        gradient = tf.cast(tf.convert_to_tensor(gradient), tf.float32)
        assert np.isfinite(gradient).all(), (name, gradient)


def test_every_public_name_of_losses_and_layers_is_tested():
    tested = {c.__name__ for c in PAIR_LOSSES + CRITERIA + KERAS_LOSSES + MINERS + LAYERS}
    tested |= {c.__name__ for c in EXTRA_CLASSES}
    assert set(losses.__all__) | set(layers.__all__) == tested | BASES | CONTRACTS | {"compare"}


@every_subject
def test_hostile_input_gives_a_finite_float32_scalar_and_finite_gradients(cls, nested):
    any_batch = [tf.TensorSpec([None, DIM], tf.float32), tf.TensorSpec([None], tf.int64)]
    run = tf.function(differentiated(build(cls, nested)), input_signature=any_batch)
    for name, batch in HOSTILE.items():
        is_spared = re.search(SPARED.get(cls.__name__, "$^"), name)
        if name == "ordinary" or not is_spared:
            assert_finite(*run(*batch), name)


@every_subject
def test_compiled_for_a_fixed_batch_it_gives_what_it_gives_eagerly(cls, nested):
    value, gradients = first_call(cls, nested, EMBEDDINGS, LABELS, tf.function)
    expected, expected_gradients = ordinary(cls, nested)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    for gradient, target in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(gradient, target, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
@every_subject
def test_16_bit_embeddings_are_computed_in_float32(cls, nested, dtype):
    rounded = tf.cast(EMBEDDINGS, dtype)
    value, gradients = first_call(cls, nested, rounded, LABELS)
    assert_finite(value, gradients)
    assert gradients[0].dtype == dtype
    expected = first_value(cls, nested, tf.cast(rounded, tf.float32), LABELS)
    np.testing.assert_allclose(value, expected, rtol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@every_subject
def test_dtype_policy_changes_nothing(cls, nested, policy):
    expected, _ = ordinary(cls, nested)
    tf.keras.mixed_precision.set_global_policy(policy)
    value, gradients = first_call(cls, nested, EMBEDDINGS, LABELS)
    assert_finite(value, gradients)
    assert all(gradient.dtype == tf.float32 for gradient in gradients)
    np.testing.assert_allclose(value, expected, rtol=1e-6)


@every_subject
def test_evaluation_and_export_compare_what_the_criterion_compares(cls, nested):
    if not issubclass(cls, losses.Criterion):
        pytest.skip("normalizes as `compare` does")
    expected, _ = ordinary(cls, nested)
    compared = build(cls, nested).normalization(EMBEDDINGS)
    value = first_value(cls, nested, compared, LABELS)
    np.testing.assert_allclose(value, expected, rtol=1e-5)


@every_subject
def test_labels_may_be_of_any_integer_type_and_in_a_column(cls, nested):
    expected, _ = ordinary(cls, nested)
    for labels in [LABELS[:, None], LABELS.astype(np.int32), LABELS.astype(np.uint8)[:, None]]:
        value = first_value(cls, nested, EMBEDDINGS, labels)
        np.testing.assert_allclose(value, expected, rtol=1e-6)


@every_subject
def test_large_labels_stay_apart(cls, nested):
    if "num_classes" in parameters_of(cls):
        pytest.skip("labels are below num_classes")
    expected, _ = ordinary(cls, nested)
    for dtype in [np.int32, np.int64]:
        # float32 would make one class of all four.
        labels = (2**31 - 1 - LABELS).astype(dtype)
        value = first_value(cls, nested, EMBEDDINGS, labels)
        np.testing.assert_allclose(value, expected, rtol=1e-6)


@every_subject
def test_order_of_the_batch_does_not_matter(cls, nested, request):
    for name, reason in ORDER_MATTERS.items():
        if f"[{name}]" in request.node.name:
            pytest.skip(reason)
    expected, (gradient, *_) = ordinary(cls, nested)
    order = np.random.default_rng(1).permutation(len(LABELS))
    value, (permuted, *_) = first_call(cls, nested, EMBEDDINGS[order], LABELS[order])
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(permuted, gradient.numpy()[order], rtol=1e-4, atol=1e-6)


@every_subject
def test_loss_is_rebuilt_from_its_config(cls, nested):
    subject = build(cls, nested, change=True)
    config = json.loads(json.dumps(subject.get_config()))
    copy = cls.from_config(config)
    assert json.loads(json.dumps(copy.get_config())) == config
    run, run_copy = as_function(subject), as_function(copy)
    batch = tf.constant(EMBEDDINGS), tf.constant(LABELS)
    sources, targets = getattr(subject, "weights", ()), getattr(copy, "weights", ())
    for source, target in zip(sources, targets, strict=True):
        target.assign(tf.convert_to_tensor(source))
    for _ in range(2):  # The second call sees what the first one left in memories and counters.
        value = run(*batch)
        np.testing.assert_array_equal(run_copy(*batch), value)


@pytest.mark.parametrize(
    ("cls", "nested"),
    [(cls, None) for cls in CRITERIA]
    + [(losses.ChanceConstrainedLoss, extra) for extra in EXTRA_CLASSES],
)
def test_two_replicas_are_one(cls, nested, two_replicas):
    expected, expected_gradients = ordinary(cls, nested)
    tf.keras.utils.set_random_seed(1)
    with two_replicas.scope():
        subject = build(cls, nested)
        function = as_function(subject)
    weights = list(subject.trainable_variables)

    def on_replica(embeddings, labels):
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            value = function(replicas.gather(embeddings), replicas.gather(labels))
            share = value / 2.0
        of_rows, *of_weights = tape.gradient(share, [embeddings, *weights])
        return value, of_rows, replicas.sum_over([tf.convert_to_tensor(g) for g in of_weights])

    @tf.function
    def run(*batch):
        return two_replicas.run(on_replica, batch)

    def halves(rows):
        return two_replicas.experimental_distribute_values_from_function(
            lambda context: tf.constant(np.split(rows, 2)[context.replica_id_in_sync_group])
        )

    value, of_rows, of_weights = run(halves(EMBEDDINGS), halves(LABELS))
    local = two_replicas.experimental_local_results
    np.testing.assert_allclose(local(value), [expected, expected], rtol=1e-5)
    gradients = [tf.concat(local(of_rows), axis=0), *(local(g)[0] for g in of_weights)]
    for gradient, target in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(gradient, target, rtol=1e-4, atol=1e-6)
    for weight in subject.weights:  # Memories and counters too.
        first, second = local(compat.raw(weight))
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("cls", KERAS_LOSSES)
def test_stock_fit_on_two_replicas_is_one(cls, two_replicas):
    weights = []
    for strategy in [tf.distribute.get_strategy(), two_replicas]:
        with strategy.scope():
            kernel = tf.keras.initializers.Constant(np.eye(DIM, 3))
            dense = tf.keras.layers.Dense(3, kernel_initializer=kernel)
            model = tf.keras.Sequential([tf.keras.Input([DIM]), dense])
            model.compile(tf.keras.optimizers.SGD(0.1), loss=build(cls))
        batch = tf.data.Dataset.from_tensors((EMBEDDINGS, LABELS[:, None]))
        model.fit(batch.repeat(4), verbose=0)
        weights.append(model.get_weights()[0])
    assert np.abs(weights[0] - np.eye(DIM, 3)).max() > 0.01
    np.testing.assert_allclose(weights[1], weights[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cls", PAIR_LOSSES + CRITERIA + MINERS + EXTRA_CLASSES + LAYERS)
def test_keras_rebuilds_it_by_name(cls):
    layer = build(cls)
    serialized = json.loads(json.dumps(tf.keras.layers.serialize(layer)))
    copy = tf.keras.layers.deserialize(serialized)
    assert type(copy) is cls
    assert json.loads(json.dumps(tf.keras.layers.serialize(copy))) == serialized


@pytest.mark.parametrize("cls", PAIR_LOSSES + CRITERIA + MINERS + EXTRA_CLASSES + NORMALIZATIONS)
def test_gin_knows_what_a_run_can_use(cls):
    assert gin.get_configurable(cls)
    (name, *_) = [name for name in parameters_of(cls) if name != "self"]
    gin.parse_config(f"{cls.__name__}.{name if name != 'kwargs' else 'trainable'} = None")


@pytest.mark.parametrize("cls", PAIR_LOSSES)
def test_pair_loss_measures_and_takes_distances_and_masks(cls):
    loss = build(cls)
    points = tf.math.l2_normalize(EMBEDDINGS, axis=-1)
    measured = loss.measure(points[:3], points)
    assert measured.shape == (3, len(points))
    np.testing.assert_allclose(loss.measure(points), loss.measure(points, points), atol=1e-6)
    assert_finite(tf.function(loss)(measured, *masks.pairs(LABELS[:3], LABELS)), [])


@pytest.mark.parametrize("cls", PAIR_LOSSES)
def test_pair_loss_without_any_pair_is_zero(cls):
    empty = tf.zeros([3, 5])
    value = build(cls)(tf.random.stateless_uniform([3, 5], seed=(0, 0)), empty, empty)
    assert float(value) == 0.0


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("cls", MINERS)
def test_miner_chooses_among_the_pairs_there_are(cls, compiled):
    miner = build(cls)
    measured = distances.euclidean(EMBEDDINGS)
    for labels in [LABELS, np.zeros_like(LABELS), np.arange(len(LABELS))]:
        given = masks.pairs(labels)
        chosen = (tf.function(miner) if compiled else miner)(measured, *given)
        for mask, of_all in zip(chosen, given, strict=True):
            assert mask.dtype == tf.float32
            assert set(np.unique(mask)) <= {0.0, 1.0}
            assert (mask.numpy() <= of_all.numpy()).all()


def layer_input(cls):
    shape = INPUT_SHAPES.get(cls.__name__, EMBEDDINGS.shape)
    return tf.random.stateless_normal(shape, seed=(0, 1))


@pytest.mark.parametrize("cls", LAYERS)
def test_layer_is_rebuilt_from_its_config(cls):
    layer, inputs = build(cls, change=True), layer_input(cls)
    config = json.loads(json.dumps(layer.get_config()))
    copy = cls.from_config(config)
    assert json.loads(json.dumps(copy.get_config())) == config
    layer(inputs), copy(inputs)  # Builds them.
    copy.set_weights(layer.get_weights())
    np.testing.assert_array_equal(copy(inputs), layer(inputs))


@pytest.mark.parametrize("cls", LAYERS)
def test_layer_in_a_saved_model(cls, tmp_path):
    inputs = layer_input(cls)
    symbolic = tf.keras.Input(inputs.shape[1:])
    model = tf.keras.Model(symbolic, build(cls)(symbolic))
    expected = model(inputs)
    assert tuple(model.output_shape[1:]) == tuple(expected.shape[1:])
    model.save(tmp_path / "model.keras")
    loaded = tf.keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(inputs), expected, rtol=1e-6)


@pytest.mark.parametrize("scale", [0.0, 1e-20, 1.0, 1e15])
@pytest.mark.parametrize("cls", LAYERS)
def test_layer_has_finite_outputs_and_gradients(cls, scale):
    layer, inputs = build(cls), scale * layer_input(cls)

    @tf.function
    def run(inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs)
        return outputs, tape.gradient(outputs, [inputs, *layer.trainable_variables])

    outputs, gradients = run(inputs)
    for tensor in [outputs, *gradients]:
        assert np.isfinite(tensor).all()
