"""Pictures that go into a request: found, brought, and made fit for the offer that takes them."""

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import anyio
from anyio import to_thread

from journey_mcp import imaging, local_files
from journey_mcp.anatomy import NotAPicture
from journey_mcp.availability import is_listening
from journey_mcp.copies import read_copy
from journey_mcp.errors import FileNotAllowed, MalformedUrl, UnknownImage, UnusableImage
from journey_mcp.fetching import Fetcher, FetchError, is_reachable_by_others
from journey_mcp.holdings import Holdings
from journey_mcp.images import ImageId, InputImage, OutputImage
from journey_mcp.providers import SANDBOX, Account
from journey_mcp.redaction import without_userinfo
from journey_mcp.registry import Offer
from journey_mcp.requests import ImageRequest, is_web_address
from journey_mcp.tasks import Status, Task

_FETCH_WITHIN_S = 20.0
_TOO_SOON_S = 60.0
"""A link that dies so soon may be dead when the provider fetches it."""
_LIST = "Call fetch_task without task_ids to see the pictures there are."
_DATA_URI = re.compile(r"data:[^,;]{0,80}(;[^,;]{1,80})*;base64,", re.IGNORECASE)
_DATA_STEP = "Give data:image/png;base64,… with the whole picture, or a URL."
_SHOWN = 120


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A given picture before it is brought."""

    name: str
    """For messages: the argument, and the picture in short."""
    kind: str
    """For messages, as in "is a local file"."""
    url: str | None = None
    content: bytes | None = None
    trusted_base: str | None = None
    """The address of the service that made the picture; it is fetched from there."""
    is_here: bool = False
    """The URL works on this machine or network only."""

    def url_for(self, account: Account) -> str | None:
        """The URL, when this provider can fetch it."""
        return self.url if not self.is_here or account.provider == SANDBOX or _is_here(account.base_url) else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Pictures:
    """All pictures of one request."""

    sources: tuple[Source, ...]
    mask: Source | None

    @property
    def _all(self) -> list[Source]:
        return [*self.sources, *([self.mask] if self.mask else [])]

    @property
    def digests(self) -> tuple[str, ...]:
        """Of the files among them: under the same path there may be another picture later."""
        return tuple(hashlib.sha256(source.content).hexdigest() for source in self._all if source.content is not None)

    def only_data(self, account: Account) -> str | None:
        """A picture that this provider cannot fetch by itself, in words; `None` when there is none."""
        return next(
            (f"{source.name} is {source.kind}" for source in self._all if source.url_for(account) is None), None
        )

    async def prepared(
        self, offer: Offer, account: Account, fetcher: Fetcher
    ) -> tuple[tuple[InputImage, ...], InputImage | None, tuple[str, ...]]:
        """Images and mask in the form that the offer takes, and what the caller should know.

        Raises:
            UnusableImage: one cannot be fetched, is no picture, or cannot be made fit.
        """
        images: list[InputImage] = []
        notices: list[str] = []
        for source in self.sources:
            image, told = await _prepared(source, offer, account, fetcher)
            images.append(image)
            notices += told
        mask = None
        if self.mask is not None:
            mask, told = await _prepared(self.mask, offer, account, fetcher)
            notices += told
            _check_mask(mask, images[0] if images else None)
        return tuple(images), mask, tuple(notices)


class PictureReader:
    """Finds the pictures that requests name."""

    def __init__(self, holdings: Holdings, folders: Sequence[Path], fetcher: Fetcher) -> None:
        self._holdings = holdings
        self._fetcher = fetcher
        self._folders = folders

    async def read(self, request: ImageRequest, principal: str, *, files_allowed: bool) -> Pictures:
        """Find each picture: files and data are read here, URLs not before an offer wants the bytes.

        Raises:
            UnknownImage: an id of no finished picture of the principal's, or of one that is gone.
            FileNotAllowed, UnusableImage, MalformedUrl: names the argument and what is taken.
        """
        given = [("image", request.image)] if request.image is not None else []
        given += [("reference_images", text) for text in request.reference_images]
        ids = {text: id_ for _, text in [*given, ("mask", request.mask)] if text and (id_ := ImageId.parse(text))}
        tasks = await self._holdings.store.get([i.task_id for i in ids.values()], principal=principal) if ids else {}

        async def find(argument: str, text: str) -> Source:
            if id_ := ids.get(text):
                return await self._earlier(id_, tasks.get(id_.task_id))
            return await self._given(argument, text, files_allowed=files_allowed)

        return Pictures(
            sources=tuple([await find(argument, text) for argument, text in given]),
            mask=await find("mask", request.mask) if request.mask else None,
        )

    async def _given(self, argument: str, text: str, *, files_allowed: bool) -> Source:
        if text[:5].lower() == "data:":
            return _from_data_uri(argument, text)
        # a user name and a password in an address are nobody's business
        name = f"{argument}={(without_userinfo(text) if '://' in text else text)[:_SHOWN]!r}"
        if is_web_address(text):
            return self._at_url(name, text)
        if text.startswith("tsk_"):
            raise UnknownImage(
                f"{name} is no id of a picture: that is a task's id, a dot, and the picture's number.",
                next_step=f"Give an id such as tsk_….2; {_LIST}",
            )
        if not local_files.looks_like_path(text):
            raise MalformedUrl(
                f"{name} is neither an http(s) URL, a data URI, a path of a picture file, nor the id of an earlier "
                "picture (such as tsk_….2).",
                next_step="Give the picture's public URL, or the id that imagine or fetch_task returned.",
            )
        if not files_allowed:
            raise FileNotAllowed(
                f"{name} is a local file, and this server is reached over HTTP.",
                next_step="Give a public URL, a data URI, or the id of an earlier picture.",
            )
        try:
            content = await to_thread.run_sync(self._read_file, text)
        except local_files.NotAllowed as error:
            raise FileNotAllowed(f"{name}: {error}.", next_step="Give a path inside of these folders.") from error
        except local_files.Unreadable as error:
            raise UnusableImage(f"{name}: {error}.", next_step="Give the path of a picture file.") from error
        return Source(name=name, kind="a local file", content=content)

    def _at_url(self, name: str, url: str) -> Source:
        is_open = is_reachable_by_others(url)
        if not is_open and not self._fetcher.trusts(url):
            raise MalformedUrl(
                f"{name} is not a public HTTPS address: a provider elsewhere cannot fetch it.",
                next_step="Give a public https:// URL, a data URI, a file, or the id of an earlier picture; the person "
                "who runs the server can name a host of theirs in JOURNEY_MCP_TRUSTED_HOSTS.",
            )
        return Source(name=name, kind="at an address of this network only", url=url, is_here=not is_open)

    def _read_file(self, text: str) -> bytes:
        return local_files.read(text, local_files.allowed_folders(self._folders), max_bytes=imaging.MAX_BYTES)

    async def _earlier(self, wanted: ImageId, task: Task | None) -> Source:
        image = _image_of(wanted, task)
        assert task is not None  # noqa: S101  # looked at by _image_of
        copy = await read_copy(image)
        dies_at = image.expires_at
        is_alive = dies_at is None or dies_at > self._holdings.clock.now() + _TOO_SOON_S
        if is_alive and task.provider == SANDBOX:
            is_alive = await is_listening(image.url)
        if not is_alive and copy is None:
            raise _gone(wanted, task)
        return Source(
            name=str(wanted),
            kind="an earlier picture whose link has expired",
            url=image.url if is_alive else None,
            content=copy,
            trusted_base=task.base_url,
            is_here=not is_reachable_by_others(image.url),
        )


async def _prepared(
    source: Source, offer: Offer, account: Account, fetcher: Fetcher
) -> tuple[InputImage, tuple[str, ...]]:
    url = source.url_for(account)
    if url is not None and "url" in offer.images.encodings:
        return InputImage(url=url), ()
    content = source.content if source.content is not None else await _fetched(source, fetcher)
    taken = offer.images
    limits = imaging.Limits(
        formats=taken.formats, max_bytes=taken.max_bytes, max_pixels=taken.max_pixels, min_side=taken.min_side
    )
    try:
        fit, notices = await to_thread.run_sync(imaging.made_fit, content, limits, limiter=_few_at_once())
    except NotAPicture as error:
        raise UnusableImage(
            f"{source.name} cannot be sent to {account.provider}: {error}.",
            next_step="Give another picture: PNG, JPEG, WebP or GIF.",
        ) from error
    return InputImage(content=fit.content, mime_type=fit.mime_type), tuple(f"{source.name}: {n}" for n in notices)


@cache
def _few_at_once() -> anyio.CapacityLimiter:
    """Pictures are drawn two at a time: the largest takes a gigabyte of memory meanwhile."""
    return anyio.CapacityLimiter(2)


async def _fetched(source: Source, fetcher: Fetcher) -> bytes:
    trusting = fetcher.trusting(source.trusted_base) if source.trusted_base else fetcher
    try:
        return (await trusting.get(source.url or "", max_bytes=imaging.MAX_BYTES, within_s=_FETCH_WITHIN_S)).content
    except FetchError as error:
        raise UnusableImage(
            f"{source.name} cannot be fetched: {error}.",
            next_step="Give an HTTPS URL that is open to everybody, a file, or the id of an earlier picture.",
        ) from error


def _from_data_uri(argument: str, text: str) -> Source:
    head = _DATA_URI.match(text)
    name = f"{argument}={text[:40]!r}…"
    if head is None:
        raise UnusableImage(f"{name} is no data URI of a picture: it is not base64.", next_step=_DATA_STEP)
    try:
        content = base64.b64decode("".join(text[head.end() :].split()), validate=True)
    except (ValueError, binascii.Error) as error:
        raise UnusableImage(
            f"{name} is no data URI of a picture: {error}.",
            next_step=_DATA_STEP,
        ) from error
    return Source(name=name, kind="a data URI", content=content)


def _image_of(wanted: ImageId, task: Task | None) -> OutputImage:
    if task is None:
        raise UnknownImage(f"There is no task {wanted.task_id}.", next_step=_LIST)
    if task.status is not Status.SUCCEEDED:
        hint = f"Call fetch_task with {task.id} until it has succeeded." if not task.status.is_final else _LIST
        raise UnknownImage(f"Task {task.id} is {task.status} and has no picture.", next_step=hint)
    if wanted.number > len(task.images):
        ids = ", ".join(str(ImageId(task.id, n + 1)) for n in range(len(task.images)))
        raise UnknownImage(f"Task {task.id} has no picture {wanted.number}.", next_step=f"It has {ids}.")
    return task.images[wanted.number - 1]


def _gone(wanted: ImageId, task: Task) -> UnknownImage:
    if task.provider == SANDBOX:
        return UnknownImage(
            f"{wanted} is a picture of a sandbox that has ended with its process.",
            next_step="Make the picture again; `journey-mcp sandbox --port 8787` runs a sandbox that lasts.",
        )
    return UnknownImage(
        f"The link of {wanted} has expired, and there is no copy of it.",
        next_step="Make the picture again, or give a URL.",
    )


def _check_mask(mask: InputImage, image: InputImage | None) -> None:
    if not (mask.content and image and image.content):
        return  # what the provider fetches by itself, it compares by itself
    try:
        imaging.check_same_size(imaging.look(mask.content), imaging.look(image.content))
    except NotAPicture as error:
        raise UnusableImage(f"mask: {error}.", next_step="Give a mask of the picture's size.") from error


def _is_here(url: str) -> bool:
    """Whether the address is on this machine: nobody else can fetch from it."""
    return urlsplit(url).hostname in {"127.0.0.1", "localhost", "::1"}
