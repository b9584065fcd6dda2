"""What can be done with the images of a task: actions, edits, and the same prompt with another model."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from journey_mcp.core.images import ImageId
from journey_mcp.core.predictions import Status
from journey_mcp.core.requests import Tool
from journey_mcp.core.tasks import SANDBOX, Task
from journey_mcp.providers.base import Account
from journey_mcp.providers.clients import ProviderClients
from journey_mcp.registry import Action, Catalog, Offer
from journey_mcp.routing.actions import required_first, takes
from journey_mcp.tools.defaults import Defaults

_MAX_ACTIONS = 12
_OTHER_MODELS = 2
Entry = dict[str, Any]


class Usable(NamedTuple):
    """An action that takes the images of a task."""

    action: Action
    first: Action | None
    """The action that must come first, and is paid as well."""


def is_made_at(account: Account, task: Task) -> bool:
    """Return whether a task ran at this account, as far as its provider and address tell."""
    return (task.provider, task.base_url) == (account.provider, account.address)


def usable_actions(task: Task, clients: ProviderClients, catalog: Catalog) -> Iterator[Usable]:
    """Yield the actions of the catalog that take the images of a task, in the order of the registry."""
    kind = task.request.kind
    for its in catalog.actions.values():
        for action in its:
            is_here = clients.runs_where(task, action)
            # the copy of an image of a sandbox that has ended is hosted by the next one
            is_fetched = is_here or task.provider != SANDBOX or clients.is_sandbox
            if (is_here and takes(action, kind)) or (action.images.is_taken and is_fetched):
                yield Usable(action, None)
            elif is_here and (first := required_first(action, kind, catalog)):
                yield Usable(action, first)


def actions_without_link(task: Task, clients: ProviderClients, catalog: Catalog) -> list[str]:
    """Return the actions that name the task at its provider as the parent, and send no image."""
    kind = task.request.kind
    return [
        action.id
        for its in catalog.actions.values()
        for action in its
        if takes(action, kind) and clients.runs_where(task, action)
    ]


def actions_of(task: Task, clients: ProviderClients, catalog: Catalog, defaults: Defaults) -> dict[str, list[Entry]]:
    """Return by image id what can be done with it, each with title and cost; empty unless the task has succeeded.

    `catalog` is what the caller may use, and `defaults` are the caller's.

    Only with tools that can be called, and at most 12 for an image: what takes it as it is, edits, what needs another
    action first (`needs`), then the same prompt with other models. Actions of one endpoint, such as the four directions
    of a pan, are listed all or none.
    """
    if task.status is not Status.SUCCEEDED:
        return {}
    found = list(usable_actions(task, clients, catalog))
    groups = [
        *_by_endpoint([one for one in found if one.first is None]),
        *([edit] for edit in _edits(catalog, defaults)),
        *_by_endpoint([one for one in found if one.first is not None]),
        *([entry] for entry in _same_prompt(task, catalog, defaults)),
    ]
    entries: list[Entry] = []
    for group in groups:
        if not defaults.lists(group[0]["tool"]):
            continue
        if len(entries) + len(group) <= _MAX_ACTIONS:
            entries += group
    return {str(ImageId(task.id, number)): entries for number in range(1, len(task.images) + 1)}


def _by_endpoint(found: Sequence[Usable]) -> list[list[Entry]]:
    groups: dict[tuple[str, bool], list[Entry]] = {}
    for one in found:
        groups.setdefault((one.action.endpoint, one.action.sends_number), []).append(_refinement(one))
    return list(groups.values())


def _refinement(usable: Usable) -> Entry:
    action, first = usable
    entry: Entry = {"tool": "refine_image", "action": action.id, "title": action.title, "cost": action.price}
    return {**entry, "needs": f"{first.id} ({first.price})"} if first else entry


def _edits(catalog: Catalog, defaults: Defaults) -> Iterator[Entry]:
    """Yield an edit with the default model, and one with a mask if another model takes masks."""
    offers = catalog.offers_for("edit_image")
    if not defaults.edit_image:
        return
    masked = next((model for model, its in offers.items() if _takes_mask(its)), None)
    yield _edit(defaults.edit_image, "Edit", offers)
    if masked is not None and not _takes_mask(offers[defaults.edit_image]):
        yield _edit(masked, "Edit a part", offers)


def _edit(model: str, title: str, offers: Mapping[str, Sequence[Offer]]) -> Entry:
    its = offers[model]
    entry = {"tool": "edit_image", "model": model, "title": title, "cost": its[0].price}
    return {**entry, "takes_mask": _takes_mask(its)}


def _takes_mask(offers: Sequence[Offer]) -> bool:
    return any(offer.images.mask_field for offer in offers)


def _same_prompt(task: Task, catalog: Catalog, defaults: Defaults) -> Iterator[Entry]:
    """Yield the models that are recommended, the default one first, unless they made the image."""
    offers = catalog.offers_for("imagine")
    recommended = [model for model in offers if _is_recommended(model, "imagine", catalog)]
    models = [model for model in dict.fromkeys([defaults.imagine, *recommended]) if model in offers]
    for model in [model for model in models if model != task.request.model and task.request.prompt][:_OTHER_MODELS]:
        title = f"Same prompt, {catalog.models[model].name or model}"
        yield {"tool": "imagine", "model": model, "title": title, "cost": offers[model][0].price}


def _is_recommended(model: str, tool: Tool, catalog: Catalog) -> bool:
    return tool in catalog.models[model].recommended_for
