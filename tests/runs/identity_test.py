"""What a function in a recipe is told by."""

import dataclasses
import functools
import pathlib

import tensorflow as tf

from ccpdml import data, runs, training
from ccpdml.runs import identity

COUNT, history = 3, object()  # `history` cannot be told, and nothing below reads it.


def told(function):
    return identity.told(function, "data.load")


def test_globals_of_functions_inside_count(monkeypatch):
    def load():
        return [(lambda: COUNT)() for _ in range(2)]

    before = told(load)
    monkeypatch.setitem(globals(), "COUNT", 4)
    assert told(load) != before


def test_names_of_attributes_are_no_globals():
    def load():
        return pathlib.Path().history

    assert told(load)


def test_functions_may_call_each_other():
    def even(number):
        return number == 0 or odd(number - 1)

    def odd(number):
        return number != 0 and even(number - 1)

    assert told(even) != told(odd)


def test_sets_among_constants_are_told_in_one_order():
    values = [f"value {i}" for i in range(20)]
    assert identity._constant(frozenset(values)) == sorted(repr(repr(v)) for v in values)


def test_paths_are_told_as_text():
    assert identity.told(pathlib.Path("a/b"), "data.load") == repr("a/b")


def notebook(source):
    """The class `Mine` of a source, as a notebook would define it."""
    known = {"__name__": "__main__", "tf": tf, "dataclasses": dataclasses}
    exec(source, known)
    return known["Mine"]


def same(*sources):
    first, *others = (told(notebook(source)) for source in sources)
    return all(other == first for other in others)


def test_classes_of_a_notebook_are_told_by_what_stands_in_them():
    source = """
class Base:
    def rate(self):
        return 1

class Mine(Base, tf.keras.callbacks.Callback):
    scale = 2

    def __init__(self):
        super().__init__()
        self.twin = Mine

    @property
    def now(self):
        return 3

    @staticmethod
    def twice():
        return 4
"""
    assert same(source, source)
    for number in "1234":
        assert not same(source, source.replace(number, "9")), number
    record = """
@dataclasses.dataclass
class Mine:
    number: int = 3

    def twice(self):
        return 2 * self.number
"""
    assert same(record, record)
    assert not same(record, record.replace("3", "4"))
    assert not same(record, record.replace("2 *", "3 *"))


def test_layers_of_a_notebook_are_told_by_their_code():
    source = """
class Mine(tf.keras.layers.Layer):
    def call(self, inputs):
        return 2 * inputs
"""
    first, again, other = (
        told(notebook(text)(name="mine")) for text in (source, source, source.replace("2", "3"))
    )
    assert first == again != other


def test_where_data_lie_is_no_part_of_a_recipe():
    load = functools.partial(data.load, "folder", fold=1)
    moved = functools.partial(data.load, "folder", "/elsewhere", fold=1, skip_corrupt=True)
    assert told(load) == told(moved) == told(functools.partial(data.load, fold=1, name="folder"))
    assert told(load) != told(functools.partial(data.load, "folder", fold=2))
    assert told(load) != told(functools.partial(data.load, "folder", fold=1, script="kana"))


def test_the_values_that_a_recipe_may_leave_out_are_known():
    left_out = identity.defaults()
    assert left_out["schedule.seed"] == "0"
    assert left_out["machine.checkpoint"].endswith(".Checkpoint")
    assert "schedule.steps" not in left_out
    groups = {field.name for field in dataclasses.fields(runs.Recipe)}
    assert {name.split(".")[0] for name in left_out} == groups


def test_a_callback_is_told_as_before_callbacks_had_a_room():
    assert told(training.EarlyStopping) == "ccpdml.training.early_stopping.EarlyStopping"
