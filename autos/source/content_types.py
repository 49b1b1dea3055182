"""What a file is, told by its first bytes (facts/pdpj-api.md §7.1).

Types that the source declares are sometimes missing or wrong (plain text labelled PDF), so the
declared type only decides between types whose first bytes look alike. This module does not
promise that the rest of the file is sound.
"""

from typing import Final

OCTET_STREAM: Final = "application/octet-stream"
DOCX: Final = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
PPTX: Final = "application/vnd.openxmlformats-officedocument.presentationml.presentation"

_MAGIC: Final[tuple[tuple[bytes, str], ...]] = (
    (b"%PDF-", "application/pdf"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"BM", "image/bmp"),
    (b"{\\rtf", "application/rtf"),
    (b"ID3", "audio/mpeg"),
    (b"OggS", "audio/ogg"),
    (b"\x1aE\xdf\xa3", "video/webm"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/msword"),
)
_ZIP: Final = b"PK\x03\x04"
_ZIPPED: Final[tuple[tuple[bytes, str], ...]] = (
    (b"word/", DOCX),
    (b"xl/", XLSX),
    (b"ppt/", PPTX),
)
_RIFF: Final[dict[bytes, str]] = {
    b"WAVE": "audio/wav",
    b"AVI ": "video/x-msvideo",
    b"WEBP": "image/webp",
}
_ALIKE: Final[dict[str, frozenset[str]]] = {
    "application/msword": frozenset({"application/vnd.ms-excel", "application/vnd.ms-powerpoint"}),
    "application/zip": frozenset({DOCX, XLSX, PPTX}),
    "audio/ogg": frozenset({"video/ogg"}),
    "video/mp4": frozenset({"audio/mp4", "video/quicktime"}),
    "video/webm": frozenset({"video/x-matroska", "audio/webm"}),
    "text/plain": frozenset({"text/csv", "text/xml", "application/xml", "application/json"}),
}
"""Types whose first bytes cannot be told apart: here the declared type is believed."""

_SIGNED_DATA: Final = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"
"""The object identifier of PKCS #7 signedData (RFC 5652 §5.1), as a P7S file carries it."""

_CONTROLS: Final = frozenset(range(32)) - frozenset(b"\t\n\v\f\r\x1a\x1b")
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


def content_type(first_bytes: bytes, declared: str | None = None) -> str:
    """The media type of a file that begins with `first_bytes`; never empty.

    `declared` is the Content-Type the source sent; parameters such as a charset are ignored.
    """
    found = _by_content(first_bytes)
    wanted = (declared or "").partition(";")[0].strip().lower()
    return wanted if wanted in _ALIKE.get(found, frozenset()) else found


def looks_like_markup(first_bytes: bytes) -> bool:
    """True for HTML and XML, fragments without a doctype included."""
    return _stripped(first_bytes)[:1] == b"<" and _is_text(first_bytes)


def _by_content(head: bytes) -> str:
    # PDF readers accept a header anywhere in the first kilobyte (ISO 32000-1, annex H.3.4.1).
    if head.startswith(b"%PDF-") or (not _is_text(head[:1024]) and b"%PDF-" in head[:1024]):
        return "application/pdf"
    for magic, kind in _MAGIC:
        if head.startswith(magic) and not (kind == "image/bmp" and _is_text(head)):
            return kind
    if head.startswith(_ZIP):
        return _zipped(head)
    if head.startswith(b"RIFF"):
        return _RIFF.get(head[8:12], OCTET_STREAM)
    if head[4:8] == b"ftyp":
        return "audio/mp4" if head[8:11] == b"M4A" else "video/mp4"
    if head[:1] == b"\xff" and len(head) > 1 and head[1] & 0xE6 == 0xE2:
        return "audio/mpeg"
    if head[:1] == b"\x30" and _SIGNED_DATA in head[:64]:
        return "application/pkcs7-signature"
    if not _is_text(head):
        return OCTET_STREAM
    return _text(head)


def _zipped(head: bytes) -> str:
    # OpenDocument stores its own media type first, uncompressed (OpenDocument 1.3, part 2, §3.3).
    start = head.find(b"mimetypeapplication/vnd.oasis.opendocument.", 0, 128)
    if start >= 0:
        name = head[start + len(b"mimetype") :].split(b"PK", 1)[0]
        return name.decode("ascii", "replace")
    for folder, kind in _ZIPPED:
        if folder in head:
            return kind
    return "application/zip"


def _text(head: bytes) -> str:
    start = _stripped(head)
    if start.startswith(b"{\\rtf"):
        return "application/rtf"
    if start.startswith(b"<?xml") and b"<html" not in start[:1024].lower():
        return "application/xml"
    return "text/html" if start.startswith(b"<") else "text/plain"


def _stripped(head: bytes) -> bytes:
    return head.removeprefix(_BYTE_ORDER_MARK).lstrip()


def _is_text(head: bytes) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    return not _CONTROLS.intersection(head)
