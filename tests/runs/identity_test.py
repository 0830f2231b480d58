"""What a function in a recipe is told by."""

import pathlib

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
