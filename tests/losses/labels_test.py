"""Labels that are no classes, and labels of other types."""

import inspect

import numpy as np
import pytest
import tensorflow as tf

from ccpdml import losses
from ccpdml.ops import masks

CRITERIA = {
    "ProxyAnchorLoss": lambda n: losses.ProxyAnchorLoss(n),
    "ProxyNCALoss": lambda n: losses.ProxyNCALoss(n),
    "SoftTripleLoss": lambda n: losses.SoftTripleLoss(n, 2),
    "VirtualSoftmaxLoss": lambda n: losses.VirtualSoftmaxLoss(n),
    "ProxySynthesisLoss": lambda n: losses.ProxySynthesisLoss(n, mix=0.5),
    "HierarchicalProxyAnchorLoss": lambda n: losses.HierarchicalProxyAnchorLoss(n),
    "ChanceConstrainedLoss": lambda n: losses.ChanceConstrainedLoss(losses.ContrastiveLoss(), n, 2),
    "ClassMarginLoss": lambda n: losses.ClassMarginLoss(n),
}
EMBEDDINGS = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")
NO_CLASSES = {
    "above": np.array([100, 101, 102, 103]),
    "from 1": np.array([1, 2, 3, 4]),
    "below": np.array([[0], [1], [2], [-1]]),
    "fractions": np.array([0.0, 1.0, 2.5, 3.0], "float32"),
    "not a number": np.array([0.0, 1.0, np.nan, 3.0], "float32"),
}


def build(name, num_classes=4):
    criterion = CRITERIA[name](num_classes)
    criterion.build((None, 6))
    return criterion


def test_every_loss_that_counts_classes_is_here():
    counting = {
        name
        for name in losses.__all__
        if name != "ProxyCriterion"
        and "num_classes" in inspect.signature(getattr(losses, name)).parameters
    }
    assert set(CRITERIA) == counting


@pytest.mark.parametrize("name", CRITERIA)
def test_labels_that_are_no_classes_are_an_error(name):
    criterion = build(name)
    for labels in NO_CLASSES.values():
        with pytest.raises(ValueError, match=r"0\.\.3.*num_classes=4, labels from"):
            criterion(EMBEDDINGS, labels)
    criterion(EMBEDDINGS, np.array([[3.0], [0.0], [1.0], [2.0]], "float32"))


@pytest.mark.parametrize("name", ["ProxyNCALoss", "ClassMarginLoss"])
def test_in_a_graph_too(name):
    step = tf.function(build(name))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"0\.\.3"):
        step(EMBEDDINGS, NO_CLASSES["from 1"])
    assert np.isfinite(step(EMBEDDINGS, np.arange(4)))


def test_compiled_by_xla_the_loss_is_not_a_number():
    step = tf.function(build("ProxyAnchorLoss"), jit_compile=True)
    assert np.isnan(step(EMBEDDINGS, NO_CLASSES["from 1"]))
    assert np.isfinite(step(EMBEDDINGS, np.arange(4)))


def test_on_two_replicas_too(two_replicas):
    with two_replicas.scope():
        criterion = build("ProxyNCALoss")

    @tf.function
    def run():
        return two_replicas.run(criterion, (EMBEDDINGS, tf.constant([0, 1, 2, 4])))

    with pytest.raises(tf.errors.InvalidArgumentError, match=r"0\.\.3"):
        run()


@pytest.mark.parametrize("name", ["ProxyNCALoss", "ChanceConstrainedLoss", "SoftTripleLoss"])
def test_small_types_of_labels_do_not_make_one_class_of_two(name):
    """Classes 0 and 256 are one in 8 bits."""
    criterion, labels = build(name, 300), np.array([1, 2, 3, 4])
    value = criterion(EMBEDDINGS, labels.astype("uint8"))
    np.testing.assert_allclose(value, criterion(EMBEDDINGS, labels), rtol=1e-6)


def test_masks_compare_values_and_not_bits():
    positive, _ = masks.pairs(np.array([[1], [44]], "uint8"), np.arange(301))
    assert np.argwhere(positive).tolist() == [[0, 1], [1, 44]]
    positive, _ = masks.pairs(np.array([2.0, 2.5], "float32"), np.arange(4))
    assert np.argwhere(positive).tolist() == [[0, 2]]


@pytest.mark.parametrize("loss", [losses.BatchPairs(losses.TripletLoss()), losses.TripletLoss()])
def test_there_is_one_label_for_each_embedding(loss):
    for labels in [np.eye(4), np.array([0]), np.array(0), np.zeros((4, 2), int)]:
        with pytest.raises(ValueError, match="Received: embeddings of .*4, 6"):
            loss(EMBEDDINGS, labels)
    with pytest.raises(ValueError, match="InBatch"):  # As stock Keras calls it.
        loss(np.arange(4), EMBEDDINGS)
