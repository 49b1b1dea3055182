"""Bodies of errors, and of pages that replace a document (docs/source.md#faults)."""

import json
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

from autos.cnj import CaseNumber


def _shell() -> bytes:
    page = (
        '<!DOCTYPE html><html lang="pt-br"><head><meta charset="utf-8">'
        "<title>Portal de Serviços do Poder Judiciário</title>"
        '<base href="/"><meta name="viewport" content="width=device-width, initial-scale=1">'
        '</head><body><app-root></app-root><script src="main.js" type="module"></script>'
        "<!--{}--></body></html>\n"
    )
    return page.format(" " * (2422 - len(page.format("").encode()))).encode()


SHELL: Final = _shell()
"""The page of the portal's single-page application, 2,422 bytes."""

WAF: Final = (
    b"<html>\r\n<head><title>403 Forbidden</title></head>\r\n<body>\r\n"
    b"<center><h1>403 Forbidden</h1></center>\r\n</body>\r\n</html>\r\n"
)
MAINTENANCE: Final = (
    "<!DOCTYPE html><html><head><title>Sistema em manutenção</title></head><body>"
    "<h1>Sistema em manutenção</h1><p>Tente novamente mais tarde.</p></body></html>"
).encode()
STUB_CIRCUIT_BREAKER: Final = (
    b"Erro ao recuperar o arquivo do documento: "
    b"CircuitBreaker 'codex-backend-dl' is OPEN and does not permit further calls."
    b" Tente mais tarde."
)
STUB_CODEX_DOWN: Final = (
    "O documento solicitado não pode ser exibido neste momento: Codex indisponível no tribunal "
    "de origem. Tente novamente mais tarde."
).encode()
STUB_CODEX_TIMEOUT: Final = (
    "O tempo de resposta do serviço Codex excedeu o limite configurado para o tribunal de "
    "origem. Tente novamente mais tarde."
).encode()
TINY: Final = b"<p>Segue anexo.</p>"

LOGIN_GOVBR: Final = (
    '<!DOCTYPE html><html lang="pt-br"><head><meta charset="utf-8"><title>gov.br - Acesse sua conta'
    '</title><link rel="icon" href="https://sso.acesso.gov.br/favicon.ico"></head><body>'
    '<main id="login-cpf"><h1>Identifique-se no gov.br com:</h1>'
    '<form method="post" action="/login">'
    '<label for="accountId">Número do CPF</label><input id="accountId" name="accountId">'
    '<button id="enter-account-id">Continuar</button></form></main></body></html>'
).encode()
LOGIN_PJE: Final = (
    '<!DOCTYPE html><html class="login-pf"><head><meta charset="utf-8"><title>PJe - Processo '
    'Judicial Eletrônico</title></head><body id="keycloak-bg"><div id="kc-header">PJe</div>'
    '<form id="kc-form-login" method="post" '
    'action="/auth/realms/pje/login-actions/authenticate?client_id=portalexterno-frontend">'
    '<input id="username" name="username" placeholder="CPF/CNPJ">'
    '<input id="password" name="password" type="password" placeholder="Senha">'
    '<input id="kc-login" type="submit" value="Entrar"></form></body></html>'
).encode()
REQUEST_REJECTED: Final = (
    b"<html><head><title>Request Rejected</title></head><body>The requested URL was rejected. "
    b"Please consult with your administrator.<br><br>Your support ID is: 0000000000000000000"
    b"</body></html>"
)
JUST_A_MOMENT: Final = (
    b'<!DOCTYPE html><html lang="en-US"><head><title>Just a moment...</title>'
    b'<meta name="robots" content="noindex,nofollow"></head><body><div class="main-wrapper">'
    b"<noscript>Enable JavaScript and cookies to continue</noscript></div>"
    b'<script src="/cdn-cgi/challenge-platform/h/b/orchestrate/chl_page/v1"></script></body></html>'
)
PROXY_ERROR: Final = (
    b"upstream connect error or disconnect/reset before headers. reset reason: connection failure"
)
SERVER_ERROR: Final = b"Internal Server Error"
CODEX_ERROR: Final = b"Erro interno na API do Codex."
ACCESS_DENIED: Final = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code>'
    b"<Message>Access Denied</Message><RequestId>0000000000000000</RequestId>"
    b"<HostId>inventado</HostId></Error>"
)
TWO_CREDENTIALS: Final = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>InvalidArgument</Code>'
    b"<Message>Only one auth mechanism allowed</Message></Error>"
)
BLANKS: Final = b"    "
CUT_PDF: Final = b"%PDF-1.4\n"
NOT_FOUND_HTML: Final = (
    b"<html>\r\n<head><title>404 Not Found</title></head>\r\n<body>\r\n"
    b"<center><h1>404 Not Found</h1></center>\r\n<hr><center>nginx</center>\r\n"
    b"</body>\r\n</html>\r\n"
)

