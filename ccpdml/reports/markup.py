"""Pieces of an HTML page that needs no other file."""

import base64
import html
import re
import tempfile
from pathlib import Path

VERDICTS = {"reproduced": "good", "better": "good", "worse": "bad"}


def document(title, body, style="page.css"):
    """A page: str.

    Args:
        title: text.
        body: pieces of HTML.
        style: name of its CSS file, which lies beside this module.
    """
    css = (Path(__file__).parent / style).read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>\n{css}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def element(tag, text, kind=""):
    """One element with a text, which is escaped."""
    name = f' class="{kind}"' if kind else ""
    return f"<{tag}{name}>{html.escape(text)}</{tag}>"


def section(title, name):
    """A heading that `links` leads to."""
    return f'<h2 id="{html.escape(name)}">{html.escape(title)}</h2>'


def links(targets):
    """Links to sections of the page.

    Args:
        targets: title of a section by its name.
    """
    found = [f'<a href="#{html.escape(n)}">{html.escape(t)}</a>' for n, t in targets.items()]
    return f"<nav>{' '.join(found)}</nav>"


def table(columns, rows, kind="cards"):
    """A table that scrolls where it is too wide.

    Args:
        columns: heads, texts.
        rows: lists of texts, one for each column; a text that begins as a number stands right.
        kind: 'cards' for one whose rows become cards on a narrow page, 'cards code' for names and
            values of programs, which all stand left, 'narrow' for one that fits a narrow page.
    """
    columns = list(columns)
    kinds = [
        "code" if "code" in kind else _kind(row[i] for row in rows) for i in range(len(columns))
    ]
    head = "".join(map(element, ["th"] * len(columns), columns, kinds))
    lines = ["<tr>" + "".join(map(_cell, row, columns, kinds)) + "</tr>" for row in rows]
    return f'<div class="wide"><table class="{kind}"><tr>{head}</tr>{"".join(lines)}</table></div>'


def facts(values):
    """A list of names and values, leaving out those that are None or empty.

    Args:
        values: dict.
    """
    told = {name: str(value) for name, value in values.items() if value not in (None, "")}
    return (
        "<dl>"
        + "".join(
            f"<div>{element('dt', name)}{element('dd', value)}</div>"
            for name, value in told.items()
        )
        + "</dl>"
    )


def figures(pieces):
    """Figures beside each other where there is room."""
    return f'<div class="figures">{"".join(pieces)}</div>'


def figure(data, caption, kind=""):
    """A picture in the page.

    Args:
        data: bytes of a PNG file.
        caption: text.
        kind: 'gallery' for a picture that takes the whole width, and scrolls on a narrow page.
    """
    caption = html.escape(caption)
    picture = f'<div class="scroll"><img src="{address(data, "png")}" alt="{caption}"></div>'
    return f'<figure class="{kind}">{picture}<figcaption>{caption}</figcaption></figure>'


def address(data, kind):
    """An address that holds a picture itself.

    Args:
        data: bytes of its file.
        kind: "png" or "jpeg".
    """
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def drawn(draw, values, caption):
    """A figure that `draw(values, path)` makes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "figure.png"
        draw(values, path)
        return figure(path.read_bytes(), caption)


def _kind(texts):
    """The kind of a column: 'number' if that is what all its texts are."""
    texts = [text for text in texts if text]
    are_numbers = texts and all(text[:1] in set("+-–0123456789") for text in texts)
    return "number" if are_numbers else ""


def _cell(text, column, kind):
    content = html.escape(text)
    if column == "verdict":
        content = element("span", text, f"verdict {VERDICTS.get(text, '')}".strip())
    elif kind == "code":
        # Where a long name or path may go on in the next line.
        content = re.sub(r"([._/])(?=\w)", r"\1<wbr>", content)
    return f'<td class="{kind}" data-head="{html.escape(column)}">{content}</td>'
