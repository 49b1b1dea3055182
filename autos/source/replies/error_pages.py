"""Recognises pages and notes that arrive in place of a file: logins, firewalls, proxies, errors.

The tables hold their known words. Real documents also mention maintenance, logins and Codex
(docs/source.md#texts), so words count only in places where documents do not have them: forms and
scripts of a whole page, headings of a page with little text, the beginning of a short note. Does
not recognise every such page: a body of the listed size and type is better evidence.
"""

import html
import json
import re
import unicodedata
from typing import Final

from autos.contracts.reasons import Reason
from autos.source.replies.content_types import looks_like_markup

_NOTE_CHARACTERS: Final = 2048
"""A longer text is not a note: notes of the source have 120 to 170 characters."""
_PAGE_CHARACTERS: Final = 1500
"""Maximum text of an error page; a longer page is a document with headings."""

_APP: Final = re.compile(
    r"<app-root|ng-version=|<title>\s*portal de servicos do poder judiciario|"
    r"you need to enable javascript to run this app"
)
"""A single-page web application: the portal sends one for a path it does not know."""

_FORMS: Final = (
    (
        Reason.CREDENTIAL,
        re.compile(
            r"id\s*=\s*[\"']?kc-(form-login|login|page-title)\b|class\s*=\s*[\"']login-pf|"
            r"<input[^<>]{0,300}?type\s*=\s*[\"']?password|name\s*=\s*[\"']?samlrequest|"
            r"<input[^<>]{0,300}?(id|name)\s*=\s*[\"']?accountid\b|"
            r"<form[^<>]{0,300}?action\s*=\s*[\"']?[^\"'<>]{0,300}?"
            r"(openid-connect/auth|login-actions/|login\.seam|j_security_check)|"
            r"<meta[^<>]{0,300}?refresh[^<>]{0,300}?openid-connect/auth|"
            r"location(\.href|\.replace|\.assign)?\s*[=(]\s*[\"'][^\"']{0,300}?openid-connect/auth"
        ),
    ),
    (
        Reason.BLOCKED,
        re.compile(
            r"the requested url was rejected|_incapsula_resource|incapsula incident|"
            r"/cdn-cgi/challenge-platform|cf-browser-verification|cf_chl_|cf-error-details|"
            r"awswafcookiedomainlist|gokuprops|captcha-delivery\.com|px-captcha|"
            r"request blocked\.\s*we can't connect to the server"
        ),
    ),
)
"""Markup of a whole page, anywhere in it."""

_CODE: Final = (
    r"(?:[\w.-]+ \| )?"
    r"(?:(?:http(?:/\d(?:\.\d)?)?|status|error|erro|codigo|code)\W*)*(?:[45]\d\d\W*)?"
)
_FORBIDDEN: Final = r"(?:(?:http|status|error|erro|codigo|code)\W*)+403"
_PHRASES: Final = (
    r"bad request|not found|page not found|method not allowed|request time-?out|conflict|gone|"
    r"too many requests|internal server error|server error|not implemented|bad gateway|"
    r"service (?:temporarily |is )?unavailable|gateway time-?out|"
    r"erro interno(?: (?:do|no) servidor)?|servico (?:temporariamente )?indisponivel|"
    r"tempo (?:limite )?(?:de resposta )?(?:esgotado|excedido)"
)
_FAILED_TO: Final = (
    r"(?:ocorreu um )?erro (?:inesperado|interno|(?:ao|na tentativa de) "
    r"(?:acessar|baixar|buscar|carregar|consultar|gerar|ler|obter|processar|recuperar))\b"
)
_SUBJECT: Final = (
    r"(?:(?:o|a|este|esta|nosso|nossa|estamos|sistema|site|sitio|portal|pagina|servicos?|pje|"
    r"consulta|processual|aplicacao|plataforma|ambiente|encontra-se|temporariamente|de|do|da)\W+)*"
)

