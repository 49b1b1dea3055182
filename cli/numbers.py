"""Case numbers from the command line and from files, refused here if they cannot be right."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from autos.cnj import CaseNumber, InvalidCaseNumber
from cli.errors import USAGE, CommandError


def read_number(text: str) -> CaseNumber:
    """One case number.

    Raises:
        CommandError: it cannot be one.
    """
    try:
        return CaseNumber.parse(text)
    except InvalidCaseNumber as invalid:
        raise CommandError(f"{text} is not a case number. {invalid}", USAGE) from invalid


def read_numbers(arguments: Iterable[str], file: Path | None) -> list[CaseNumber]:
    """The numbers of the arguments, then those of the file, each once.

    A line of the file holds one number; `#` begins a comment. `-` is standard input.

    Raises:
        CommandError: there is none, or some cannot be right; it names all of these.
    """
    found: dict[CaseNumber, None] = {}
    wrong: list[str] = []
    for place, text in [("", text) for text in arguments] + list(_lines(file)):
        try:
            found[read_number(text)] = None
        except CommandError as refused:
            wrong.append(f"{place}{refused}")
    if wrong:
        raise CommandError("\n".join(wrong), USAGE)
    if not found:
        raise CommandError("Name a case number, or a file of them with --file.", USAGE)
    return list(found)


def _lines(file: Path | None) -> Iterator[tuple[str, str]]:
    if file is None:
        return
    try:
        content = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as unreadable:
        raise CommandError(f"{file} cannot be read: {unreadable}", USAGE) from unreadable
    for line, text in enumerate(content.splitlines(), start=1):
        number = text.partition("#")[0].strip()
        if number:
            yield f"{file}, line {line}: ", number
