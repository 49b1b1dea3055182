"""Finds a file's media type by its first bytes, and compares it with the listed type.

Declared types are sometimes missing or wrong (docs/source.md#documents), so a declared type only
decides between types with the same first bytes. The rest of the file is not checked.
"""

import re
from typing import Final

OCTET_STREAM: Final = "application/octet-stream"
DOCX: Final = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
PPTX: Final = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
PDF: Final = "application/pdf"

_MAGIC: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"BM", "image/bmp"),
    (b"{\\rtf", "application/rtf"),
    (b"ID3", "audio/mpeg"),
    (b"#!AMR", "audio/amr"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"\x1aE\xdf\xa3", "video/webm"),
    (b"\x00\x00\x01\xba", "video/mpeg"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video/x-ms-wmv"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"\x1f\x8b\x08", "application/gzip"),
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
_BRANDS: Final[dict[bytes, str]] = {
    b"M4A": "audio/mp4",
    b"hei": "image/heic",
    b"mif": "image/heic",
    b"avi": "image/avif",
    b"3gp": "video/3gpp",
    b"qt ": "video/quicktime",
}
"""The beginning of the brand in an ISO base media file (ISO 14496-12)."""
_ALIKE: Final[dict[str, frozenset[str]]] = {
    "application/msword": frozenset({"application/vnd.ms-excel", "application/vnd.ms-powerpoint"}),
    "application/zip": frozenset({DOCX, XLSX, PPTX}),
    "audio/ogg": frozenset({"video/ogg"}),
    "video/mp4": frozenset({"audio/mp4", "video/3gpp", "video/quicktime"}),
    "video/webm": frozenset({"video/x-matroska", "audio/webm"}),
    "text/plain": frozenset({"text/csv", "text/xml", "application/xml", "application/json"}),
}
"""Types whose first bytes are the same as those of the key: here the declared type decides."""

_FAMILIES: Final[dict[str, frozenset[str]]] = {
    "pdf": frozenset({PDF, "application/x-pdf"}),
    "markup": frozenset({"text/html", "text/xml", "application/xml", "application/xhtml+xml"}),
    "text": frozenset({"application/json", "message/rfc822"}),
    "office": frozenset(
        {
            *(DOCX, XLSX, PPTX, "application/rtf", "text/rtf", "text/richtext"),
            *("application/msword", "application/vnd.ms-excel", "application/vnd.ms-powerpoint"),
            *("application/zip", "application/x-zip-compressed", "application/vnd.rar"),
            *("application/x-rar-compressed", "application/x-7z-compressed", "application/gzip"),
        }
    ),
    "signature": frozenset(
        {
            *("application/pkcs7-signature", "application/x-pkcs7-signature"),
            *("application/pkcs7-mime", "application/x-pkcs7-mime"),
        }
    ),
}
_FAMILY: Final = {kind: family for family, kinds in _FAMILIES.items() for kind in kinds}
_FAMILY_BY_BEGINNING: Final = (
    ("application/vnd.oasis.opendocument", "office"),
    ("image/", "image"),
    ("audio/", "recording"),
    ("video/", "recording"),
    ("text/", "text"),
)

_SIGNED_DATA: Final = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"
"""The object identifier of PKCS #7 signedData (RFC 5652 §5.1), as a P7S file carries it."""

_BEFORE_ROOT: Final = ((b"<?", b"?>"), (b"<!--", b"-->"), (b"<!", b">"))
"""How declarations, comments and document types of XML begin and end."""
_FIELDS: Final = re.compile(
    rb"(?:[A-Za-z][A-Za-z0-9-]{0,60}:[^\r\n]*\r?\n(?:[ \t][^\r\n]*\r?\n)*){2,}"
)
_MACHINE_FIELD: Final = re.compile(
    rb"^(?:message-id|mime-version|received|return-path|delivered-to|dkim-signature):",
    re.IGNORECASE | re.MULTILINE,
)

_CONTROLS: Final = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1a\x1b"))
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


def content_type(first_bytes: bytes, *declared: str | None) -> str:
    """The media type of a file that begins with `first_bytes`; never empty.

    `declared` are the types that the source gives, the best first; parameters such as a charset are
    ignored.
    """
    found = _by_content(first_bytes)
    alike = _ALIKE.get(found, frozenset())
    return next((kind for kind in map(media_type, declared) if kind in alike), found)


def media_type(declared: str | None) -> str | None:
    """A declared type in its usual form: lower case, without parameters.

    The data lake names types as `APPLICATION_PDF`.
    """
    kind = (declared or "").partition(";")[0].strip().lower()
    if "/" not in kind:
        kind = kind.replace("_", "/", 1).replace("_", "-")
    return kind or None


def agrees(found: str, listed: str | None) -> bool:
    """True if a file of the found type may be what is listed.

    A listed type that is missing, general or unknown agrees with every file.
    """
    kind = media_type(listed)
    family = _family(kind or OCTET_STREAM)
    return kind == found or family is None or family == _family(found)


def is_readable(kind: str) -> bool:
    """True for text and markup: the forms of an error message."""
    return _family(kind) in ("text", "markup")


def is_markup(kind: str) -> bool:
    """True for HTML and XML."""
    return _family(kind) == "markup"


def _family(kind: str) -> str | None:
    beginnings = (family for start, family in _FAMILY_BY_BEGINNING if kind.startswith(start))
    return _FAMILY.get(kind) or next(beginnings, None)


def looks_like_markup(first_bytes: bytes) -> bool:
    """True for HTML and XML, fragments without a doctype included."""
    return _stripped(first_bytes)[:1] == b"<" and _is_text(first_bytes)


def _by_content(head: bytes) -> str:
    if _stripped(head).startswith(b"%PDF-"):
        return PDF
    for magic, kind in _MAGIC:
        if head.startswith(magic) and not (kind == "image/bmp" and _is_text(head)):
            return kind
    if head.startswith(_ZIP):
        return _zipped(head)
    if head.startswith(b"RIFF"):
        return _RIFF.get(head[8:12], OCTET_STREAM)
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:11], "video/mp4")
    if head[:1] == b"\xff" and len(head) > 1 and head[1] & 0xE6 == 0xE2:
        return "audio/mpeg"
    if head[:2] in (b"\xff\xf1", b"\xff\xf9"):
        return "audio/aac"
    if head[:1] == b"\x30" and _SIGNED_DATA in head[:64]:
        return "application/pkcs7-signature"
    if _is_text(head):
        return _text(head)
    # PDF readers accept a header anywhere in the first kilobyte (ISO 32000-1, annex H.3.4.1).
    return PDF if b"%PDF-" in head[:1024] else OCTET_STREAM


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
    if start.startswith(b"<"):
        root = _root(start).lower()
        if root.startswith((b"<svg", b"<svg:svg")):
            return "image/svg+xml"
        is_xml = start.startswith(b"<?xml") and not root.startswith(b"<html")
        return "application/xml" if is_xml else "text/html"
    return "message/rfc822" if _is_message(start) else "text/plain"


def _root(start: bytes) -> bytes:
    """Markup from its first element on."""
    while end := next((end for begin, end in _BEFORE_ROOT if start.startswith(begin)), None):
        start = start.partition(end)[2].lstrip()
    return start


def _is_message(start: bytes) -> bool:
    """True for an e-mail: header fields only, one of them written by machines (RFC 5322)."""
    fields = _FIELDS.match(start)
    return fields is not None and _MACHINE_FIELD.search(fields[0]) is not None


def _stripped(head: bytes) -> bytes:
    return head.removeprefix(_BYTE_ORDER_MARK).lstrip()


def _is_text(head: bytes) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    return len(head.translate(None, _CONTROLS)) == len(head)
