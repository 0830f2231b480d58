"""What every rule that picks proxies must be: the functions of `coreset` that gin knows."""

import inspect

import gin
import numpy as np
import pytest
import tensorflow as tf

from ccpdml.ops import coreset

RNG = np.random.default_rng(0)
POOL = RNG.normal(size=(3, 6, 4)).astype(np.float32)
SEEDS = RNG.normal(size=(3, 2, 4)).astype(np.float32)
RULES = [
    rule
    for name, rule in inspect.getmembers(coreset, inspect.isfunction)
    if list(inspect.signature(rule).parameters)[:3] == ["pool", "seeds", "num_picks"]
    and not name.startswith("_")
]
HOSTILE = {
    "ordinary": (POOL, SEEDS),
    "one point": (np.ones_like(POOL), SEEDS),
    "zeros": (np.zeros_like(POOL), np.zeros_like(SEEDS)),
    "every point twice": (np.concatenate([POOL[:, :3]] * 2, axis=1), SEEDS),
    "seeds of the pool": (POOL, POOL[:, :2]),
    "huge": (1e18 * POOL, 1e18 * SEEDS),
    "tiny": (1e-18 * POOL, 1e-18 * SEEDS),
    "half precision": (POOL.astype(np.float16), SEEDS.astype(np.float16)),
    "one entry": (POOL[..., :1], SEEDS[..., :1]),
}
COINCIDE = ("one point", "zeros", "every point twice", "seeds of the pool")

each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)


def test_all_are_known_to_gin():
    assert len(RULES) >= 3
    for rule in RULES:
        assert gin.config._REGISTRY.matching_selectors(f"coreset.{rule.__name__}")


@each_rule
@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.parametrize("num_picks", [1, 6])
def test_picks_are_places_in_the_pool_and_none_twice_where_no_points_coincide(
    rule, case, num_picks
):
    pool, seeds = HOSTILE[case]
    picks = np.asarray(rule(pool, seeds, num_picks))
    assert picks.dtype == np.int32
    assert picks.shape == (3, num_picks)
    assert ((picks >= 0) & (picks < 6)).all()
    if case not in COINCIDE:
        assert all(len(set(row)) == num_picks for row in picks)


@each_rule
def test_classes_do_not_see_each_other_and_a_graph_picks_the_same(rule):
    picks = np.asarray(rule(POOL, SEEDS, 3))
    other = np.concatenate([POOL[:1], 9.0 * POOL[1:]])
    np.testing.assert_array_equal(np.asarray(rule(other, SEEDS, 3))[0], picks[0])
    compiled = tf.function(lambda pool, seeds: rule(pool, seeds, 3))
    np.testing.assert_array_equal(compiled(POOL, SEEDS), picks)


@each_rule
def test_there_may_be_no_seeds(rule):
    picks = np.asarray(rule(POOL, SEEDS[:, :0], 2))
    assert picks.shape == (3, 2)


@each_rule
def test_more_picks_than_points_are_refused(rule):
    with pytest.raises(ValueError, match=r"1\.\.6. Received: num_picks=7"):
        rule(POOL, SEEDS, 7)
    with pytest.raises(ValueError, match="num_classes, points, dim"):
        rule(POOL[0], SEEDS[0], 2)
