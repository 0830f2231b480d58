"""Reading the text files that list the images of a benchmark."""

import csv
import io


def rows(file, num_columns, num_header_lines=0):
    """Rows of a file of blank-separated columns; several blanks count as one.

    Args:
        file: `pathlib.Path` of the file.
        num_columns: columns of every row.
        num_header_lines: lines to leave out at the top.

    Returns:
        List of lists of str.

    Raises:
        ValueError: if a row has other columns; names file and line.
    """
    lines = file.read_text(encoding="utf-8-sig").splitlines()
    found = []
    for number, line in enumerate(lines[num_header_lines:], start=num_header_lines + 1):
        if not line.strip():
            continue
        columns = line.split()
        if len(columns) != num_columns:
            raise ValueError(
                f"{file}, line {number}: expected {num_columns} columns. Received: {line!r}"
            )
        found.append(columns)
    return found


def table(file, required):
    """Rows of a CSV file with a header.

    Args:
        file: `pathlib.Path` of the file.
        required: columns that must be there and filled in every row.

    Returns:
        List of {column: value}; blanks around a value are no part of it, except of a `path`.

    Raises:
        ValueError: if it is not UTF-8, a quote is not closed, a column is there twice, or a column
            or a value is missing; names file and line.
    """
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: expected a CSV file in UTF-8. Received: {error}") from error
    with io.StringIO(text, newline="") as stream:
        # Strict: a quote that is never closed would take in all rows below it.
        reader = csv.DictReader(stream, strict=True)
        try:
            _check_columns(file, list(reader.fieldnames or ()), required)
            return [_checked(file, reader.line_num, row, required) for row in reader]
        except csv.Error as error:
            raise ValueError(
                f"{file}, line {reader.line_num}: expected values with commas between them, in "
                f'quotes (") those that hold a comma or a quote, which is written twice. '
                f"Received: {error}"
            ) from error


def _check_columns(file, names, required):
    absent = [column for column in required if column not in names]
    twice = [column for column in required if names.count(column) > 1]
    if absent or twice:
        raise ValueError(
            f"{file}: expected the columns {', '.join(required)}, each once. "
            f"Received: {', '.join(names) or 'an empty file'}"
        )


def _checked(file, line, row, required):
    """A row without blanks around its values."""
    row = {
        column: value if column == "path" or not isinstance(value, str) else value.strip()
        for column, value in row.items()
    }
    if not all(row[column] for column in required):
        raise ValueError(
            f"{file}, line {line}: expected a value in each of "
            f"{', '.join(required)}. Received: {row}"
        )
    return row


def integer(text, file, expected):
    """`text` as an int >= 1, or an error that names the file and what was expected."""
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{file}: expected {expected}, an integer from 1. Received: {text!r}")
    return int(text)
