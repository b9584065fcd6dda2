"""What `tools/list` sends: names, descriptions and schemas, generated from what the configured providers offer.

Every byte is paid for in every conversation, and model APIs refuse schemas that the protocol would allow:
objects at the root, no unions, no `null`, no `$ref`, no `format`; optional means not required.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from journey_mcp.registry import Catalog, Offer
from journey_mcp.requests import Tool
from journey_mcp.tasks import Status


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """What a call means when it does not say."""

    imagine: str
    edit_image: str
    wait_s: int
    keep_days: int


def build(catalog: Catalog, defaults: Defaults) -> list[dict[str, Any]]:
    """The tools in MCP's form, always in the same order and with the same bytes for the same input."""
    return [
        _imagine(catalog, defaults),
        _edit_image(catalog, defaults),
        _fetch_task(defaults),
    ]


def _imagine(catalog: Catalog, defaults: Defaults) -> dict[str, Any]:
    description = (
        "Make a picture from a text prompt. Returns picture URLs, or after wait_s a running task for fetch_task. "
        f"Costs credits. {_choice(catalog, 'imagine', defaults.imagine)} {_edit_only(catalog)}"
        f"Tasks, prompts included, are kept {defaults.keep_days} days."
    )
    return _creating("imagine", "Make a picture", description, catalog, defaults)


def _edit_image(catalog: Catalog, defaults: Defaults) -> dict[str, Any]:
    description = (
        "Change a picture as the prompt says. Returns like imagine. Costs credits. "
        f"{_choice(catalog, 'edit_image', defaults.edit_image)}"
    )
    return _creating("edit_image", "Edit a picture", description, catalog, defaults)


def _fetch_task(defaults: Defaults) -> dict[str, Any]:
    description = (
        "Get tasks of imagine and edit_image: status, picture URLs, costs. Free, safe to repeat. Waits for running "
        "ones. Without task_ids it lists your newest tasks of the last day at once."
    )
    properties = {
        "task_ids": {
            "type": "array",
            "items": {"type": "string", "maxLength": 64},
            "minItems": 1,
            "maxItems": 20,
            "description": "Task ids (tsk_…). Leave out to list, without waiting.",
        },
        "wait_for": {
            "type": "string",
            "enum": ["all", "any"],
            "description": "Wait for all (default) or for the next to end.",
        },
        "wait_s": _wait_s(defaults),
    }
    return _tool(
        "fetch_task",
        "Get running or finished pictures",
        description,
        _object(properties),
        _object({"tasks": {"type": "array", "items": _task_schema(listed=True)}}, ["tasks"]),
        read_only=True,
    )


def _creating(tool: Tool, title: str, description: str, catalog: Catalog, defaults: Defaults) -> dict[str, Any]:
    offers = catalog.offers_for(tool)
    properties: dict[str, Any] = {
        "prompt": {"type": "string", "minLength": 1, "description": _prompt_text(tool, catalog)}
    }
    if tool == "edit_image":
        properties["image"] = {
            "type": "string",
            "description": "The picture to edit: id of an earlier picture (tsk_….2) or public URL.",
        }
    default = defaults.imagine if tool == "imagine" else defaults.edit_image
    properties["model"] = {
        "type": "string",
        "enum": list(offers),
        "description": f"Default {default}. {_credits(offers)}",
    }
    properties |= _pictures(tool, catalog) | _options(tool, catalog)
    properties["webhook_url"] = {"type": "string", "description": "HTTPS URL that gets the provider's result by POST."}
    properties["wait_s"] = _wait_s(defaults)
    required = ["prompt", "image"] if tool == "edit_image" else ["prompt"]
    return _tool(tool, title, description, _object(properties, required), _task_schema(), read_only=False)


def _choice(catalog: Catalog, tool: Tool, default: str) -> str:
    """When to choose which model, in as few words as do the job."""
    purposes = {model: catalog.models[model].choose_for.get(tool) for model in catalog.offers_for(tool)}
    first = f"{default} (default)" + (f" for {said}" if (said := purposes.pop(default, None)) else "")
    others = "".join(f"; {model} for {purpose}" for model, purpose in purposes.items() if purpose)
    return f"Choose {first}{others}."


def _edit_only(catalog: Catalog) -> str:
    models = [model for model in catalog.offers if model not in catalog.offers_for("imagine")]
    return f"Need a picture, so only in edit_image: {_shortened(models, catalog)}. " if models else ""


def _credits(offers: Mapping[str, tuple[Offer, ...]]) -> str:
    """Models by cost, the cheapest first; those whose cost nobody tells are left out."""
    by_cost: dict[Any, list[str]] = {}
    for model, (offer, *_) in offers.items():
        if offer.credits is not None:
            by_cost.setdefault(offer.credits, []).append(model)
    parts = [f"{cost}: {', '.join(models)}" for cost, models in sorted(by_cost.items())]
    return f"Credits {'; '.join(parts)}."


