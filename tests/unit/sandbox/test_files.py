"""Generated files are valid for their format and have the requested size."""

import email
import io
import re
import struct
import wave
import zipfile
import zlib
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox import files


def check_pdf(data: bytes) -> None:
    assert data.startswith(b"%PDF-1.4\n")
    assert data.endswith(b"%%EOF\n")
    found = re.search(rb"startxref\n(\d+)\n%%EOF\n$", data)
    assert found
    table = data[int(found[1]) :]
    entries = re.findall(rb"(\d{10}) (\d{5}) ([nf]) \n", table)
    begin = re.match(rb"xref\n0 (\d+)\n", table)
    assert begin
    assert int(begin[1]) == len(entries)
    for number, (offset, _, kind) in enumerate(entries):
        if kind == b"n":
            assert data[int(offset) :].startswith(b"%d 0 obj\n" % number)
    for stream in re.finditer(rb"/Length (\d+) >>\nstream\n", data):
        assert data[stream.end() + int(stream[1]) :].startswith(b"\nendstream\nendobj\n")


@settings(max_examples=30, deadline=None)
@given(size=st.integers(1_200, 3_000_000))
def test_pdf(size: int) -> None:
    made = files.pdf("Ensaio (1)", size)
    data = made.read()
    assert len(data) == made.size == size
    check_pdf(data)


@pytest.mark.parametrize("size", [127, 3_742, 122_912])
def test_html_fragment(size: int) -> None:
    data = files.html("Ensaio", size).read()
    assert len(data) == size
    assert data.startswith(b"<div style=")
    assert data.endswith(b"</div>")
    assert b"<!doctype" not in data.lower()


def test_rtf() -> None:
    data = files.rtf("Ensaio", 9_307).read()
    assert len(data) == 9_307
    assert data.startswith(b"{\\rtf1")
    assert data.count(b"{") == data.count(b"}")


def test_docx() -> None:
    with zipfile.ZipFile(io.BytesIO(files.docx("Ensaio 7").read())) as archive:
        assert archive.testzip() is None
        parts = {name: ElementTree.fromstring(archive.read(name)) for name in archive.namelist()}
    assert "".join(parts["word/document.xml"].itertext()) == "Ensaio 7"
    assert "[Content_Types].xml" in parts


def test_png() -> None:
    data = files.png("Ensaio", side=16).read()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    at, pixels, kinds = 8, b"", []
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        (check,) = struct.unpack_from(">I", data, at + 8 + length)
        assert check == zlib.crc32(kind + body)
        kinds.append(kind)
        pixels += body if kind == b"IDAT" else b""
        at += 12 + length
    assert (kinds[0], kinds[-1]) == (b"IHDR", b"IEND")
    assert len(zlib.decompress(pixels)) == 16 * 17


def test_jpeg() -> None:
    data = files.jpeg("Ensaio").read()
    assert data.startswith(b"\xff\xd8")
    assert data.endswith(b"\xff\xd9")
    at, markers = 2, []
    while data[at + 1] != 0xDA:
        marker, length = struct.unpack_from(">HH", data, at)
        markers.append(marker)
        at += 2 + length
    assert markers == [0xFFE0, 0xFFFE, 0xFFDB, 0xFFC0, 0xFFC4, 0xFFC4]


def test_large_content_is_streamed_in_blocks() -> None:
    made = files.pdf("Grande", 5_000_000)
    chunks = list(made.chunks())
    assert max(len(chunk) for chunk in chunks) <= 512 * 1024
    assert sum(len(chunk) for chunk in chunks) == 5_000_000
    check_pdf(b"".join(chunks))


def test_media_are_what_they_say() -> None:
    with wave.open(io.BytesIO(files.wav("Ensaio 1", 80_000).read())) as heard:
        assert (heard.getframerate(), heard.getnchannels()) == (8_000, 1)
        assert heard.getnframes() > 79_000
    mp3 = files.mp3("Ensaio", 60_000).read()
    first = mp3.index(b"\xff\xfb\x90")
    assert mp3.startswith(b"ID3")
    assert (len(mp3) - first) % 417 == 0
    movie = files.mp4("Ensaio", 50_000).read()
    assert len(movie) == 50_000
    place, kinds = 0, []
    while place < len(movie):
        (length,) = struct.unpack(">I", movie[place : place + 4])
        kinds.append(movie[place + 4 : place + 8])
        place += length
    assert (place, kinds) == (len(movie), [b"ftyp", b"moov", b"free", b"free"])


def test_drawing_letter_and_archive() -> None:
    root = ElementTree.fromstring(files.svg("Ensaio").read())
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    letter = email.message_from_bytes(files.mail("Ensaio").read())
    assert letter["Subject"] == "Ensaio"
    with zipfile.ZipFile(io.BytesIO(files.archive("Ensaio").read())) as archive:
        assert archive.read("leia-me.txt") == b"Ensaio"
