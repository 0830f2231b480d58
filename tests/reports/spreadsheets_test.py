"""CSV files that a spreadsheet opens without running anything."""

import pytest

from ccpdml.reports import spreadsheets


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+49 170", "'+49 170"),
        ("-a", "'-a"),
        ("@x", "'@x"),
        ("\tx", "'\tx"),
        ("\rx", '"\'\rx"'),
        ("-0.25", "-0.25"),
        ("+3", "+3"),
        (-0.25, "-0.25"),
        ("a=1", "a=1"),
        ("a,b", '"a,b"'),
        ("a\nb", '"a\nb"'),
    ],
)
def test_a_text_that_would_be_a_formula_is_quoted(value, cell):
    assert spreadsheets.comma_separated(["x", "y"], [[value, 1]]) == f"x,y\n{cell},1\n"
