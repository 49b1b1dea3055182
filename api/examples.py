"""Whole answers as the API's own description shows them; tests hold them against the schemas.

Synthetic throughout: the case, the people and the files are the sandbox's.
"""

from typing import Any, Final

NUMBER: Final = "9990002-86.2024.8.26.0100"
JOB_ID: Final = "019aa6f2-3c51-7d0e-8a55-0f6f3f0e9a11"
_BASE: Final = "/api/v1/processes/99900028620248260100"
_DOCUMENT_ID: Final = "2942eaaa-8949-4f79-9385-d91cab92cb49"
_SHA256: Final = "8076b04d7fd503ad61246c92199ecbdce19234532fb3b021e2a210aa690d4cab"

Example = dict[str, Any]

JOB_STARTED: Final[Example] = {
    "process_number": NUMBER,
    "job_id": JOB_ID,
    "status": "pending",
    "status_url": f"{_BASE}/status",
}

_COUNTERS: Final[Example] = {
    "total_documents": 173,
    "completed_documents": 120,
    "doubtful_documents": 0,
    "failed_documents": 1,
    "pending_documents": 47,
    "processing_documents": 5,
    "progress_percentage": 69.94,
}

_STORED: Final[Example] = {
    "id": _DOCUMENT_ID,
    "uuid": "a4aeca72-47c4-572f-b300-ec7471126093",
    "name": "Petição Inicial.pdf",
    "status": "available",
    "size": 224385,
    "mime_type": "application/pdf",
    "sha256": _SHA256,
    "download_url": f"https://s3.example.org/autos/processes/99900028620248260100/{_SHA256}"
    "?X-Amz-Expires=3900&X-Amz-Signature=…",
    "reason": None,
    "error_message": None,
    "doubt": None,
    "doubt_message": None,
    "origin_id": "300000001",
    "sequence": 1,
    "kind": "Petição inicial",
    "kind_code": 58,
    "instance": "G1",
    "secrecy": "PUBLICO",
    "filed_at": "2024-01-10T19:08:52Z",
    "source_order": 172,
    "attempts": 1,
    "download_started_at": "2026-01-15T13:00:01.100000Z",
    "download_completed_at": "2026-01-15T13:00:01.210000Z",
}

_REFUSED: Final[Example] = {
    "id": "7b1c22f0-2a41-4c55-9f3e-5f0b1a7c9d02",
    "uuid": "1de90508-1783-524b-8307-a4152050afa8",
    "name": "Documento sigiloso.pdf",
    "status": "failed",
    "size": 30000,
    "mime_type": "application/pdf",
    "sha256": None,
    "download_url": None,
    "reason": "secret",
    "error_message": "The court keeps this document secret; the credential in use may not read it.",
    "doubt": None,
    "doubt_message": None,
    "origin_id": "300000002",
    "sequence": 2,
    "kind": "Petição",
    "kind_code": 57,
    "instance": "G1",
    "secrecy": "SIGILO_MINIMO",
    "filed_at": "2024-01-11T02:08:52Z",
    "source_order": 171,
    "attempts": 1,
    "download_started_at": "2026-01-15T13:00:02.000000Z",
    "download_completed_at": "2026-01-15T13:00:02.080000Z",
}

DOCUMENT: Final[Example] = _STORED | {
    "position": 172,
    "first_seen_at": "2026-01-15T13:00:00.700000Z",
    "vanished_at": None,
    "content_url": f"{_BASE}/documents/{_DOCUMENT_ID}/content",
}

