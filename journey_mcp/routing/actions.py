"""Actions on finished images: the action that a name means, and which images an action takes."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import replace

from journey_mcp.core.errors import UnknownAction
from journey_mcp.core.notices import Notice
from journey_mcp.core.requests import ImageRequest
from journey_mcp.registry import Action, Catalog

_MAX_SHOWN = 80
_SIMILARITY = 0.6
"""The similarity, 0 to 1, from which a name is suggested."""


def with_resolved_action(request: ImageRequest, catalog: Catalog) -> tuple[ImageRequest, tuple[Notice, ...]]:
    """Return the request with the action that its name means, and a notice if another name was written.

    Case, signs and the order of words do not count: `Vary (Strong)` and `strong vary` are `vary_strong`.

    Raises:
        UnknownAction: the name means none of the configured actions, or several.
    """
    given = request.action or ""
    found = _resolve(given, catalog)
    if found is None:
        raise _unknown(given, catalog)
    is_other = _words(given) != _words(found) and _normalized(given) != _normalized(found)
    notices = (Notice.of("action_read", given=given[:_MAX_SHOWN], taken=found),) if is_other else ()
    return replace(request, action=found), notices


def takes(action: Action, kind: str) -> bool:
    """Return whether the provider's own run of this kind, a model or an action, may be the parent."""
    return kind in action.parents


def required_first(action: Action, kind: str, catalog: Catalog) -> Action | None:
    """Return the action that makes the parent of this one from a candidate of this kind; `None` if none does."""
    return next(
        (
            first
            for firsts in catalog.actions.values()
            for first in firsts
            if first.provider == action.provider
            and first.result == "single"
            and first.sends_number
            and takes(action, first.id)
            and takes(first, kind)
        ),
        None,
    )


def listed(actions: Iterable[str]) -> str:
    """Return names for a sentence."""
    return ", ".join(dict.fromkeys(actions))


def _resolve(name: str, catalog: Catalog) -> str | None:
    names = {
        id_: {id_, *(name for one in its for name in (one.title, *one.aliases))} for id_, its in catalog.actions.items()
    }
    for spelled in (_normalized, _words):
        found = [id_ for id_, its in names.items() if spelled(name) in {spelled(one) for one in its}]
        if len(found) == 1:
            return found[0]
    return None


def _normalized(name: str) -> str:
    return "".join(_parts(name))


def _words(name: str) -> str:
    return " ".join(sorted(_parts(name)))


def _parts(name: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", name[:_MAX_SHOWN].lower().replace("×", "x"))  # noqa: RUF001  # as people write it


def _unknown(name: str, catalog: Catalog) -> UnknownAction:
    choices = list(catalog.actions)
    given = set(_parts(name))
    near = [id_ for id_ in choices if given & set(_parts(id_))] or difflib.get_close_matches(
        "_".join(_parts(name)), choices, n=3, cutoff=_SIMILARITY
    )
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    one = f"action={near[0]!r} or another" if near else "one"
    return UnknownAction(
        f"action={name[:_MAX_SHOWN]!r} is not known. {hint}refine_image takes: {', '.join(choices)}.",
        next_step=f"Call again with {one} of these. Nothing was charged.",
    )