_HEADINGS: Final = (
    (
        Reason.CREDENTIAL,
        (
            r"(?:(?:pje|sso|portal|pdpj|jus\.br|sistema)\W+)*(?:(?:efetuar |fazer )?login|log in|"
            r"sign in|signin|acesso ao sistema)(?: (?:to|\||-) .{0,60}| (?:no|ao|do|na|da) "
            r"(?:pje|sso|portal|pdpj|sistema|consulta).{0,20})?",
            r"entrar(?: com (?:gov\.br|cpf|certificado|sua conta).{0,60})?|identifique-se",
            r"(?:acesso |login |entrar com )?gov\.?br(?:\W+(?:acess|entr|login|identifi|digite"
            r"|sua conta|autentic).{0,80})?",
            r"(?:identifique-se no gov\.br|acesse sua conta|acesse com).{0,60}",
            r"(?:sua )?sess(?:ao|ion) (?:expir|encerrad|has expired).{0,60}",
            rf"{_CODE}(?:unauthorized|nao autorizado|authentication required)",
        ),
    ),
    (
        Reason.BLOCKED,
        (
            r"request rejected",
            r"just a moment\W*",
            r"um momento\W*",
            r"attention required\b.{0,60}",
            r"(?:access|request|web page|page|site) (?:denied|blocked)\b.{0,60}",
            r"acesso (?:negado|bloqueado|nao permitido)",
            r"requisicao (?:rejeitada|bloqueada|negada)",
            r"(?:human verification|security check|one more step|are you a robot|captcha)\b.{0,60}",
            r"checking your browser.{0,80}",
            r"verifi(?:que|cando) se voce e humano.{0,60}|verificacao de seguranca",
            r"sorry, you have been blocked",
            rf"{_CODE}(?:forbidden|proibido|not acceptable)",
            _FORBIDDEN,
        ),
    ),
    (
        Reason.ERROR_BODY,
        (
            rf"{_CODE}(?:{_PHRASES})(?: \(?[45]\d\d\)?)?",
            r"(?:[a-z_]\w*\.){2,}\w*(?:exception|error)\b.{0,80}",
            r"(?:(?:http|status|error|erro|codigo|code)\W*)+[45]\d\d",
            r"error: the request could not be satisfied",
            r"error: the requested url could not be retrieved",
            r"(?:error|erro) \d{3} backend fetch failed",
            r"server error in '.{0,40}' application",
            r"whitelabel error page|web server is down|this site can.t be reached",
            r"welcome to nginx|it works|iis windows server|apache2 \w+ default page.{0,40}",
            r"(?:pagina|recurso|documento) nao encontrad[oa]",
            rf"{_FAILED_TO}.{{0,60}}|ocorreu um erro|algo deu errado.{{0,60}}",
            rf"{_SUBJECT}em manutencao(?: (?:programada|no momento|temporaria|preventiva))?",
            rf"{_SUBJECT}(?:temporariamente )?(?:indisponivel|fora do ar)(?: no momento)?",
            r"manutencao(?: (?:programada|em andamento|do sistema|do portal|no sistema))?",
            r"(?:site |system |we.re |we are |currently )*(?:is )?(?:down for |under |in |"
            r"scheduled )?maintenance(?: mode)?",
        ),
    ),
)
"""Whole headings (`title`, `h1`, `h2`) of pages with little to read, without accents."""

