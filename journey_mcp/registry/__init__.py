"""The registry: models and the offers of providers."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from journey_mcp.core.errors import SetupError
from journey_mcp.core.money import Unit
from journey_mcp.core.requests import Tool
from journey_mcp.registry.facts import Action, ImageInput, Model, Offer, OtherModels, Parameter, ProviderFacts, Switch
from journey_mcp.registry.files import RegistryFile, files_at, read_file, shipped_files
from journey_mcp.registry.plugins import REMOVE_PLUGIN, Plugin, installed_plugins

__all__ = [
    "Action",
    "Catalog",
    "ImageInput",
    "Model",
    "Offer",
    "OtherModels",
    "Parameter",
    "ProviderFacts",
    "Registry",
    "Switch",
    "load",
]


@dataclass(frozen=True, kw_only=True)
class Registry:
    """All facts of all files."""

    models: Mapping[str, Model]
    """By id, in the order of the files, which is the order in all listings."""
    providers: Mapping[str, ProviderFacts]
    offers: tuple[Offer, ...]
    actions: tuple[Action, ...] = ()
    others: tuple[OtherModels, ...] = ()

    def catalog(self, providers: Sequence[str]) -> "Catalog":
        """Return the catalog of these providers, in order of preference."""
        offers: dict[str, list[Offer]] = {model: [] for model in self.models}
        for provider in providers:
            for offer in self.offers:
                if offer.provider == provider:
                    offers[offer.model].append(offer)
        actions = [action for provider in providers for action in self.actions if action.provider == provider]
        return Catalog(
            providers={name: self.providers[name] for name in providers},
            models={id_: model for id_, model in self.models.items() if offers[id_]},
            offers={id_: tuple(found) for id_, found in offers.items() if found},
            actions=_by_id(actions),
            others=self.others,
            missing={id_: self._offering(id_) for id_, found in offers.items() if not found},
            taking_data={id_: self._taking_data(id_, providers) for id_, found in offers.items() if found},
        )

    def _offering(self, model: str) -> tuple[ProviderFacts, ...]:
        return tuple(self.providers[offer.provider] for offer in self.offers if offer.model == model)

    def _taking_data(self, model: str, configured: Sequence[str]) -> tuple[ProviderFacts, ...]:
        its = [offer for offer in self.offers if offer.model == model and offer.provider not in configured]
        return tuple(
            self.providers[offer.provider] for offer in its if offer.images.is_taken and offer.images.takes_data
        )


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """The part of the registry that the configured providers offer."""

    providers: Mapping[str, ProviderFacts]
    """In order of preference."""
    models: Mapping[str, Model]
    offers: Mapping[str, tuple[Offer, ...]]
    """By model id, the preferred provider first; every model has at least one."""
    missing: Mapping[str, tuple[ProviderFacts, ...]] = field(default_factory=dict)
    """Models that only other providers offer, with these providers."""
    taking_data: Mapping[str, tuple[ProviderFacts, ...]] = field(default_factory=dict)
    """Other providers, by model, that take the data of an image and not only its URL."""
    actions: Mapping[str, tuple[Action, ...]] = field(default_factory=dict)
    """By id, the preferred provider first."""
    others: tuple[OtherModels, ...] = ()
    """The nearest models for names that callers may use."""

    def only(self, providers: Collection[str]) -> "Catalog":
        """Return the part of these providers, as if no other one were configured."""
        offers = {
            model: tuple(offer for offer in its if offer.provider in providers) for model, its in self.offers.items()
        }
        actions = {
            id_: tuple(action for action in its if action.provider in providers) for id_, its in self.actions.items()
        }
        return replace(
            self,
            providers={name: facts for name, facts in self.providers.items() if name in providers},
            models={id_: model for id_, model in self.models.items() if offers[id_]},
            offers={model: its for model, its in offers.items() if its},
            actions={id_: its for id_, its in actions.items() if its},
        )

    def offers_for(self, tool: Tool) -> dict[str, tuple[Offer, ...]]:
        """Return the offers for a tool: `imagine` works without an image, `edit_image` needs one."""
        usable = {
            model: tuple(offer for offer in offers if can_serve(offer, tool)) for model, offers in self.offers.items()
        }
        return {model: offers for model, offers in usable.items() if offers}

    def unit_of(self, offer: Offer) -> Unit | None:
        """Return the unit in which an offer is charged: that of its price, else its provider's; `None` if unknown."""
        if unit := offer.unit or self.providers[offer.provider].unit:
            return unit
        priced = {other.unit for others in self.offers.values() for other in others if other.provider == offer.provider}
        priced.discard(None)
        return priced.pop() if len(priced) == 1 else None


def _by_id(actions: Sequence[Action]) -> dict[str, tuple[Action, ...]]:
    return {id_: tuple(a for a in actions if a.id == id_) for id_ in dict.fromkeys(a.id for a in actions)}


def can_serve(offer: Offer, tool: Tool) -> bool:
    """Return whether the offer supports the tool; `refine_image` has actions and no models."""
    if tool == "refine_image":
        return False
    return not offer.is_edit_only if tool == "imagine" else offer.images.is_taken


