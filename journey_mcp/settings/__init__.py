"""Settings: parsed once from the environment into one frozen value."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_core import CoreSchema, core_schema

from journey_mcp.core import provider_keys
from journey_mcp.core.concurrency import Limits, parse_limits_at_once
from journey_mcp.core.errors import SetupError
from journey_mcp.core.fleet_secret import FleetSecret
from journey_mcp.core.limits import (
    UNKNOWN_COST,
    CreditPrices,
    Limit,
    parse_amounts,
    parse_credit_prices,
    parse_limits,
)
from journey_mcp.core.money import Charges
from journey_mcp.core.redaction import KEY_ENDINGS, secrets_in, without_userinfo
from journey_mcp.core.standard_webhooks import key_of
from journey_mcp.core.urls import BaseUrl, HttpsOrigin, is_loopback, is_secure
from journey_mcp.handshake.plugins import has_plugins
from journey_mcp.settings.allowed_hosts import AllowedHosts
from journey_mcp.settings.allowed_origins import AllowedOrigins
from journey_mcp.settings.image_store import ImageStoreAddress
from journey_mcp.settings.placeholders import check_written
from journey_mcp.settings.trusted_hosts import TrustedHosts


def _listed(text: str) -> tuple[str, ...]:
    """Split at commas."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


_PROVIDER_ENDINGS = (*KEY_ENDINGS, "_BASE_URL")
"""Endings of the variables that the user's registry file may name for its providers."""


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.lower() for name in _listed(text))


def _paths(text: str) -> tuple[Path, ...]:
    return tuple(_at_home(Path(path)) for path in _listed(text))


def _at_home(path: Path) -> Path:
    """Return the path with `~` expanded, as in a shell."""
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ValueError("has a ~ in it, but there is no home folder") from error


