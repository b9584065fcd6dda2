"""Model names as callers write them: the model of the registry that a name means, or the error with suggestions."""

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from journey_mcp.core.errors import UnknownModel
from journey_mcp.core.next_steps import ask_person
from journey_mcp.core.notices import Notice
from journey_mcp.core.requests import ImageRequest, Tool
from journey_mcp.registry import Catalog

_MAX_SHOWN = 80
_TYPO_SIMILARITY = 0.8
_SUGGESTED_SIMILARITY = 0.6
"""The similarity, 0 to 1, from which a name counts as misspelled, and from which a name is suggested."""


def with_resolved_model(request: ImageRequest, catalog: Catalog) -> tuple[ImageRequest, tuple[Notice, ...]]:
    """Return the request with the model that its name means, and a notice if it was written differently.

    Case, blanks, dots, brackets and the order of words do not count, nor a vendor before a slash or a version after a
    colon: `black-forest-labs/flux-kontext-pro` is known, and so is what the registry lists as an alias. A name that may
    mean several models, or none, stays as it is.
    """
    model = resolve(request.model, catalog)
    if model is None or model == request.model:
        return request, ()
    return replace(request, model=model), (Notice.of("model_read", given=request.model[:_MAX_SHOWN], taken=model),)


def resolve(name: str, catalog: Catalog) -> str | None:
    """Return the one configured model that a name means; `None` when it may mean several, or none."""
    if name in catalog.offers:
        return name
    return _unique_match(name, {model: (model, *catalog.models[model].aliases) for model in catalog.offers})


def unknown_model_error(request: ImageRequest, catalog: Catalog) -> UnknownModel:
    """Return the error for a model that no configured provider offers, with a suggestion and all available models."""
    tool, usable = request.tool, list(catalog.offers_for(request.tool))
    if not usable:
        return UnknownModel(
            f"No configured provider has a model for {tool}.", next_step=ask_person("Set another provider's key.")
        )
    takes = f"{tool} takes: {', '.join(usable)}."
    if missing := _unique_match(request.model, {model: (model,) for model in catalog.missing}):
        return _not_configured(missing, tool, catalog, takes)
    given = f"model={request.model[:_MAX_SHOWN]!r} is not known."
    if (typo_of := _misspelled(request.model, catalog.offers)) and typo_of not in usable:
        other = "edit_image" if tool == "imagine" else "imagine"
        return UnknownModel(
            f"{given} Did you mean {typo_of}? That is a model of {other}; {takes}",
            next_step=f"Call {other} with model={typo_of!r}, or {tool} with one of its own models.",
        )
    if not typo_of and (nearest := _nearest(request.model, tool, catalog)):
        return UnknownModel(
            f"{given} {_suggestion(nearest, catalog)} {takes}",
            next_step=f"Call again with model={nearest!r} or another of these.",
        )
    similar = difflib.get_close_matches(request.model.lower(), usable, n=3, cutoff=_SUGGESTED_SIMILARITY)
    hint = f"Did you mean {' or '.join(similar)}? " if similar else ""
    return UnknownModel(
        f"{given} {hint}{takes}",
        next_step=f"Call again with {'model=' + repr(similar[0]) + ' or another' if similar else 'one'} of these.",
    )


def _not_configured(model: str, tool: Tool, catalog: Catalog, takes: str) -> UnknownModel:
    facts = catalog.missing[model]
    nearest = _nearest(model, tool, catalog) or _default(tool, catalog)
    return UnknownModel(
        f"No configured provider offers {model}; {', '.join(one.title for one in facts)} would. "
        f"{_suggestion(nearest, catalog)} {takes}",
        next_step=f"Call again with model={nearest!r} or another of these; or "
        + ask_person(f"set {' or '.join(one.key_variable for one in facts)}."),
    )


def _unique_match(name: str, names: Mapping[str, Sequence[str]]) -> str | None:
    for spelled in (name, name.replace("/", " ")):  # midjourney/v7 has no vendor
        given = _words(spelled), _normalized(spelled)
        found = [m for m, its in names.items() if any(given[0] == _words(n) or given[1] == _normalized(n) for n in its)]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _base_name(name: str) -> str:
    """Return a name without vendor and version: `stability-ai/sdxl:39ed52f2` and `sdxl@latest` are `sdxl`."""
    return re.split("[:@]", name.rpartition("/")[2], maxsplit=1)[0].lower()


def _words(name: str) -> Counter[str]:
    return Counter(re.findall(r"[a-z0-9]+", _base_name(name)))


def _normalized(name: str) -> str:
    return re.sub(r"[\W_]", "", _base_name(name))


def _misspelled(name: str, models: Iterable[str]) -> str | None:
    """Return the model whose name is misspelled; another version of it, with another number, is not a misspelling."""
    near = difflib.get_close_matches(_base_name(name), models, n=1, cutoff=_TYPO_SIMILARITY)
    if not near or (_unnumbered(near[0]) == _unnumbered(name) and _normalized(near[0]) != _normalized(name)):
        return None
    return near[0]


def _unnumbered(name: str) -> str:
    return re.sub(r"\d", "", _normalized(name))


def _nearest(name: str, tool: Tool, catalog: Catalog) -> str | None:
    """Return the configured model nearest by purpose to one of other services; `None` when the name is not known."""
    known = [
        (beginning, other)
        for other in catalog.others
        for beginning in other.names
        if _normalized(name).startswith(beginning)
    ]
    if not known:
        return None
    _, other = max(known, key=lambda one: len(one[0]))
    usable = catalog.offers_for(tool)
    return next((model for model in other.nearest if model in usable), None) or _default(tool, catalog)


def _default(tool: Tool, catalog: Catalog) -> str:
    """Return a model that the tool's description recommends, else the first."""
    usable = list(catalog.offers_for(tool))
    return next((model for model in usable if tool in catalog.models[model].recommended_for), usable[0])


def _suggestion(model: str, catalog: Catalog) -> str:
    return f"The nearest by purpose is {model} ({catalog.models[model].best_at})."
