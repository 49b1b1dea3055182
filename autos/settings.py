"""Configuration: one class, read from `AUTOS_*` variables (and a `.env` file in the folder).

Temporal's variables (`TEMPORAL_ADDRESS`, `TEMPORAL_NAMESPACE`, TLS, API key) are read by Temporal's
library, not here. Secrets are `SecretStr`, which prints as asterisks. A new setting also needs a
line in `.env.example` and in the table of settings; tests compare them.
"""

from pathlib import Path
from typing import Final, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

DEFAULT_USER_AGENT: Final = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/142.0.0.0 Safari/537.36"
)


class MissingSettings(RuntimeError):
    """Required settings are missing; the message lists every variable to set."""


class DatabaseUnavailable(RuntimeError):
    """The database of `AUTOS_DATABASE_URL` cannot be used; the message says what to check."""


class Settings(BaseSettings):
    """Every setting of Autos with its default."""

    model_config = SettingsConfigDict(
        env_prefix="AUTOS_", env_file=".env", extra="ignore", frozen=True
    )

    # Records
    database_url: str = Field("", description="PostgreSQL, as postgresql://user:password@host/name")
    database_pool_size: int = Field(10, ge=1, description="Connections per process")
    database_pool_timeout: float = Field(
        10, gt=0, description="Seconds to wait for one of these connections"
    )
    database_connect_timeout: float = Field(
        5, gt=0, description="Seconds; `connect_timeout` in the URL takes precedence"
    )
    database_command_timeout: float = Field(
        30, gt=0, description="Seconds for the answer to one statement"
    )
    database_idle_timeout: float = Field(
        60, ge=0, description="Seconds a transaction may stand still before the server ends it"
    )
    secret_key: SecretStr = Field(
        SecretStr(""),
        description="Encrypts stored credentials and webhook secrets; 32+ characters. Of several, "
        "separated by commas, the first encrypts and all decrypt",
    )

    # Object store
    s3_endpoint: str = Field("", description="Empty for AWS, else the URL of a compatible S3")
    s3_public_endpoint: str = Field(
        "", description="The URL for links, where clients reach S3 by another name"
    )
    s3_bucket: str = ""
    # If empty, boto3's provider chain is used, such as the role of an instance.
    s3_access_key_id: str = ""
    s3_secret_access_key: SecretStr = SecretStr("")
    s3_region: str = "us-east-1"
    link_ttl: int = Field(3600, ge=60, le=604_800, description="Seconds a link opens, at least")

    # Source
    pdpj_base_url: str = Field("", description="Such as https://portaldeservicos.pdpj.jus.br")
    pdpj_token: SecretStr = SecretStr("")
    pdpj_refresh_token: SecretStr = SecretStr("")
    pdpj_token_url: str = ""
    pdpj_client_id: str = "portalexterno-frontend"
    pdpj_user_agent: str = Field(DEFAULT_USER_AGENT, pattern=r"^[!-~][ -~]*$")
    source_max_in_flight: int = Field(20, ge=1, description="Concurrent requests, over all workers")
    source_max_per_second: float = Field(
        0, ge=0, description="Requests per second, over all workers; 0 for no limit"
    )
    source_metadata_timeout: float = Field(90, gt=0, description="Seconds")
    source_idle_timeout: float = Field(60, gt=0, description="Seconds without a byte")
    source_max_document_bytes: int = Field(5_000_000_000, ge=1)
    source_min_bytes_per_minute: int = Field(
        65_536, ge=0, description="A slower response is ended after a minute; 0 for no minimum"
    )
    source_redirect_hosts: str = Field(
        "",
        description="Hosts, separated by commas, that the source may redirect to for files",
    )

    # Jobs
    batch_size: int = Field(5, ge=1, le=50)
    parallel_batches: int = Field(1, ge=1, le=20)
    batch_lookahead: int = Field(
        1,
        ge=0,
        le=5,
        description="Batches handed to a worker ahead of time; 0 for a strict five per job over "
        "several workers, at the price of a pause between batches",
    )
    max_age: int = Field(86_400, ge=0, description="Seconds a held copy of the metadata is fresh")
    retry_unit_seconds: float = Field(
        2, gt=0, description="Scale of all waiting times between attempts (tests make it small)"
    )

    # API
    api_host: str = "127.0.0.1"
    api_port: int = 8000
    admin_key: SecretStr = Field(SecretStr(""), description="Bootstrap admin key")
    api_url: str = Field("", description="The address clients reach the API by, for links to it")
    api_max_body_bytes: int = Field(
        1_048_576, ge=1024, description="Longest body of a request that the API reads"
    )

    # Webhooks
    webhook_allow_private: bool = Field(
        False, description="Let webhooks go to http and to private addresses; for demos only"
    )

    # Operation
    reconcile_minutes: int = Field(
        15,
        ge=0,
        le=1440,
        description="Minutes between two reconciliations of records, Temporal and S3; 0 for none",
    )

    attempts_days: int = Field(
        90, ge=0, description="Days that attempts of deliveries are kept; 0: no limit"
    )
    receipts_days: int = Field(
        90, ge=0, description="Days that webhooks in the test receiver are kept; 0: no limit"
    )

    # The embedded stack
    data_dir: Path = Path(".autos")
    log_format: str = Field("json", pattern="^(json|console)$")
    metrics_port: int = Field(0, ge=0, description="Prometheus port of a worker; 0 leaves it off")

    @model_validator(mode="after")
    def _whole_key_pair(self) -> Self:
        if bool(self.s3_access_key_id) != bool(self.s3_secret_access_key.get_secret_value()):
            raise ValueError(
                "set both AUTOS_S3_ACCESS_KEY_ID and AUTOS_S3_SECRET_ACCESS_KEY, or neither to use "
                "the keys that boto3 finds"
            )
        return self

    def require(self, *names: str) -> None:
        """Check that the named settings are set.

        Raises:
            MissingSettings: lists all missing environment variables.
        """
        values = {name: getattr(self, name) for name in names}
        missing = [
            f"AUTOS_{name.upper()}"
            for name, value in values.items()
            if not (value.get_secret_value() if isinstance(value, SecretStr) else value)
        ]
        if missing:
            raise MissingSettings(
                f"Set {', '.join(missing)} (see .env.example), or run `autos up` for the "
                "embedded stack, which sets them itself."
            )
