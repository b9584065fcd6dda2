"""The tool definitions in `tools/list`: names, descriptions and schemas, generated from the configured offers.

Every byte costs money in every conversation. Model APIs reject schemas that the protocol allows, so there are objects
at the root, no unions, no `null`, no `$ref` and no `format`; optional means not required.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from journey_mcp.core.predictions import Status
from journey_mcp.core.requests import LONGEST_NEGATIVE_PROMPT, LONGEST_PROMPT, ModelTool
from journey_mcp.core.views import DEFAULT_VIEW_SIZE, MAX_IMAGES_OF_VIEW, VIEW_SIZES
from journey_mcp.registry import Action, Catalog, Parameter
from journey_mcp.tools.defaults import Defaults
from journey_mcp.tools.gallery import tool_meta

TOOLS = ("imagine", "edit_image", "refine_image", "fetch_task", "cancel_task", "view_image", "keep_image")
"""All tools, in the order in which they are listed."""


def build(catalog: Catalog, defaults: Defaults) -> list[dict[str, Any]]:
    """Return the tools in MCP's form, in the same order and with the same bytes for the same input.

    A tool is left out when no configured provider has a model for it. The definitions cover the offers of all
    configured providers together; the router chooses the provider of a call.
    """
    return [
        *([_imagine(catalog, defaults)] if defaults.imagine else []),
        *([_edit_image(catalog, defaults)] if defaults.edit_image else []),
        *([_refine_image(catalog, defaults)] if catalog.actions else []),
        _fetch_task(defaults),
        _cancel_task(defaults),
        _view_image(),
        _keep_image(),
    ]


def _imagine(catalog: Catalog, defaults: Defaults) -> dict[str, Any]:
    description = (
        "Make an image from a text prompt. Returns image URLs, or after wait_s a running task for fetch_task. "
        f"Costs money. {_recommendations(catalog, 'imagine', defaults.imagine)} {_edit_only(catalog)}"
        "Not every model supports every argument; an error names those that do. "
        f"Tasks and their prompts are kept {defaults.keep_days} days."
    )
    return _creation_tool("imagine", "Make an image", description, catalog, defaults)


def _edit_image(catalog: Catalog, defaults: Defaults) -> dict[str, Any]:
    description = (
        "Edit an image as the prompt says. Returns the same as imagine. Costs money. "
        f"{_recommendations(catalog, 'edit_image', defaults.edit_image)}"
    )
    return _creation_tool("edit_image", "Edit an image", description, catalog, defaults)


def _refine_image(catalog: Catalog, defaults: Defaults) -> dict[str, Any]:
    """Return the tool for the actions of all configured providers."""
    actions = [one for its in catalog.actions.values() for one in its]
    models = [model for model in catalog.models if any(model in action.parents for action in actions)]
    by_url = [action.id for action in actions if action.images.is_taken]
    also = f"; {', '.join(by_url)} also take a public URL and images of other models" if by_url else ""
    description = (
        f"Upscale, vary, extend or repeat an earlier image of {_model_list(models, catalog)}. "
        "Returns the same as imagine. Costs money."
    )
    properties: dict[str, Any] = {
        "image": {"type": "string", "description": f"Id of an earlier image (tsk_….2){also}."},
        "action": {"type": "string", "enum": list(catalog.actions), "description": _action_description(actions)},
    }
    if prompts := [action.id for action in actions if action.prompt != "none"]:
        properties["prompt"] = {
            "type": "string",
            "maxLength": LONGEST_PROMPT,
            "description": f"A new prompt. Only {', '.join(prompts)}.",
        }
    properties |= _delivery(defaults)
    tool = "refine_image"
    inputs = _object(properties, ["image", "action"])
    return _tool(tool, "Refine an image", description, inputs, _task_schema(defaults), read_only=False)


def _action_description(actions: Sequence[Action]) -> str:
    """Return which actions need another one first, and what they cost."""
    ids = list(dict.fromkeys(action.id for action in actions))
    waiting: dict[str, list[str]] = {}
    for action in actions:
        if len(action.parents) == 1 and action.parents[0] in ids:
            waiting.setdefault(action.parents[0], []).append(action.id)
    costs: dict[str, dict[Decimal, list[str]]] = {"Credits": {}, "USD": {}}
    for action in actions:
        if action.credits is not None:
            costs["Credits"].setdefault(action.credits, []).append(action.id)
        elif action.usd is not None:
            costs["USD"].setdefault(action.usd, []).append(action.id)
    needs = (f"Only on results of {first}: {', '.join(_grouped(its, ids))}." for first, its in waiting.items())
    grouped = {unit: {cost: _grouped(its, ids) for cost, its in by.items()} for unit, by in costs.items()}
    prices = (f"{unit} {_priced(by)}." for unit, by in grouped.items() if by)
    return " ".join([*needs, *prices])


def _grouped(ids: Sequence[str], every: Sequence[str]) -> list[str]:
    """Return ids with `pan_*` in place of all those that begin so, if there are several."""
    words = []
    for id_ in ids:
        start, mark, _ = id_.partition("_")
        family = [one for one in every if one.startswith(f"{start}_")]
        words.append(f"{start}_*" if mark and len(family) > 1 and set(family) <= set(ids) else id_)
    return list(dict.fromkeys(words))


def _delivery(defaults: Defaults) -> dict[str, Any]:
    """Return the arguments about the call itself, which all tools that cost money have."""
    return {
        "webhook_url": {
            "type": "string",
            "description": "HTTPS URL that receives the result (a task object as in fetch_task).",
        },
        "fresh": {
            "type": "boolean",
            "description": "Force a new, paid image even if an identical request is running.",
        },
        "wait_s": _wait_s(defaults),
    }


def _fetch_task(defaults: Defaults) -> dict[str, Any]:
    description = (
        "Get tasks of the tools above: status, image URLs, costs. Free, safe to repeat. Waits for running "
        "tasks. Without task_ids (or an empty list) it lists your tasks, the newest 20 first, with what was spent, "
        "without waiting: use this after a call timed out, or to find an earlier image."
    )
    properties = {
        "task_ids": {**_TASK_IDS, "description": "Task ids (tsk_…)."},
        "query": {
            "type": "string",
            "maxLength": 200,
            "description": "List only tasks with these words in prompt or model, or of a date (2026-11-27, 2026-11).",
        },
        "before": {"type": "string", "maxLength": 64, "description": "List the tasks older than this task id."},
        "wait_for": {
            "type": "string",
            "enum": ["all", "any"],
            "description": "Wait for all (default) or for the next to finish.",
        },
        "wait_s": _wait_s(defaults),
    }
    return _tool(
        "fetch_task",
        "Get running or finished images",
        description,
        _object(properties),
        _object(
            {
                "tasks": {"type": "array", "items": _task_schema(defaults, listed=True)},
                "next_before": {"type": "string"},
                "spent": _spent_schema(defaults),
                "preview": {"type": "array", "items": {"type": "string"}},
            },
            ["tasks"],
        ),
        read_only=True,
    )


def _spent_schema(defaults: Defaults) -> dict[str, Any]:
    text, count = {"type": "string"}, {"type": "integer"}
    total = {"provider": text, "unit": _enum("credits", "usd"), "amount": text, **_in_dollars(defaults), "tasks": count}
    totals = {"type": "array", "items": _object(total)}
    return _object({"today": totals, "last_30_days": totals})


def _in_dollars(defaults: Defaults) -> dict[str, Any]:
    """Return the property with the price of credits, where one is set: elsewhere it would cost tokens for nothing."""
    return {"usd": {"type": "string"}} if defaults.credit_prices else {}


_TASK_IDS = {"type": "array", "items": {"type": "string", "maxLength": 64}, "maxItems": 20}


def _cancel_task(defaults: Defaults) -> dict[str, Any]:
    description = (
        "Cancel tasks. Free while queued; once running, only if the provider supports it. "
        "A notice says if a task goes on and is charged."
    )
    return _tool(
        "cancel_task",
        "Cancel running images",
        description,
        _object({"task_ids": {**_TASK_IDS, "minItems": 1, "description": "Task ids (tsk_…)."}}, ["task_ids"]),
        _object({"tasks": {"type": "array", "items": _task_schema(defaults, listed=True)}}, ["tasks"]),
        read_only=False,
        destructive=True,
    )


def _view_image() -> dict[str, Any]:
    text, integer = {"type": "string"}, {"type": "integer"}
    sizes = ", ".join(f"{size} (default)" if size == DEFAULT_VIEW_SIZE else str(size) for size in VIEW_SIZES)
    properties = {
        "image_ids": {
            "type": "array",
            "items": text,
            "minItems": 1,
            "maxItems": MAX_IMAGES_OF_VIEW,
            "description": "tsk_….2; a task id: all its images.",
        },
        # no enum: Gemini takes one for strings only
        "size": {**integer, "description": f"Pixels: {sizes}."},
        "layout": {**_enum("sheet", "each"), "description": "Numbered sheet (default), or each."},
    }
    image = {"id": text, "width": integer, "height": integer, "label": text}
    error = {"id": text, "code": text, "message": text, "retryable": {"type": "boolean"}, "next_step": text}
    outputs = {
        "images": {"type": "array", "items": {"type": "object", "properties": image}},
        "layout": _enum("sheet", "each"),
        "size": integer,
        "errors": {"type": "array", "items": {"type": "object", "properties": error}},
    }
    return _tool(
        "view_image",
        "Look at images",
        "Look at finished images, to judge or compare them. Free.",
        _object(properties, ["image_ids"]),
        _object(outputs),
        read_only=True,
    )


def _keep_image() -> dict[str, Any]:
    text, number = {"type": "string"}, {"type": "integer"}
    properties = {
        "data": {**text, "description": "Data URI."},
        "mask_of": {**text, "description": "Masked image."},
    }
    known = {"image_id": text, "width": number, "height": number, "mime_type": text, "error": {"type": "object"}}
    return _tool(
        "keep_image",
        "Add an image",
        "Gallery only.",
        _object(properties, ["data"]),
        _object({**known, "next_step": text}),
        read_only=False,
    )


def _creation_tool(
    tool: ModelTool, title: str, description: str, catalog: Catalog, defaults: Defaults
) -> dict[str, Any]:
    offers = catalog.offers_for(tool)
    properties: dict[str, Any] = {
        "prompt": {
            "type": "string",
            "minLength": 1,
            "maxLength": max(o.prompt_max_length or LONGEST_PROMPT for its in offers.values() for o in its),
            "description": _prompt_description(tool, catalog),
        }
    }
    if tool == "edit_image":
        properties["image"] = {
            "type": "string",
            "description": f"The image to edit: {_image_forms(catalog, defaults)}.",
        }
    default = defaults.imagine if tool == "imagine" else defaults.edit_image
    properties["model"] = {
        "type": "string",
        "enum": list(offers),
        "description": f"Default {default}. {_costs(tool, catalog)}".rstrip(),
    }
    properties |= _images(tool, catalog) | _options(tool, catalog)
    if len(catalog.providers) > 1:
        properties["provider"] = {
            "type": "string",
            "enum": list(catalog.providers),
            "description": "Only this one; default: the first that supports all arguments.",
        }
    properties |= _delivery(defaults)
    required = ["prompt", "image"] if tool == "edit_image" else ["prompt"]
    return _tool(tool, title, description, _object(properties, required), _task_schema(defaults), read_only=False)


def _image_forms(catalog: Catalog, defaults: Defaults) -> str:
    """Return the forms in which an image may be given."""
    has_data = defaults.hosts_images or any(
        offer.images.takes_data for offers in catalog.offers.values() for offer in offers
    )
    files = ", local path" if defaults.takes_files else ""
    more = f", data URI{files}" if has_data else ""
    return f"id of an earlier image (tsk_….2), public URL{more}"


def _recommendations(catalog: Catalog, tool: ModelTool, default: str) -> str:
    """Return which model to choose for what, as short as possible."""
    purposes = {model: catalog.models[model].recommended_for.get(tool) for model in catalog.offers_for(tool)}
    first = f"{default} (default)" + (f" for {text}" if (text := purposes.pop(default, None)) else "")
    others = "".join(f"; {model} for {purpose}" for model, purpose in purposes.items() if purpose)
    return f"Choose {first}{others}."


def _edit_only(catalog: Catalog) -> str:
    models = [model for model in catalog.offers if model not in catalog.offers_for("imagine")]
    return f"Need an image, so only in edit_image: {_model_list(models, catalog)}. " if models else ""


def _costs(tool: ModelTool, catalog: Catalog) -> str:
    """Return models by list price at their preferred provider, cheapest first, without models of unknown price."""
    by_cost: dict[str, dict[Decimal, list[str]]] = {"Credits": {}, "USD": {}}
    for model, (offer, *_) in catalog.offers_for(tool).items():
        if offer.credits is not None:
            by_cost["Credits"].setdefault(offer.credits, []).append(model)
        elif offer.usd is not None:
            by_cost["USD"].setdefault(offer.usd, []).append(model)
    return " ".join(f"{unit} {_priced(costs)}." for unit, costs in by_cost.items() if costs)


def _priced(costs: Mapping[Decimal, list[str]]) -> str:
    return "; ".join(f"{cost}: {', '.join(models)}" for cost, models in sorted(costs.items()))


def _prompt_description(tool: ModelTool, catalog: Catalog) -> str:
    offers = catalog.offers_for(tool)
    english = [model for model, its in offers.items() if all(offer.english_only for offer in its)]
    text = "What to show, in plain sentences." if tool == "imagine" else "What to change; the rest is kept."
    if switches := [model for model, its in offers.items() if any(offer.ratio_switch for offer in its)]:
        text += f" {', '.join(switches)} also takes its switches (--ar, --stylize …)."
    if without := [model for model, its in offers.items() if all(offer.prompt == "none" for offer in its)]:
        text += f" Not used by {', '.join(without)}."
    if english:
        text += f" English only for {_model_list(english, catalog)}."
    return text


def _images(tool: ModelTool, catalog: Catalog) -> dict[str, Any]:
    """Return `reference_images`, if an offer accepts images besides the one to edit, and `mask`."""
    offers = catalog.offers_for(tool)
    edited = 1 if tool == "edit_image" else 0
    most = {model: max(o.images.maximum if o.images.is_taken else 0 for o in its) for model, its in offers.items()}
    takers = [model for model, maximum in most.items() if maximum > edited]
    properties: dict[str, Any] = {}
    if takers:
        properties["reference_images"] = {
            "type": "array",
            "items": {"type": "string"},
            "maxItems": max(most.values()) - edited,
            "description": f"Guide images, {_REFERENCE_FORMS[tool]}." + _restriction(takers, list(offers), catalog),
        }
    if masks := [model for model, its in offers.items() if any(o.images.mask_field for o in its)]:
        properties["mask"] = {
            "type": "string",
            "description": f"White areas are redrawn.{_restriction(masks, list(offers), catalog)}",
        }
    return properties


_REFERENCE_FORMS: dict[ModelTool, str] = {
    "imagine": "in the forms of edit_image's image",
    "edit_image": "in the forms of image",
}


def _options(tool: ModelTool, catalog: Catalog) -> dict[str, Any]:
    """Return the parameters that at least one offer has, each with the values of all offers."""
    offers = catalog.offers_for(tool)
    properties = {}
    for name, (kind, usual_words) in _OPTIONS.items():
        found = {m: [o.parameters[name] for o in its if name in o.parameters] for m, its in offers.items()}
        takers = [model for model, parameters in found.items() if parameters]
        if not takers:
            continue
        schema = {"type": kind, **_allowed(kind, [p for parameters in found.values() for p in parameters])}
        words = _ratio_description(tool, found.values()) if name == "aspect_ratio" else usual_words
        schema["description"] = words + _restriction(takers, list(offers), catalog)
        properties[name] = schema
    return properties


def _allowed(kind: str, parameters: list[Parameter]) -> dict[str, Any]:
    """Return the schema of a parameter: the values and limits of all offers together."""
    values = list(dict.fromkeys(value for p in parameters for value in p.values or ()))
    if values and all(p.values for p in parameters):
        # in a strict schema models must give every argument one of these values; this value means none
        return {"enum": values if _PLACEHOLDER in values else [*values, _PLACEHOLDER]}
    if kind == "string":
        lengths = [p.max_length for p in parameters]
        return {"maxLength": max(length or LONGEST_NEGATIVE_PROMPT for length in lengths)} if any(lengths) else {}
    low, high = [p.minimum for p in parameters], [p.maximum for p in parameters]
    bounds: dict[str, Any] = {}
    if all(isinstance(bound, int | float) for bound in low):
        bounds["minimum"] = min(bound for bound in low if isinstance(bound, int | float))
    if all(isinstance(bound, int | float) for bound in high):
        bounds["maximum"] = max(bound for bound in high if isinstance(bound, int | float))
    return bounds


def _ratio_description(tool: ModelTool, parameters: Iterable[list[Parameter]]) -> str:
    if tool == "imagine":
        return "Width:height; default: the model's."
    has_match = any(_MATCH_INPUT in (p.values or ()) for its in parameters for p in its)
    return f"Width:height{f', or {_MATCH_INPUT}' if has_match else ''}; other ratios than the source's crop or pad it."


_MATCH_INPUT = "match_input_image"
_PLACEHOLDER = "auto"
_OPTIONS = {
    "aspect_ratio": ("string", ""),
    "width": ("integer", "Pixels; with height, instead of aspect_ratio."),
    "height": ("integer", "Pixels."),
    "resolution": ("string", "Size class."),
    "output_format": ("string", "File format."),
    "negative_prompt": ("string", "What to avoid."),
    "seed": ("integer", "Same seed, same image."),
    "prompt_upsampling": ("boolean", "Let the provider expand the prompt."),
    "safety_tolerance": ("integer", "0 is strictest."),
    "guidance": ("number", "How closely to follow the prompt."),
    "steps": ("integer", "More is finer and slower."),
}
_MAX_RESTRICTION = 100
"""The longest list of models; longer ones are left to the error of a call, as the tool's description says."""


