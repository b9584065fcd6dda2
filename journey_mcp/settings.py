"""All settings, read once from the environment into one frozen value."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from journey_mcp.errors import SetupError

Seconds = Annotated[int, Field(ge=0, le=300)]
LogLevel = Literal["debug", "info", "warning", "error"]


class Settings(BaseModel):
    """One field per variable; the field's title is the variable's name, its description the documentation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    journeyapi_api_key: SecretStr | None = Field(
        None, title="JOURNEYAPI_API_KEY", description="Your JourneyAPI key. Without any key the sandbox runs."
    )
    journeyapi_base_url: str | None = Field(
        None,
        title="JOURNEYAPI_BASE_URL",
        description="Where JourneyAPI is asked; default `https://api.journeyapi.com/api/v1`.",
    )
    data_dir: Path | None = Field(
        None,
        title="JOURNEY_MCP_DATA_DIR",
        description="Folder of the task database; default: the system's folder for a user's data.",
    )
    database_url: str | None = Field(
        None,
        title="JOURNEY_MCP_DATABASE_URL",
        description="Address of the task database; default `sqlite:///<data folder>/tasks.db`.",
    )
    registry: Path | None = Field(
        None, title="JOURNEY_MCP_REGISTRY", description="A TOML file with models and offers of your own."
    )
    default_model: str | None = Field(
        None,
        title="JOURNEY_MCP_DEFAULT_MODEL",
        description="Model of `imagine` when none is named; default `midjourney`.",
    )
    default_edit_model: str | None = Field(
        None,
        title="JOURNEY_MCP_DEFAULT_EDIT_MODEL",
        description="Model of `edit_image` when none is named; default `flux-kontext-pro`.",
    )
    wait_s: Seconds = Field(
        45,
        title="JOURNEY_MCP_WAIT_S",
        description="Seconds a call waits for its pictures unless it says otherwise, 0 to 300; default 45.",
    )
    webhook_secret: SecretStr | None = Field(
        None,
        title="JOURNEY_MCP_WEBHOOK_SECRET",
        description="Sent back in `x-webhook-secret` when a `webhook_url` is called.",
    )
    keep_days: Annotated[int, Field(ge=1, le=3650)] = Field(
        30,
        title="JOURNEY_MCP_KEEP_DAYS",
        description="Days after which tasks, prompts included, are deleted; default 30.",
    )
    sandbox: Literal["auto", "off"] = Field(
        "auto",
        title="JOURNEY_MCP_SANDBOX",
        description="`auto`: without any key a built-in sandbox makes the pictures; `off`: the server does not start.",
    )
    log_level: LogLevel = Field(
        "warning",
        title="JOURNEY_MCP_LOG_LEVEL",
        description="`debug`, `info`, `warning` (default) or `error`; logs go to stderr.",
    )

    @field_validator("journeyapi_base_url")
    @classmethod
    def _web_address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            parts = urlsplit(value)
            has_host = bool(parts.hostname) and parts.port != 0
        except ValueError:
            has_host = False
        if not has_host or parts.scheme not in {"http", "https"}:
            raise ValueError("must be an address such as https://host/path (http:// for a local one)")
        return value.rstrip("/")

    @field_validator("database_url")
    @classmethod
    def _database_address(cls, value: str | None) -> str | None:
        if value is not None and not re.match(r"[a-z0-9+]+://", value):
            raise ValueError("must be an address such as sqlite:////folder/tasks.db")
        return value

    @field_validator("data_dir")
    @classmethod
    def _folder(cls, value: Path | None) -> Path | None:
        if value is not None and value.expanduser().exists() and not value.expanduser().is_dir():
            raise ValueError("is a file, and must be a folder")
        return value

    @field_validator("journeyapi_api_key", "webhook_secret")
    @classmethod
    def _fits_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        secret = value.get_secret_value() if value else ""
        if not (secret.isascii() and secret.isprintable()):
            raise ValueError("has characters that cannot be sent in a header; was it copied whole and alone?")
        return value

    @property
    def keys(self) -> dict[str, str]:
        """The keys that are set, by the registry's id of their provider."""
        secret = self.journeyapi_api_key
        return {"journeyapi": secret.get_secret_value()} if secret else {}

    @property
    def secrets(self) -> list[str]:
        """Everything that must never be seen."""
        told = (self.journeyapi_api_key, self.webhook_secret)
        return [secret.get_secret_value() for secret in told if secret]

    @property
    def base_urls(self) -> dict[str, str]:
        """The base addresses that are set, by the registry's id of their provider."""
        return {"journeyapi": self.journeyapi_base_url} if self.journeyapi_base_url else {}

    @property
    def uses_sandbox(self) -> bool:
        """No key is set, and the sandbox takes a provider's place."""
        return not self.keys and self.sandbox == "auto"

    def resolved_data_dir(self) -> Path:
        """The folder for data, which need not exist yet."""
        if self.data_dir is not None:
            return self.data_dir.expanduser()
        from platformdirs import user_data_path  # noqa: PLC0415  # not before the first answer

        return user_data_path("journey-mcp", appauthor=False)

    def resolved_database_url(self) -> str:
        """The database's address, with the asynchronous driver."""
        url = self.database_url or f"sqlite:///{self.resolved_data_dir() / 'tasks.db'}"
        return url.replace("sqlite:///", "sqlite+aiosqlite:///", 1) if url.startswith("sqlite:") else url


def variables() -> dict[str, str]:
    """The field of every environment variable."""
    return {str(info.title): name for name, info in Settings.model_fields.items()}


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read the environment; a variable that is empty counts as not set.

    Raises:
        SetupError: one line that names the variable, its value unless it is a secret, and what is allowed.
    """
    known = variables()
    given = {field: value for name, field in known.items() if (value := environment.get(name, "").strip())}
    try:
        settings = Settings.model_validate(given)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        field = str(problem["loc"][0])
        name = next(variable for variable, its_field in known.items() if its_field == field)
        value = "(secret)" if Settings.model_fields[field].annotation == SecretStr | None else repr(given[field])
        raise SetupError(
            f"{name}={value}: {problem['msg'].removeprefix('Value error, ')}.",
            next_step="Correct or unset this variable.",
        ) from error
    if not settings.keys and settings.sandbox == "off":
        raise SetupError(
            "No provider key is set and JOURNEY_MCP_SANDBOX=off.",
            next_step="Set JOURNEYAPI_API_KEY, or let the sandbox run with JOURNEY_MCP_SANDBOX=auto.",
        )
    return settings


def misspelled(environment: Mapping[str, str]) -> list[str]:
    """Variables that look like ours and are not: worth a warning."""
    return sorted(name for name in environment if name.startswith("JOURNEY_MCP_") and name not in variables())
