"""Results within the limits of clients: whole if they fit, else shortened, with how to get the rest.

Claude Desktop fails at 1 MiB; Claude Code cuts at 25,000 tokens, and shows the object without its text. So the object
is shortened and the text is rendered from it: both have the same facts.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from journey_mcp.core.plain import compact_json
from journey_mcp.tools.results import Rendered, image_line, render

_SINGLE_LIMIT = 20_000
"""Bytes of the text of a single task. The object may be twice as long as the text, here and below."""
_LISTING_LIMIT = 12_000
"""Bytes of the text of a listing."""
_BLOCK_LIMIT = 3_000
"""Bytes of the text of one task in a listing."""
_MAX_IMAGES, _FEW_IMAGES = 16, 4
"""How many images of a task that does not fit a listing names at most, and how many while texts can still be cut."""
_SHORTEST = {"prompt": 0, "model": 40, "provider": 40}
"""Minimum bytes: names are cut less than other texts."""

Plain = dict[str, Any]


class _TextLimits(NamedTuple):
    """The limits for a task's texts."""

    longest: int
    """The longest text, in bytes."""
    notices: int


_ADVICE = 160
"""A next step that is cut shorter than this is left out."""
_LEVELS = tuple(_TextLimits(*limits) for limits in ((300, 10), (_ADVICE, 3), (_ADVICE, 0), (80, 0), (40, 0), (20, 0)))
_FORMS = (*((texts, count) for texts in _LEVELS for count in (None, _FEW_IMAGES)), (_LEVELS[-1], 1))
"""Limits for texts, and how many images are named, from the largest to one that fits into a twentieth of a listing."""


class _Size(NamedTuple):
    """The size of a task, or of a part of it, in bytes, as text and as an object."""

    text: int
    plain: int

    def fits(self, limit: int) -> bool:
        return self.text <= limit and self.plain <= 2 * limit


def fit_single(task: Plain, preferred: Collection[str] = ()) -> Rendered:
    """Fit a task into a result for it alone. The images with `preferred` ids are shown before others."""
    whole = render(task)
    return _shorten(whole, _size_of(whole), _SINGLE_LIMIT, preferred)


