"""A page of search results, with the pictures in it."""

import base64
import functools
import html
import io
from pathlib import Path

from PIL import Image

from ccpdml import files
from ccpdml.reports import seen

THUMBNAIL_SIZE = 160  # Twice what is shown: screens of phones are fine.
STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; color: #222; background: #fff; max-width: 76rem;
  margin: 1.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0 0 .3rem; }
p, .distance { color: #5f5f5f; }
section { display: grid; grid-template-columns: 10rem 1fr; gap: 1rem; padding: 1.2rem 0;
  border-top: 1px solid #ddd; }
ol { display: grid; grid-template-columns: repeat(auto-fill, minmax(5.4rem, 1fr)); gap: .7rem;
  list-style: none; margin: 0; padding: 0; }
figure { margin: 0; min-width: 0; }
.picture { display: flex; aspect-ratio: 1; align-items: center; justify-content: center;
  background: #f4f4f4; border: 3px solid #d9d9d9; border-radius: 4px; color: #5f5f5f;
  font-size: .8rem; text-align: center; }
.picture img { width: 100%; height: 100%; object-fit: contain; }
.right .picture { border-color: #009e73; }
.wrong .picture { border-color: #d55e00; }
.right .mark { color: #00704f; }
.wrong .mark { color: #b04a00; }
figcaption { font-size: .85rem; overflow-wrap: anywhere; margin-top: .2rem; }
.file { display: block; color: #5f5f5f; font-size: .8rem; }
.distance { font-variant-numeric: tabular-nums; float: right; margin-left: .3rem; }
@media (max-width: 40rem) {
  section { grid-template-columns: 1fr; gap: .7rem; }
  section > figure { display: grid; grid-template-columns: 6.2rem 1fr; gap: .7rem;
    align-items: center; }
}
"""
MARKS = {True: ("right", "✓", "of the query's class"), False: ("wrong", "✗", "of another class")}


def write_page(path, queries, found, distances, right, remarks):
    """Writes a page that needs no other file: each query, and the images that it found.

    Args:
        path: the page, .html.
        queries: (paths, class names, files), str [num_queries] each; a name may be "". A path is
            what is shown of an image, its file where its picture is.
        found: likewise, str [num_queries, k] each, nearest first.
        distances: float [num_queries, k].
        right: masked bool [num_queries, k]; masked where it is not known.
        remarks: sentences to say first.
    """
    _thumbnail.cache_clear()
    sections = [
        _section(
            query, list(zip(*(side[i] for side in found), distances[i], right[i], strict=True))
        )
        for i, query in enumerate(zip(*queries, strict=True))
    ]
    said = " ".join(map(html.escape, remarks))
    files.write_text(
        path,
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Search results</title><style>{STYLE}</style></head>\n<body>\n"
        f"<h1>Search results</h1>\n<p>{said} Below each image: whether it is of the query's class "
        "(where that is known), the class, the distance of the embeddings, and the name of the "
        "file.</p>\n" + "\n".join(sections) + "\n</body></html>\n",
    )


def _section(query, found):
    """A query and its images; `found` holds (path, class name, file, distance, right)."""
    path, name, file = query
    caption = f"<strong>{html.escape(name or 'query')}</strong>{_file_name(path)}"
    items = "".join(map(_item, found))
    return f"<section>{_figure(path, file, caption)}<ol>{items}</ol></section>"


def _item(image):
    path, name, file, distance, right = image
    # A masked value is neither True nor False.
    kind, mark, meaning = MARKS.get(right if right in (True, False) else None, ("", "", ""))
    sign = f'<span class="mark" title="{meaning}">{mark}</span> ' if mark else ""
    caption = f'<span class="distance">{distance:.3f}</span>{sign}{html.escape(name)}'
    return f'<li class="{kind}">{_figure(path, file, caption + _file_name(path))}</li>'


def _file_name(path):
    return f'<span class="file">{html.escape(Path(path).name)}</span>'


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
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode(), ""
