"""Media types by the first bytes, and which listed types they agree with."""

import mimetypes

import pytest

from autos.source.replies.content_types import DOCX, XLSX, agrees, content_type, media_type


@pytest.mark.parametrize(
    ("head", "declared", "kind"),
    [
        (b"%PDF-1.7", "application/octet-stream", "application/pdf"),
        (b"\x00\x01junk %PDF-1.4", None, "application/pdf"),
        (b"\x89PNG\r\n\x1a\n\x00", None, "image/png"),
        (b"\xff\xd8\xff\xe0\x00", "application/pdf", "image/jpeg"),
        (b"GIF89a\x01", None, "image/gif"),
        (b"II*\x00", None, "image/tiff"),
        (b"{\\rtf1", "text/richtext", "application/rtf"),
        (b"PK\x03\x04\x14\x00[Content_Types].xml..word/document.xml", None, DOCX),
        (b"PK\x03\x04\x14\x00[Content_Types].xml..xl/workbook.xml", None, XLSX),
        (b"PK\x03\x04\x14\x00[Content_Types].xml", DOCX, DOCX),
        (b"PK\x03\x04\x14\x00anything", None, "application/zip"),
        (
            b"PK\x03\x04\x14\x00\x00mimetypeapplication/vnd.oasis.opendocument.textPK\x03\x04",
            None,
            "application/vnd.oasis.opendocument.text",
        ),
        (b"ID3\x04\x00", None, "audio/mpeg"),
        (b"\xff\xfb\x90\x64\x00", None, "audio/mpeg"),
        (b"\x00\x00\x00\x20ftypisom", None, "video/mp4"),
        (b"\x00\x00\x00\x20ftypM4A ", None, "audio/mp4"),
        (b"OggS\x00", None, "audio/ogg"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", None, "audio/wav"),
        (b"<div style='x'>", "application/pdf", "text/html"),
        (b"\xef\xbb\xbf<p>", None, "text/html"),
        (b"<svg xmlns='x'/>", "text/html", "image/svg+xml"),
        (b"<?xml version='1.0'?>\n<!DOCTYPE svg PUBLIC 'x'>\n<svg/>", None, "image/svg+xml"),
        (b"From: a@b\r\nMIME-Version: 1.0\r\n\r\n", "text/plain", "message/rfc822"),
        (b"Message-ID: <1@x>\nReceived: by x\n\ty\n\n", None, "message/rfc822"),
        (b"De: A\nPara: B\nAssunto: x\n\n", None, "text/plain"),
        (b"\xef\xbb\xbf\r\n%PDF-1.4 ", None, "application/pdf"),
        (b"\x00\x00\x00\x20ftypheic", None, "image/heic"),
        (b"\x00\x00\x00\x20ftypqt  ", None, "video/quicktime"),
        (b"#!AMR\n", None, "audio/amr"),
        (b"Rar!\x1a\x07\x01\x00", None, "application/vnd.rar"),
        (b"<?xml version='1.0'?><nfe/>", None, "application/xml"),
        ("Certidão".encode(), "application/pdf", "text/plain"),
        ("Certidão".encode("latin-1"), "text/csv", "text/csv"),
        (b"BM em anexo", None, "text/plain"),
        (
            b"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0",
            None,
            "application/pkcs7-signature",
        ),
        (
            b"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0%PDF-1.4",
            None,
            "application/pkcs7-signature",
        ),
        (b"PK\x03\x04\x14\x00\x00x.pdf%PDF-1.4", None, "application/zip"),
        (b"\x00\x01\x02\x03", "application/pdf", "application/octet-stream"),
    ],
)
def test_type_by_the_first_bytes(head: bytes, declared: str | None, kind: str) -> None:
    assert content_type(head, declared) == kind


@pytest.mark.parametrize(
    ("listed", "kind"),
    [
        ("APPLICATION_PDF", "application/pdf"),
        ("TEXT_HTML", "text/html"),
        ("APPLICATION_OCTET_STREAM", "application/octet-stream"),
        ("Text/HTML; charset=utf-8", "text/html"),
        ("", None),
        (None, None),
    ],
)
def test_declared_types_are_normalised(listed: str | None, kind: str | None) -> None:
    """(S14) The data lake uses enumeration names."""
    assert media_type(listed) == kind


@pytest.mark.parametrize(
    ("found", "listed", "expected"),
    [
        ("application/pdf", "application/pdf", True),
        ("application/pdf", "APPLICATION_PDF", True),
        ("application/pdf", None, True),
        ("application/pdf", "application/octet-stream", True),
        ("application/pdf", "application/x-unknown", True),
        ("application/pdf", "text/html", False),
        ("text/html", "application/pdf", False),
        ("text/plain", "application/pdf", False),
        ("text/plain", "text/html", False),
        ("application/octet-stream", "application/pdf", False),
        ("application/rtf", "text/richtext", True),
        ("application/zip", DOCX, True),
        ("image/jpeg", "image/png", True),
        ("audio/ogg", "video/ogg", True),
        ("image/svg+xml", "image/svg+xml", True),
    ],
)
def test_which_types_agree(found: str, listed: str | None, expected: bool) -> None:
    assert agrees(found, listed) is expected


@pytest.mark.parametrize(
    ("kind", "ending"), [("image/svg+xml", ".svg"), ("message/rfc822", ".eml")]
)
def test_images_and_emails_have_one_extension(kind: str, ending: str) -> None:
    """(S15) E-mails are recognised by their content."""
    assert ending in mimetypes.guess_all_extensions(kind)
