"""CNJ case numbers: parse, check, format, and find the court.

A case number is 20 digits, written `NNNNNNN-DD.AAAA.J.TR.OOOO`: sequence, check digits,
year, segment of justice, court, unit of origin (CNJ Resolution 65/2008; TRF6 by Resolution
477/2022). Two public libraries swap Mato Grosso and Minas Gerais, Sergipe and São Paulo, or STJ and
CNJ. Does not promise that a valid number belongs to a case that exists.
"""

import re
from dataclasses import dataclass
from typing import Final, Self

_MASKED: Final = re.compile(r"(\d{7})-(\d{2})\.(\d{4})\.(\d)\.(\d{2})\.(\d{4})", re.ASCII)
_BARE: Final = re.compile(r"(\d{7})(\d{2})(\d{4})(\d)(\d{2})(\d{4})", re.ASCII)

_STATES: Final = (
    "AC AL AP AM BA CE DF ES GO MA MT MS MG PA PB PR PE PI RJ RN RS RO RR SC SE SP TO".split()
)


def _courts() -> dict[tuple[int, int], str]:
    courts = {(1, 0): "STF", (2, 0): "CNJ", (3, 0): "STJ", (4, 90): "CJF"}
    courts |= {(4, court): f"TRF{court}" for court in range(1, 7)}
    courts |= {(5, 0): "TST", (5, 90): "CSJT"}
    courts |= {(5, court): f"TRT{court}" for court in range(1, 25)}
    courts |= {(6, 0): "TSE", (7, 0): "STM"}
    courts |= {(7, court): f"CJM{court}" for court in range(1, 13)}
    for court, state in enumerate(_STATES, start=1):
        courts[6, court] = f"TRE-{state}"
        courts[8, court] = "TJDFT" if state == "DF" else f"TJ{state}"
    courts |= {(9, 13): "TJMMG", (9, 21): "TJMRS", (9, 26): "TJMSP"}
    return courts


SEGMENTS: Final[dict[int, str]] = {
    1: "SUPREMO_TRIBUNAL_FEDERAL",
    2: "CONSELHO_NACIONAL_JUSTICA",
    3: "SUPERIOR_TRIBUNAL_JUSTICA",
    4: "JUSTICA_FEDERAL",
    5: "JUSTICA_TRABALHO",
    6: "JUSTICA_ELEITORAL",
    7: "JUSTICA_MILITAR_UNIAO",
    8: "JUSTICA_ESTADUAL",
    9: "JUSTICA_MILITAR_ESTADUAL",
}
COURTS: Final[dict[tuple[int, int], str]] = _courts()


class InvalidCaseNumber(ValueError):
    """The text is not a valid CNJ case number; the message says why and what to do."""


def check_digits(sequence: int, year: int, segment: int, court: int, origin: int) -> int:
    """The check digits (2 to 98) of a number's other parts, by ISO 7064 mod 97-10."""
    return 98 - int(f"{sequence:07}{year:04}{segment:01}{court:02}{origin:04}00") % 97


@dataclass(frozen=True, slots=True)
class CaseNumber:
    """A valid case number. Create it with `parse` or `build`, which check it."""

    digits: str
    """The 20 digits without punctuation."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a masked or a bare number.

        Raises:
            InvalidCaseNumber: wrong format, wrong check digits, or no such segment or court.
        """
        stripped = text.strip()
        match = _MASKED.fullmatch(stripped) or _BARE.fullmatch(stripped)
        if match is None:
            raise InvalidCaseNumber(
                "A case number has 20 digits, bare or written NNNNNNN-DD.AAAA.J.TR.OOOO."
            )
        sequence, check, year, segment, court, origin = (int(part) for part in match.groups())
        if check != (expected := check_digits(sequence, year, segment, court, origin)):
            raise InvalidCaseNumber(
                f"The check digits are {check:02}, but the other digits require {expected:02}: "
                "look for a typing error in the number."
            )
        if segment not in SEGMENTS:
            raise InvalidCaseNumber(f"There is no segment of justice {segment}.")
        if (segment, court) not in COURTS:
            raise InvalidCaseNumber(f"There is no court {segment}.{court:02}.")
        return cls("".join(match.groups()))

    @classmethod
    def build(cls, sequence: int, year: int, segment: int, court: int, origin: int) -> Self:
        """Put a number together from its parts, computing the check digits.

        Raises:
            InvalidCaseNumber: no such segment or court, or a part has too many digits.
        """
        check = check_digits(sequence, year, segment, court, origin)
        return cls.parse(f"{sequence:07}{check:02}{year:04}{segment:01}{court:02}{origin:04}")

    def is_written(self, text: str) -> bool:
        """True if the text is this number, masked or bare; for replies and stored addresses."""
        return text.strip() in (self.digits, self.masked)

    @property
    def masked(self) -> str:
        """The number as people write it, `NNNNNNN-DD.AAAA.J.TR.OOOO`."""
        d = self.digits
        return f"{d[:7]}-{d[7:9]}.{d[9:13]}.{d[13]}.{d[14:16]}.{d[16:]}"

    @property
    def year(self) -> int:
        """The year the case was first filed."""
        return int(self.digits[9:13])

    @property
    def segment(self) -> str:
        """The segment of justice, as PDPJ names it (docs/source.md#listings)."""
        return SEGMENTS[int(self.digits[13])]

    @property
    def court(self) -> str:
        """The court's short name, such as `TRF3` or `TJSP`."""
        return COURTS[int(self.digits[13]), int(self.digits[14:16])]

    def __str__(self) -> str:
        return self.masked
