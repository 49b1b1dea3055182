"""A case of the sandbox: pieces, the listings that show them, and the JSON of a document.

A piece is one document of the court's system. A listing (`tramitação`) is one data source's view of
one instance; two listings may show the same pieces, under other UUIDs. For a new field of a
document, add it to `Piece` if documents differ in it, and to `Document.portal_json`.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from autos.cnj import CaseNumber
from sandbox import files
from sandbox.faults import FOREIGN_URL, FaultName
from sandbox.files import Content

NAMESPACE: Final = uuid.UUID("5a6d0b0e-6f7c-5d0e-9a55-0a07a5a0ab0c")
"""Of the UUIDs of documents (version 5)."""
_Json = dict[str, object]


class Address(StrEnum):
    """The forms of a document's hrefs (docs/source.md#addresses)."""

    RELATIVE = "relative"
    ABSOLUTE = "absolute"
    WITH_PREFIX = "with_prefix"
    TEXT_ONLY = "text_only"
    NONE = "none"
    FOREIGN = "foreign"
    UUID_ONLY = "uuid_only"
    """No href, but the UUID as `id`, as the data lake lists documents."""


class InstanceNamedBy(StrEnum):
    """The member of a listing that names its instance."""

    BOTH = "both"
    GRADE = "grau"
    INSTANCE = "instancia"


@dataclass(frozen=True)
class Piece:
    """One document of the court's system, listed by one or more sources."""

    name: str
    content: Content
    sequence: int
    joined_at: datetime
    origin_id: str
    kind: str = "Petição"
    kind_code: int | None = 57
    served_as: str | None = ""
    """The Content-Type of the reply; None for none, empty for the content's own."""
    declared_as: str = ""
    """`arquivo.tipo`; empty for the content's own."""
    described: bool = True
    """Whether the listing has `arquivo`."""
    listed_size: int | None = None
    """`arquivo.tamanho`, where it is not the file's own size."""
    secrecy: str = "PUBLICO"
    address: Address = Address.RELATIVE
    failure: FaultName | None = None
    """What the source always answers instead of the file."""

    @property
    def text(self) -> str:
        """The answer of `/texto`, with odd characters that occur in real ones."""
        return f"{self.kind}\n\n\n\n{self.origin_id}\u00a0\u2028inventado\x1a\n\n"


@dataclass(frozen=True)
class Listing:
    """One source's view of one instance; the pieces newest first."""

    source: int
    instance: str
    """A key of `sandbox.cases.detail.GRADES`, such as `G1`."""
    pieces: tuple[Piece, ...]
    describes_files: bool = True
    instance_named_by: InstanceNamedBy = InstanceNamedBy.BOTH
    filed_at: datetime = datetime(2024, 1, 10, 9, 8, 52)  # noqa: DTZ001  # the source has no zones


def timestamp(at: datetime, court: str) -> str:
    """A time without zone, with 0 to 3 fraction digits, none in TJSP."""
    if court == "TJSP" or at.microsecond == 0:
        return at.isoformat(timespec="seconds")
    return at.isoformat(timespec="milliseconds").rstrip("0").rstrip(".")


@dataclass(frozen=True)
class Document:
    """One piece as one listing shows it."""

    uuid: str
    codex_id: int
    number: CaseNumber
    piece: Piece
    listing: Listing
    described: bool

    def portal_json(self, base_url: str) -> _Json:
        """The document as the portal lists it; `base_url` is scheme and host for the client."""
        piece = self.piece
        kind: _Json = {} if piece.kind_code is None else {"codigo": piece.kind_code}
        kind |= {"nome": piece.kind, "idCodex": 123, "idOrigem": "12"}
        listed: _Json = {
            "sequencia": piece.sequence,
            "dataHoraJuntada": timestamp(piece.joined_at, self.number.court),
            "idCodex": self.codex_id,
            "idOrigem": piece.origin_id,
            "nome": piece.name,
            "nivelSigilo": piece.secrecy,
            "tipo": kind,
        }
        listed |= self._addresses(base_url)
        if self.described:
            listed["arquivo"] = self._file()
        return listed

    def lake_json(self) -> _Json:
        """The document as the data lake lists it: its UUID as `id`, no hrefs, types as names."""
        piece = self.piece
        file: _Json | None = None
        if self.described:
            kind = (piece.declared_as or piece.content.media_type).upper()
            file = self._file() | {
                "id": self.uuid,
                "idCodex": self.codex_id,
                "tipo": kind.replace("/", "_").replace("-", "_").replace(".", "_"),
            }
        return {
            "id": self.uuid,
            "sequencia": piece.sequence,
            "dataHoraJuntada": timestamp(piece.joined_at, self.listing.instance),
            "idCodex": self.codex_id,
            "idOrigem": piece.origin_id,
            "nome": piece.name,
            "nivelSigilo": piece.secrecy,
            "tipo": {"codigo": piece.kind_code, "nome": piece.kind},
            "arquivo": file,
            "signatarios": [{"nome": "Beltrano Inventado"}],
        }

    def _file(self) -> _Json:
        piece = self.piece
        return {
            "tipo": piece.declared_as or piece.content.media_type,
            "quantidadePaginas": 0,
            "quantidadeImagens": 0,
            "tamanho": piece.content.size if piece.listed_size is None else piece.listed_size,
            "tamanhoTexto": len(piece.text),
        }

    def _addresses(self, base_url: str) -> _Json:
        path = f"/processos/{self.number.masked}/documentos/{self.uuid}"
        match self.piece.address:
            case Address.NONE:
                return {}
            case Address.UUID_ONLY:
                return {"id": self.uuid}
            case Address.TEXT_ONLY:
                return {"hrefTexto": f"{path}/texto"}
            case Address.ABSOLUTE:
                prefix = f"{base_url}/api/v2"
            case Address.WITH_PREFIX:
                prefix = "/api/v2"
            case Address.FOREIGN:
                prefix = f"{FOREIGN_URL}/api/v2"
            case Address.RELATIVE:
                prefix = ""
        return {"hrefBinario": f"{prefix}{path}/binario", "hrefTexto": f"{prefix}{path}/texto"}


