"""Generates small but valid files, one function for each type that the source may hold.

A file is stored as a head, a repeated filling and a tail, so a file of 300 MB needs a few kilobytes
of memory. Equal arguments give equal bytes. The files open in ordinary programs; audio and video
are silent. `label` is ASCII text that makes the bytes of a file unique. `size` is in bytes; a file
is larger if it cannot be that small.
"""

import hashlib
import io
import struct
import wave
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final

PDF: Final = "application/pdf"
HTML: Final = "text/html"
RTF: Final = "text/richtext"
DOCX: Final = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PNG: Final = "image/png"
JPEG: Final = "image/jpeg"
SVG: Final = "image/svg+xml"
TEXT: Final = "text/plain"
MAIL: Final = "message/rfc822"
WAV: Final = "audio/wav"
MP3: Final = "audio/mpeg"
MP4: Final = "video/mp4"
ZIP: Final = "application/zip"

BLOCK_BYTES: Final = 256 * 1024
_WHOLE_BYTES: Final = 1024 * 1024


@dataclass(frozen=True)
class Content:
    """A file: `head`, then `filling` repeated and cut to `filling_size` bytes, then `tail`."""

    media_type: str
    head: bytes
    filling: bytes = b" "
    filling_size: int = 0
    tail: bytes = b""

    @property
    def size(self) -> int:
        """The size in bytes."""
        return len(self.head) + self.filling_size + len(self.tail)

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 in hexadecimal; it takes about a second for a large file, once."""
        digest = hashlib.sha256()
        for chunk in self.chunks():
            digest.update(chunk)
        return digest.hexdigest()

    def read(self) -> bytes:
        """The whole file; for small files only."""
        return b"".join(self.chunks())

    def chunks(self) -> Iterator[bytes]:
        """The file in chunks: one chunk up to 1 MiB, else blocks of about 256 KiB."""
        if self.size <= _WHOLE_BYTES:
            repeats = self.filling_size // len(self.filling) + 1
            yield self.head + (self.filling * repeats)[: self.filling_size] + self.tail
            return
        yield self.head
        block = _block(self.filling)
        whole, rest = divmod(self.filling_size, len(block))
        for _ in range(whole):
            yield block
        yield block[:rest] + self.tail


@lru_cache(maxsize=16)
def _block(filling: bytes) -> bytes:
    return filling * (BLOCK_BYTES // len(filling))


_PROSE: Final = b"Texto inventado para ensaio, sem pessoa nem fato real. "


def _filled(media_type: str, head: bytes, tail: bytes, size: int) -> Content:
    return Content(media_type, head, _PROSE, max(0, size - len(head) - len(tail)), tail)


def pdf(label: str, size: int = 0) -> Content:
    """A page of text; a stream that no page refers to fills the file up."""
    shown = label.replace("\\", "").replace("(", "[").replace(")", "]")
    text = f"BT /F1 12 Tf 72 720 Td ({shown}) Tj ET"
    objects = (
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R "
        "/Resources << /Font << /F1 5 0 R >> >> >>",
        f"<< /Length {len(text)} >>\nstream\n{text}\nendstream",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    )
    head = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(head))
        head += f"{number} 0 obj\n{body}\nendobj\n".encode("ascii")
    offsets.append(len(head))
    # Numbers of fixed width, so the lengths of head and tail do not depend on their values.
    opening = "6 0 obj\n<< /Length {:010} >>\nstream\n"
    closing = b"\nendstream\nendobj\n"
    table = f"xref\n0 {len(offsets) + 1}\n0000000000 65535 f \n"
    table += "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    table += f"trailer\n<< /Size {len(offsets) + 1} /Root 1 0 R >>\nstartxref\n{{:010}}\n%%EOF\n"
    around = len(head) + len(opening.format(0)) + len(closing) + len(table.format(0))
    filling = max(0, size - around)
    head += opening.format(filling).encode("ascii")
    start = len(head) + filling + len(closing)
    tail = closing + table.format(start).encode("ascii")
    return Content(PDF, head, _PROSE, filling, tail)


def html(label: str, size: int = 0) -> Content:
    """A fragment without doctype, as PJe stores documents."""
    head = f'<div style="text-align: justify"><p>{label}</p><p>'
    return _filled(HTML, head.encode("ascii"), b"</p></div>", size)


def html_with_false_charset(label: str, size: int = 0) -> Content:
    """A fragment in UTF-8 that declares ISO-8859-1."""
    head = (
        '<meta http-equiv="Content-Type" content="text/html; charset=ISO-8859-1">'
        f"<p>{label}: intimação, petição, decisão</p><p>"
    )
    return _filled(HTML, head.encode(), b"</p>", size)


def exactly(media_type: str, body: bytes) -> Content:
    """A file with the given bytes."""
    return Content(media_type, body)


def rtf(label: str, size: int = 0) -> Content:
    """Rich text with one paragraph."""
    head = f"{{\\rtf1\\ansi\\deff0{{\\fonttbl{{\\f0 Times New Roman;}}}}\\f0\\fs24 {label}\\par "
    return _filled(RTF, head.encode("ascii"), b"\\par}", size)


def text(label: str, size: int = 0) -> Content:
    """Plain text."""
    return _filled(TEXT, f"{label}\n".encode("ascii"), b"\n", size)


def docx(label: str) -> Content:
    """A Word document with one paragraph (ECMA-376)."""
    package = "http://schemas.openxmlformats.org/package/2006"
    office = "http://schemas.openxmlformats.org/officeDocument/2006"
    word = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types">'
        '<Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/word/document.xml" ContentType="{DOCX}.main+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="rId1" '
        f'Type="{office}/relationships/officeDocument" Target="word/document.xml"/>'
        "</Relationships>",
        "word/document.xml": f'<w:document xmlns:w="{word}"><w:body><w:p><w:r><w:t>{label}'
        "</w:t></w:r></w:p></w:body></w:document>",
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, part in parts.items():
            declaration = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
            # A ZipInfo has a fixed default date, so the bytes are the same at every start.
            archive.writestr(zipfile.ZipInfo(name), declaration + part)
    return Content(DOCX, buffer.getvalue())


def png(label: str, side: int = 64) -> Content:
    """A grey square of `side` pixels; the label is the comment."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    rows = b"".join(b"\0" + bytes((x + y) % 256 for x in range(side)) for y in range(side))
    return Content(
        PNG,
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
        + chunk(b"tEXt", b"Comment\0" + label.encode("ascii"))
        # Uncompressed, because compressed bytes depend on the version of zlib.
        + chunk(b"IDAT", zlib.compress(rows, level=0))
        + chunk(b"IEND", b""),
    )