_REASONS: Final = {502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout"}


def encoded(value: object) -> bytes:
    """Compact JSON in UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def cloudfront(status: int) -> bytes:
    """An error page of CloudFront, the CDN in front of the portal."""
    return (
        '<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01 Transitional//EN">\n<HTML><HEAD>'
        f"<TITLE>ERROR: The request could not be satisfied</TITLE></HEAD><BODY>\n"
        f"<H1>{status} {_REASONS[status]}</H1>\n<H2>The request could not be satisfied.</H2>\n"
        "Generated by cloudfront (CloudFront)\n</BODY></HTML>"
    ).encode()


def gateway_not_found(path: str, now: float) -> bytes:
    """404 of the portal's gateway; `timestamp` is an integer."""
    return encoded(
        {
            "timestamp": int(now * 1000),
            "status": 404,
            "error": "Not Found",
            "message": "",
            "path": quote(path),
        }
    )


def lake_not_found() -> bytes:
    """404 of the data lake, for an unknown number or the page after the last."""
    return encoded({"code": 404, "message": "Não foram encontrados registros"})


def codex_error(path: str, document: str | None, number: str, now: float) -> bytes:
    """500 of the portal; `timestamp` is text, and the body contains a URL of the data lake."""
    lake = "https://api-processo.data-lake.pdpj.jus.br/processo-api/api/v1/processos/" + number
    if document is not None:
        lake += f"/documentos/{document}/binario?numeroProcesso={number}&idDocumento={document}"
    return encoded(
        {
            "timestamp": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")[:-6]
            + "Z",
            "status": 500,
            "error": "Internal Server Error",
            "message": "Erro interno na API do Codex.",
            "path": quote(path),
            "externalUrlService": lake,
        }
    )


def unauthorized() -> bytes:
    """401 with a JSON body."""
    return encoded({"status": 401, "error": "Unauthorized", "message": ""})


def no_access(status: int, number: str) -> bytes:
    """401 or 403 for a case that the user may not access."""
    formatted = CaseNumber(number).masked if len(number) == 20 else number
    message = f"O usuário não possui acesso ao processo {formatted}."
    return encoded({"status": status, "error": _reason(status), "message": message})


def secret_piece() -> bytes:
    """403 for one document."""
    return encoded({"status": 403, "error": "Forbidden", "message": "Documento sigiloso."})


def bad_request() -> bytes:
    """400 for an id that is not a UUID."""
    message = "O identificador do documento não é válido."
    return encoded({"status": 400, "error": "Bad Request", "message": message})


def unavailable() -> bytes:
    """503 with a JSON body."""
    message = "Serviço indisponível, tente novamente mais tarde."
    return encoded({"error": "Service Unavailable", "message": message})


def rate_limited() -> bytes:
    """429."""
    return encoded({"status": 429, "error": "Too Many Requests", "message": ""})


def json_error() -> bytes:
    """An error body that is sent with status 200."""
    return encoded({"code": 500, "message": "Falha ao recuperar o documento."})


def other_status(status: int) -> bytes:
    """The body for a status that has no known body at the portal."""
    phrases = {known.value: known.phrase for known in HTTPStatus}
    return encoded({"status": status, "error": phrases.get(status, ""), "message": ""})


def _reason(status: int) -> str:
    return "Unauthorized" if status == 401 else "Forbidden"