def _in_lower_case(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _key(secret: SecretStr) -> SecretStr:
    if fault := provider_keys.fault_of(secret.get_secret_value()):
        raise ValueError(fault)
    return secret


def _origins(text: str) -> tuple[HttpsOrigin, ...]:
    return tuple(map(HttpsOrigin.parse, _listed(text)))


def _trusted_hosts(text: str) -> TrustedHosts:
    return TrustedHosts.parse(_listed(text))


def _allowed_hosts(text: str) -> AllowedHosts:
    return AllowedHosts.parse(_listed(text))


def _allowed_origins(text: str) -> AllowedOrigins:
    return AllowedOrigins.parse(_listed(text))


def _with_usual_costs(text: str) -> Charges:
    return {**UNKNOWN_COST, **parse_amounts(text)}


@dataclass(frozen=True, slots=True)
class _Parsed:
    """Annotation of a field that a function parses; a dump shows it as text."""

    parse: Callable[[str], object]

    def __get_pydantic_core_schema__(self, _source: object, _handler: object) -> CoreSchema:
        """Use the function only: pydantic does not need the type."""
        return core_schema.no_info_plain_validator_function(
            self.parse, serialization=core_schema.to_string_ser_schema()
        )


InAnyCase = BeforeValidator(_in_lower_case)
Key = Annotated[SecretStr, AfterValidator(_key)]
Address = Annotated[BaseUrl, _Parsed(BaseUrl)]
Names = Annotated[tuple[str, ...], _Parsed(_names)]
Origins = Annotated[tuple[HttpsOrigin, ...], _Parsed(_origins)]
Fleet = Annotated[FleetSecret, _Parsed(FleetSecret.parse)]
Paths = Annotated[tuple[Path, ...], _Parsed(_paths)]
Keep = Literal["all", "expiring", "off"]
Budget = Annotated[tuple[Limit, ...], _Parsed(parse_limits)]
Amounts = Annotated[Charges, _Parsed(parse_amounts)]
UnknownCost = Annotated[Charges, _Parsed(_with_usual_costs)]
Prices = Annotated[CreditPrices, _Parsed(parse_credit_prices)]
Concurrency = Annotated[Limits, _Parsed(parse_limits_at_once)]
Seconds = Annotated[int, Field(ge=0, le=300)]
LogLevel = Annotated[Literal["debug", "info", "warning", "error"], InAnyCase]


class Settings(BaseModel):
    """One field per variable: its title is the name of the variable, its description the documentation.

    The methods say what several variables mean together. There is one for each such question, so that no other module
    combines variables.
    """

    # errors appear in tracebacks, and the input may be a secret
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    journeyapi_api_key: Key | None = Field(
        None, title="JOURNEYAPI_API_KEY", description="Your JourneyAPI key. Without any key the sandbox runs."
    )
    journeyapi_base_url: Address | None = Field(
        None,
        title="JOURNEYAPI_BASE_URL",
        description="Base URL of JourneyAPI; default `https://api.journeyapi.com/api/v1`.",
    )
    vtrix_api_key: Key | None = Field(None, title="VTRIX_API_KEY", description="Your Vtrix key.")
    vtrix_base_url: Address | None = Field(
        None, title="VTRIX_BASE_URL", description="Base URL of Vtrix; default `https://cloud.vtrix.ai`."
    )
    vtrix_poll_base_url: Address | None = Field(
        None,
        title="VTRIX_POLL_BASE_URL",
        description="Base URL for polling Vtrix tasks; default `VTRIX_BASE_URL`.",
    )
    kkiai_api_key: Key | None = Field(None, title="KKIAI_API_KEY", description="Your KKIAI key.")
    kkiai_base_url: Address | None = Field(
        None,
        title="KKIAI_BASE_URL",
        description="Base URL of KKIAI; default `https://www.kkiai.com/replicate/v1`.",
    )
    replicate_api_token: Key | None = Field(None, title="REPLICATE_API_TOKEN", description="Your Replicate token.")
    replicate_base_url: Address | None = Field(
        None,
        title="REPLICATE_BASE_URL",
        description="Base URL of Replicate; default `https://api.replicate.com/v1`.",
    )
    bfl_api_key: Key | None = Field(None, title="BFL_API_KEY", description="Your Black Forest Labs key.")
    bfl_base_url: Address | None = Field(
        None,
        title="BFL_BASE_URL",
        description="Base URL of Black Forest Labs; default `https://api.bfl.ai/v1`.",
    )
    providers: Names = Field(
        (),
        title="JOURNEY_MCP_PROVIDERS",
        description="The providers to use, comma-separated, the preferred one first; "
        "default: all providers with a key, in the order of this table.",
    )
    data_dir: Path | None = Field(
        None,
        title="JOURNEY_MCP_DATA_DIR",
        description="Folder of the task database; default: the user data folder of the system.",
    )
    database_url: str | None = Field(
        None,
        repr=False,  # it may contain a password
        title="JOURNEY_MCP_DATABASE_URL",
        description="URL of the task database; default `sqlite:///<data folder>/tasks.db`. "
        "With `?timeout=20` a process waits 20 s for a database lock instead of 10 s. "
        "`postgresql://user:password@host/database` is for several servers on one database "
        "([PostgreSQL](docs/postgresql.md)); it needs `pip install 'journey-mcp[postgres]'`.",
    )
    listen_url: str | None = Field(
        None,
        repr=False,  # it may contain a password
        title="JOURNEY_MCP_DATABASE_LISTEN_URL",
        description="URL of the same PostgreSQL database without PgBouncer, through which no notifications come; "
        "default `JOURNEY_MCP_DATABASE_URL`.",
    )
    registry: Paths = Field(
        (),
        title="JOURNEY_MCP_REGISTRY",
        description="TOML files with more models, offers and providers, or folders of them, comma-separated; a later "
        "one wins ([Adding a model](docs/models.md)).",
    )
    default_model: str | None = Field(
        None,
        title="JOURNEY_MCP_DEFAULT_MODEL",
        description="Model of `imagine` if a call names none; default `midjourney`.",
    )
    default_edit_model: str | None = Field(
        None,
        title="JOURNEY_MCP_DEFAULT_EDIT_MODEL",
        description="Model of `edit_image` if a call names none; default `flux-kontext-pro`.",
    )
    image_dirs: Paths = Field(
        (),
        title="JOURNEY_MCP_IMAGE_DIRS",
        description="More folders, comma-separated, from which local image files may be read.",
    )
    trusted_hosts: Annotated[TrustedHosts, _Parsed(_trusted_hosts)] = Field(
        TrustedHosts(),
        title="JOURNEY_MCP_TRUSTED_HOSTS",
        description="Hosts, as `host` or `host:port`, comma-separated, from which images are also fetched "
        "over plain HTTP and at private addresses.",
    )
    allowed_hosts: Annotated[AllowedHosts, _Parsed(_allowed_hosts)] = Field(
        AllowedHosts.parse(),
        title="JOURNEY_MCP_ALLOWED_HOSTS",
        description="Host names besides `localhost` and the host of `JOURNEY_MCP_SERVER_URL` that clients may use over "
        "HTTP, as `host`, `host:port` or `host:*`, comma-separated, such as `host.docker.internal`.",
    )
    server_url: Address | None = Field(
        None,
        title="JOURNEY_MCP_SERVER_URL",
        description="Public address of the server over HTTP, without `/mcp`, such as `https://mcp.example.com`; "
        "`serve --server-url` sets it too. Its host is allowed.",
    )
    allowed_origins: Annotated[AllowedOrigins, _Parsed(_allowed_origins)] = Field(
        AllowedOrigins(),
        title="JOURNEY_MCP_ALLOWED_ORIGINS",
        description="Origins of web pages that may call the server over HTTP from a browser (CORS), comma-separated, "
        "such as `https://app.example.com`.",
    )
    trust_proxy: Annotated[Literal["on", "off"], InAnyCase] = Field(
        "off",
        title="JOURNEY_MCP_TRUST_PROXY",
        description="`on`: the address of a client over HTTP is the last one in `X-Forwarded-For`, for a server that "
        "only its proxy can reach; `serve --trust-proxy` sets it too. Default `off`: the header is ignored.",
    )
    tokens_file: Path | None = Field(
        None,
        title="JOURNEY_MCP_TOKENS_FILE",
        description="File of the bearer tokens that clients over HTTP may use; `token new` adds one.",
    )
    oauth_issuer: str | None = Field(
        None,
        title="JOURNEY_MCP_OAUTH_ISSUER",
        description="Issuer of the OAuth access tokens that clients over HTTP may use, exactly as its metadata names "
        "it, such as `https://login.example.com`.",
    )
    oauth_audience: str | None = Field(
        None,
        title="JOURNEY_MCP_OAUTH_AUDIENCE",
        description="The audience (`aud`) of these tokens; default: `JOURNEY_MCP_SERVER_URL` with `/mcp`.",
    )
    caller_keys: Annotated[Literal["on", "off"], InAnyCase] = Field(
        "off",
        title="JOURNEY_MCP_CALLER_KEYS",
        description="`on`: a caller over HTTP may send provider keys of their own, in headers such as "
        "`x-journey-key-journeyapi`, and pays with them ([Authentication](docs/authentication.md#keys-of-callers)). "
        "Needs `JOURNEY_MCP_SECRET`. Default `off`: such a request is rejected.",
    )
    secret: Fleet | None = Field(
        None,
        title="JOURNEY_MCP_SECRET",
        description="A secret of at least 32 characters that all servers on one database share, so that each accepts "
        "what another one has sealed or signed. During a rotation two, comma-separated: the first one seals and signs.",
    )
    store: Annotated[ImageStoreAddress | None, _Parsed(ImageStoreAddress.parse)] = Field(
        None,
        title="JOURNEY_MCP_STORE",
        description="Object store for images instead of the data folder: `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX` or "
        "`az://ACCOUNT/CONTAINER/PREFIX`, with `?endpoint=https://…` for a store that is compatible with S3. Needs "
        "`journey-mcp[objects]`.",
    )
    keep_images: Annotated[Keep, InAnyCase] = Field(
        "all",
        title="JOURNEY_MCP_KEEP_IMAGES",
        description="Which finished images are copied into the data folder: `all` (default; over HTTP the same as "
        "`expiring`), `expiring` (those whose links expire within a day) or `off`.",
    )
    keep_gb: Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)] = Field(
        5,
        title="JOURNEY_MCP_KEEP_GB",
        description="GB for all stored images together; the oldest are deleted first. Default 5.",
    )
    copy_max_mb: Annotated[int, Field(ge=0, le=1024)] = Field(
        32,
        title="JOURNEY_MCP_COPY_MAX_MB",
        description="The largest image, in MB, that is copied into the data folder; default 32, 0 copies none.",
    )
    save_dir: Path | None = Field(
        None,
        title="JOURNEY_MCP_SAVE_DIR",
        description="Folder in which finished images also appear under readable names, such as "
        "`2026-11-28 a lighthouse at dusk 2.png`. Nothing in it is overwritten or deleted.",
    )
    budget: Budget = Field(
        (),
        title="JOURNEY_MCP_BUDGET",
        description="Spending limits, comma-separated, as `AMOUNT UNIT/PERIOD[@PROVIDER]` with unit `credits` or "
        "`usd` and period `call`, `hour`, `day` or `total`: `8credits/call,100credits/day`. A limit counts what is "
        "charged in its unit: JourneyAPI charges credits, Black Forest Labs and Vtrix charge dollars. With `@each` it "
        "counts every principal of a service by itself, with `@principal:NAME` only one.",
    )
    calls_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        None,
        title="JOURNEY_MCP_CALLS_PER_MINUTE",
        description="Most tool calls of one principal in a minute, over HTTP and for all replicas together; further "
        "ones get HTTP 429. Default: any number.",
    )
    running_tasks: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        None,
        title="JOURNEY_MCP_RUNNING_TASKS",
        description="Most unfinished tasks of one principal; further calls are rejected. Default: any number.",
    )
    unknown_cost: UnknownCost = Field(
        UNKNOWN_COST,
        title="JOURNEY_MCP_UNKNOWN_COST",
        description="What an image with unknown cost counts towards limits, in the unit of its provider; "
        "default `8credits,0.10usd`.",
    )
    credit_price: Prices = Field(
        {},
        title="JOURNEY_MCP_CREDIT_PRICE",
        description="Your price of one credit, comma-separated, as `AMOUNTusd@PROVIDER`: "
        "`0.01usd@journeyapi`. Only then do its credits count towards limits in dollars, and results state both.",
    )
    confirm_above: Amounts = Field(
        {},
        title="JOURNEY_MCP_CONFIRM_ABOVE",
        description="A call that costs more needs the person's confirmation, as in `6credits,0.50usd`.",
    )
    public_url: Address | None = Field(
        None,
        title="JOURNEY_MCP_PUBLIC_URL",
        description="The public HTTPS URL of `serve --webhooks`, which providers call and fetch images from, as in "
        "`https://hooks.example.com/journey`.",
    )
    max_concurrent: Concurrency = Field(
        {},
        title="JOURNEY_MCP_MAX_CONCURRENT",
        description="Most tasks at once, comma-separated, as `N` (at each provider) or `N@PROVIDER`, as in "
        "`25@journeyapi`; further tasks are queued. Default: no fixed limit; it adapts to a provider's rejections.",
    )
    wait_s: Seconds = Field(
        25,
        title="JOURNEY_MCP_WAIT_S",
        description="Seconds that a call waits for its images by default, 0 to 300; default 25.",
    )
    tools: Names = Field(
        (),
        title="JOURNEY_MCP_TOOLS",
        description="The tools to list, comma-separated, as in `imagine,edit_image,fetch_task`; default: all. Others "
        "cannot be called.",
    )
    resource_links: Annotated[Literal["on", "off"], InAnyCase] = Field(
        "off",
        title="JOURNEY_MCP_RESOURCE_LINKS",
        description="`on`: results also contain a `resource_link` for each image, which several SDKs cannot read. "
        "Default `off`.",
    )
    preview: Annotated[Literal["auto", "always", "off"], InAnyCase] = Field(
        "auto",
        title="JOURNEY_MCP_PREVIEW",
        description="`auto` (default): results with new images end with a small image block, for hosts that are known "
        "to show it. `always`: for every client; `off`: for none.",
    )
    webhook_secret: Key | None = Field(
        None,
        title="JOURNEY_MCP_WEBHOOK_SECRET",
        description="Secret to sign calls of a `webhook_url` by Standard Webhooks: `whsec_` and Base64, or plain text.",
    )
    webhook_origins: Origins = Field(
        (),
        title="JOURNEY_MCP_WEBHOOK_ORIGINS",
        description="The only allowed origins of a `webhook_url`, comma-separated, as in "
        "`https://hooks.example.com`; default: every public origin.",
    )
    webhook_secret_origins: Origins = Field(
        (),
        title="JOURNEY_MCP_WEBHOOK_SECRET_ORIGINS",
        description="Origins that also receive the secret itself, in the header `x-webhook-secret`.",
    )
    keep_days: Annotated[int, Field(ge=1, le=3650)] = Field(
        30,
        title="JOURNEY_MCP_KEEP_DAYS",
        description="Days after which tasks, their prompts and stored images are deleted; default 30.",
    )
    sandbox: Annotated[Literal["auto", "off"], InAnyCase] = Field(
        "auto",
        title="JOURNEY_MCP_SANDBOX",
        description="Without any key, `auto` (default) makes images in a built-in sandbox; with `off` the server does "
        "not start.",
    )
    log_level: LogLevel = Field(
        "warning",
        title="JOURNEY_MCP_LOG_LEVEL",
        description="`debug`, `info`, `warning` (default) or `error`. Logs go to stderr.",
    )
    log_format: Annotated[Literal["text", "json"], InAnyCase] = Field(
        "text",
        title="JOURNEY_MCP_LOG_FORMAT",
        description="`text` (default) or `json`: one object per line.",
    )

    others: Mapping[str, SecretStr] = Field({}, exclude=True)
    """Keys and base URLs of providers in the user's registry file, by variable."""
    is_over_http: bool = Field(default=False, exclude=True)
    """Clients reach this process over HTTP; set by `over_http`."""
    secret_values: tuple[SecretStr, ...] = Field((), exclude=True)
    """All secrets of the environment, for redaction."""

    @field_validator("public_url")
    @classmethod
    def _public_address(cls, value: BaseUrl | None) -> BaseUrl | None:
        return _reachable_address(value, because="the task id is appended to it", readers="every provider gets")

    @field_validator("server_url")
    @classmethod
    def _server_address(cls, value: BaseUrl | None) -> BaseUrl | None:
        found = _reachable_address(value, because="/mcp is appended to it", readers="every client sees")
        # people copy the address that they give to clients
        return None if found is None else BaseUrl(found.removesuffix("/mcp"))

    @field_validator("webhook_secret")
    @classmethod
    def _signing_key(cls, value: SecretStr | None) -> SecretStr | None:
        key_of(value.get_secret_value() if value else "")
        return value

    @field_validator("tokens_file")
    @classmethod
    def _tokens_file(cls, value: Path | None) -> Path | None:
        return None if value is None else _at_home(value)

    @field_validator("oauth_issuer")
    @classmethod
    def _issuer(cls, value: str | None) -> str | None:
        """Check the issuer, and keep it as it is written: a slash at its end belongs to it."""
        if value is None:
            return None
        if not is_secure(value):
            raise ValueError("must be an https:// address (http:// only on this machine)")
        parts = urlsplit(value)
        if parts.query or parts.fragment or "@" in parts.netloc:
            raise ValueError("must have no user name, and neither ? nor #")
        return value

    @field_validator("database_url")
    @classmethod
    def _database_address(cls, value: str | None) -> str | None:
        if value is not None and not re.match(r"[a-z0-9+]+://", value):
            raise ValueError("must be an address such as sqlite:////folder/tasks.db")
        return value

    @field_validator("listen_url")
    @classmethod
    def _listen_address(cls, value: str | None) -> str | None:
        if value is not None and not re.match(r"postgres(ql(\+psycopg)?)?://", value):
            raise ValueError("must be an address such as postgresql://user@host:5432/database")
        return value

    @field_validator("data_dir", "save_dir")
    @classmethod
    def _folder(cls, value: Path | None) -> Path | None:
        folder = None if value is None else _at_home(value)
        try:
            if folder is not None and folder.exists() and not folder.is_dir():
                raise ValueError("is a file, not a folder")
        except OSError as error:
            raise ValueError(f"cannot be opened: {error.strerror}") from error
        return folder

    @property
    def keys(self) -> dict[str, str]:
        """The keys of built-in providers that are set, by variable."""
        fields = _keys()
        return {
            name: secret.get_secret_value()
            for name, field in variables().items()
            if field in fields and (secret := getattr(self, field))
        }

    @property
    def secrets(self) -> list[str]:
        """All secrets, for redaction."""
        return [secret.get_secret_value() for secret in self.secret_values]

    def key(self, variable: str) -> str | None:
        """Return the key in a provider's variable.

        Raises:
            SetupError: the key of a provider in the user's registry file cannot be a key; names the variable.
        """
        key = self.value_of(variable)
        if key is not None and variable in self.others:
            check_written(variable, key, is_secret=True)
            if fault := provider_keys.fault_of(key):
                raise _wrong(variable, "(secret)", fault, is_key=True)
        return key

    def address(self, variable: str | None) -> BaseUrl | None:
        """Return the base URL in a provider's variable.

        Raises:
            SetupError: the URL of a provider in the user's registry file is wrong; names the variable.
        """
        address = self.value_of(variable)
        if address is None or isinstance(address, BaseUrl):
            return address
        try:
            return BaseUrl(address)
        except ValueError as error:
            raise _wrong(str(variable), repr(without_userinfo(address)), str(error)) from None

    def value_of(self, variable: str | None) -> str | None:
        """Return the value of a provider's variable; `key` and `address` check it as well."""
        field = variables().get(variable or "")
        value = getattr(self, field) if field else self.others.get(variable or "")
        return value.get_secret_value() if isinstance(value, SecretStr) else value

    @property
    def copies(self) -> Keep:
        """Which finished images are copied, with both settings that can turn copies off."""
        return self.keep_images if self.copy_max_mb else "off"

    @property
    def hosts_over_http(self) -> AllowedHosts:
        """The hosts that clients over HTTP may use: `allowed_hosts`, and that of `server_url` at any port."""
        host = urlsplit(self.server_url or "").hostname
        return self.allowed_hosts.including(host) if host else self.allowed_hosts

    @property
    def endpoint_url(self) -> str | None:
        """The URL that clients over HTTP are given; `None` if `server_url` is not set."""
        return self.server_url and f"{self.server_url}/mcp"

    @property
    def link_base_url(self) -> str | None:
        """The address at which this process serves stored images to everybody who has a link; `None` if it does not."""
        return self.server_url if self.is_over_http else None

    @property
    def hosts_images(self) -> bool:
        """Whether providers that take URLs only can be given links to images without one.

        `public_url` counts, although it has no effect without `serve --webhooks`.
        """
        return bool(self.link_base_url or self.public_url or self.store)

    @property
    def may_have_caller_keys(self) -> bool:
        """Whether callers may have provider keys of their own: sent with requests, or in the tokens file."""
        return self.is_over_http and (self.caller_keys == "on" or self.tokens_file is not None)

    def over_http(self) -> "Settings":
        """Return the settings of a server over HTTP.

        It copies only images whose links expire soon, and saves none: its clients do not see this machine's folders.
        """
        keep_images = "expiring" if self.keep_images == "all" else self.keep_images
        return self.model_copy(update={"keep_images": keep_images, "save_dir": None, "is_over_http": True})

    @property
    def spending_limits(self) -> tuple[Limit, ...]:
        """The limits of `budget`; with `credit_price`, credits count towards those in dollars."""
        return tuple(replace(limit, credit_prices=self.credit_price) for limit in self.budget)

    def resolved_data_dir(self) -> Path:
        """Return the data folder, which may not exist yet."""
        if self.data_dir is not None:
            return self.data_dir
        from platformdirs import user_data_path  # noqa: PLC0415  # not before the first answer

        try:
            return user_data_path("journey-mcp", appauthor=False)
        except RuntimeError as error:
            raise SetupError(
                "There is no home folder for the task database: HOME is not set, and the system knows no such user.",
                next_step="Set JOURNEY_MCP_DATA_DIR to a writable folder.",
            ) from error

    def resolved_database_url(self) -> str:
        """Return the URL of the database."""
        return self.database_url or f"sqlite:///{self.resolved_data_dir() / 'tasks.db'}"


