"""Retrieval metrics against golden numbers, a slow oracle, and numbers worked out by hand."""

import tracemalloc

import numpy as np
import pytest
import tensorflow as tf

from ccpdml import metrics
from tests.metrics import oracle


def clustered(num_rows, dim, num_classes, seed=0, spread=0.7):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_classes, num_rows)
    centers = rng.normal(size=(num_classes, dim))
    points = centers[labels] + spread * rng.normal(size=(num_rows, dim))
    return points.astype(np.float32), labels


def assert_same(result, expected):
    assert result.keys() == expected.keys()
    for name, value in expected.items():
        assert result[name] == pytest.approx(value, abs=1e-12), name


@pytest.mark.golden("metrics")
def test_golden_numbers(case):
    in_gallery = f"{case.name}/gallery" in case.arrays
    gallery = (case["gallery"], case["gallery_labels"]) if in_gallery else (None, None)
    cutoffs = case["ks"].tolist()
    result = metrics.retrieval(case["query"], case["query_labels"], *gallery, recall_at=cutoffs)
    assert result["mean_average_precision_at_r"] == pytest.approx(float(case["exact_map_r"]))
    assert result["r_precision"] == pytest.approx(float(case["exact_p_r"]))
    assert result["precision_at_1"] == pytest.approx(float(case["exact_p_1"]))
    recalls = [result[f"recall_at_{k}"] for k in cutoffs]
    np.testing.assert_allclose(recalls, case["exact_recall_at_k"])
    assert result["num_queries"] == case["exact_keep"].sum()


@pytest.mark.golden("metrics")
def test_golden_numbers_of_each_query(case):
    in_gallery = f"{case.name}/gallery" in case.arrays
    gallery = (case["gallery"], case["gallery_labels"]) if in_gallery else (None, None)
    values = metrics.per_query(case["query"], case["query_labels"], *gallery)
    keep = case["exact_keep"]
    np.testing.assert_array_equal(values["num_matches"], case["exact_R"])
    average_precision = values["mean_average_precision_at_r"]
    np.testing.assert_allclose(average_precision[keep], case["exact_per_query_map_r"][keep])
    np.testing.assert_allclose(values["r_precision"][keep], case["exact_per_query_p_r"][keep])
    assert np.isnan(average_precision[~keep]).all()


def test_a_ranking_worked_out_by_hand():
    # Seen from 0: b a b a a, so R = 3 and the first three hold one a, at rank 2.
    gallery = np.array([[1.0], [2.0], [3.0], [4.0], [5.0]])
    labels = np.array(["b", "a", "b", "a", "a"])
    result = metrics.retrieval([[0.0]], ["a"], gallery, labels, recall_at=(1, 2, 9))
    assert result["precision_at_1"] == 0.0
    assert result["r_precision"] == pytest.approx(1 / 3)
    assert result["mean_average_precision_at_r"] == pytest.approx((1 / 2) / 3)
    assert [result[f"recall_at_{k}"] for k in (1, 2, 9)] == [0.0, 1.0, 1.0]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("self_retrieval", [True, False])
def test_oracle_on_points_of_an_integer_grid_full_of_ties(seed, self_retrieval):
    rng = np.random.default_rng(seed)
    shape, num_classes = (rng.integers(20, 150), rng.integers(1, 6)), rng.integers(1, 30)
    query, labels = (
        rng.integers(-2, 3, shape).astype(np.float32),
        rng.integers(0, num_classes, shape[0]),
    )
    gallery = rng.integers(-2, 3, (200, shape[1])).astype(np.float32)
    gallery_labels = rng.integers(0, num_classes, 200)
    sides = (query, labels) if self_retrieval else (query, labels, gallery, gallery_labels)
    result = metrics.retrieval(*sides, recall_at=(1, 3, 50))
    assert_same(result, oracle.retrieval(*sides, recall_at=(1, 3, 50)))


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_oracle_on_points_that_float32_products_cannot_tell_apart(offset):
    query, labels = clustered(400, 8, 60)
    query = (1e-2 * query + offset).astype(np.float32)
    result = metrics.retrieval(query, labels, recall_at=(1, 20, 100))
    assert_same(result, oracle.retrieval(query, labels, recall_at=(1, 20, 100)))


def test_oracle_on_distinct_points_that_are_all_equally_far():
    query, labels = np.eye(90, dtype=np.float32), np.arange(90) % 7
    result = metrics.retrieval(query, labels, recall_at=(1, 30))
    assert_same(result, oracle.retrieval(query, labels, recall_at=(1, 30)))


def test_oracle_with_one_huge_point():
    query, labels = clustered(200, 4, 20)
    query[17] *= 1e6
    assert_same(metrics.retrieval(query, labels), oracle.retrieval(query, labels))


def test_recall_beyond_r_agrees_with_the_oracle_at_every_cutoff():
    query, labels = clustered(300, 3, 150, spread=3.0)
    cutoffs = tuple(range(1, 310))
    result = metrics.retrieval(query, labels, recall_at=cutoffs)
    assert_same(result, oracle.retrieval(query, labels, recall_at=cutoffs))