STATUS: Final[Example] = _COUNTERS | {
    "process_number": NUMBER,
    "status": "processing",
    "waiting_for": None,
    "waiting_since": None,
    "waiting_until": None,
    "next_try_at": None,
    "reason": None,
    "error_message": None,
    "live": True,
    "bytes_stored": 7863180,
    "eta_seconds": 2,
    "jobs_ahead": None,
    "job_id": JOB_ID,
    "webhook_url": "https://example.org/hooks/autos",
    "webhook_sent": False,
    "webhook_sent_at": None,
    "webhook_attempts": 0,
    "webhook_last_error": None,
    "created_at": "2026-01-15T13:00:00Z",
    "started_at": "2026-01-15T13:00:00.050000Z",
    "completed_at": None,
    "documents": [_STORED, _REFUSED],
    "documents_next": None,
}

PROCESS: Final[Example] = {
    "process_number": NUMBER,
    "court": "TJSP",
    "segment": "JUSTICA_ESTADUAL",
    "class_name": "Procedimento Comum Cível",
    "subjects": ["Indenização por Dano Moral"],
    "judging_body": "1ª Vara Cível",
    "secrecy_level": 0,
    "filed_at": "2024-01-10T19:08:52Z",
    "details": {"siglaTribunal": "TJSP", "tramitacaoAtual": {"valorAcao": 10000.0}},
    "fetched_at": "2026-01-15T13:00:00.600000Z",
    "job_id": JOB_ID,
    "status": "processing",
    "documents": _COUNTERS,
    "status_url": f"{_BASE}/status",
    "documents_url": f"{_BASE}/documents",
    "movements_url": f"{_BASE}/movements",
}

MOVEMENT: Final[Example] = {
    "position": 1,
    "at": "2024-01-10T19:08:52Z",
    "text": "Juntada de Petição inicial",
    "kind": "Juntada",
    "kind_code": 67,
    "instance": "G1",
    "document_id": _DOCUMENT_ID,
    "document_uuid": "a4aeca72-47c4-572f-b300-ec7471126093",
}

LISTED_PROCESS: Final[Example] = {
    "process_number": NUMBER,
    "court": "TJSP",
    "class_name": "Procedimento Comum Cível",
    "total_documents": 173,
    "status": "completed",
    "fetched_at": "2026-01-15T13:00:00.600000Z",
    "created_at": "2026-01-15T13:00:00Z",
}

JOB: Final[Example] = {
    "id": JOB_ID,
    "process_number": NUMBER,
    "status": "completed_with_failures",
    "waiting_for": None,
    "waiting_since": None,
    "waiting_until": None,
    "next_try_at": None,
    "reason": None,
    "error_message": None,
    "total_documents": 173,
    "completed_documents": 172,
    "doubtful_documents": 0,
    "failed_documents": 1,
    "bytes_stored": 11274289,
    "created_at": "2026-01-15T13:00:00Z",
    "started_at": "2026-01-15T13:00:00.050000Z",
    "completed_at": "2026-01-15T13:00:05.650000Z",
    "duration_seconds": 5.6,
    "status_url": f"{_BASE}/status",
}

API_KEY: Final[Example] = {
    "id": "0d6f5d0a-9d1f-4a7a-8c36-2f0d6f1b7e11",
    "name": "billing",
    "role": "client",
    "prefix": "autos_3fT9xQ",
    "is_active": True,
    "created_at": "2026-01-15T13:00:00Z",
    "expires_at": None,
    "revoked_at": None,
}

CREATED_API_KEY: Final[Example] = API_KEY | {"key": "autos_3fT9xQ…"}

HEALTH: Final[Example] = {
    "ok": True,
    "parts": {"records": {"ok": True}, "engine": {"ok": True}, "store": {"ok": True}},
}

RECONCILIATION: Final[Example] = {
    "id": JOB_ID,
    "status": "completed",
    "dry_run": False,
    "left": 0,
    "findings": [
        {
            "kind": "delivery_stopped",
            "found": 1,
            "mended": 1,
            "first": [
                {
                    "id": "evt_5b1f5d5e0a013d0f2b1c7c0a5a559d2e",
                    "process_number": None,
                    "mended": True,
                }
            ],
        }
    ],
    "unfinished": [],
}
