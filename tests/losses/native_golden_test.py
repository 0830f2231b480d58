"""Losses with state of their own against the reference's numbers."""

import numpy as np
import pytest
import tensorflow as tf

from ccpdml import layers, losses

VALUE = {"rtol": 1e-5, "atol": 2e-6}
GRADIENT = {"rtol": 1e-4, "atol": 2e-6}


def build(criterion, embeddings):
    criterion.build((None, embeddings.shape[-1]))
    return criterion


def to_head(rows, num_classes):
    """The reference's proxies, row k * C + c, as [classes, per class, dim]."""
    return rows.reshape(-1, num_classes, rows.shape[-1]).transpose(1, 0, 2)


def to_rows(proxies):
    return np.transpose(proxies, [1, 0, 2]).reshape(-1, proxies.shape[-1])


def criterion_of(case, num_classes):
    hp = case.settings.get("hp", {})
    loss, per_class = case.settings["loss"], case.settings.get("ppc", 1)
    # The reference leaves short vectors short under all losses, whatever their papers say.
    short = {"normalization": layers.LipschitzNormalization()}
    if loss == "proxy_anchor":
        return losses.ProxyAnchorLoss(num_classes, hp["delta_margin"], hp["alpha_scale"], **short)
    if loss == "proxy_nca":
        return losses.ProxyNCALoss(num_classes, hp["lambda_softmax"], hp["delta_margin"], **short)
    if loss == "virtual_softmax":
        return losses.VirtualSoftmaxLoss(num_classes, hp["lambda_softmax"], **short)
    if loss == "ps":
        mix = float(case["mix"])
        return losses.ProxySynthesisLoss(num_classes, hp["lambda_softmax"], mix=mix, **short)
    assert loss == "soft_triple"
    return losses.SoftTripleLoss(
        num_classes,
        per_class,
        **short,
        la=hp["lambda_softmax"],
        gamma=hp["gamma_entropy"],
        tau=hp["tau_reg"],
        margin=hp["delta_margin"],
    )


@pytest.mark.golden("losses_native", only="/(proxy|soft|virtual|ps)")
def test_loss_on_proxies(case, golden):
    _, cases = golden("losses_native")
    num_classes = cases[f"inputs/{case.settings['inputs']}"]["num_classes"]
    embeddings = tf.constant(case.inputs("emb"))
    criterion = build(criterion_of(case, num_classes), embeddings)
    criterion.head.proxies.assign(to_head(case["proxy"], num_classes))
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        value = criterion(embeddings, case.inputs("labels"))
    to_embeddings, to_proxies = tape.gradient(value, [embeddings, *criterion.trainable_variables])
    scale = max(1.0, float(np.abs(case.target("grad_proxy")).max()))
    gradient = {"rtol": 1e-4, "atol": 2e-6 * scale}
    np.testing.assert_allclose(value, case.target("value"), **VALUE)
    np.testing.assert_allclose(to_embeddings, case.target("grad_emb"), **gradient)
    np.testing.assert_allclose(to_rows(to_proxies), case.target("grad_proxy"), **gradient)


@pytest.mark.golden("losses_native", only="/xent")
def test_normalized_softmax(case, golden):
    _, cases = golden("losses_native")
    first = cases[f"inputs/{case.settings['inputs']}"]["classes_per_batch"]
    embeddings, labels = tf.constant(case.inputs("emb")), case.inputs("labels")
    loss = losses.NormalizedSoftmaxLoss(case.settings["temperature"])
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        value = losses.compare(
            loss, embeddings[first:], labels[first:], embeddings[:first], labels[:first]
        )
    np.testing.assert_allclose(value, case.target("value"), **VALUE)
    gradient = tape.gradient(value, embeddings)
    np.testing.assert_allclose(gradient, case.target("grad_emb"), **GRADIENT)


