"""Registry files: strict TOML. A wrong or unknown key raises an error with file, key and allowed values."""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from journey_mcp.core.errors import SetupError
from journey_mcp.core.requests import OPTIONS
from journey_mcp.core.tasks import SANDBOX
from journey_mcp.registry.facts import Action, ImageInput, Model, Offer, OtherModels, Parameter, ProviderFacts, Switch

for _strict in (Parameter, Switch, ImageInput, Offer, Action, Model, OtherModels, ProviderFacts):
    # pydantic reads this attribute of plain dataclasses; facts.py stays independent of pydantic
    _strict.__pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[union-attr]


@dataclass(frozen=True, kw_only=True)
class RegistryFile:
    """The content of one file. In the file of a provider, offers and actions need not repeat the provider."""

    provider: ProviderFacts | None = None
    model: tuple[Model, ...] = ()
    offer: tuple[Offer, ...] = ()
    action: tuple[Action, ...] = ()
    other: tuple[OtherModels, ...] = ()

    __pydantic_config__ = ConfigDict(extra="forbid")


_ADAPTER = TypeAdapter(RegistryFile)
_CORRECT = "Correct or unset JOURNEY_MCP_REGISTRY."
_LONGEST_WAIT_S = 86400
_HIGHEST_PRICE = 1_000_000
_RENAMED = {"choose_for": "recommended_for"}
"""Keys of models in files of earlier versions."""
_PRICES = ("credits", "usd", "further_megapixel")
_PROVIDER_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_ACTION_ID = re.compile(r"[a-z][a-z0-9_]{1,39}")
_ENDPOINT = re.compile(r"(/[A-Za-z0-9._-]+)+")


def shipped_files() -> list[Path]:
    """Return the built-in registry files: the models, then one file per provider.

    Their order is the default order of preference of providers.
    """
    folder = Path(str(files("journey_mcp.registry")))
    first = [folder / f"{name}.toml" for name in ("models", "journeyapi", "vtrix", "kkiai", "replicate", "bfl")]
    return [*first, *sorted(set(folder.glob("*.toml")) - set(first))]


def files_at(path: Path) -> list[Path]:
    """Return the file itself, or the `.toml` files of a folder in the order of their names.

    Raises:
        SetupError: the folder has none, or cannot be listed.
    """
    if not path.is_dir():
        return [path]
    try:
        found = sorted(file for file in path.iterdir() if file.suffix == ".toml")
    except OSError as error:
        raise SetupError(f"Registry folder {path} cannot be listed: {error.strerror}.", next_step=_CORRECT) from error
    if not found:
        raise SetupError(f"Registry folder {path} has no .toml file.", next_step=_CORRECT)
    return found


