"""Losses of tensorflow-addons: on their own stack, and a clear word elsewhere."""

import numpy as np
import pytest
import tensorflow as tf

from ccpdml import losses

HAS_ADDONS = tf.__version__.startswith("2.15")
needs_addons = pytest.mark.skipif(not HAS_ADDONS, reason="tensorflow-addons needs TF 2.15")


def test_names_are_checked():
    with pytest.raises(ValueError, match="Received: name='quadruplet'"):
        losses.AddonsLoss("quadruplet")


@pytest.mark.skipif(HAS_ADDONS, reason="tensorflow-addons is here")
def test_without_addons_the_error_names_what_to_install():
    with pytest.raises(ImportError, match="requirements-addons.txt"):
        losses.AddonsLoss("npairs")


@needs_addons
@pytest.mark.parametrize(
    ("name", "stored", "margin"),
    [
        ("triplet_semihard", "triplet_semihard_l2", 0.2),
        ("triplet_hard", "triplet_hard_l2", 0.2),
        ("lifted_struct", "lifted_struct", 1.0),
        ("npairs", "npairs", None),
    ],
)
def test_agrees_with_the_stored_numbers(golden, name, stored, margin):
    arrays, _ = golden("crosslib")
    embeddings = tf.constant(arrays["inputs/emb"])
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        value = losses.AddonsLoss(name, margin)(embeddings, arrays["inputs/labels"])
    np.testing.assert_allclose(value, arrays[f"tfa/{stored}/value_f32"], rtol=1e-5)
    expected = arrays[f"tfa/{stored}/grad_emb_f32"]
    np.testing.assert_allclose(tape.gradient(value, embeddings), expected, rtol=1e-3, atol=1e-6)


@needs_addons
def test_contrastive_is_the_mean_over_all_pairs_of_two():
    embeddings, labels = tf.constant([[0.0, 0.5], [0.0, 0.1], [0.8, 0.1]]), np.array([0, 0, 1])
    # Squares of 0.4 pulled, of (1 - 0.8) and (1 - sqrt(.8)) pushed, every pair twice.
    expected = (0.4**2 + 0.2**2 + (1 - 0.8**0.5) ** 2) / 3
    value = losses.AddonsLoss("contrastive")(embeddings, labels)
    np.testing.assert_allclose(value, expected, rtol=1e-5)


@needs_addons
@pytest.mark.parametrize("name", losses.AddonsLoss.NAMES)
def test_is_a_base_loss_of_ccp(name):
    criterion = losses.ChanceConstrainedLoss(losses.AddonsLoss(name), 4, proxies_per_class=2)
    criterion = losses.ChanceConstrainedLoss.from_config(criterion.get_config())
    embeddings = tf.random.stateless_normal((8, 6), (0, 0))
    criterion.build(embeddings.shape)
    with tf.GradientTape() as tape:
        value = tf.function(criterion)(embeddings, np.repeat(np.arange(4), 2))
    (to_proxies,) = tape.gradient(value, criterion.trainable_variables)
    assert np.isfinite(value)
    assert np.abs(to_proxies).max() > 0