_NOTES: Final = (
    (
        Reason.CREDENTIAL,
        rf"{_CODE}(?:unauthorized|jwt (?:is|verification|issuer)|full authentication is required|"
        r"(?:invalid|expired) (?:access )?token|(?:access )?token (?:is |has )?(?:invalid|expired)|"
        r"token (?:invalido|expirado)|(?:acesso |usuario )?nao (?:autorizado|autenticado)\W*$)",
    ),
    (
        Reason.BLOCKED,
        rf"{_CODE}(?:request (?:rejected|blocked)|the requested url was rejected|"
        r"(?:rbac: )?access denied|forbidden|error code: 1\d{3}|acesso (?:negado|bloqueado)\W*$|"
        r"request unsuccessful\. incapsula)",
    ),
    (
        Reason.STUB,
        r"(?:erro(?: ao [\w ]{1,60})?: )?erro (?:interno )?na api do codex|"
        r"o tempo de resposta do servico codex excedeu o limite",
    ),
    (
        Reason.ERROR_BODY,
        rf"{_CODE}(?:(?:{_PHRASES})\b|upstream (?:connect error|request timeout)|"
        r"no healthy upstream|stream timeout|default backend - 404|the service is unavailable|"
        r"local_rate_limited|rate limit exceeded|no server is available to handle this request|"
        rf"an error occurred|service not available|error\b|{_FAILED_TO})|"
        rf"{_SUBJECT}(?:em manutencao|indisponivel|fora do ar)|"
        r"(?:null|undefined|none|nan|true|false|\[object object\])$|"
        r"(?:exception in thread|(?:[a-z_]\w*\.){2,}\w*(?:exception|error)\b)",
    ),
)
"""Beginnings of a short text without accents, plain or in a fragment of HTML."""

_FAILURE: Final = r"(?:erro|error|fail|falha|exception|unable|nao foi possivel)"
_INSIDE: Final = (
    (
        Reason.STUB,
        r"circuitbreaker.{0,200}does not permit|\bcodex indispon|codex.{0,80}excedeu o limite|"
        rf"{_FAILURE}.{{0,200}}(?:\bstream\b.{{0,80}}codex|codex.{{0,80}}\bstream\b)",
    ),
    (Reason.ERROR_BODY, r"503 service temporarily unavailable|\"code\"\s*:\s*500"),
)
"""Words anywhere in a short plain text; Codex sends plain text only."""

_OF_A_COURT: Final = re.compile(
    r"certid|certific|certifiq|\bintim[ae]|\bprazos?\b|\bjuiz|\bvara\b|\brequer|sentenca|mandado"
)
"""Court documents mention outages too: a text with such a word is a document."""

_XML_FAULT: Final = re.compile(
    r"(?:<\?xml[^>]{0,300}\?>\s*)?(?:<!--.{0,300}?-->\s*)?"
    r"<(?:(?:\w+:)?envelope\b.{0,2000}?<(?:\w+:)?fault\b|(?:\w+:)?fault\b|"
    r"(?:error|erro|exception|errorresponse)>\s*<|"
    r"map>.{0,300}?<status>[45]\d\d<)",
    re.DOTALL,
)
"""XML of S3 (`<Error><Code>`), SOAP and Spring."""

_ENVELOPE_KEYS: Final = frozenset(
    "cause causa code codigo correlationid data date description descricao detail details detalhe "
    "detalhes documentation_url erro error error_description errorcode errormessage erros errors "
    "exception externalurlservice fault instance mensagem mensagens message messages msg ok path "
    "reason request_id requestid result resultado servico service stack stacktrace status "
    "statuscode statusmessage success sucesso timestamp title titulo trace traceid type url".split()
)
_TROUBLE_KEYS: Final = frozenset(
    "code codigo erro error error_description errorcode errormessage erros errors exception fault "
    "mensagem message msg status statuscode".split()
)
_ENVELOPE_START: Final = re.compile(
    r"\{\s*\"(?:erro|error|exception|trace)\"\s*:\s*[\"{]|"
    r"\{\s*\"[^\"]{1,40}\"\s*:.{0,400}?\"(?:status|statuscode|code)\"\s*:\s*\"?[45]\d\d\b",
    re.DOTALL,
)

_WHOLE_PAGE: Final = ("<!doctype", "<html", "<head", "<title", "<body", "<meta", "<script")
_HEADING: Final = re.compile(r"<(title|h1|h2)\b[^>]{0,300}>(.{0,300}?)</\1", re.DOTALL)
_UNSEEN: Final = re.compile(
    r"<(script|style|head)\b.*?(?:</\1\s*>|\Z)|<!--.*?(?:-->|\Z)", re.DOTALL
)
_TAG: Final = re.compile(r"<[^<>]*>")
_ACCENTS: Final = re.compile(r"[\u0300-\u036f]")