def load(extra: tuple[Path, ...] = ()) -> Registry:
    """Load the built-in files, those of plugins, and the user's files and folders, each once per process.

    Raises:
        SetupError: names the file and the key, or the plugin.
    """
    return _load(tuple(plugin for plugin in installed_plugins().values() if plugin.registry_file), extra)


@cache
def _load(plugins: tuple[Plugin, ...], extra: tuple[Path, ...]) -> Registry:
    known = [(path, read_file(path)) for path in shipped_files()]
    for plugin in plugins:
        known.append(_facts_of(plugin, known))
    return join([*known, *((file, read_file(file)) for path in extra for file in files_at(path))])


def _facts_of(plugin: Plugin, known: list[tuple[Path, RegistryFile]]) -> tuple[Path, RegistryFile]:
    """Return the file of a plugin; errors name its package."""
    path = plugin.registry_file or Path()
    try:
        file = read_file(path)
    except SetupError as error:
        raise SetupError(f"The plugin {plugin.package}: {error}", next_step=REMOVE_PLUGIN) from error
    _check_new(path, file, known)
    return path, file


def _check_new(path: Path, file: RegistryFile, known: list[tuple[Path, RegistryFile]]) -> None:
    """Refuse a plugin's provider that would get the key of a shipped one, or of another plugin's."""
    if file.provider is None:
        return
    for other_path, other in ((other_path, facts) for other_path, part in known if (facts := part.provider)):
        if file.provider.id == other.id or file.provider.key_variable == other.key_variable:
            raise SetupError(
                f"Registry file {path}: provider {file.provider.id} has the name or the key variable of {other.title}, "
                f"which is in {other_path} already.",
                next_step="Choose another id and another key_variable, or uninstall the plugin.",
            )


def join(parts: list[tuple[Path, RegistryFile]]) -> Registry:
    """Merge the files; a later file may redefine a model or an offer of an earlier one.

    Raises:
        SetupError: an offer names a model or provider that no file has, or a file defines something twice.
    """
    providers = {facts.id: facts for _, part in parts if (facts := part.provider)}
    models = {model.id: model for _, part in parts for model in part.model}
    offers: dict[tuple[str, str], Offer] = {}
    actions: dict[tuple[str, str], Action] = {}
    for path, part in parts:
        _check_once(path, [model.id for model in part.model], "model")
        _check_once(path, [f"{offer.model} at {offer.provider}" for offer in part.offer], "offer")
        _check_once(path, [f"{action.id} at {action.provider}" for action in part.action], "action")
        for offer in part.offer:
            _check_known(path, offer, models, providers)
            offers[offer.model, offer.provider] = offer
        actions |= {(action.id, action.provider): action for action in part.action}
        for other in part.other:
            _check_nearest(path, other, models)
    for path, part in parts:
        for action in part.action:
            _check_action(path, action, models, providers, {a.id for a in actions.values()})
    others = tuple(other for _, part in reversed(parts) for other in part.other)
    return Registry(
        models=models,
        providers=providers,
        offers=tuple(offers.values()),
        actions=tuple(actions.values()),
        others=others,
    )


def _check_once(path: Path, names: list[str], kind: str) -> None:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SetupError(f"Registry file {path} has the {kind} {twice[0]} twice.")


def _check_nearest(path: Path, other: OtherModels, models: Mapping[str, Model]) -> None:
    if unknown := [model for model in other.nearest if model not in models]:
        raise SetupError(
            f"Registry file {path}: other {', '.join(other.names)}: nearest names {unknown[0]!r}, which is not a model "
            f"(allowed: {', '.join(models)})."
        )


def _check_known(path: Path, offer: Offer, models: Mapping[str, Model], providers: Mapping[str, ProviderFacts]) -> None:
    if offer.provider not in providers:
        known = ", ".join(providers)
        raise SetupError(f"Registry file {path}: offer {offer.model}: provider={offer.provider!r} (allowed: {known}).")
    if offer.endpoint is not None:
        _check_endpoints(f"Registry file {path}: offer {offer.model}", providers[offer.provider])
    if offer.model not in models:
        raise SetupError(
            f"Registry file {path}: offer {offer.model}: no [[model]] has this id. "
            f"Add one, or use one of: {', '.join(models)}."
        )


def _check_action(
    path: Path,
    action: Action,
    models: Mapping[str, Model],
    providers: Mapping[str, ProviderFacts],
    actions: Collection[str],
) -> None:
    where = f"Registry file {path}: action {action.id}"
    if action.provider not in providers:
        raise SetupError(f"{where}: provider={action.provider!r} (allowed: {', '.join(providers)}).")
    _check_endpoints(where, providers[action.provider])
    if action.id in models:
        raise SetupError(f"{where}: a [[model]] has this id. Choose another one.")
    if unknown := [parent for parent in action.parents if parent not in models and parent not in actions]:
        raise SetupError(f"{where}: parents names {unknown[0]!r}, which is neither a model nor an action.")


def _check_endpoints(where: str, facts: ProviderFacts) -> None:
    if "actions" not in facts.features:
        raise SetupError(
            f'{where}: {facts.id} has no endpoints besides its usual one (feature "actions").',
            next_step=f'Add "actions" to `features` of [provider] {facts.id} in the registry file that replaces it.',
        )
