"""Normalization, distances, masks and k-center against the reference's numbers."""

import numpy as np
import pytest
import tensorflow as tf

from ccpdml.ops import coreset, distances, masks, normalization

VALUE = {"rtol": 1e-5, "atol": 2e-6}
GRADIENT = {"rtol": 1e-4, "atol": 2e-6}

DISTANCES = {
    "l2": distances.euclidean,
    "l2sq": distances.squared_euclidean,
    "negcos": distances.negative_cosine,
}


@pytest.mark.golden("l2norm")
@pytest.mark.parametrize(
    ("normalize", "kind"),
    [(normalization.lipschitz_normalize, ""), (normalization.unit_normalize, "classic_")],
    ids=["lipschitz", "classic"],
)
def test_normalization_and_its_gradient(case, normalize, kind):
    x = tf.constant(case["x"])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = normalize(x)
    gradient = tape.gradient(y, x, output_gradients=tf.constant(case["upstream"]))
    np.testing.assert_allclose(y, case[f"y_{kind}f64"], **VALUE)
    np.testing.assert_allclose(gradient, case[f"grad_x_{kind}f64"], **GRADIENT)


@pytest.mark.golden("distances", only="^(self|cross)_")
def test_distances_and_their_gradients(case):
    points, references = (tf.constant(case.arrays[f"inputs/{name}"]) for name in "XY")
    measure = DISTANCES[case.settings["kind"]]
    with tf.GradientTape() as tape:
        tape.watch([points, references])
        is_self = case.name.startswith("self_")
        measured = measure(points) if is_self else measure(references, points)
    gradients = tape.gradient(
        measured, [points, references], output_gradients=tf.constant(case["upstream"])
    )
    np.testing.assert_allclose(measured, case["dist_f64"], **VALUE)
    np.testing.assert_allclose(gradients[0], case["grad_emb_f64"], **GRADIENT)
    if not is_self:
        np.testing.assert_allclose(gradients[1], case["grad_ref_f64"], **GRADIENT)


@pytest.mark.parametrize(
    ("case", "rows", "columns"),
    [("mask_self", "lx", None), ("mask_cross", "ly", "lx"), ("mask_structured", "ls", None)],
)
def test_masks_of_pairs(golden, case, rows, columns):
    arrays, _ = golden("distances")
    positive, negative = masks.pairs(
        arrays[f"inputs/{rows}"], None if columns is None else arrays[f"inputs/{columns}"]
    )
    assert positive.dtype == negative.dtype == tf.float32
    np.testing.assert_array_equal(positive, arrays[f"{case}/pos"])
    np.testing.assert_array_equal(negative, arrays[f"{case}/neg"])


def test_masks_of_pairs_make_the_triplets(golden):
    arrays, _ = golden("distances")
    positive, negative = masks.pairs(arrays["inputs/lx"])
    triplets = negative[:, :, None] * positive[:, None, :]
    np.testing.assert_array_equal(triplets, arrays["mask_triplet/mask"])


def _pool_and_seeds(case):
    pool, seeds = case["pool"], case["init"]
    if case.settings["normalized_embeddings"]:
        pool, seeds = normalization.unit_normalize(pool), normalization.unit_normalize(seeds)
    return pool, seeds


@pytest.mark.golden("kcenter")
def test_farthest_first_picks_the_same_points(case):
    pool, seeds = _pool_and_seeds(case)
    # No more picks than points: the reference repeats points once the pool is used up.
    num_picks = min(int(case["K"]), pool.shape[1])
    picks = coreset.farthest_first(pool, seeds, num_picks)
    # Rounding decides a tie, and everything after it.
    clear = np.cumprod(case["tie_gap"][:num_picks] > 1e-4, axis=0).T.astype(bool)
    expected = case["exact_indices"][:num_picks].T
    assert picks.shape == expected.shape
    assert picks.dtype == tf.int32
    np.testing.assert_array_equal(picks.numpy()[clear], expected[clear])
    if "zero_init_normalized" not in case.name:  # It ties at the first pick.
        assert clear.any()
        np.testing.assert_array_equal(case["indices"][:num_picks].T[clear], expected[clear])


@pytest.mark.golden("kcenter")
def test_covering_radius_before_every_pick(case):
    pool, seeds = _pool_and_seeds(case)
    for number, radius in enumerate(case["cover_before_pick"]):
        picked = np.take_along_axis(
            np.asarray(pool), case["exact_indices"][:number].T[..., None], axis=1
        )
        centers = np.concatenate([seeds, picked], axis=1)
        np.testing.assert_allclose(
            coreset.covering_radius(pool, centers), radius, rtol=1e-5, atol=1e-6
        )
