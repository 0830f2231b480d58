import json
import pathlib
import time

import numpy as np
import pytest

from ccpdml.data import samplers

GOLDEN = np.load(pathlib.Path(__file__).parents[1] / "golden" / "samplers.npz")


def labels_of(sizes):
    return np.repeat(np.arange(len(sizes)), sizes)


def batches(sizes, classes_per_batch, samples_per_class, num_batches=60, seed=0):
    """Batches as (classes [P], images [P, M])."""
    labels = labels_of(sizes)
    sampler = samplers.ClassBalancedSampler(labels, classes_per_batch, samples_per_class, seed)
    for step in range(num_batches):
        images = sampler.batch(step).reshape(classes_per_batch, samples_per_class)
        assert (labels[images] == labels[images[:, :1]]).all()
        yield labels[images[:, 0]], images


# The last two cut batches across passes; in the original the same class then came twice.
@pytest.mark.parametrize(("num_classes", "classes_per_batch"), [(8, 4), (7, 3), (75, 8), (5, 5)])
def test_every_class_comes_once_per_pass_and_never_twice_in_a_batch(num_classes, classes_per_batch):
    drawn = [classes for classes, _ in batches([5] * num_classes, classes_per_batch, 2)]
    assert all(len(set(classes)) == classes_per_batch for classes in drawn)
    stream = np.concatenate(drawn)
    for start in range(0, len(stream) - num_classes + 1, num_classes):
        assert sorted(stream[start : start + num_classes]) == list(range(num_classes))


@pytest.mark.parametrize("sizes", [[6] * 8, [5] * 7, [2, 4, 6, 8, 10, 12], [1, 3, 7]])
@pytest.mark.parametrize("samples_per_class", [1, 2, 4])
def test_every_image_comes_once_before_any_of_its_class_repeats(sizes, samples_per_class):
    seen = {label: [] for label in range(len(sizes))}
    for classes, images in batches(sizes, 3, samples_per_class):
        for label, group in zip(classes, images, strict=True):
            seen[label].extend(group)
            if sizes[label] >= samples_per_class:
                assert len(set(group)) == samples_per_class
    for label, size in enumerate(sizes):
        whole = len(seen[label]) // size * size
        rounds = np.reshape(seen[label][:whole], (-1, size))
        assert all(len(set(images)) == size for images in rounds)


@pytest.mark.parametrize("case", ["even", "uneven", "straddle", "one_per_class_batches"])
def test_what_the_original_guarantees_holds_on_its_recorded_cases(case):
    facts = json.loads(str(GOLDEN["meta_json"]))["cases"][case]
    sizes = GOLDEN[f"{case}/counts"]
    groups = facts["classes_per_batch"], facts["sample_per_class"]
    num_batches = len(GOLDEN[f"{case}/labels"])
    drawn = np.array([classes for classes, _ in batches(sizes, *groups, num_batches)])
    # Every class is visited once per round, so visits differ by at most the round under way.
    assert np.ptp(np.bincount(drawn.ravel())) <= 1
    # Where the original repeats a class inside a batch, ours does not.
    assert all(len(set(classes)) == groups[0] for classes in drawn)


def test_batch_is_a_function_of_seed_and_step():
    labels = labels_of([3, 5, 2, 7, 4])
    one, other = (samplers.ClassBalancedSampler(labels, 3, 2, seed=5) for _ in range(2))
    in_order = [one.batch(step) for step in range(50)]
    for step in np.random.default_rng(0).permutation(50):
        assert (other.batch(int(step)) == in_order[step]).all()
    different = samplers.ClassBalancedSampler(labels, 3, 2, seed=6)
    assert any((different.batch(step) != in_order[step]).any() for step in range(3))


def test_classes_come_with_equal_frequency_in_each_slot():
    slots = np.array([classes for classes, _ in batches([2] * 5, 3, 1, num_batches=3000)])
    shares = np.stack([np.bincount(slots[:, i], minlength=5) for i in range(3)]) / 3000
    # Standard error of a share of .2 over 3000 draws is below .008.
    assert np.abs(shares - 0.2).max() < 0.03


@pytest.mark.parametrize(("size", "samples_per_class"), [(3, 4), (2, 3), (3, 8), (5, 7), (1, 4)])
def test_every_group_of_a_small_class_shows_all_its_images(size, samples_per_class):
    for _, images in batches([size, 12], 2, samples_per_class, num_batches=200):
        (small,) = (group for group in images if group.max() < size)
        assert len(set(small)) == size


def test_small_classes_are_counted_and_go_round_their_images():
    labels = labels_of([1, 2, 5])
    sampler = samplers.ClassBalancedSampler(labels, 3, 4)
    assert sampler.num_small_classes == 2
    for step in range(5):
        counts = np.bincount(sampler.batch(step), minlength=8)
        assert counts[:3].tolist() == [4, 2, 2]
        assert counts[3:].max() == 1


@pytest.mark.parametrize(
    ("classes_per_batch", "samples_per_class", "name"),
    [
        (4, 2, "classes_per_batch"),
        (0, 2, "classes_per_batch"),
        (2, 6, "samples_per_class"),
        (2, 0, "samples_per_class"),
    ],
)
def test_batches_that_cannot_be_filled_are_refused(classes_per_batch, samples_per_class, name):
    with pytest.raises(ValueError, match=f"{name}.*Received"):
        samplers.ClassBalancedSampler(labels_of([5, 3, 2]), classes_per_batch, samples_per_class)


@pytest.mark.parametrize("labels", [[], [0, 2, 2]])
def test_classes_without_images_are_refused(labels):
    with pytest.raises(ValueError, match="every class"):
        samplers.ClassBalancedSampler(np.array(labels, int), 1, 1)


def test_pool_holds_different_images_of_each_class_while_there_are_enough():
    labels = labels_of([1, 3, 9])
    pool = samplers.pool_indices(labels, pool_size=5, seed=0, draw=0)
    assert (labels[pool] == np.arange(3)[:, None]).all()
    # Classes of 1, 3 and 9 images: each image once, then again; 5 of 9 without repeats.
    assert [sorted(np.unique(row, return_counts=True)[1]) for row in pool] == [
        [5],
        [1, 2, 2],
        [1] * 5,
    ]


def test_pool_is_a_function_of_seed_and_draw():
    labels = labels_of([20, 20])
    first = samplers.pool_indices(labels, 4, seed=1, draw=0)
    assert (first == samplers.pool_indices(labels, 4, seed=1, draw=0)).all()
    assert (first != samplers.pool_indices(labels, 4, seed=1, draw=1)).any()
    assert (first != samplers.pool_indices(labels, 4, seed=2, draw=0)).any()


def test_pool_of_no_images_is_refused():
    with pytest.raises(ValueError, match="pool_size"):
        samplers.pool_indices(labels_of([2]), 0, seed=0, draw=0)


def test_sampling_is_quick_at_the_size_of_sop():
    labels = labels_of([6] * 2961 + [5] * 8357)  # 59,551 images of 11,318 classes.
    start = time.process_time()
    sampler = samplers.ClassBalancedSampler(labels, 8, 4)
    assert time.process_time() - start < 1.0
    start = time.process_time()
    for step in range(300):
        sampler.batch(step)
    assert (time.process_time() - start) / 300 < 1e-3
