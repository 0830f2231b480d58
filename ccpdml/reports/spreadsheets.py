"""Tables for people as CSV files, which spreadsheets open without running what is in them."""

import csv
import io
from collections.abc import Iterable

# How a text begins that a spreadsheet takes for a formula.
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def comma_separated(columns: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    """A CSV table: str.

    Args:
        columns: heads.
        rows: values of each row. A text that a spreadsheet would take for a formula gets an
            apostrophe in front, numbers are left as they are.
    """
    return "".join(_line([_safe(value) for value in row]) for row in (columns, *rows))


def _line(row):
    text = io.StringIO()
    # The writer quotes a line's end in a cell only if lines end so.
    csv.writer(text, lineterminator="\r\n").writerow(row)
    return text.getvalue()[:-2] + "\n"


def _safe(value):
    if isinstance(value, str) and value.startswith(_FORMULAS) and not _is_number(value):
        return f"'{value}"
    return value


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True
