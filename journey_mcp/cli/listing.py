"""`models` and `tasks`: what there is."""

import difflib
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import anyio

from journey_mcp.accounts import catalog_of
from journey_mcp.cli import console
from journey_mcp.cli.setup import ready_settings
from journey_mcp.errors import UnknownModel
from journey_mcp.registry import Catalog, Model, Offer, Parameter, can_serve, load
from journey_mcp.requests import Tool
from journey_mcp.server import render
from journey_mcp.settings import Settings
from journey_mcp.studio import open_studio
from journey_mcp.tasks import Task

_MINUTE_S, _HOUR_S = 60, 3600


def models(*, as_json: bool) -> None:
    """List the models of the configured providers."""
    catalog = _catalog()
    rows = [_summary(model, catalog.offers[model.id][0]) for model in catalog.models.values()]
    if as_json:
        console.result_json({"models": rows})
        return
    columns = ("Model", "Command", "Cost", "English only", "Picture", "Best at")
    console.table(
        columns,
        [
            (
                row["id"],
                ", ".join(row["commands"]),
                row.get("cost", "not told"),
                _YES_NO[row.get("english_only")],
                row["picture"],
                row["best_at"],
            )
            for row in rows
        ],
    )


def model(model_id: str, *, as_json: bool) -> None:
    """Tell all that is known of one model.

    Raises:
        UnknownModel: with the nearest names.
    """
    catalog = _catalog()
    if model_id not in catalog.models:
        near = difflib.get_close_matches(model_id.lower(), catalog.models, n=3, cutoff=0.4)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise UnknownModel(
            f"There is no model {model_id[:80]!r}.{hint}", next_step="`journey-mcp models` lists them all."
        )
    facts, offers = catalog.models[model_id], catalog.offers[model_id]
    if as_json:
        console.result_json({**_known(asdict(facts)), "offers": [_known(asdict(offer)) for offer in offers]})
        return
    lines = [*_model_lines(facts)]
    for offer in offers:
        lines += ["", *_offer_lines(offer)]
    console.result("\n".join(lines))


def tasks(*, as_json: bool) -> None:
    """List the newest tasks of the last day."""
    found, now = anyio.run(_newest, ready_settings())
    if as_json:
        console.result_json({"tasks": [render.task_object(task, now=now, with_prompt=True) for task in found]})
    elif not found:
        console.remark("No tasks in the last day.")
    else:
        columns = ("Task", "Age", "Status", "Model", "Provider", "Cost", "Prompt")
        console.table(columns, [_task_row(task, now) for task in found])


async def _newest(settings: Settings) -> tuple[list[Task], float]:
    async with open_studio(settings) as studio:
        return await studio.newest(), studio.now()


def _catalog() -> Catalog:
    settings = ready_settings()
    return catalog_of(settings, load(settings.registry))


def _task_row(task: Task, now: float) -> tuple[str, ...]:
    percent = f" {task.progress:.0%}" if task.progress is not None and not task.status.is_final else ""
    return (
        task.id,
        _age(now - task.created_at),
        f"{task.status.value}{percent}",
        task.request.model,
        task.provider,
        f"{task.cost.amount:f} {task.cost.unit}" if task.cost else "",
        render.start_of(task.request.prompt),
    )


def _age(seconds: float) -> str:
    if seconds < _MINUTE_S:
        return f"{max(seconds, 0):.0f} s"
    return f"{seconds / _MINUTE_S:.0f} min" if seconds < _HOUR_S else f"{seconds / _HOUR_S:.0f} h"


def _summary(model: Model, offer: Offer) -> dict[str, Any]:
    plain = {
        "id": model.id,
        "commands": [name for tool, name in _COMMANDS.items() if can_serve(offer, tool)],
        "cost": _cost(offer),
        "english_only": offer.english_only,
        "picture": _PICTURE[offer.images.support],
        "best_at": model.best_at,
    }
    return {name: value for name, value in plain.items() if value is not None}


_COMMANDS: dict[Tool, str] = {"imagine": "imagine", "edit_image": "edit"}
_YES_NO: dict[bool | None, str] = {True: "yes", False: "no", None: "not told"}
_PICTURE = {"none": "none", "optional": "may be given", "required": "needed", "unstated": "not told"}


def _cost(offer: Offer) -> str | None:
    if offer.credits is not None:
        return f"{offer.credits:f} credits"
    return f"{offer.usd:f} usd" if offer.usd is not None else None


def _model_lines(facts: Model) -> Iterator[str]:
    yield f"{facts.id}: {facts.name or facts.id} by {facts.maker}"
    yield f"Best at: {facts.best_at}"
    for advice in facts.advice:
        yield f"Advice: {advice}"
    yield from _source_lines(facts)


def _offer_lines(offer: Offer) -> Iterator[str]:
    yield f"At {offer.provider} as {offer.wire_id}"
    yield f"  Commands: {', '.join(name for tool, name in _COMMANDS.items() if can_serve(offer, tool))}"
    yield f"  Cost: {_cost(offer) or 'not told'}"
    yield f"  Result: {'four pictures and a sheet of them' if offer.result == 'grid' else 'one picture'}"
    yield f"  English only: {_YES_NO[offer.english_only]}"
    yield f"  Picture: {_picture(offer)}"
    if offer.usual_duration_s:
        yield "  Usually takes: {} to {} s".format(*offer.usual_duration_s)
    if offer.expires_after_s:
        yield f"  Links live: {offer.expires_after_s / 86400:g} days"
    if offer.ratio_switch:
        yield "  --ar W:H in the prompt sets any aspect ratio"
    for name, parameter in offer.parameters.items():
        yield f"  --{name.replace('_', '-')}: {_parameter(parameter)}"
    for notice in offer.notices:
        yield f"  Notice: {notice}"
    for note in offer.notes:
        yield f"  Note: {note}"
    for line in _source_lines(offer):
        yield f"  {line}"


def _picture(offer: Offer) -> str:
    told = _PICTURE[offer.images.support]
    if not offer.images.is_taken:
        return told
    mask = ", with a mask" if offer.images.mask_field else ""
    return f"{told}, at most {offer.images.maximum}{mask}"


def _parameter(parameter: Parameter) -> str:
    parts = []
    if parameter.values:
        parts.append(", ".join(parameter.values))
    if parameter.minimum is not None or parameter.maximum is not None:
        low, high = ("any" if bound is None else bound for bound in (parameter.minimum, parameter.maximum))
        parts.append(f"{low} to {high}")
    if parameter.maximum_with_images is not None:
        parts.append(f"with a picture at most {parameter.maximum_with_images}")
    if parameter.multiple_of is not None:
        parts.append(f"in steps of {parameter.multiple_of}")
    if parameter.max_length is not None:
        parts.append(f"at most {parameter.max_length} characters")
    if parameter.default is not None:
        parts.append(f"default {parameter.default}")
    if parameter.notice:
        parts.append(f"notice: {parameter.notice}")
    return "; ".join(parts) or "any value"


def _source_lines(facts: Model | Offer) -> Iterator[str]:
    for source in facts.sources:
        yield f"Source: {source} ({facts.checked})"


def _known(plain: Any) -> Any:
    """Without what is not known, at every level."""
    if isinstance(plain, dict):
        return {name: _known(value) for name, value in plain.items() if value not in (None, (), [], {})}
    return [_known(item) for item in plain] if isinstance(plain, tuple | list) else plain