def jpeg(label: str) -> Content:
    """A grey square of 8 pixels; the label is the comment."""

    def segment(marker: int, data: bytes) -> bytes:
        return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data

    one_code_for_zero = bytes([1] + [0] * 15 + [0])
    return Content(
        JPEG,
        b"\xff\xd8"
        + segment(0xE0, b"JFIF\0" + struct.pack(">HBHHBB", 0x0101, 0, 1, 1, 0, 0))
        + segment(0xFE, label.encode("ascii"))
        + segment(0xDB, b"\0" + b"\1" * 64)
        + segment(0xC0, struct.pack(">BHHB", 8, 8, 8, 1) + bytes([1, 0x11, 0]))
        + segment(0xC4, b"\x00" + one_code_for_zero)
        + segment(0xC4, b"\x10" + one_code_for_zero)
        + segment(0xDA, bytes([1, 1, 0, 0, 63, 0]))
        # One block: no difference, end of block, padded with ones.
        + b"\x3f\xff\xd9",
    )


def svg(label: str) -> Content:
    """A drawing that shows the label."""
    drawing = '<svg xmlns="http://www.w3.org/2000/svg" width="200" height="40">'
    drawing += f'<text x="4" y="24">{label}</text></svg>'
    return Content(SVG, f'<?xml version="1.0" encoding="UTF-8"?>\n{drawing}\n'.encode("ascii"))


def mail(label: str) -> Content:
    """An e-mail, as mail programs save it."""
    lines = (
        "Received: from exemplo.invalid by exemplo.invalid; Wed, 10 Jan 2024 09:08:52 -0300",
        "From: Fulana de Tal <fulana@exemplo.invalid>",
        "To: Vara de Ensaio <vara@exemplo.invalid>",
        f"Subject: {label}",
        "Date: Wed, 10 Jan 2024 09:08:52 -0300",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=us-ascii",
        "",
        "Segue em anexo.",
        "",
    )
    return Content(MAIL, "\r\n".join(lines).encode("ascii"))


def archive(label: str) -> Content:
    """A ZIP archive with one text file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as zip_file:
        zip_file.writestr(zipfile.ZipInfo("leia-me.txt"), label)
    return Content(ZIP, buffer.getvalue())


def wav(label: str, size: int = 0) -> Content:
    """Silence, 8,000 bytes per second; the label is in a chunk that players skip."""
    note = label.encode("ascii") + b" " * (len(label) % 2)
    note = b"note" + struct.pack("<I", len(note)) + note
    silence = max(2, size - 44 - len(note)) // 2 * 2
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(1)
        writer.setframerate(8_000)
        writer.writeframes(b"")
    head = bytearray(buffer.getvalue())
    head[4:8] = struct.pack("<I", 36 + silence + len(note))
    head[40:44] = struct.pack("<I", silence)
    return Content(WAV, bytes(head), b"\x80", silence, note)


def mp3(label: str, size: int = 0) -> Content:
    """Silent frames of MPEG-1 layer III (128 kbit/s, 44.1 kHz); the label is the title."""
    title = b"\0" + label.encode("ascii")
    frame = b"TIT2" + struct.pack(">IH", len(title), 0) + title
    length = len(frame)
    synchsafe = bytes(length >> shift & 0x7F for shift in (21, 14, 7, 0))
    head = b"ID3\x03\0\0" + synchsafe + frame
    silent = b"\xff\xfb\x90\x00" + bytes(413)
    frames = max(1, (size - len(head)) // len(silent))
    return Content(MP3, head, silent, frames * len(silent))


def mp4(label: str, size: int = 0) -> Content:
    """A movie without tracks; a box that players skip fills the file up."""

    def box(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data) + 8) + kind + data

    scale = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    header = struct.pack(">IIIIIIH10x", 0, 0, 0, 1000, 1000, 0x10000, 0x0100) + scale
    head = box(b"ftyp", b"isom" + struct.pack(">I", 512) + b"isomiso2mp41")
    head += box(b"moov", box(b"mvhd", header + bytes(24) + struct.pack(">I", 1)))
    head += box(b"free", label.encode("ascii"))
    filling = max(0, size - len(head) - 8)
    return Content(MP4, head + struct.pack(">I", filling + 8) + b"free", b"\0", filling)
