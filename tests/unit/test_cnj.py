"""Case numbers: valid ones are parsed, invalid ones rejected with a reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autos.cnj import COURTS, CaseNumber, InvalidCaseNumber

# Numbers with known valid check digits.
KNOWN = [
    ("9990001-21.2024.4.03.6100", "TRF3", "JUSTICA_FEDERAL"),
    ("9990002-86.2024.8.26.0100", "TJSP", "JUSTICA_ESTADUAL"),
    ("9990003-60.2025.4.01.3400", "TRF1", "JUSTICA_FEDERAL"),
    ("9990004-22.2025.8.11.0041", "TJMT", "JUSTICA_ESTADUAL"),
    ("9990005-02.2023.5.02.0001", "TRT2", "JUSTICA_TRABALHO"),
    ("9990006-75.2024.3.00.0000", "STJ", "SUPERIOR_TRIBUNAL_JUSTICA"),
]

numbers = st.builds(
    lambda sequence, year, court, origin: CaseNumber.build(
        sequence, year, court[0], court[1], origin
    ),
    st.integers(0, 9_999_999),
    st.integers(1900, 2100),
    st.sampled_from(sorted(COURTS)),
    st.integers(0, 9999),
)


@pytest.mark.parametrize(("text", "court", "segment"), KNOWN)
def test_known_numbers_are_parsed_with_their_court(text: str, court: str, segment: str) -> None:
    number = CaseNumber.parse(text)
    assert (number.masked, number.court, number.segment) == (text, court, segment)


@pytest.mark.parametrize(
    ("segment", "court", "name"),
    [
        (8, 11, "TJMT"),
        (8, 13, "TJMG"),
        (8, 25, "TJSE"),
        (8, 26, "TJSP"),
        (8, 7, "TJDFT"),
        (6, 7, "TRE-DF"),
        (2, 0, "CNJ"),
        (3, 0, "STJ"),
        (4, 6, "TRF6"),
        (4, 90, "CJF"),
        (9, 26, "TJMSP"),
    ],
)
def test_courts_that_public_libraries_confuse_are_correct(
    segment: int, court: int, name: str
) -> None:
    assert CaseNumber.build(9990001, 2024, segment, court, 1).court == name


@given(numbers)
def test_masked_and_bare_forms_are_equal(number: CaseNumber) -> None:
    assert CaseNumber.parse(number.masked) == number == CaseNumber.parse(f" {number.digits}\n")
    digits = number.digits
    # The definition of the resolution, independent of the formula in the code.
    assert int(digits[:7] + digits[9:] + digits[7:9]) % 97 == 1
    assert 2 <= int(digits[7:9]) <= 98


@given(numbers, st.integers(0, 19), st.integers(1, 9))
def test_one_wrong_digit_is_always_rejected(number: CaseNumber, place: int, change: int) -> None:
    digit = (int(number.digits[place]) + change) % 10
    with pytest.raises(InvalidCaseNumber):
        CaseNumber.parse(number.digits[:place] + str(digit) + number.digits[place + 1 :])


@given(st.text(max_size=30))
def test_any_text_is_parsed_or_rejected(text: str) -> None:
    try:
        number = CaseNumber.parse(text)
    except InvalidCaseNumber:
        return
    assert text.strip() in (number.masked, number.digits)
    assert number.is_written(text)


def test_a_number_recognizes_its_own_spellings_only() -> None:
    number = CaseNumber.parse("9990001-21.2024.4.03.6100")
    assert all(number.is_written(text) for text in (number.masked, f" {number.digits}\n"))
    others = ("", "9990002-86.2024.8.26.0100", "9990001212024.4.03.6100", number.digits[:19])
    assert not any(number.is_written(text) for text in others)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("9990001-22.2024.4.03.6100", "check digits are 22.*require 21"),
        ("9990001-21.2024.4.03.610", "20 digits"),
        ("٩990001-21.2024.4.03.6100", "20 digits"),
        ("9990001-65.2024.0.03.6100", "segment of justice 0|check digits"),
    ],
)
def test_rejection_has_a_reason(text: str, word: str) -> None:
    with pytest.raises(InvalidCaseNumber, match=word):
        CaseNumber.parse(text)


def test_unknown_court_is_rejected() -> None:
    with pytest.raises(InvalidCaseNumber, match=r"no court 4\.07"):
        CaseNumber.build(9990001, 2024, 4, 7, 1)