def fit_listing(tasks: Sequence[Plain], preferred: Collection[str] = (), *, reserved: int = 0) -> list[Rendered]:
    """Fit tasks into a listing; long tasks share the room that short tasks leave.

    `reserved` is how many bytes of the text are for something else.
    """
    wholes = [render(task) for task in tasks]
    sizes = [_size_of(whole) for whole in wholes]
    needs = [max(size.text, size.plain // 2) for size in sizes]
    shown: dict[int, Rendered] = {}
    left = _LISTING_LIMIT - reserved
    for rank, number in enumerate(sorted(range(len(tasks)), key=needs.__getitem__)):
        share = min(left // (len(tasks) - rank), _BLOCK_LIMIT)
        # an empty line separates two tasks
        shown[number] = _shorten(wholes[number], sizes[number], share - 2, preferred)
        left -= min(needs[number] + 2, share)
    return [shown[number] for number in range(len(tasks))]


def _shorten(whole: Rendered, size: _Size, limit: int, preferred: Collection[str]) -> Rendered:
    task = whole.plain
    if "task_id" not in task or size.fits(limit):
        return whole  # a call that failed before a task existed has only its error
    # the sort is stable
    images = sorted(task.get("images", ()), key=lambda image: image["id"] not in preferred)
    images = images if limit == _SINGLE_LIMIT else images[:_MAX_IMAGES]
    for texts, count in _FORMS:
        draft = _Draft(task, texts, images[:count], limit)
        if draft.size.fits(limit):
            break
    draft.fill(images[:count], preferred)
    return render(draft.plain())


class _Draft:
    """A task's object with cut texts and the ids of images, which get their URLs while there is room."""

    def __init__(self, task: Plain, texts: _TextLimits, named: Sequence[Plain], limit: int) -> None:
        self._task = task
        self._limit = limit
        self._images = {image["id"]: _pick(image, "id", "link") for image in named}
        self._rest = _shorten_texts(task, texts, len(named), is_alone=limit == _SINGLE_LIMIT)
        self.size = _size_of(render(self.plain()))

    def plain(self) -> Plain:
        """Return the object, with its fields in the usual order."""
        images = [self._images[image["id"]] for image in self._task.get("images", ()) if image["id"] in self._images]
        known = self._rest | ({"images": images} if images else {})
        return {name: known[name] for name in (*self._task, "next_step") if name in known}

    def fill(self, images: Sequence[Plain], preferred: Collection[str]) -> None:
        """Add URLs of images while there is room, preferred images first, then all their other fields."""
        addresses = [_pick(image, "id", "link", "url" if "url" in image else "path") for image in images]
        for image in addresses:
            if image["id"] in preferred:
                self._grow(image)
        self._add_grid()
        for image in (*addresses, *images):
            self._grow(image)

    def _grow(self, image: Plain) -> None:
        if self._has_room(_image_size(image), _image_size(self._images[image["id"]])):
            self._images[image["id"]] = image

    def _add_grid(self) -> None:
        grid = _pick(self._task, "grid_url")
        without = {"task_id": ""}
        if grid and self._has_room(_size_of(render(without | grid)), _size_of(render(without))):
            self._rest |= grid

    def _has_room(self, more: _Size, less: _Size) -> bool:
        size = _Size(self.size.text + more.text - less.text, self.size.plain + more.plain - less.plain)
        has_room = size.fits(self._limit)
        if has_room:
            self.size = size
        return has_room


def _shorten_texts(task: Plain, texts: _TextLimits, image_count: int, *, is_alone: bool) -> Plain:
    left_out = {"images", "grid_url", "notices", *(() if is_alone else ("provider_task_id",))}
    if texts == _LEVELS[-1] and not is_alone:
        left_out |= {"seed", "finished_at", "cost"}
    rest = {name: value for name, value in task.items() if name not in left_out}
    for name, shortest in _SHORTEST.items():
        if name in rest:
            rest[name] = _cut(rest[name], max(texts.longest, shortest))
    if "error" in task:
        rest["error"] = task["error"] | {"message": _cut(task["error"]["message"], texts.longest)}
    if notices := [_cut(notice, texts.longest) for notice in task.get("notices", ())[: texts.notices]]:
        rest["notices"] = notices
    # the next step after a failure can keep a model from paying twice
    is_kept = is_alone or ("error" in task and texts.longest >= _ADVICE)
    before = [_cut(task["next_step"], texts.longest)] if is_kept and "next_step" in task else []
    return rest | {"next_step": " ".join([*before, *_how_to_see_the_rest(task, image_count, is_alone=is_alone)])}


def _how_to_see_the_rest(task: Plain, image_count: int, *, is_alone: bool) -> Iterator[str]:
    images = task.get("images", ())
    if image_count < len(images):
        yield f"It has {len(images)} images, up to {images[-1]['id']}."
    if not is_alone:
        yield f'Shortened: fetch_task with task_ids ["{task["task_id"]}"] shows the rest.'
    elif images:
        yield f'Shortened: fetch_task with task_ids ["{images[-1]["id"]}"] shows that image\'s URL.'


def _pick(plain: Plain, *names: str) -> Plain:
    return {name: plain[name] for name in names if name in plain}


def _cut(text: str, longest: int) -> str:
    encoded = text.encode()
    if len(encoded) <= longest:
        return text
    return f"{encoded[: longest - len('…'.encode())].decode(errors='ignore')}…"


def _size_of(whole: Rendered) -> _Size:
    return _Size(len(whole.text.encode()), _bytes_of(whole.plain))


def _image_size(image: Plain) -> _Size:
    return _Size(len(image_line(image).encode()), _bytes_of(image))


def _bytes_of(plain: Plain) -> int:
    return len(compact_json(plain).encode())