def _prompt_text(tool: Tool, catalog: Catalog) -> str:
    offers = catalog.offers_for(tool)
    english = [model for model, (offer, *_) in offers.items() if offer.english_only]
    text = "What to show; plain sentences." if tool == "imagine" else "What to change; the rest is kept."
    if switches := [model for model, (offer, *_) in offers.items() if offer.ratio_switch]:
        text += f" {', '.join(switches)} also takes its switches (--ar, --stylize …)."
    if english:
        text += f" English only for {_shortened(english, catalog)}."
    return text


def _pictures(tool: Tool, catalog: Catalog) -> dict[str, Any]:
    """`reference_images` where pictures are taken beyond the one to edit, and `mask`."""
    offers = catalog.offers_for(tool)
    own = 1 if tool == "edit_image" else 0
    takers = {model: o.images for model, (o, *_) in offers.items() if o.images.is_taken and o.images.maximum > own}
    properties: dict[str, Any] = {}
    if takers:
        properties["reference_images"] = {
            "type": "array",
            "items": {"type": "string"},
            "maxItems": max(images.maximum for images in takers.values()) - own,
            "description": f"Pictures that guide, as ids or URLs. Only {_shortened(list(takers), catalog)}.",
        }
    if masks := [model for model, (o, *_) in offers.items() if o.images.mask_field]:
        properties["mask"] = {"type": "string", "description": f"White is redrawn. Only {_shortened(masks, catalog)}."}
    return properties


def _options(tool: Tool, catalog: Catalog) -> dict[str, Any]:
    """The parameters that at least one offer takes, each with all values that any takes."""
    firsts = {model: offer for model, (offer, *_) in catalog.offers_for(tool).items()}
    properties = {}
    for name, (kind, words) in _OPTION_WORDS.items():
        takers = [model for model, offer in firsts.items() if name in offer.parameters]
        if not takers:
            continue
        parameters = [firsts[model].parameters[name] for model in takers]
        schema: dict[str, Any] = {"type": kind}
        values = list(dict.fromkeys(value for p in parameters for value in p.values or ()))
        if values and all(p.values for p in parameters):
            schema["enum"] = values
        lengths = [p.max_length for p in parameters]
        if all(lengths):
            schema["maxLength"] = max(length or 0 for length in lengths)
        who = "" if len(takers) == len(firsts) else f" Only {_shortened(takers, catalog)}."
        is_edit = name == "aspect_ratio" and tool == "edit_image"
        schema["description"] = (_EDIT_RATIO if is_edit else words) + who
        properties[name] = schema
    return properties


_EDIT_RATIO = "Width:height; one unlike the source's crops or pads it."
_OPTION_WORDS = {
    "aspect_ratio": ("string", "Width:height; default 1:1."),
    "resolution": ("string", "Size class."),
    "output_format": ("string", "File format."),
    "negative_prompt": ("string", "What to avoid."),
    "seed": ("integer", "Same seed, same picture."),
}


def _shortened(models: list[str], catalog: Catalog) -> str:
    """The models by name, or as `family-*` where all of a family are meant."""
    words = []
    for model in models:
        family = catalog.models[model].family
        whole = [m for m, facts in catalog.models.items() if facts.family == family]
        is_whole = len(whole) > 1 and set(whole) <= set(models) and all(m.startswith(f"{family}-") for m in whole)
        words.append(f"{family}-*" if is_whole else model)
    return ", ".join(dict.fromkeys(words))


def _wait_s(defaults: Defaults) -> dict[str, Any]:
    return {
        "type": "integer",
        "minimum": 0,
        "maximum": 300,
        "description": f"Seconds to wait for the pictures; default {defaults.wait_s}.",
    }


def _tool(
    name: str, title: str, description: str, inputs: dict[str, Any], outputs: dict[str, Any], *, read_only: bool
) -> dict[str, Any]:
    return {
        "name": name,
        "title": title,
        "description": description,
        "inputSchema": inputs,
        "outputSchema": outputs,
        "annotations": {
            "title": title,
            "readOnlyHint": read_only,
            "destructiveHint": False,
            "idempotentHint": read_only,
            "openWorldHint": True,
        },
    }


def _object(properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": required} if required else schema


def _enum(*values: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(values)}


def _task_schema(*, listed: bool = False) -> dict[str, Any]:
    """The one result shape. Nothing is required: what is not known is absent."""
    text, number, integer = {"type": "string"}, {"type": "number"}, {"type": "integer"}
    image = {"id": text, "url": text, "expires_at": text, "mime_type": text, "width": integer, "height": integer}
    cost = {"amount": text, "unit": _enum("credits", "usd"), "source": _enum("registry", "provider")}
    error = {"code": text, "message": text, "retryable": {"type": "boolean"}, "retry_after_s": number}
    properties: dict[str, Any] = {
        "task_id": text,
        "provider_task_id": text,
        "status": {"type": "string", "enum": [status.value for status in Status]},
        "model": text,
        "provider": text,
        "progress": number,
        "images": {"type": "array", "items": {"type": "object", "properties": image, "required": ["id", "url"]}},
        "grid_url": text,
        "seed": text,
        "cost": {"type": "object", "properties": cost},
        "notices": {"type": "array", "items": text},
        "error": {"type": "object", "properties": error},
        "poll_after_s": number,
        "next_step": text,
    }
    if listed:
        properties["prompt"] = text
    return {"type": "object", "properties": properties}
