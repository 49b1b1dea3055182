"""Bodies that the source returns with status 200 in place of a file; all synthetic.

Each row: a name, the body, the reason it is refused for.
"""

import json
from typing import Final

from autos.contracts.reasons import Reason

_SSO = "https://sso.cloud.pje.jus.br/auth/realms/pje"


def page(title: str, body: str = "", head: str = "") -> bytes:
    """A whole HTML page."""
    return (
        '<!DOCTYPE html>\n<html lang="pt-BR"><head><meta charset="utf-8">'
        f"<title>{title}</title>{head}</head><body>{body}</body></html>\n"
    ).encode()


def envelope(**members: object) -> bytes:
    """A JSON object."""
    return json.dumps(members, ensure_ascii=False).encode()


SHELL: Final = page(
    "Portal de Serviços do Poder Judiciário", '<app-root></app-root><script src="main.js">'
)
LOGINS: Final = [
    (
        "Keycloak of PJe",
        page(
            "Entrar em pje",
            f'<form id="kc-form-login" action="{_SSO}/login-actions/authenticate?code=x">'
            '<input name="username"><input name="password" type="password"></form>',
        ),
    ),
    (
        "Keycloak, by its form alone",
        page("PJe", '<h1 id="kc-page-title">PJe</h1><form id="kc-form-login"></form>'),
    ),
    (
        "gov.br",
        page(
            "gov.br - Acesse sua conta",
            "<h3>Identifique-se no gov.br com:</h3><p>Número do CPF</p><p>Digite seu CPF para "
            'criar ou acessar sua conta gov.br</p><form><input id="accountId"></form>',
        ),
    ),
    ("gov.br, by its title alone", page("gov.br - Acesse sua conta", "<noscript>…</noscript>")),
    (
        "PJe of a court",
        page(
            "Processo Judicial Eletrônico - TJXX",
            '<form action="/pje/login.seam" method="post"><input type="text" name="username">'
            "<p>" + "Aviso aos usuários do sistema. " * 90 + "</p></form>",
        ),
    ),
    ("a form that asks for a password", page("SAJ", "<input maxlength=8 type='password'>")),
    (
        "sent on by a script",
        page("", f'<script>window.location.href = "{_SSO}/protocol/openid-connect/auth?x=1"'),
    ),
    (
        "sent on by the page",
        page(
            "PDPJ",
            head=f'<meta http-equiv="refresh" content="0;url={_SSO}/protocol/openid-connect/auth">',
        ),
    ),
    (
        "SAML",
        page("", '<form method="post" action="/x"><input type="hidden" name="SAMLRequest"></form>'),
    ),
    ("an expired session", page("Sessão expirada", "<p>Faça login novamente.</p>")),
    ("a word", b"Unauthorized"),
    ("Istio", b"Jwt is expired"),
    ("Spring", b"Full authentication is required to access this resource"),
]
FIREWALLS: Final = [
    (
        "F5",
        b"<html><head><title>Request Rejected</title></head><body>The requested URL was rejected. "
        b"Please consult with your administrator.<br><br>Your support ID is: 123</body></html>",
    ),
    (
        "Cloudflare asks for a moment",
        page("Just a moment...", "<noscript>Enable JavaScript and cookies</noscript>"),
    ),
    ("Cloudflare asks, in another script", page("Just a moment…")),
    (
        "Cloudflare asks in Portuguese",
        page("Um momento…", '<script src="/cdn-cgi/challenge-platform/h/b/orchestrate">'),
    ),
    (
        "Cloudflare refuses",
        page("Attention Required! | Cloudflare", "<h1>Sorry, you have been blocked</h1>"),
    ),
    ("Cloudflare in a line", b"error code: 1020"),
    (
        "nginx",
        b"<html>\r\n<head><title>403 Forbidden</title></head>\r\n<body>\r\n<center><h1>403 "
        b"Forbidden</h1></center>\r\n</body>\r\n</html>\r\n",
    ),
    (
        "CloudFront",
        page(
            "ERROR: The request could not be satisfied",
            "<h1>403 ERROR</h1><h2>The request could not be satisfied.</h2>Request blocked.\n"
            "We can't connect to the server for this app or website at this time.",
        ),
    ),
    ("AWS WAF", page("Human Verification", "<script>window.gokuProps = {}</script>")),
    (
        "Akamai",
        b"<HTML><HEAD>\n<TITLE>Access Denied</TITLE>\n</HEAD><BODY>\n<H1>Access Denied</H1>\nYou "
        b"don't have permission to access this. Reference #18.x</BODY></HTML>",
    ),
    (
        "Incapsula",
        b'<html><head></head><body><iframe src="/_Incapsula_Resource?x">Request unsuccessful. '
        b"Incapsula incident ID: 1-2</iframe></body></html>",
    ),
    ("a web page filter", page("Web Page Blocked!", "<p>Attack ID: 20000051</p>")),
    ("in Portuguese", page("Acesso negado", "<p>Seu acesso foi bloqueado.</p>")),
    ("Envoy", b"RBAC: access denied"),
]
STUBS: Final = [
    (
        "an open breaker",
        b"Erro ao recuperar o arquivo do documento: CircuitBreaker 'codex-backend-dl' is OPEN "
        b"and does not permit further calls",
    ),
    ("Codex is down", "Codex indisponível no momento.".encode()),
    ("Codex is down, in Latin-1", "Codex indisponível no momento.".encode("latin-1")),
    (
        "Codex is down at the court",
        "O documento solicitado não pode ser exibido neste momento: Codex indisponível no "
        "tribunal de origem. Tente novamente mais tarde.".encode(),
    ),
    ("Codex took too long", "O tempo de resposta do serviço Codex excedeu o limite".encode()),
    ("Codex's stream", b"Error while reading the stream from Codex"),
    ("Codex's error", b"Erro interno na API do Codex."),
]
ERRORS: Final = [
    ("a text", b"Internal Server Error"),
    ("a text with its code", b"HTTP/1.1 502 Bad Gateway\r\n"),
    ("a text of a 503", b"503 Service Temporarily Unavailable"),
    (
        "Envoy",
        b"upstream connect error or disconnect/reset before headers. reset reason: connection "
        b"failure",
    ),
    ("Envoy without a backend", b"no healthy upstream"),
    ("Envoy's time-out", b"upstream request timeout"),
    ("Kubernetes", b"default backend - 404"),
    ("Go", b"404 page not found\n"),
    ("IIS", b"The service is unavailable."),
    ("in Portuguese", "Serviço temporariamente indisponível. Tente mais tarde.".encode()),
    ("a failure to read", b"Ocorreu um erro ao obter o documento."),
    (
        "Java",
        b"java.lang.NullPointerException: null\n\tat br.jus.codex.Leitor.ler(Leitor.java:42)",
    ),
    ("nothing, as JSON", b"null"),
    (
        "CloudFront's 502",
        b'<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01 Transitional//EN">\n<HTML><HEAD><TITLE>'
        b"ERROR: The request could not be satisfied</TITLE></HEAD><BODY>\n<H1>502 ERROR</H1>",
    ),
    ("nginx", b"<html><head><title>503 Service Temporarily Unavailable</title></head></html>"),
    ("HAProxy", b"<html><body><h1>504 Gateway Time-out</h1>\nNo answer in time.\n</body></html>"),
    ("Tomcat", page("HTTP Status 500 – Internal Server Error", "<h1>HTTP Status 500</h1>")),
    ("Cloudflare", page("portal.example | 502: Bad gateway", "<h1>Bad gateway</h1>")),
    ("Spring", b"<html><body><h1>Whitelabel Error Page</h1><p>status=500</p></body></html>"),
    ("a bare heading", b"<h1>Internal Server Error</h1>"),
    ("a bare paragraph", b"<p>Erro ao recuperar o documento.</p>"),
    ("maintenance", page("Sistema em manutenção", "<h1>Sistema em manutenção</h1><p>Volte.</p>")),
    (
        "maintenance, with entities",
        page("Portal de Servi&ccedil;os em Manuten&ccedil;&atilde;o", "<p>Voltamos logo.</p>"),
    ),
    ("maintenance, in English", page("Down for maintenance")),
    ("not found", page("Página não encontrada", "<h2>404</h2>")),
    ("nginx's welcome", page("Welcome to nginx!", "<h1>Welcome to nginx!</h1>")),
    (
        "a heavy page",
        page("Erro 503", head="<style>" + "p{color:red}" * 5000 + "</style>", body="<p>Volte."),
    ),
    (
        "S3",
        b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code><Message>Access '
        b"Denied</Message><RequestId>X</RequestId><HostId>Y</HostId></Error>",
    ),
    (
        "SOAP",
        b'<soap:Envelope xmlns:soap="x"><soap:Body><soap:Fault><faultstring>x</faultstring>'
        b"</soap:Fault></soap:Body></soap:Envelope>",
    ),
    ("Spring, as XML", b"<Map><timestamp>1</timestamp><status>500</status></Map>"),
    (
        "Spring, as JSON",
        envelope(
            timestamp="2025-01-10T09:08:52.341Z",
            status=500,
            error="Internal Server Error",
            message="Erro interno na API do Codex.",
            path="/api/v2/x",
            externalUrlService="https://lake.example",
        ),
    ),
    ("lake", envelope(code=500, message="Falha ao recuperar o documento.")),
    ("problem details", envelope(type="about:blank", title="x", status=503, detail="y")),
    ("a message, with a mark before", b"\xef\xbb\xbf" + envelope(mensagem="indisponível")),
    ("envelope in Latin-1", '{"erro": "serviço indisponível"}'.encode("latin-1")),
    ("a list of errors", b'[{"code": 1, "message": "x"}]'),
    ("an empty object", b"{}"),
    ("a cut envelope", b'{"error": "x'),
    (
        "an envelope with a long trace",
        envelope(timestamp=1, status=500, error="x", trace="\tat br.jus.Codex\n" * 3000),
    ),
]
EMPTY: Final = [
    ("blanks", b"    "),
    ("lines", b"\r\n\r\n"),
    ("NULs", bytes(2048)),
    ("a mark alone", b"\xef\xbb\xbf"),
]
TRUNCATED: Final = [
    ("nine bytes of a PDF", b"%PDF-1.4\n"),
    ("half a PDF", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + b"1 0 obj <<>> endobj\n" * 4000),
]
STAND_INS: Final = [
    ("the portal's shell", SHELL, Reason.SHELL),
    ("the shell, by its title", SHELL.replace(b"app-root", b"div"), Reason.SHELL),
    *((f"login: {name}", body, Reason.CREDENTIAL) for name, body in LOGINS),
    *((f"firewall: {name}", body, Reason.BLOCKED) for name, body in FIREWALLS),
    *((f"stub: {name}", body, Reason.STUB) for name, body in STUBS),
    *((f"error: {name}", body, Reason.ERROR_BODY) for name, body in ERRORS),
    *((f"empty: {name}", body, Reason.EMPTY) for name, body in EMPTY),
    *((f"cut: {name}", body, Reason.TRUNCATED) for name, body in TRUNCATED),
]