@pytest.mark.parametrize("wrap", [lambda f: f, tf.function], ids=["eager", "graph"])
def test_distance_regularization_over_three_steps(golden, wrap):
    arrays, cases = golden("losses_native")
    hp = cases["A/mdr/step0"]["hp"]
    criterion = losses.DistanceRegularizedLoss(
        losses.ContrastiveLoss(hp["pos_margin"], hp["neg_margin"]),
        level_weight=hp["mdr_weight"],
        level_decay=hp["nu_level_reg"],
        momentum=hp["momentum"],
    )
    step = wrap(criterion)
    for index in range(3):
        case = {key: arrays[f"A/mdr/step{index}/{key}"] for key in ("emb", "value_f64")}
        embeddings, labels = tf.constant(case["emb"]), arrays["inputs/A/labels"]
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            value = step(embeddings, labels)
        to_embeddings, to_levels = tape.gradient(value, [embeddings, *criterion.trainable_weights])
        np.testing.assert_allclose(value, case["value_f64"], **VALUE)
        expected = arrays[f"A/mdr/step{index}/grad_emb_f64"]
        np.testing.assert_allclose(to_embeddings, expected, **GRADIENT)
        expected = arrays[f"A/mdr/step{index}/grad_levels_f64"].reshape(-1)
        np.testing.assert_allclose(to_levels, expected, **GRADIENT)
        mean = arrays[f"A/mdr/step{index}/run_mean_f64"]
        np.testing.assert_allclose(criterion.running_mean, mean, **VALUE)
        deviation = arrays[f"A/mdr/step{index}/run_std_f64"]
        np.testing.assert_allclose(criterion.running_deviation, deviation, **VALUE)


@pytest.mark.golden("losses_pair", only="/margin_scalar")
def test_margin_loss(case):
    hp = case.settings["hp"]
    loss = losses.MarginLoss(
        hp["alpha_margin"], hp["beta_class"], hp["beta_regularization_coeff_nu"]
    )
    embeddings = tf.constant(case.inputs("emb"))
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        value = losses.compare(loss, embeddings, case.inputs("labels"))
    np.testing.assert_allclose(value, case.target("value"), **VALUE)
    gradient = tape.gradient(value, embeddings)
    np.testing.assert_allclose(gradient, case.target("grad_emb"), **GRADIENT)


@pytest.mark.golden("losses_pair", only="/margin_perclass")
def test_margin_loss_with_a_boundary_per_class(case):
    hp, beta = case.settings["hp"], case["beta"].reshape(-1)
    criterion = losses.ClassMarginLoss(
        len(beta),
        hp["alpha_margin"],
        nu=hp["beta_regularization_coeff_nu"],
        normalization=layers.LipschitzNormalization(),
    )
    criterion.beta.assign(beta)
    embeddings = tf.constant(case.inputs("emb"))
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        value = criterion(embeddings, case.inputs("labels"))
    to_embeddings, to_beta = tape.gradient(value, [embeddings, *criterion.trainable_weights])
    np.testing.assert_allclose(value, case.target("value"), **VALUE)
    np.testing.assert_allclose(to_embeddings, case.target("grad_emb"), **GRADIENT)
    np.testing.assert_allclose(to_beta, case.target("grad_beta").reshape(-1), **GRADIENT)


@pytest.mark.parametrize("wrap", [lambda f: f, tf.function], ids=["eager", "graph"])
@pytest.mark.golden("xbm")
def test_cross_batch_memory(case, wrap):
    settings, hp = case.settings, case.settings["hp"]
    is_c1 = settings["loss"] == "original_contrastive"
    loss = losses.CosineContrastiveLoss(**hp) if is_c1 else losses.ContrastiveLoss(**hp)
    batches, labels = case["emb"], case["labels"]
    criterion = losses.CrossBatchMemory(
        loss,
        memory_size=settings["batches_in_mem"] * batches.shape[1],
        warmup_steps=settings["start_at"],
        pair_weight=settings["pair_loss_weight"],
        memory_weight=settings["xbm_weight"],
        wait_until_full=True,
        # The reference lets an embedding meet itself; under C1 it pays for that inside the ball.
        exclude_own_copy=not is_c1,
    )
    criterion.build(batches.shape[1:])
    step = wrap(criterion)
    for index, (batch, classes) in enumerate(zip(batches, labels, strict=True)):
        embeddings = tf.constant(batch)
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            value = step(embeddings, classes)
        gradient = tape.gradient(value, embeddings)
        np.testing.assert_allclose(value, case.target("value")[index], **VALUE)
        np.testing.assert_allclose(gradient, case.target("grad_emb")[index], **GRADIENT)