def read_file(path: Path) -> RegistryFile:
    """Read one file.

    Raises:
        SetupError: names the file, the line or key, and what is allowed.
    """
    try:
        plain = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SetupError(
            f"Registry file {path} cannot be read: {error.strerror}.",
            next_step=_CORRECT,
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SetupError(f"Registry file {path} is not TOML: {error}.") from error
    try:
        # through JSON: its strict mode still reads arrays as tuples and strings as dates and decimals
        read = _ADAPTER.validate_json(json.dumps(_spread_defaults(plain), default=str), strict=True)
    except ValidationError as error:
        raise SetupError(f"Registry file {path}: {'; '.join(_explain(error, plain))}.") from error
    _check_id(path, read)
    _check_times(path, read)
    _check_prices(path, read)
    _check_parameter_names(path, read)
    _check_actions(path, read)
    return read


def _spread_defaults(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Add the `[defaults]` and the provider of the file to every offer; values of the offer win.

    Actions get the provider and the date only.
    """
    rest = {key: value for key, value in plain.items() if key != "defaults"}
    if isinstance(models := plain.get("model"), list):
        rest["model"] = [_renamed(model) if isinstance(model, dict) else model for model in models]
    defaults = dict(plain.get("defaults", {}))
    if isinstance(provider := plain.get("provider"), dict) and "id" in provider:
        defaults["provider"] = provider["id"]
    if isinstance(offers := plain.get("offer"), list):
        rest["offer"] = [
            {
                **defaults,
                **offer,
                "parameters": {**defaults.get("parameters", {}), **offer.get("parameters", {})},
            }
            for offer in offers
        ]
    if isinstance(actions := plain.get("action"), list):
        shared = {name: defaults[name] for name in ("provider", "checked") if name in defaults}
        rest["action"] = [{**shared, **action} if isinstance(action, dict) else action for action in actions]
    return rest


def _renamed(model: Mapping[str, Any]) -> dict[str, Any]:
    return {_RENAMED.get(key, key): value for key, value in model.items()}


def _explain(error: ValidationError, plain: Mapping[str, Any]) -> Iterator[str]:
    for problem in error.errors(include_url=False)[:5]:
        where = _place(problem["loc"], plain)
        if problem["type"] in {"unexpected_keyword_argument", "extra_forbidden"}:
            allowed = ", ".join(_allowed_keys(problem["loc"][:-1]))
            yield f"{where} is not a known key (allowed: {allowed})"
        elif problem["type"] in {"missing", "missing_keyword_only_argument"}:
            yield f"{where} is missing"
        else:
            yield f"{where}={problem['input']!r}: {problem['msg']}"


def _place(loc: tuple[int | str, ...], plain: Mapping[str, Any]) -> str:
    """Return a place such as `offer[3] (flux-pro).credits`: the index starts at 1, with the name for search."""
    text = ""
    node: Any = plain
    for part in loc:
        if isinstance(part, int):
            node = node[part] if isinstance(node, list) and part < len(node) else None
            name = node.get("model") or node.get("id") if isinstance(node, dict) else None
            text += f"[{part + 1}]" + (f" ({name})" if name else "")
        else:
            node = node.get(part) if isinstance(node, dict) else None
            text += f".{part}" if text else part
    return text


_KINDS = {
    "provider": ProviderFacts,
    "model": Model,
    "offer": Offer,
    "action": Action,
    "images": ImageInput,
    "other": OtherModels,
}


def _allowed_keys(loc: tuple[int | str, ...]) -> list[str]:
    kind: Any = RegistryFile
    for part in loc:
        if part in _KINDS and is_dataclass(kind):
            kind = _KINDS[str(part)]
        elif part in {"parameters", "switches"}:
            kind = Parameter if part == "parameters" else Switch
    names = [f.name for f in fields(kind)]
    return [*names, "defaults"] if kind is RegistryFile else names


def _check_id(path: Path, read: RegistryFile) -> None:
    if read.provider is None:
        return
    where = f"Registry file {path}: provider.id={read.provider.id!r}"
    if read.provider.id == SANDBOX:
        raise SetupError(
            f"{where} is the name of the built-in sandbox, which is free: no budget would count. Choose another id."
        )
    if not _PROVIDER_ID.fullmatch(read.provider.id):
        raise SetupError(
            f"{where} is not a name (allowed: 1 to 40 lower-case letters, digits, hyphens and underscores): settings "
            "and headers name the provider."
        )


def _check_times(path: Path, read: RegistryFile) -> None:
    facts = read.provider
    if facts is None:
        return
    of_provider = f"Registry file {path}: provider"
    if facts.webhook_retries_s is not None and "webhook" not in facts.features:
        where = f"{of_provider}.webhook_retries_s={facts.webhook_retries_s:g}"
        raise SetupError(f'{where} is for a provider with webhooks. Add "webhook" to its features, or leave it out.')
    times = {
        f"{of_provider}.webhook_retries_s": facts.webhook_retries_s,
        f"{of_provider}.longest_run_s": facts.longest_run_s,
    }
    for where, seconds in times.items():
        if seconds is not None and not 0 <= seconds <= _LONGEST_WAIT_S:
            raise SetupError(f"{where}={seconds:g} is out of range (allowed: 0 to {_LONGEST_WAIT_S}, in seconds).")


def _check_prices(path: Path, read: RegistryFile) -> None:
    priced = [
        *((f"offer {offer.model}", offer) for offer in read.offer),
        *((f"action {action.id}", action) for action in read.action),
    ]
    for entry, facts in priced:
        for name in _PRICES:
            price = getattr(facts, name, None)
            if price is not None and not 0 <= price <= _HIGHEST_PRICE:
                where = f"Registry file {path}: {entry}: {name}={price:.6g}"
                raise SetupError(f"{where} is not a price (allowed: 0 to {_HIGHEST_PRICE:,}).")


def _check_parameter_names(path: Path, read: RegistryFile) -> None:
    for offer in read.offer:
        for name, parameter in offer.parameters.items():
            where = f"Registry file {path}: offer {offer.model}: parameters.{name}"
            if name not in OPTIONS:
                raise SetupError(f"{where} is not a known parameter (allowed: {', '.join(OPTIONS)}).")
            if stray := set(parameter.wire_values) - set(parameter.values or parameter.wire_values):
                allowed = ", ".join(parameter.values or ())
                raise SetupError(f"{where}.wire_values names {sorted(stray)}, not among the values ({allowed}).")


def _check_actions(path: Path, read: RegistryFile) -> None:
    for action in read.action:
        where = f"Registry file {path}: action {action.id}"
        if not _ACTION_ID.fullmatch(action.id):
            raise SetupError(f"{where}: id={action.id!r} is not a name (allowed: lower-case letters, digits and _).")
        if not action.parents and not action.images.is_taken:
            raise SetupError(f"{where} takes no image. Name its parents, or say how it takes other images.")
    endpoints = [
        *((f"action {action.id}", action.endpoint) for action in read.action),
        *((f"offer {offer.model}", offer.endpoint) for offer in read.offer if offer.endpoint is not None),
    ]
    for entry, endpoint in endpoints:
        if not _ENDPOINT.fullmatch(endpoint):
            raise SetupError(f"Registry file {path}: {entry}: endpoint={endpoint!r} is not a path such as /upscale.")
