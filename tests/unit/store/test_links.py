"""Links: their lifetime, their cost, and file names (RFC 6266; failure F44)."""

import time
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autos.settings import Settings
from autos.store.links import REUSE_SECONDS, attachment
from autos.store.objects import Store
from tests.unit.store.conftest import UNUSED_HTTP, saved_name


class Clock:
    def __init__(self) -> None:
        self.at = 1_000_000.0 * REUSE_SECONDS

    def __call__(self) -> float:
        return self.at


def store(clock: Clock, **changes: object) -> Store:
    settings = Settings.model_validate(
        {
            "s3_endpoint": "http://s3.internal:9000",
            "s3_bucket": "autos",
            "s3_access_key_id": "AKID",
            "s3_secret_access_key": "secret",
        }
        | changes
    )
    return Store(settings, UNUSED_HTTP, clock)


def seconds(link: str) -> int:
    return int(parse_qs(urlsplit(link).query)["X-Amz-Expires"][0])


def test_link_is_reused_and_valid_for_the_minimum_time() -> None:
    clock = Clock()
    links = store(clock)
    first = links.link("k", "a.pdf", "application/pdf")
    assert seconds(first) == 3600 + REUSE_SECONDS
    clock.at += REUSE_SECONDS - 1
    assert links.link("k", "a.pdf", "application/pdf") is first
    assert links.link("k", "b.pdf", "application/pdf") != first
    clock.at += 1
    assert links.link("k", "a.pdf", "application/pdf") is not first


def test_every_process_creates_the_same_link() -> None:
    """(S29) So the ETag of a status is stable behind a load balancer."""
    clocks = Clock(), Clock()
    clocks[1].at += REUSE_SECONDS - 1
    one, other = (store(clock).link("k", "a.pdf", "application/pdf") for clock in clocks)
    assert one == other


def test_link_is_valid_for_at_most_seven_days() -> None:
    links = store(Clock(), link_ttl=604_800)
    assert seconds(links.link("k", "a.pdf", "application/pdf")) == 604_800


def test_link_uses_the_public_endpoint() -> None:
    links = store(Clock(), s3_public_endpoint="https://files.example")
    assert links.link("k", "a", "t").startswith("https://files.example/autos/k?")
    assert store(Clock()).link("k", "a", "t").startswith("http://s3.internal:9000/autos/k?")


@pytest.mark.parametrize("region", ["us-east-1", "sa-east-1"])
def test_aws_is_addressed_by_bucket_and_region(region: str) -> None:
    link = store(Clock(), s3_endpoint="", s3_region=region).link("k", "a", "t")
    assert link.startswith(f"https://autos.s3.{region}.amazonaws.com/k?")
    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in link


def test_repeated_links_are_not_signed_again() -> None:
    """F44."""
    links = store(Clock())

    def mint() -> list[str]:
        return [links.link(f"processes/{n}", f"{n}.pdf", "application/pdf") for n in range(1000)]

    first = mint()
    begun = time.process_time()
    second = mint()
    assert time.process_time() - begun < 0.1
    assert all(one is other for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("Petição Inicial.pdf", "Peticao Inicial.pdf"),
        ("a/b\\c.pdf", "a_b_c.pdf"),
        ('diz "x".pdf', "diz _x_.pdf"),
        ("", "documento"),
        ("\r\nSet-Cookie: x", "Set-Cookie_ x"),
        ("日本", "documento"),
        ("..", "documento"),
        ("日本.pdf", "documento.pdf"),
        ("sem extensao", "sem extensao"),
        ("x" * 400 + ".html", "x" * 146 + ".html"),
    ],
)
def test_plain_form_of_a_file_name(name: str, plain: str) -> None:
    assert attachment(name).startswith(f'attachment; filename="{plain}"; filename*=')


@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp"]), max_size=250))
def test_any_file_name_is_preserved_and_safe(name: str) -> None:
    header = attachment(name)
    assert header.isascii()
    assert header.isprintable()
    assert saved_name(header) == (name.strip() or "documento")


@pytest.mark.parametrize("hidden", "\u202e\u202a\u2066\u2069\u200e\u200f\u061c\u200b\ufeff\u00ad")
def test_invisible_characters_are_removed(hidden: str) -> None:
    """(S43) A right-to-left override would show a wrong extension."""
    assert saved_name(attachment(f"peticao_{hidden}fdp.exe")) == "peticao_fdp.exe"


def test_control_characters_are_removed() -> None:
    assert saved_name(attachment("a\r\nSet-Cookie: b\x00\x85\u2028\ud800.pdf")) == (
        "aSet-Cookie: b.pdf"
    )


@given(st.text(max_size=2000))
def test_file_name_is_bounded_and_keeps_the_header_valid(name: str) -> None:
    header = attachment(name)
    assert header.isascii()
    assert header.isprintable()
    assert len(unquote(header.partition("''")[2]).encode()) <= 1000