def _reachable_address(value: BaseUrl | None, *, because: str, readers: str) -> BaseUrl | None:
    """Check an address of this server that others use."""
    parts = urlsplit(value or "https://-")
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise ValueError("must be an https:// address (http:// only on this machine, for the sandbox)")
    if value is not None and value.has_userinfo:
        raise ValueError(f"must have no user name or password: {readers} this address")
    if parts.query or parts.fragment:
        raise ValueError(f"must have neither ? nor #: {because}")
    return value


def variables() -> dict[str, str]:
    """Return the field of every environment variable."""
    return {info.title: name for name, info in Settings.model_fields.items() if info.title}


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Parse the environment; an empty variable counts as not set.

    Raises:
        SetupError: one line with the variable, its value unless it is a secret, and what is allowed.
    """
    known = variables()
    given: dict[str, Any] = {
        field: value for name, field in known.items() if (value := environment.get(name, "").strip())
    }
    if "registry" in given or has_plugins():
        given["others"] = {
            name: value.strip()
            for name, value in environment.items()
            if name.endswith(_PROVIDER_ENDINGS) and name not in known and value.strip()
        }
    for name, field in known.items():
        check_written(name, given.get(field, ""), is_secret=_is_secret(field))
    given["secret_values"] = secrets_in(environment)
    try:
        settings = Settings.model_validate(given)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        field = str(problem["loc"][0])
        name = next(variable for variable, its_field in known.items() if its_field == field)
        value = "(secret)" if _is_secret(field) else repr(_shown(field, given[field]))
        fault = problem["msg"].removeprefix("Value error, ")
        raise _wrong(name, value, fault, is_key=field in _keys()) from error
    if not settings.keys and not settings.others and settings.sandbox == "off" and settings.caller_keys == "off":
        raise no_key()
    if settings.caller_keys == "on" and settings.secret is None:
        raise SetupError(
            "JOURNEY_MCP_CALLER_KEYS=on needs JOURNEY_MCP_SECRET: keys of callers are stored sealed with it.",
            next_step="Set JOURNEY_MCP_SECRET; `openssl rand -hex 32` makes a secret.",
        )
    return settings


def _wrong(variable: str, value: str, fault: str, *, is_key: bool = False) -> SetupError:
    alone = ": the key alone, without `Bearer` before it" if is_key else ""
    return SetupError(f"{variable}={value}: {fault}.", next_step=f"Correct or unset this variable{alone}.")


def _shown(field: str, value: str) -> str:
    """Return a wrong value without the user info of a URL, which may contain a password."""
    is_address = field.endswith(("_url", "_hosts", "_origins", "_issuer", "store"))
    return without_userinfo(value) if is_address else value


def _is_secret(field: str) -> bool:
    return Settings.model_fields[field].annotation in {Key | None, Fleet | None}


def _keys() -> set[str]:
    """Return the fields of provider keys."""
    return {field for field in Settings.model_fields if _is_secret(field)} - {"webhook_secret", "secret"}


def no_key() -> SetupError:
    """Return the error for a configuration without a provider."""
    return SetupError(
        "No provider key is set and JOURNEY_MCP_SANDBOX=off.",
        next_step="Set JOURNEYAPI_API_KEY or another provider's key, or run the sandbox with JOURNEY_MCP_SANDBOX=auto.",
    )


def misspelled(environment: Mapping[str, str]) -> list[str]:
    """Return variables that look like settings and are not."""
    return sorted(name for name in environment if name.startswith("JOURNEY_MCP_") and name not in variables())
