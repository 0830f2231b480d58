"""Records of proxies, read back and put into words."""

import numpy as np

from ccpdml.reports import life_cycle


def write(directory, number, step, with_old=True, **arrays):
    directory.mkdir(exist_ok=True)
    given = {"step": step, "radius": np.full((3, 2), 0.5), "curve": np.array([0.9, 0.6])} | arrays
    if with_old:
        given |= {"old_moved": np.array([[0.1, 0.2]] * 3), "old_radius": np.full((3, 2), 0.7)}
        given |= {"old_curve": np.array([1.0, 0.8])}
    np.savez(directory / f"instance_{number:04d}.npz", **given)


def test_an_instance_ends_where_the_next_begins(tmp_path):
    images = np.array([[4, 5], [6, 7], [8, 8]])
    write(tmp_path, 0, 0, with_old=False, images=images)
    write(tmp_path, 1, 450)
    np.savez(tmp_path / "end.npz", step=900, moved=np.full((3, 2), 0.3))
    first, second = life_cycle.read(tmp_path)
    np.testing.assert_array_equal(first.end_curve, [1.0, 0.8])
    assert (first.born, first.ended, second.born, second.ended) == (0, 450, 450, 900)
    assert life_cycle.table([first, second]) == [
        ["0", "0", "450", "5", "0.500", "0.700", "0.150", "0.200"],
        ["1", "450", "–", "", "0.500", "", "0.300", "0.300"],
    ]
    assert first.span == "from step 0 to 450"


def test_a_run_that_goes_on_has_an_instance_without_end(tmp_path):
    write(tmp_path, 0, 0, with_old=False)
    (life,) = life_cycle.read(tmp_path)
    assert (life.ended, life.moved, life.replaced) == (None, None, False)
    assert life_cycle.table([life])[0][2] == "–"
    assert life.span == "from step 0"


def test_a_run_without_proxies_has_no_lives(tmp_path):
    assert life_cycle.read(tmp_path / "nothing") == []
