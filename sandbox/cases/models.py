"""The model of a case: pieces, the listings that contain them, and the JSON of a document.

A piece is a document in the court's system. A listing (`tramitação`) is one data source's view of
one instance. Two listings may contain the same pieces with different UUIDs. To add a field of a
document, add it to `Piece` if its values differ, and to `Document.portal_json`.
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
"""The namespace of the documents' UUIDs (version 5)."""
_Json = dict[str, object]


class Address(StrEnum):
    """The form of a document's hrefs (docs/source.md#addresses)."""

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
    """A document in the court's system, listed by one or more sources."""

    name: str
    content: Content
    sequence: int
    joined_at: datetime
    origin_id: str
    kind: str = "Petição"
    kind_code: int | None = 57
    served_as: str | None = ""
    """The Content-Type of the response; None for no header, empty for the content's type."""
    declared_as: str = ""
    """`arquivo.tipo`; empty for the content's type."""
    described: bool = True
    """Whether the listing has `arquivo`."""
    listed_size: int | None = None
    """`arquivo.tamanho`; None for the real size."""
    secrecy: str = "PUBLICO"
    address: Address = Address.RELATIVE
    failure: FaultName | None = None
    """The fault that always replaces the file; None if it can be downloaded."""

    @property
    def text(self) -> str:
        """The text that `/texto` returns, with unusual characters that occur in real texts."""
        return f"{self.kind}\n\n\n\n{self.origin_id}\u00a0\u2028inventado\x1a\n\n"


@dataclass(frozen=True)
class Listing:
    """One source's view of one instance, with the newest piece first."""

    source: int
    instance: str
    """A key of `sandbox.cases.detail.GRADES`, such as `G1`."""
    pieces: tuple[Piece, ...]
    describes_files: bool = True
    instance_named_by: InstanceNamedBy = InstanceNamedBy.BOTH
    filed_at: datetime = datetime(2024, 1, 10, 9, 8, 52)  # noqa: DTZ001  # the source has no zones


def timestamp(at: datetime, court: str) -> str:
    """A time without zone, with 0 to 3 fractional digits; TJSP sends none."""
    if court == "TJSP" or at.microsecond == 0:
        return at.isoformat(timespec="seconds")
    return at.isoformat(timespec="milliseconds").rstrip("0").rstrip(".")


@dataclass(frozen=True)
class Document:
    """A piece in a listing, with the UUID that it has there."""

    uuid: str
    codex_id: int
    number: CaseNumber
    piece: Piece
    listing: Listing
    described: bool

    def portal_json(self, base_url: str) -> _Json:
        """The document as the portal lists it; `base_url` is used for absolute hrefs."""
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
        """The document as the data lake lists it: the UUID as `id`, no hrefs, types as names."""
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
    """A case. The first listing is the current instance; `change` changes the listings."""

    number: CaseNumber
    original: tuple[Listing, ...]
    name: str | None = None
    accessible: bool = True
    secrecy: int = 0
    odd_shapes: bool = False
    """Whether it has members and shapes that only some courts send (docs/source.md#listings)."""
    in_portfolio: bool = False
    """Whether a search for `sandbox.cases.detail.PORTFOLIO_CPF` finds it."""
    listings: tuple[Listing, ...] = field(init=False)
    documents: dict[str, Document] = field(init=False)
    rendered: dict[str, bytes] = field(init=False)
    """The encoded detail by base URL."""

    def __post_init__(self) -> None:
        self._set_listings(self.original)

    def restore(self) -> None:
        """Undo all changes."""
        if self.listings is not self.original:
            self._set_listings(self.original)

    def change(
        self, add: int, remove: str | None, move: str | None, replace_file: str | None = None
    ) -> None:
        """Change the case as a court does over time.

        Args:
            add: the number of new pieces.
            remove: the UUID of a document that is removed.
            move: the UUID of a document that gets the highest sequence.
            replace_file: the UUID of a document whose file is replaced with a larger one.

        Raises:
            KeyError: there is no such document.
        """
        removed, moved, replaced = (
            self.documents[document_id].piece.origin_id if document_id else None
            for document_id in (remove, move, replace_file)
        )
        self._set_listings(
            tuple(
                replace(
                    listing,
                    pieces=self._changed(listing, add if i == 0 else 0, removed, moved, replaced),
                )
                for i, listing in enumerate(self.listings)
            )
        )

    def _changed(
        self,
        listing: Listing,
        add: int,
        removed: str | None,
        moved: str | None,
        replaced: str | None,
    ) -> tuple[Piece, ...]:
        pieces = [piece for piece in listing.pieces if piece.origin_id != removed]
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

    def _set_listings(self, listings: tuple[Listing, ...]) -> None:
        self.listings = listings
        self.documents = {document.uuid: document for document in self._listed()}
        self.rendered = {}

    def _listed(self) -> Iterator[Document]:
        for listing in self.listings:
            prefix = f"{listing.source}/{self.number.digits}/"
            for piece in listing.pieces:
                document_id = uuid.uuid5(NAMESPACE, prefix + piece.origin_id)
                yield Document(
                    uuid=str(document_id),
                    codex_id=10**10 + document_id.int % 10**10,
                    number=self.number,
                    piece=piece,
                    listing=listing,
                    described=piece.described and listing.describes_files,
                )

    def unique(self) -> list[list[Document]]:
        """The documents, grouped with their copies in other listings of the same instance."""
        groups: dict[tuple[str, str], list[Document]] = {}
        for document in self.documents.values():
            key = document.listing.instance, document.piece.origin_id
            groups.setdefault(key, []).append(document)
        return list(groups.values())
