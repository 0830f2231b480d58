"""What the pages for readers consist of: blocks of code, commands, links."""

import dataclasses
import re
import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

NOT_RUN = re.compile(r"<!-- not run: (.+) -->")
RUN_BY = re.compile(r"<!-- run by (\S+) -->")
HEADING = re.compile(r"(#+) (.*)")


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block of code.

    Attributes:
        page: its page, Path.
        line: number of its first line.
        language: what is written behind the fence.
        text: its lines.
        not_run: why it is not run, said in a comment right before it; or "".
        run_by: the test file that runs it, said in a comment of its section; or "".
    """

    page: Path
    line: int
    language: str
    text: str
    not_run: str
    run_by: str

    def __str__(self):
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page):
    """The fenced blocks of a page, in order."""
    found, text, before, run_by = [], None, "", ""
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        if text is None and line.startswith("```"):
            language, text, first = line[3:].strip(), [], number + 1
        elif text is not None and line.startswith("```"):
            reason = NOT_RUN.fullmatch(before)
            reason = reason[1] if reason else ""
            found.append(Block(page, first, language, "\n".join(text) + "\n", reason, run_by))
            text, before = None, ""
        elif text is not None:
            text.append(line)
        elif line.strip():
            if HEADING.match(line):
                run_by = ""
            owner = RUN_BY.fullmatch(line)
            run_by, before = owner[1] if owner else run_by, line
    return found


def prose(page):
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```\n", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def inline_code(page):
    """What stands between backticks, on one line each."""
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose(page))]


def commands(page, shown_only=False):
    """Every command that starts a program of this repository: lists of words.

    Args:
        page: the page.
        shown_only: whether to leave out the blocks that are run.
    """
    fenced = [block for block in blocks(page) if block.language == "sh"]
    fenced = [block for block in fenced if block.not_run or not shown_only]
    lines = [line for block in fenced for line in split(block.text)]
    for line in lines + inline_code(page):
        line = as_program(line)
        if re.search(r"python\S* (experiments|examples|docs)/\w+", line):
            yield shlex.split(line.split("||")[0], comments=True)


def as_program(line):
    """A command; `ccpdml cross-validate ...` as that of the program which it starts."""

    def started(match):
        return f"python experiments/{match[2].replace('-', '_')}.py"

    return re.sub(r"^(\S*/)?ccpdml ([a-z][a-z-]*)", started, line)


def split(text):
    """The commands of a block: lines, joined where they end in a backslash."""
    return [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def links(page):
    """What a page links to: pairs (path, anchor) of files; addresses are left out."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" not in target:
            path, _, anchor = target.partition("#")
            yield (page.parent / path).resolve() if path else page, anchor


def anchors(page):
    """The anchors that a forge gives to the headings of a page."""
    titles = [
        HEADING.fullmatch(line)[2] for line in prose(page).splitlines() if HEADING.match(line)
    ]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
