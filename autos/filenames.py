"""The file name of a document: the court's name, with an extension that fits its content type.

The table has every type that `autos.source` detects, so that names do not depend on the type tables
of the machine.
"""

import mimetypes
from functools import lru_cache
from typing import Final

DEFAULT_TYPE: Final = "application/octet-stream"
"""The type of unknown content; any extension fits it."""

_OFFICE: Final = "application/vnd.openxmlformats-officedocument"
_OPEN: Final = "application/vnd.oasis.opendocument"

_ENDINGS: Final[dict[str, tuple[str, ...]]] = {
    "application/pdf": (".pdf",),
    "text/html": (".html", ".htm", ".xhtml", ".mht", ".mhtml"),
    "text/plain": (".txt", ".log", ".md", ".eml", ".mht", ".mhtml", ".ics", ".vcf", ".ofx", ".srt"),
    "text/csv": (".csv",),
    "application/json": (".json",),
    "application/xml": (".xml", ".xsl", ".xsd", ".rdf", ".kml", ".gpx", ".svg", ".xhtml"),
    "message/rfc822": (".eml", ".mht", ".mhtml"),
    "application/rtf": (".rtf",),
    "text/rtf": (".rtf",),
    "text/richtext": (".rtf",),
    "application/xhtml+xml": (".xhtml", ".html", ".htm"),
    "text/xml": (".xml",),
    "application/msword": (".doc", ".dot"),
    "application/vnd.ms-excel": (".xls",),
    "application/vnd.ms-powerpoint": (".ppt", ".pps"),
    "application/vnd.ms-outlook": (".msg",),
    f"{_OFFICE}.wordprocessingml.document": (".docx", ".docm", ".dotx"),
    f"{_OFFICE}.spreadsheetml.sheet": (".xlsx", ".xlsm"),
    f"{_OFFICE}.presentationml.presentation": (".pptx", ".pptm", ".ppsx"),
    f"{_OPEN}.text": (".odt",),
    f"{_OPEN}.spreadsheet": (".ods",),
    f"{_OPEN}.presentation": (".odp",),
    f"{_OPEN}.graphics": (".odg",),
    "application/zip": (".zip", ".jar", ".kmz", ".epub", ".ofd"),
    "application/gzip": (".gz", ".tgz"),
    "application/vnd.rar": (".rar",),
    "application/x-7z-compressed": (".7z",),
    "application/pkcs7-signature": (".p7s", ".p7m"),
    "application/pkcs7-mime": (".p7m", ".p7s"),
    "image/png": (".png",),
    "image/jpeg": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "image/gif": (".gif",),
    "image/tiff": (".tif", ".tiff"),
    "image/bmp": (".bmp", ".dib"),
    "image/webp": (".webp",),
    "image/svg+xml": (".svg",),
    "image/heic": (".heic", ".heif"),
    "image/avif": (".avif",),
    "audio/mpeg": (".mp3", ".mp2", ".mpga"),
    "audio/ogg": (".ogg", ".oga", ".opus", ".spx"),
    "audio/wav": (".wav",),
    "audio/mp4": (".m4a", ".mp4"),
    "audio/webm": (".weba", ".webm"),
    "audio/amr": (".amr",),
    "audio/aac": (".aac",),
    "audio/flac": (".flac",),
    "video/mp4": (".mp4", ".m4v", ".m4a", ".mov", ".3gp"),
    "video/quicktime": (".mov", ".qt"),
    "video/webm": (".webm", ".mkv"),
    "video/x-matroska": (".mkv",),
    "video/x-msvideo": (".avi",),
    "video/3gpp": (".3gp", ".3gpp"),
    "video/mpeg": (".mpg", ".mpeg", ".mpe"),
    "video/ogg": (".ogv", ".ogg"),
    "video/x-ms-wmv": (".wmv", ".asf", ".wma"),
}
"""The extensions that fit a type, the usual one first."""

_MADE_OF: Final[dict[str, tuple[str, ...]]] = {
    "text/plain": ("text/csv", "text/html", "application/json", "application/xml"),
    "application/xml": ("text/html",),
    "application/zip": (
        *(kind for kind in _ENDINGS if kind.startswith((_OFFICE, _OPEN))),
        "application/vnd.ms-excel",
    ),
    "application/msword": (
        "application/vnd.ms-excel",
        "application/vnd.ms-powerpoint",
        "application/vnd.ms-outlook",
    ),
}
"""Other types whose bytes may be detected as this one; their extensions fit, too."""

_TABLE: Final = mimetypes.MimeTypes()
"""The table of the standard library, without the machine's, for other types."""


def filename(name: str, content_type: str | None) -> str:
    """The name, with the usual extension of the type appended unless it has one that fits.

    An extension that does not fit is kept, before the appended one.
    """
    fitting = _fitting(content_type or DEFAULT_TYPE)
    return name if not fitting or name.lower().endswith(fitting) else name + fitting[0]


def ending(content_type: str | None) -> str:
    """The usual extension of a type, with its dot; empty if any fits."""
    return next(iter(_fitting(content_type or DEFAULT_TYPE)), "")


@lru_cache(maxsize=256)
def _fitting(content_type: str) -> tuple[str, ...]:
    if content_type == DEFAULT_TYPE:
        return ()
    if (own := _ENDINGS.get(content_type)) is None:
        return tuple(sorted(_TABLE.guess_all_extensions(content_type)))
    others = (ending for kind in _MADE_OF.get(content_type, ()) for ending in _ENDINGS[kind])
    return tuple(dict.fromkeys((*own, *others)))
