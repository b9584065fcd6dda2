"""Names of models as callers write them: which of the registry's models each means, and what to say when it is none."""

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from journey_mcp.core.errors import UnknownModel
from journey_mcp.core.notices import Notice
from journey_mcp.core.requests import ImageRequest, Tool
from journey_mcp.registry import Catalog

_SHOWN = 80
_MISSPELLED = 0.8
_ALIKE = 0.6
"""From which likeness on, 0 to 1, one name is a slip of another, and from which it may be meant at all."""


def with_known_model(request: ImageRequest, catalog: Catalog) -> tuple[ImageRequest, tuple[Notice, ...]]:
    """Return the request with the model that its name means, and a notice where that was written otherwise.

    Case, blanks, dots, brackets and the order of words do not count, nor a vendor before a slash or a version after a
    colon: `black-forest-labs/flux-kontext-pro` is known, and so is what the registry lists as an alias. A name that may
    mean several models, or none, stays as it is.
    """
    model = meant(request.model, catalog)
    if model is None or model == request.model:
        return request, ()
    return replace(request, model=model), (Notice.of("model_read", given=request.model[:_SHOWN], taken=model),)


def meant(name: str, catalog: Catalog) -> str | None:
    """The one configured model that a name means; `None` when it may mean several, or none."""
    if name in catalog.offers:
        return name
    return _only(name, {model: (model, *catalog.models[model].aliases) for model in catalog.offers})


def unknown(request: ImageRequest, catalog: Catalog) -> UnknownModel:
    """The error for a model that no configured provider offers: with one to use in its place, and all there are."""
    tool, usable = request.tool, list(catalog.offers_for(request.tool))
    if not usable:
        return UnknownModel(
            f"No configured provider has a model for {tool}.", next_step="Ask the person to set another provider's key."
        )
    takes = f"{tool} takes: {', '.join(usable)}."
    if missing := _only(request.model, {model: (model,) for model in catalog.missing}):
        return _missing(missing, tool, catalog, takes)
    given = f"model={request.model[:_SHOWN]!r} is not known."
    if (near := _misspelled(request.model, catalog.offers)) and near not in usable:
        other = "edit_image" if tool == "imagine" else "imagine"
        return UnknownModel(
            f"{given} Did you mean {near}? That is a model of {other}; {takes}",
            next_step=f"Call {other} with model={near!r}, or {tool} with one of its own models.",
        )
    if not near and (nearest := _nearest(request.model, tool, catalog)):
        return UnknownModel(
            f"{given} {_by_purpose(nearest, catalog)} {takes}",
            next_step=f"Call again with model={nearest!r} or another of these.",
        )
    alike = difflib.get_close_matches(request.model.lower(), usable, n=3, cutoff=_ALIKE)
    hint = f"Did you mean {' or '.join(alike)}? " if alike else ""
    return UnknownModel(
        f"{given} {hint}{takes}",
        next_step=f"Call again with {'model=' + repr(alike[0]) + ' or another' if alike else 'one'} of these.",
    )


def _missing(model: str, tool: Tool, catalog: Catalog, takes: str) -> UnknownModel:
    facts = catalog.missing[model]
    nearest = _nearest(model, tool, catalog) or _usual(tool, catalog)
    return UnknownModel(
        f"No configured provider offers {model}; {', '.join(one.title for one in facts)} would. "
        f"{_by_purpose(nearest, catalog)} {takes}",
        next_step=f"Call again with model={nearest!r} or another of these; "
        f"or ask the person to set {' or '.join(one.key_variable for one in facts)}.",
    )


def _only(name: str, names: Mapping[str, Sequence[str]]) -> str | None:
    for spelled in (name, name.replace("/", " ")):  # midjourney/v7 has no vendor
        given = _words(spelled), _plain(spelled)
        found = [m for m, its in names.items() if any(given[0] == _words(n) or given[1] == _plain(n) for n in its)]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _bare(name: str) -> str:
    """A name without its vendor and version: `stability-ai/sdxl:39ed52f2` and `sdxl@latest` are `sdxl`."""
    return re.split("[:@]", name.rpartition("/")[2], maxsplit=1)[0].lower()


def _words(name: str) -> Counter[str]:
    return Counter(re.findall(r"[a-z0-9]+", _bare(name)))


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", _bare(name))


def _misspelled(name: str, models: Iterable[str]) -> str | None:
    """The model that a name is a slip of; another version of one, which differs by its number, is no slip."""
    near = difflib.get_close_matches(_bare(name), models, n=1, cutoff=_MISSPELLED)
    if not near or (_unnumbered(near[0]) == _unnumbered(name) and _plain(near[0]) != _plain(name)):
        return None
    return near[0]


def _unnumbered(name: str) -> str:
    return re.sub(r"\d", "", _plain(name))


def _nearest(name: str, tool: Tool, catalog: Catalog) -> str | None:
    """The configured model nearest by purpose to one that others offer; `None` when the registry knows no such name."""
    known = [
        (beginning, other)
        for other in catalog.others
        for beginning in other.names
        if _plain(name).startswith(beginning)
    ]
    if not known:
        return None
    _, other = max(known, key=lambda one: len(one[0]))
    usable = catalog.offers_for(tool)
    return next((model for model in other.nearest if model in usable), None) or _usual(tool, catalog)


def _usual(tool: Tool, catalog: Catalog) -> str:
    """A model that the tool's description recommends, else the first."""
    usable = list(catalog.offers_for(tool))
    return next((model for model in usable if tool in catalog.models[model].choose_for), usable[0])


def _by_purpose(model: str, catalog: Catalog) -> str:
    return f"The nearest by purpose is {model} ({catalog.models[model].best_at})."
