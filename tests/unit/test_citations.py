"""Pages, sections, files and folders that code and documentation cite exist."""

import re
from itertools import chain
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
_FOLDERS: Final = (
    *("activities", "api", "autos", "benchmarks", "cli"),
    *("migrations", "sandbox", "tests", "worker", "workflows"),
)
_FILES: Final = ("*.md", "docs/**/*.md", *(f"{folder}/**/*.py" for folder in _FOLDERS))
_CITED: Final = re.compile(r"\b(docs/[\w/.-]+\.md)(?:#([\w-]+))?")
_PATH: Final = re.compile(rf"`((?:{'|'.join(_FOLDERS)}|docs)/[\w./-]*)`")
_LINKED: Final = re.compile(r"\]\(([\w/.-]*)#([\w-]+)\)")


def sections(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    plain = (re.sub(r"[^\w\s-]", "", heading.lower()) for heading in headings)
    return {re.sub(r"\s", "-", heading.strip()) for heading in plain}


def missing(file: Path, cited: Path, anchor: str) -> list[str]:
    if cited.is_file() and (not anchor or anchor in sections(cited)):
        return []
    return [f"{file.relative_to(ROOT)} cites {cited.relative_to(ROOT)}#{anchor}"]


def test_every_cited_page_and_section_exists() -> None:
    lost: list[str] = []
    for file in chain.from_iterable(ROOT.glob(pattern) for pattern in _FILES):
        text = file.read_text()
        for path, anchor in _CITED.findall(text):
            lost += missing(file, ROOT / path, anchor)
        if file.suffix == ".md":
            for path, anchor in _LINKED.findall(text):
                page = (file.parent / path).resolve() if path else file
                lost += missing(file, page, anchor)
    assert lost == []


def test_every_cited_path_exists() -> None:
    lost = [
        f"{file.relative_to(ROOT)} cites {path}"
        for file in chain.from_iterable(ROOT.glob(pattern) for pattern in _FILES)
        for path in _PATH.findall(file.read_text())
        if not (ROOT / path).exists()
    ]
    assert lost == []
