"""Hooks of mkdocs: pages outside docs/ join the site; links to other files leave it."""

import posixpath
import re
import runpy
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parent.parent
URL = runpy.run_path(str(ROOT / "setup.py"))["PROJECT_URL"]
JOINED = {
    "README.md": "about.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}


def for_site(markdown: str, folder: str) -> str:
    """A page with the links that it needs in docs/.

    Args:
        markdown: the page.
        folder: where it is in the repository: "" or "docs".
    """

    def moved(match):
        mark, text, target = match.groups()
        path, hash_mark, anchor = target.partition("#")
        path = posixpath.normpath(posixpath.join(folder, path))
        if path in JOINED or path.startswith("docs/"):
            return f"{mark}[{text}]({JOINED.get(path, path[5:])}{hash_mark}{anchor})"
        return f"[{text}]({URL}/blob/HEAD/{path})" if URL else text

    return re.sub(r"(!?)\[([^\]]*)\]\((?!\w+:|#)([^)\s]+)\)", moved, markdown)


def on_files(files, config):
    """Adds the pages that are not in docs/."""
    for name, page in JOINED.items():
        content = for_site((ROOT / name).read_text(encoding="utf-8"), "")
        files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown, page, config, files):
    """Mends the links of a page in docs/."""
    return markdown if page.file.src_uri in JOINED.values() else for_site(markdown, "docs")