@dataclass(eq=False)
class Case:
    """A case. Its listings change over time by `change`; the first one is the current one."""

    number: CaseNumber
    original: tuple[Listing, ...]
    name: str | None = None
    accessible: bool = True
    secrecy: int = 0
    odd_shapes: bool = False
    """With members and shapes that only some courts have (docs/source.md#listings)."""
    in_portfolio: bool = False
    """Found by a search for `sandbox.cases.detail.PORTFOLIO_CPF`."""
    listings: tuple[Listing, ...] = field(init=False)
    documents: dict[str, Document] = field(init=False)
    rendered: dict[str, bytes] = field(init=False)
    """The detail as sent, by base URL."""

    def __post_init__(self) -> None:
        self._show(self.original)

    def restore(self) -> None:
        """Undo all changes."""
        if self.listings is not self.original:
            self._show(self.original)

    def change(
        self, add: int, remove: str | None, move: str | None, replace_file: str | None = None
    ) -> None:
        """Change the case as courts do over time.

        Args:
            add: how many new pieces.
            remove: the UUID of one that disappears.
            move: the UUID of one that gets the highest sequence.
            replace_file: the UUID of one that the court replaces by a larger file.

        Raises:
            KeyError: there is no such document.
        """
        gone, moved, replaced = (
            self.documents[named].piece.origin_id if named else None
            for named in (remove, move, replace_file)
        )
        self._show(
            tuple(
                replace(
                    listing,
                    pieces=self._changed(listing, add if i == 0 else 0, gone, moved, replaced),
                )
                for i, listing in enumerate(self.listings)
            )
        )

    def _changed(
        self, listing: Listing, add: int, gone: str | None, moved: str | None, replaced: str | None
    ) -> tuple[Piece, ...]:
        pieces = [piece for piece in listing.pieces if piece.origin_id != gone]
        top = max((piece.sequence for piece in listing.pieces), default=0)
        latest = max((piece.joined_at for piece in listing.pieces), default=listing.filed_at)
        for i, piece in enumerate(pieces):
            if piece.origin_id == moved:
                top += 1
                pieces[i] = replace(piece, sequence=top)
            if piece.origin_id == replaced:
                label = f"Nova versao do documento {piece.sequence}"
                pieces[i] = replace(piece, content=files.pdf(label, piece.content.size + 1000))
        for _ in range(add):
            top += 1
            latest += timedelta(days=1)
            label = f"Documento novo {top} do processo {self.number.masked}"
            pieces.append(
                Piece(
                    f"Documento novo {top}.pdf", files.pdf(label, 12_000), top, latest, f"7{top:08}"
                )
            )
        return tuple(sorted(pieces, key=lambda piece: -piece.sequence))

    def _show(self, listings: tuple[Listing, ...]) -> None:
        self.listings = listings
        self.documents = {document.uuid: document for document in self._listed()}
        self.rendered = {}

    def _listed(self) -> Iterator[Document]:
        for listing in self.listings:
            prefix = f"{listing.source}/{self.number.digits}/"
            for piece in listing.pieces:
                derived = uuid.uuid5(NAMESPACE, prefix + piece.origin_id)
                yield Document(
                    uuid=str(derived),
                    codex_id=10**10 + derived.int % 10**10,
                    number=self.number,
                    piece=piece,
                    listing=listing,
                    described=piece.described and listing.describes_files,
                )

    def unique(self) -> list[list[Document]]:
        """The documents, each with its copies in other listings of the same instance."""
        groups: dict[tuple[str, str], list[Document]] = {}
        for document in self.documents.values():
            key = document.listing.instance, document.piece.origin_id
            groups.setdefault(key, []).append(document)
        return list(groups.values())
