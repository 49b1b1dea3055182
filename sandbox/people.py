"""Made-up parties of a case, in the shapes of §5.2; the numbers belong to nobody."""

from sandbox.cases import Case

PORTFOLIO_CPF = "00000000272"
"""A party of the 250 cases a search by CPF pages through."""


def parties(case: Case) -> list[dict[str, object]]:
    """Two parties with lawyers; `odd_shapes` adds 240 other names and numbers as integers."""
    serial = int(case.number.digits[2:7])
    registration: object = "00000000191"
    if case.odd_shapes:
        # Some courts send it as an integer, without its leading zeros.
        registration = 191
    return [
        {
            "polo": "ATIVO",
            "nome": f"Fulana de Tal {serial}",
            "outrosNomes": [
                {"nome": f"Fulana {i} de Tal", "tipo": "OUTRO_NOME"}
                for i in range(240 if case.odd_shapes else 1)
            ],
            "sigilosa": False,
            "assistenciaJudiciariaGratuita": True,
            "documentosPrincipais": [{"numero": PORTFOLIO_CPF, "tipo": "CPF"}],
            "representantes": [
                {
                    "tipoRepresentacao": "ADVOGADO",
                    "nome": "Beltrano Inventado",
                    "cadastroReceitaFederal": [{"numero": registration, "tipo": "CPF"}],
                }
            ],
        },
        {
            "polo": "PASSIVO",
            "nome": "Empresa de Ensaio S.A.",
            "sigilosa": False,
            "documentosPrincipais": [{"numero": "00000000000191", "tipo": "CNPJ"}],
            "representantes": [{"tipoRepresentacao": "PROCURADORIA", "nome": "Sicrana de Exemplo"}],
        },
    ]