def _restriction(takers: list[str], offered: list[str], catalog: Catalog) -> str:
    """Return which models support an argument, as the shorter of `Only …` and `Not …`; empty when all do."""
    others = [model for model in offered if model not in takers]
    if not others:
        return ""
    text = min(f" Only {_model_list(takers, catalog)}.", f" Not {_model_list(others, catalog)}.", key=len)
    return text if len(text) <= _MAX_RESTRICTION else ""


def _model_list(models: list[str], catalog: Catalog) -> str:
    """Return the models by name, or as `family-*` for a whole family."""
    words = []
    for model in models:
        family = catalog.models[model].family
        whole = [m for m, facts in catalog.models.items() if facts.family == family]
        is_complete = len(whole) > 1 and set(whole) <= set(models) and all(m.startswith(f"{family}-") for m in whole)
        words.append(f"{family}-*" if is_complete else model)
    return ", ".join(dict.fromkeys(words))


def _wait_s(defaults: Defaults) -> dict[str, Any]:
    return {
        "type": "integer",
        "minimum": 0,
        "maximum": 300,
        "description": f"Seconds to wait for the images; default {defaults.wait_s}.",
    }


def _tool(  # a tool is all of these
    name: str,
    title: str,
    description: str,
    inputs: dict[str, Any],
    outputs: dict[str, Any],
    *,
    read_only: bool,
    destructive: bool = False,
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
            "destructiveHint": destructive,
            "idempotentHint": read_only or destructive,
            "openWorldHint": True,
        },
        **tool_meta(name),
    }


def _object(properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    # without `additionalProperties`, which google-genai rejects; the server checks the names itself
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    return {**schema, "required": required} if required else schema


def _enum(*values: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(values)}


def _task_schema(defaults: Defaults, *, listed: bool = False) -> dict[str, Any]:
    """Return the schema of a task object. Nothing is required: unknown fields are absent."""
    text, number, integer = {"type": "string"}, {"type": "number"}, {"type": "integer"}
    image = dict.fromkeys(("id", "url", "link", "path", "saved_to", "expires_at", "mime_type"), text)
    image |= {"width": integer, "height": integer}
    cost = {"amount": text, "unit": _enum("credits", "usd"), "source": _enum("registry", "provider")}
    cost |= _in_dollars(defaults)
    error = {"code": text, "message": text, "retryable": {"type": "boolean"}, "retry_after_s": number}
    properties: dict[str, Any] = {
        "task_id": text,
        "provider_task_id": text,
        "status": {"type": "string", "enum": [status.value for status in Status]},
        "model": text,
        "action": text,
        "parent": text,
        "provider": text,
        "created_at": text,
        "finished_at": text,
        "progress": number,
        "images": {"type": "array", "items": {"type": "object", "properties": image, "required": ["id"]}},
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