def find_error(first: bytes, last: bytes, *, whole: bool) -> Reason | None:
    """CREDENTIAL, BLOCKED, SHELL, STUB or ERROR_BODY if this text or markup is not a file.

    Args:
        first: the beginning of the body.
        last: its end, as far as it is known; may overlap the beginning.
        whole: the beginning is all of it.
    """
    start = decoded(first)
    text = _plain(start)
    if looks_like_markup(first):
        return _error_in_markup(text if whole else text + _plain(decoded(last)))
    if text.startswith(("{", "[")):
        try:
            return Reason.ERROR_BODY if is_envelope(read_json(start)) else None
        except (ValueError, RecursionError):
            if _ENVELOPE_START.match(text):
                return Reason.ERROR_BODY
    if not whole or len(text) > _NOTE_CHARACTERS:
        return None
    return _error_in_note(_collapsed(text).strip('"'), inside=True)


def is_envelope(payload: object) -> bool:
    """True for JSON whose members only describe an error."""
    if isinstance(payload, list):
        return all(isinstance(item, dict) and is_envelope(item) for item in payload)
    if not isinstance(payload, dict):
        return payload is None or isinstance(payload, bool)
    keys = {str(key).lower() for key in payload}
    return keys <= _ENVELOPE_KEYS and (not keys or not keys.isdisjoint(_TROUBLE_KEYS))


def decoded(body: bytes, *, says_utf8: bool = False) -> str:
    """Decode a body: UTF-8, UTF-16 with a byte order mark, or else windows-1252.

    A body that breaks off within a character, and one that says it is UTF-8, is read as UTF-8 in
    spite of the broken bytes. ISO-8859-1 is read as windows-1252, which holds all of it.
    """
    if body.startswith((b"\xff\xfe", b"\xfe\xff")):
        return body.decode("utf-16", "replace")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        is_utf8 = says_utf8 or error.start >= len(body) - 3
        return body.decode("utf-8-sig" if is_utf8 else "windows-1252", "replace")


def read_json(text: str) -> object:
    """The JSON in a text.

    Raises:
        ValueError: it is not JSON.
        RecursionError: it is nested deeper than can be read.
    """
    # NaN and Infinity are not JSON, and PostgreSQL does not take them.
    return json.loads(text, parse_constant=lambda _: None)


def _error_in_markup(text: str) -> Reason | None:
    if _APP.search(text):
        return Reason.SHELL
    if _XML_FAULT.match(text):
        return Reason.ERROR_BODY
    if text.startswith("<?xml") and "<html" not in text:
        return None
    if text.startswith((*_WHOLE_PAGE, "<?xml", "<!--")):
        for reason, pattern in _FORMS:
            if pattern.search(text):
                return reason
    shown = _shown(_UNSEEN.sub(" ", text))
    if len(shown) > _PAGE_CHARACTERS:
        return None
    for _, heading in _HEADING.findall(text):
        words = _shown(heading).rstrip(" .!:-")
        for reason, patterns in _HEADINGS:
            if any(re.fullmatch(pattern, words) for pattern in patterns):
                return reason
    return _error_in_note(shown)


def _error_in_note(text: str, *, inside: bool = False) -> Reason | None:
    if _OF_A_COURT.search(text):
        return None
    if inside and (found := next((why for why, words in _INSIDE if re.search(words, text)), None)):
        return found
    return next((reason for reason, words in _NOTES if re.match(words, text)), None)


def _plain(text: str) -> str:
    """Lower case, without accents."""
    text = text.lower()
    if not text.isascii():
        text = _ACCENTS.sub("", unicodedata.normalize("NFKD", text))
    return text.strip("\ufeff\0 \t\r\n\f\v")


def _shown(markup: str) -> str:
    """The text between the tags."""
    return _collapsed(_plain(html.unescape(_TAG.sub(" ", markup))))


def _collapsed(text: str) -> str:
    return " ".join(text.split())
