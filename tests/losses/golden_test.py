"""Pair losses and the CCP loss against the reference's numbers; the rest: native_golden_test."""

import numpy as np
import pytest
import tensorflow as tf

from ccpdml import losses
from ccpdml.ops import distances, masks, normalization

VALUE = {"rtol": 1e-5, "atol": 2e-6}
GRADIENT = {"rtol": 1e-4, "atol": 2e-6}

# Settings the library does not offer: the paper uses none of them.
AVERAGE_OF_ALL = {"_avgall": "means are over the pairs that pay anything; no option for all pairs"}


def build(settings):
    """The library's loss for the reference's name and hyper-parameters."""
    hp = settings["hp"]
    if settings["loss"] == "contrastive":
        return losses.ContrastiveLoss(**hp)
    if settings["loss"] == "original_contrastive":
        return losses.CosineContrastiveLoss(**hp)
    if settings["loss"] == "triplet":
        return losses.TripletLoss(**hp)
    assert settings["loss"] == "multi_similarity"
    return losses.MultiSimilarityLoss(
        alpha=hp["alpha_margin"], beta=hp["beta_margin"], base=hp["lambda_margin"]
    )


def normalization_of(settings):
    head = settings["head"]
    if not head["normalize_embeddings"]:
        return None
    if head["lipschitz_cont"]:
        return normalization.lipschitz_normalize
    return normalization.unit_normalize


def value_and_gradients(function, *tensors):
    tensors = [tf.constant(tensor) for tensor in tensors]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = function(*tensors)
    return value, *tape.gradient(value, tensors)


@pytest.mark.golden("losses_pair", only="/(?!margin_)", skip=AVERAGE_OF_ALL)
def test_loss_on_the_pairs_of_the_batch(case):
    loss, labels = build(case.settings), case.inputs("labels")
    normalize = normalization_of(case.settings)

    def on_squared_distances(embeddings):
        squared = distances.squared_euclidean(normalize(embeddings))
        return loss(squared, *masks.pairs(labels))

    def as_is(embeddings):
        return losses.compare(loss, embeddings, labels, normalize=normalize)

    is_squared = case.settings["head"]["squared_distance"]
    value, gradient = value_and_gradients(
        on_squared_distances if is_squared else as_is, case.inputs("emb")
    )
    np.testing.assert_allclose(value, case.target("value"), **VALUE)
    np.testing.assert_allclose(gradient, case.target("grad_emb"), **GRADIENT)


def proxies_of(case):
    """The proxies of a case and their labels; row k * C + c is proxy k of class c."""
    per_class = case.settings["ppc"]
    return case.inputs(f"proxy{per_class}"), case.inputs(f"proxy_labels{per_class}")


@pytest.mark.golden("losses_proxy")
def test_loss_on_pairs_of_samples_and_proxies(case):
    settings, labels = case.settings, case.inputs("labels")
    loss, normalize = build(settings), normalization_of(settings)
    proxies, proxy_labels = proxies_of(case)
    # The reference has no proxy anchors for Multi-Similarity, whatever the case says.
    proxy_anchor = settings["proxy_anchor"] and settings["loss"] != "multi_similarity"

    def proxy_mode(embeddings, proxies):
        samples, sample_labels = embeddings, labels
        if settings["intra"]:
            samples = tf.concat([proxies, embeddings], axis=0)
            sample_labels = np.concatenate([proxy_labels, labels])
        sides = [(samples, sample_labels), (proxies, proxy_labels)]
        (anchors, anchor_labels), (others, other_labels) = sides[::-1] if proxy_anchor else sides
        return losses.compare(loss, anchors, anchor_labels, others, other_labels, normalize)

    value, to_embeddings, to_proxies = value_and_gradients(proxy_mode, case.inputs("emb"), proxies)
    np.testing.assert_allclose(value, case.target("proxy_value", "proxy_"), **VALUE)
    np.testing.assert_allclose(to_embeddings, case.target("proxy_grad_emb", "proxy_"), **GRADIENT)
    np.testing.assert_allclose(to_proxies, case.target("proxy_grad_proxy", "proxy_"), **GRADIENT)


@pytest.mark.golden(
    "losses_proxy",
    skip={
        "_intra": "ChanceConstrainedLoss does not compare proxies with each other",
        "(contrastive|triplet).*_proxyanchor": "the anchors of ChanceConstrainedLoss are samples",
    },
)
def test_chance_constrained_loss(case):
    settings = case.settings
    weights, per_class = settings["ccp_weights"], settings["ppc"]
    proxies, _ = proxies_of(case)
    num_classes = len(proxies) // per_class
    criterion = losses.ChanceConstrainedLoss(
        build(settings),
        num_classes,
        per_class,
        pair_weight=weights["pair"],
        proxy_weight=weights["proxy"],
    )
    embeddings = tf.constant(case.inputs("emb"))
    criterion.build(embeddings.shape)
    # Ours are [classes, per class, dim], the reference's rows run through the classes first.
    by_class = proxies.reshape(per_class, num_classes, -1).transpose(1, 0, 2)
    criterion.head.proxies.assign(by_class)
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        value = criterion(embeddings, case.inputs("labels"))
    to_embeddings, to_proxies = tape.gradient(value, [embeddings, *criterion.trainable_variables])
    rows = tf.reshape(tf.transpose(to_proxies, [1, 0, 2]), proxies.shape)
    np.testing.assert_allclose(value, case.target("ccp_value", "ccp_"), **VALUE)
    np.testing.assert_allclose(to_embeddings, case.target("ccp_grad_emb", "ccp_"), **GRADIENT)
    np.testing.assert_allclose(rows, case.target("ccp_grad_proxy", "ccp_"), **GRADIENT)


@pytest.mark.parametrize(
    ("peer", "settings"),
    [
        ("contrastive", {"loss": "contrastive", "hp": "c2"}),
        ("contrastive_proxy4", {"loss": "contrastive", "hp": "c2"}),
        ("triplet", {"loss": "triplet", "hp": {"margin": 0.119}}),
        ("triplet_proxy4", {"loss": "triplet", "hp": {"margin": 0.119}}),
        ("multi_similarity", {"loss": "multi_similarity", "hp": "ms"}),
        ("multi_similarity_proxy4", {"loss": "multi_similarity", "hp": "ms"}),
    ],
)
def test_agrees_with_pytorch_metric_learning(golden, peer, settings):
    arrays, cases = golden("crosslib")
    hp = cases["hp"].get(settings["hp"]) if isinstance(settings["hp"], str) else settings["hp"]
    if settings["loss"] == "multi_similarity":
        hp = {"alpha_margin": hp["a"], "beta_margin": hp["b"], "lambda_margin": hp["l"]}
    loss, labels = build(settings | {"hp": hp}), arrays["inputs/labels"]
    embeddings = arrays["inputs/emb"]
    if not peer.endswith("_proxy4"):
        value, to_embeddings = value_and_gradients(
            lambda x: losses.compare(loss, x, labels), embeddings
        )
    else:
        proxies, proxy_labels = arrays["inputs/proxy4"], arrays["inputs/proxy_labels4"]
        value, to_embeddings, to_proxies = value_and_gradients(
            lambda x, p: losses.compare(loss, x, labels, p, proxy_labels), embeddings, proxies
        )
        np.testing.assert_allclose(to_proxies, arrays[f"pml/{peer}/grad_proxy"], **GRADIENT)
    np.testing.assert_allclose(value, arrays[f"pml/{peer}/value"], **VALUE)
    np.testing.assert_allclose(to_embeddings, arrays[f"pml/{peer}/grad_emb"], **GRADIENT)