def test_equally_near_rows_rank_by_gallery_index():
    gallery = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    for labels, expected in [(["a", "b", "b"], 1.0), (["b", "a", "b"], 0.0)]:
        result = metrics.retrieval([[0.0, 0.0]], ["a"], gallery, labels)
        assert result["precision_at_1"] == expected


def test_a_duplicate_of_the_query_is_found_and_the_query_itself_is_not():
    query = np.array([[0.1, 0.7], [0.1, 0.7], [0.3, 0.3]], np.float32)
    indices, distances = metrics.nearest(query, k=2)
    np.testing.assert_array_equal(indices, [[1, 2], [0, 2], [0, 1]])
    assert distances[0, 0] == distances[1, 0] == 0.0
    assert distances[2, 0] == distances[2, 1]


def test_many_copies_of_few_points_agree_with_the_oracle():
    rng = np.random.default_rng(0)
    query = rng.normal(size=(3, 5)).astype(np.float32)[rng.integers(0, 3, 500)]
    labels = rng.integers(0, 20, 500)
    result = metrics.retrieval(query, labels, recall_at=(1, 40))
    assert_same(result, oracle.retrieval(query, labels, recall_at=(1, 40)))


def test_a_fully_collapsed_encoder_ranks_by_index():
    labels = np.array([0, 1, 0, 1, 1])
    query = np.zeros((5, 3), np.float32)
    assert_same(metrics.retrieval(query, labels), oracle.retrieval(query, labels))


def test_lone_queries_are_left_out_and_counted():
    query = np.array([[0.0], [0.1], [5.0], [0.2]])
    result = metrics.retrieval(query, [3, 3, 9, 3])
    assert (result["num_queries"], result["num_lone_queries"]) == (3, 1)
    assert result["mean_average_precision_at_r"] == 1.0


def test_labels_as_a_column_lists_and_tensors_are_the_same():
    query, labels = clustered(50, 4, 6)
    expected = metrics.retrieval(query, labels, recall_at=(1, 2))
    assert metrics.retrieval(query.tolist(), labels[:, None], recall_at=[2, 1]) == expected
    tensors = tf.constant(query), tf.constant(labels)
    assert metrics.retrieval(*tensors, recall_at=np.array([1, 2])) == expected


def test_class_averages():
    query, labels = clustered(120, 4, 9, spread=2.0)
    result = metrics.retrieval(query, labels, per_class=True)
    averages = result["per_class"]
    total = (averages["num_queries"] * averages["r_precision"]).sum() / averages[
        "num_queries"
    ].sum()
    assert total == pytest.approx(result["r_precision"])
    members = labels == averages["labels"][2]
    values = metrics.per_query(query, labels)
    assert averages["precision_at_1"][2] == pytest.approx(values["precision_at_1"][members].mean())


@pytest.mark.parametrize("max_memory_bytes", [45_000, 100_000, 1_000_000, 2**30])
def test_memory_bound_does_not_change_results(max_memory_bytes):
    query, labels = clustered(700, 6, 120, spread=1.5)
    expected = metrics.retrieval(query, labels, recall_at=(1, 10, 100))
    result = metrics.retrieval(
        query, labels, recall_at=(1, 10, 100), max_memory_bytes=max_memory_bytes
    )
    assert result == expected


@pytest.mark.parametrize("self_retrieval", [True, False])
def test_queries_scored_in_parts_average_to_the_whole(self_retrieval):
    sides = clustered(130, 5, 12, spread=1.5)
    sides += () if self_retrieval else clustered(150, 5, 12, spread=1.5, seed=1)
    parts = [metrics.per_query(*sides, part=part) for part in (slice(0, 50), slice(50, None))]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    assert metrics.average(joined) == metrics.retrieval(*sides)


def test_a_part_in_which_no_query_has_a_match_is_counted():
    values = metrics.per_query([[0.0], [1.0], [2.0]], [0, 0, 1], part=slice(2, 3))
    np.testing.assert_array_equal(values["num_matches"], [0])
    np.testing.assert_array_equal(values["r_precision"], [np.nan])


