"""`models` and `tasks`: the models with their offers, and the tasks with what was spent."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from journey_mcp.cli.cooldowns import describe, read_cooldowns, until
from journey_mcp.cli.event_loop import run
from journey_mcp.cli.facts import IMAGE, YES_NO, cost, offer_lines, source_lines
from journey_mcp.cli.images import task_texts
from journey_mcp.cli.phrasing import COMMANDS
from journey_mcp.cli.terminal import console, output_style
from journey_mcp.core.clock import Clock
from journey_mcp.core.errors import InvalidArguments, UnknownModel
from journey_mcp.core.images import ImageId
from journey_mcp.core.money import SpendSummary
from journey_mcp.core.plain import without_empty
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.task_query import PAGE_SIZE, TaskQuery, parse_search, parse_since
from journey_mcp.core.tasks import Task
from journey_mcp.engine.image_files import ImageFiles
from journey_mcp.engine.task_list import read_newest, read_spent
from journey_mcp.media.configured_store import image_store_of
from journey_mcp.providers.accounts import accounts_of, not_polled_reason
from journey_mcp.registry import Model, Offer, can_serve, load
from journey_mcp.registry.selection import catalog_of
from journey_mcp.routing import model_names
from journey_mcp.settings import Settings
from journey_mcp.startup import ready_settings
from journey_mcp.store import open_store
from journey_mcp.store.cooldowns import Cooldown
from journey_mcp.tools import listing, results
from journey_mcp.tools.availability import Availability, check_availability

_MIN_SIMILARITY = 0.6
"""The similarity, 0 to 1, from which a name is suggested for another: `dall-e-3` is not `ideogram-v3`."""
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86400
_ENGLISH_ONLY = "*"
"""Marks offers in a table."""
_ALL = 1_000_000
"""More tasks than a person has."""


def models(*, as_json: bool) -> None:
    """List the models of the configured providers, each with its offers in order of preference."""
    settings = ready_settings()
    catalog, on_cooldown = catalog_of(settings, load(settings.registry)), run(read_cooldowns, settings)
    if as_json:
        summaries = [_summary(model, catalog.offers[model.id], on_cooldown) for model in catalog.models.values()]
        console.result_json({"models": summaries}, rows="models")
        return
    columns = ("Model", "Command", "Offers", "English only", "Image", "Best at")
    rows = [_model_row(m, catalog.offers[m.id], on_cooldown) for m in catalog.models.values()]
    console.table(columns, rows, narrow=("Model", "Command", "Offers", "Best at"))
    if output_style.current().has_tables and any(_ENGLISH_ONLY in row[2] for row in rows):
        console.info(f"{_ENGLISH_ONLY} takes prompts in English only.")
    for name, cooldown in on_cooldown.items():
        console.info(f"{name} is tried last: {describe(cooldown)}")


def model(model_id: str, *, as_json: bool) -> None:
    """Show one model and its offers in detail.

    Raises:
        UnknownModel: suggests similar names, or names the keys that it needs.
    """
    settings = ready_settings()
    catalog = catalog_of(settings, load(settings.registry))
    model_id = model_names.resolve(model_id, catalog) or model_id
    if facts_of_others := catalog.missing.get(model_id):
        raise UnknownModel(
            f"No configured provider offers {model_id}; {', '.join(one.title for one in facts_of_others)} would.",
            next_step=f"Set {' or '.join(one.key_variable for one in facts_of_others)}, or choose another model: "
            "`journey-mcp models` lists them all.",
        )
    if model_id not in catalog.models:
        near = difflib.get_close_matches(model_id.lower(), catalog.models, n=3, cutoff=_MIN_SIMILARITY)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise UnknownModel(
            f"There is no model {model_id[:80]!r}.{hint}", next_step="`journey-mcp models` lists them all."
        )
    facts, offers = catalog.models[model_id], catalog.offers[model_id]
    on_cooldown = run(read_cooldowns, settings)
    if as_json:
        plain = [{**asdict(offer), **_cooldown_object(on_cooldown.get(offer.provider))} for offer in offers]
        console.result_json(_without_unknown({**asdict(facts), "offers": plain}))
        return
    lines = [*_model_lines(facts)]
    for offer in offers:
        lines += ["", *offer_lines(offer, on_cooldown.get(offer.provider))]
    console.result("\n".join(lines))


@dataclass(frozen=True, kw_only=True, slots=True)
class TasksRequest:
    """Which tasks are listed, as written on the command line."""

    since: str | None = None
    search: str | None = None
    before: str | None = None
    everything: bool = False
    """All that match, instead of a page."""

    def query(self, now: float) -> TaskQuery:
        """Return the query, for one more than a page.

        Raises:
            InvalidArguments: names the option, its value and its forms.
        """
        image = ImageId.parse(self.before or "")
        limit = _ALL if self.everything else PAGE_SIZE + 1
        name = "--search"
        try:
            query = parse_search(self.search or "", before=image.task_id if image else self.before, limit=limit)
            name = "--since"
            since = parse_since(self.since, now) if self.since else 0.0
        except ValueError as error:
            raise InvalidArguments(f"{name}: {error}.", next_step="`journey-mcp tasks -h` shows the forms.") from error
        return replace(query, since=max(since, query.since))


def tasks(request: TasksRequest, *, as_json: bool) -> None:
    """List tasks, the newest first, and what was spent.

    Raises:
        InvalidArguments, UnknownTask: names the option that is wrong.
    """
    settings, now = ready_settings(), Clock().now()
    query = request.query(now)
    listed = run(_read, settings, query, now)
    found = listed.tasks if request.everything else listed.tasks[:PAGE_SIZE]
    prices = settings.credit_price
    plain = [
        task_texts.for_people(
            results.task_object(task, now=now, with_prompt=True, credit_prices=prices, available=listed.available), task
        )
        for task in found
    ]
    next_before = found[-1].id if len(listed.tasks) > len(found) else None
    if as_json:
        spent = listing.spend_object(listed.spent, prices) if listed.spent.last_30_days else None
        rest = without_empty({"next_before": next_before, "spent": spent})
        console.result_json({"tasks": plain, **rest}, rows="tasks")
        if not output_style.current().has_rows_only:
            return
    elif found:
        columns = ("Task", "Age", "Status", "Model", "Provider", "Cost", "Images", "Prompt")
        rows = [_task_row(*row, now) for row in zip(found, plain, strict=True)]
        console.table(columns, rows, narrow=("Task", "Age", "Status", "Prompt"))
    else:
        console.info(listing.no_tasks(query, settings.keep_days))
    if next_before:
        console.info(f"Older tasks: the same command with --before {next_before}, or with --all.")
    if listed.spent.last_30_days:
        console.info(listing.spend_text(listing.spend_object(listed.spent, prices)))


class _Listed(NamedTuple):
    tasks: list[Task]
    available: Availability
    spent: SpendSummary


async def _read(settings: Settings, query: TaskQuery, now: float) -> _Listed:
    accounts = accounts_of(settings, load(settings.registry))
    async with open_store(settings.resolved_database_url()) as store:
        stored = await read_newest(store, query, principal=LOCAL)
        stored = await ImageFiles(store, image_store_of(settings, store.objects), Clock()).located(stored)
        spent = await read_spent(store, principal=LOCAL, now=now)
    found = [task.noticed(why, now) if (why := not_polled_reason(task, accounts)) else task for task in stored]
    return _Listed(found, await check_availability(found), spent)


def _task_row(task: Task, plain: dict[str, Any], now: float) -> tuple[str, ...]:
    percent = f" {task.progress:.0%}" if task.progress is not None and not task.status.is_final else ""
    return (
        task.id,
        _age(now - task.created_at),
        f"{task.status.value}{percent}",
        task.request.label,
        task.provider,
        results.amount_text(plain["cost"]) if task.cost else "",
        _images_in_short(plain.get("images", ())),
        plain["prompt"],
    )


def _images_in_short(images: Sequence[dict[str, Any]]) -> str:
    """Return how many links are valid, and where the copies or files of the others are."""
    dead = [image for image in images if "url" not in image]
    alive = [str(len(images) - len(dead))] if len(images) > len(dead) else []
    blobs = [image.get("saved_to") or image["path"] for image in dead if "path" in image or "saved_to" in image]
    more = f" and {len(blobs) - 1} more" if len(blobs) > 1 else ""
    lost = dict.fromkeys(image["link"] for image in dead if "path" not in image and "saved_to" not in image)
    return "; ".join([*alive, *(f"{path}{more}" for path in blobs[:1]), *lost])


def _age(seconds: float) -> str:
    if seconds < _MINUTE_S:
        return f"{max(seconds, 0):.0f} s"
    if seconds < _HOUR_S:
        return f"{seconds / _MINUTE_S:.0f} min"
    return f"{seconds / _HOUR_S:.0f} h" if seconds < 2 * _DAY_S else f"{seconds / _DAY_S:.0f} days"


def _model_row(model: Model, offers: Sequence[Offer], on_cooldown: Mapping[str, Cooldown]) -> tuple[str, ...]:
    return (
        model.id,
        ", ".join(_commands(offers)),
        " · ".join(_offer_in_short(offer, is_on_cooldown=offer.provider in on_cooldown) for offer in offers),
        _common(YES_NO[offer.english_only] for offer in offers),
        _common(IMAGE[offer.images.support] for offer in offers),
        model.best_at,
    )


def _offer_in_short(offer: Offer, *, is_on_cooldown: bool) -> str:
    amount = cost(offer)
    least = "from " if offer.further_megapixel else ""
    # a program reads the column instead
    mark = _ENGLISH_ONLY if offer.english_only and output_style.current().has_tables else ""
    cooldown = " (on cooldown)" if is_on_cooldown else ""
    return f"{offer.provider}{mark}{f' {least}{amount}' if amount else ''}{cooldown}"


def _common(words: Iterable[str]) -> str:
    """Return the word that all offers share, or `depends`."""
    different = set(words)
    return different.pop() if len(different) == 1 else "depends"


def _commands(offers: Sequence[Offer]) -> list[str]:
    return [name for tool, name in COMMANDS.items() if any(can_serve(offer, tool) for offer in offers)]


def _summary(model: Model, offers: Sequence[Offer], on_cooldown: Mapping[str, Cooldown]) -> dict[str, Any]:
    return {
        "id": model.id,
        "commands": _commands(offers),
        "best_at": model.best_at,
        "offers": [_offer_object(offer, on_cooldown.get(offer.provider)) for offer in offers],
    }


def _offer_object(offer: Offer, cooldown: Cooldown | None) -> dict[str, Any]:
    plain = {
        "provider": offer.provider,
        "commands": _commands([offer]),
        "credits": offer.credits,
        "usd": offer.usd,
        "further_megapixel": offer.further_megapixel,
        "english_only": offer.english_only,
        "picture": IMAGE[offer.images.support],
        **_cooldown_object(cooldown),
    }
    return without_empty(plain)


def _cooldown_object(cooldown: Cooldown | None) -> dict[str, Any]:
    return {"rests": {"until": until(cooldown), "reason": cooldown.reason}} if cooldown else {}


def _model_lines(facts: Model) -> Iterator[str]:
    yield f"{facts.id}: {facts.name or facts.id} by {facts.maker}"
    yield f"Best at: {facts.best_at}"
    for advice in facts.advice:
        yield f"Advice: {advice}"
    yield from source_lines(facts)


def _without_unknown(plain: Any) -> Any:
    """Remove unknown values at every level."""
    if isinstance(plain, dict):
        return {name: _without_unknown(value) for name, value in without_empty(plain).items()}
    return [_without_unknown(item) for item in plain] if isinstance(plain, tuple | list) else plain
