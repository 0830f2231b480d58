"""Cross-batch memory: what it holds, when it counts, and replicas that agree."""

import numpy as np
import pytest
import tensorflow as tf

from ccpdml import losses, training


def batches(num_batches, batch_size=6, dim=5, num_classes=3, seed=0):
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(size=(num_batches, batch_size, dim)).astype("float32")
    labels = np.tile(np.arange(batch_size) % num_classes, (num_batches, 1)).astype("int32")
    return embeddings, labels


def memory_of(loss=None, **arguments):
    criterion = losses.CrossBatchMemory(loss or losses.ContrastiveLoss(), **arguments)
    criterion.build((None, 5))
    return criterion


def normalized(x):
    return x / np.maximum(1.0, np.linalg.norm(x, axis=-1, keepdims=True))


def test_memory_is_the_latest_embeddings_in_a_ring():
    criterion = memory_of(memory_size=10, warmup_steps=0)
    x, y = batches(3)
    for embeddings, labels in zip(x, y, strict=True):
        criterion(embeddings, labels)
    # 18 written, 10 kept: slots 0 to 7 hold the last eight, 8 and 9 the two before.
    rows = normalized(x.reshape(-1, 5))
    expected = np.concatenate([rows[10:18], rows[8:10]])
    np.testing.assert_allclose(criterion.memory, expected, rtol=1e-6)
    np.testing.assert_array_equal(criterion.memory_labels, np.r_[y.ravel()[10:18], y.ravel()[8:10]])


def test_warm_up_leaves_the_batch_alone_and_nothing_of_it_in_the_memory():
    criterion = memory_of(memory_size=12, warmup_steps=2)
    x, y = batches(4)
    loss = losses.ContrastiveLoss()
    values = [float(criterion(*batch)) for batch in zip(x, y, strict=True)]
    alone = [float(losses.compare(loss, *batch)) for batch in zip(x, y, strict=True)]
    np.testing.assert_allclose(values[:2], alone[:2], rtol=1e-6)
    # Step 3 finds itself only, as if it had been in a memory of its own; step 4 steps 3 and 4.
    both, classes = x[2:4].reshape(-1, 5), y[2:4].ravel()
    np.testing.assert_allclose(criterion.memory, normalized(both), rtol=1e-6)
    measured = np.linalg.norm(normalized(x[3])[:, None] - normalized(both)[None], axis=-1)
    same = y[3][:, None] == classes
    same[np.arange(6), np.arange(6) + 6] = False  # its own copy
    pull, push = measured[same], np.maximum(0.5 - measured, 0.0)[y[3][:, None] != classes]
    expected = pull.mean() + (push[push > 0].mean() if (push > 0).any() else 0.0)
    assert values[3] - alone[3] == pytest.approx(expected, rel=1e-4)


def test_waiting_until_full_starts_with_the_step_that_fills_the_memory():
    x, y = batches(4)
    loss = losses.ContrastiveLoss()
    criterion = memory_of(loss, memory_size=18, warmup_steps=0, wait_until_full=True)
    values = [float(criterion(*batch)) for batch in zip(x, y, strict=True)]
    alone = [float(losses.compare(loss, *batch)) for batch in zip(x, y, strict=True)]
    assert [value == pytest.approx(own) for value, own in zip(values, alone, strict=True)] == [
        True,
        True,
        False,
        False,
    ]


def test_a_memory_smaller_than_the_batch_is_refused():
    x, y = batches(1)
    with pytest.raises(Exception, match="memory_size"):
        memory_of(memory_size=4)(x[0], y[0])
    with pytest.raises(ValueError, match="memory_size"):
        losses.CrossBatchMemory(losses.ContrastiveLoss(), memory_size=0)


@pytest.mark.parametrize(
    "loss",
    [
        losses.ContrastiveLoss(),
        losses.CosineContrastiveLoss(),
        losses.TripletLoss(),
        losses.MultiSimilarityLoss(),
        losses.MarginLoss(),
        losses.NormalizedSoftmaxLoss(),
        losses.MinedLoss(losses.ContrastiveLoss(), losses.HardNegativeMiner()),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_empty_slots_change_nothing(loss):
    """A memory with room to spare gives what one gives that is just large enough."""
    x, y = batches(2)
    values = []
    for memory_size in (12, 50):
        criterion = memory_of(loss, memory_size=memory_size, warmup_steps=0)
        values.append([float(criterion(*batch)) for batch in zip(x, y, strict=True)])
    np.testing.assert_allclose(values[0], values[1], rtol=1e-5)


def learner_with_memory(scope):
    with scope:
        tf.keras.utils.set_random_seed(1)
        inputs = tf.keras.Input((4,))
        encoder = tf.keras.Model(inputs, tf.keras.layers.Dense(5)(inputs))
        criterion = losses.CrossBatchMemory(losses.ContrastiveLoss(), 24, warmup_steps=1)
        learner = training.MetricLearner(encoder, criterion)
        learner.compile(tf.keras.optimizers.SGD(0.1), steps_per_execution=5)
    return learner


def dataset_of(num_batches):
    rng = np.random.default_rng(3)
    images = rng.normal(size=(num_batches * 8, 4)).astype("float32")
    labels = np.tile(np.repeat(np.arange(4), 2), num_batches)
    return tf.data.Dataset.from_tensor_slices((images, labels)).batch(8, drop_remainder=True)


def test_two_replicas_hold_the_memory_of_one(two_replicas):
    results = []
    for strategy in (tf.distribute.get_strategy(), two_replicas):
        learner = learner_with_memory(strategy.scope())
        learner.fit(dataset_of(5), epochs=1, steps_per_epoch=5, verbose=0)
        memory = learner.criterion.memory
        value = memory if isinstance(memory, tf.Variable) else memory.value
        results.append([np.asarray(copy) for copy in strategy.experimental_local_results(value)])
        results[-1] += learner.encoder.get_weights()
    (one, *weights_of_one), (first, second, *weights_of_two) = results
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(one, first, rtol=1e-5, atol=1e-6)
    for a, b in zip(weights_of_one, weights_of_two, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_memory_is_in_a_checkpoint(tmp_path):
    learner = learner_with_memory(tf.distribute.get_strategy().scope())
    checkpoint = training.Checkpoint(tmp_path)
    learner.fit(dataset_of(5), epochs=1, steps_per_epoch=5, verbose=0, callbacks=[checkpoint])
    fresh = learner_with_memory(tf.distribute.get_strategy().scope())
    training.Checkpoint(tmp_path).restore(fresh)
    assert int(fresh.criterion.num_steps) == 5
    np.testing.assert_array_equal(fresh.criterion.memory, learner.criterion.memory)


def test_memory_is_no_place_for_gradients():
    criterion = memory_of(memory_size=12, warmup_steps=0)
    assert criterion.trainable_variables == []
    assert [len(w.shape) for w in criterion.weights] == [2, 1, 0, 0]