@pytest.mark.parametrize("self_retrieval", [True, False])
@pytest.mark.parametrize("k", [1, 7, 149])
def test_nearest_agrees_with_the_oracle(self_retrieval, k):
    query, _ = clustered(150, 3, 5)
    gallery = None if self_retrieval else clustered(200, 3, 5, seed=1)[0]
    indices, distances = metrics.nearest(query, gallery, k=k)
    for row, order in enumerate(oracle.order(query, gallery)):
        np.testing.assert_array_equal(indices[row], order[:k])
    references = query if self_retrieval else gallery
    expected = np.linalg.norm(query[:, None].astype(np.float64) - references[indices], axis=2)
    np.testing.assert_allclose(distances, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"query": np.ones(3)}, r"\[n, dim\].*query.shape=\(3,\)"),
        ({"query": np.ones((0, 2)), "query_labels": []}, r"n, dim >= 1"),
        ({"query": [[1.0], [np.nan], [np.inf]]}, "2 of 3 rows"),
        ({"query": [[1e300], [1.0], [1.0]]}, "1 of 3 rows"),
        ({"query_labels": [0, 1]}, r"\[3\] or \[3, 1\].*\(2,\)"),
        ({"gallery": np.ones((2, 1))}, "given together"),
        ({"gallery_labels": [0, 1]}, "given together"),
        ({"gallery": np.ones((2, 5)), "gallery_labels": [0, 1]}, "same dim"),
        ({"recall_at": (0, 1)}, r"recall_at=\(0, 1\)"),
        ({"recall_at": ()}, r"recall_at=\(\)"),
        ({"query_labels": [0, 1, 2]}, "must have a match"),
        ({"max_memory_bytes": 100}, "at least [0-9]+ for.*Received: max_memory_bytes=100"),
    ],
)
def test_bad_input_is_named(arguments, message):
    good = {"query": [[0.0], [1.0], [2.0]], "query_labels": [0, 0, 1]}
    with pytest.raises(ValueError, match=message):
        metrics.retrieval(**(good | arguments))


@pytest.mark.parametrize("k", [0, 3])
def test_more_neighbors_than_there_are_is_an_error(k):
    with pytest.raises(ValueError, match=r"1\.\.2"):
        metrics.nearest(np.zeros((3, 2)), k=k)


@pytest.mark.parametrize("corners", [False, True])  # of a cube: thousands of ties, none a copy
def test_working_memory_stays_below_its_bound(corners):
    rng = np.random.default_rng(0)
    points = rng.choice([-1.0, 1.0], (3000, 16)) if corners else rng.normal(size=(3000, 16))
    points, labels = points.astype(np.float32), np.arange(3000) % 300
    metrics.retrieval(points[:9], labels[:9] % 3)  # what is imported or made once
    bound = 4 * 2**20
    tracemalloc.start()
    metrics.retrieval(points, labels, recall_at=(1, 100), max_memory_bytes=bound)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < bound


@pytest.mark.parametrize("max_memory_bytes", [2**16, 2**18, 2**29])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_gallery_in_a_file_gives_what_one_in_memory_does(tmp_path, max_memory_bytes, dtype):
    rng = np.random.default_rng(0)
    gallery = rng.integers(-3, 4, (700, 6)).astype(dtype)  # Many as near as each other.
    query = rng.integers(-3, 4, (20, 6)).astype(np.float32)
    np.save(tmp_path / "gallery.npy", gallery)
    mapped = np.load(tmp_path / "gallery.npy", mmap_mode="r")
    seen = []
    found = metrics.nearest(query, mapped, 50, max_memory_bytes, seen.append)
    for one, other in zip(found, metrics.nearest(query, gallery, 50), strict=True):
        np.testing.assert_array_equal(one, other)
    assert sum(seen) == 700
    assert (len(seen) > 1) == (max_memory_bytes < 2**17)
    for k in (0, 701):
        with pytest.raises(ValueError, match=r"`k` must be in 1..700"):
            metrics.nearest(query, mapped, k)
    with pytest.raises(ValueError, match="the same dim"):
        metrics.nearest(query[:, :5], mapped, 1)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("self_retrieval", [True, False])
@pytest.mark.parametrize("max_memory_bytes", [10**5, 2**28])
def test_rows_with_a_label_in_common_match(seed, self_retrieval, max_memory_bytes):
    rng = np.random.default_rng(seed)
    dim, num_labels = rng.integers(1, 6), rng.integers(1, 20)
    query, gallery = (
        rng.integers(-2, 3, (n, dim)).astype(np.float32) for n in (rng.integers(280, 320), 200)
    )
    labels, gallery_labels = (
        rng.random((len(side), num_labels)) < rng.uniform(0.02, 0.2) for side in (query, gallery)
    )
    sides = (query, labels) if self_retrieval else (query, labels, gallery, gallery_labels)
    options = {"recall_at": (1, 3, 150)}
    result = metrics.retrieval(*sides, **options, max_memory_bytes=max_memory_bytes)
    assert_same(result, oracle.retrieval(*sides, **options))


def test_one_label_of_each_is_its_class():
    points, labels = clustered(90, 5, 12)
    one_each = np.eye(12, dtype=bool)[labels]
    expected = metrics.retrieval(points, labels, recall_at=(1, 20))
    assert metrics.retrieval(points, one_each, recall_at=(1, 20)) == expected
    with pytest.raises(ValueError, match=r"both several labels.*Received: .90, 12., .90,."):
        metrics.retrieval(points, one_each, points, labels)
    with pytest.raises(ValueError, match="a row per embedding"):
        metrics.retrieval(points, one_each[:5])
    with pytest.raises(ValueError, match="a label per embedding"):
        metrics.retrieval(points, one_each, per_class=True)
