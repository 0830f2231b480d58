"""A page of search results, with the pictures in it."""

import functools
import html
import io
from pathlib import Path

from PIL import Image

from ccpdml import files
from ccpdml.reports import markup, seen

TITLE = "Search results"
BELOW = (
    "Below each image: whether it is of the query's class (where that is known), the class, the "
    "distance of the embeddings, and the name of the file."
)
PALE = "Pale images are too far from the query to say what it is."
THUMBNAIL_SIZE = 160  # Twice what is shown: screens of phones are fine.
MARKS = {True: ("right", "✓", "of the query's class"), False: ("wrong", "✗", "of another class")}


def write_page(path, queries, found, distances, right, remarks, verdicts=None):
    """Writes a page that needs no other file: each query, and the images that it found.

    Args:
        path: the page, .html.
        queries: (paths, class names, files), str [num_queries] each; a name may be "". A path is
            what is shown of an image, its file where its picture is.
        found: likewise, str [num_queries, k] each, nearest first.
        distances: float [num_queries, k].
        right: masked bool [num_queries, k]; masked where it is not known.
        remarks: sentences to say first.
        verdicts: (answer, whether it is that the query is unknown, whether each image is near
            enough), str and bool [num_queries] and bool [num_queries, k]; None if nothing is asked.
    """
    _thumbnail.cache_clear()
    sections = []
    for i, query in enumerate(zip(*queries, strict=True)):
        near = [True] * len(distances[i]) if verdicts is None else verdicts[2][i]
        images = zip(*(side[i] for side in found), distances[i], right[i], near, strict=True)
        answer = None if verdicts is None else (verdicts[0][i], verdicts[1][i])
        sections.append(_section(query, list(images), answer))
    said = [*remarks, BELOW] if verdicts is None else [*remarks, BELOW, PALE]
    body = [markup.element("h1", TITLE), markup.element("p", " ".join(said)), *sections]
    files.write_text(path, markup.document(TITLE, body, "search_page.css"))


def _section(query, found, answer):
    """A query and its images; `found` holds (path, class name, file, distance, right, near)."""
    path, name, file = query
    caption = markup.element("strong", name or "query") + _file_name(path)
    if answer is not None:
        said, is_unknown = answer
        kind = "answer unknown" if is_unknown else "answer"
        caption += markup.element("span", f"answer: {said or 'class not known'}", kind)
    items = "".join(map(_item, found))
    return f"<section>{_figure(path, file, caption)}<ol>{items}</ol></section>"


def _item(image):
    path, name, file, distance, right, near = image
    # A masked value is neither True nor False.
    kind, mark, meaning = MARKS.get(right if right in (True, False) else None, ("", "", ""))
    sign = f'<span class="mark" title="{meaning}">{mark}</span> ' if mark else ""
    caption = markup.element("span", f"{distance:.3f}", "distance") + sign + html.escape(name)
    kind = kind if near else f"{kind} far".strip()
    return f'<li class="{kind}">{_figure(path, file, caption + _file_name(path))}</li>'


def _file_name(path):
    return markup.element("span", Path(path).name, "file")


def _figure(path, file, caption):
    title = html.escape(str(path))
    source, why = _thumbnail(str(file))
    picture = f'<img src="{source}" alt="{title}">' if source else html.escape(why)
    return (
        f'<figure><div class="picture" title="{title}">{picture}</div>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


@functools.lru_cache(maxsize=1000)
def _thumbnail(file):
    """A small JPEG of an image file as an address; and why there is none, or ""."""
    if not Path(file).is_file():
        return "", "not there any more"
    try:
        picture = seen.read(file, THUMBNAIL_SIZE)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return "", "cannot be shown"
    picture.thumbnail((THUMBNAIL_SIZE, THUMBNAIL_SIZE))
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=85)
    return markup.address(data.getvalue(), "jpeg"), ""
