"""The sources of the images that a request names: earlier tasks, URLs, files, or data in the text itself.

Nothing is opened here: `InputImages.read` does that, once it is known that an offer may take the images.
"""

import os
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePath
from urllib.parse import parse_qsl, unquote, urlsplit

import anyio
from anyio import to_thread

from journey_mcp.core.clock import Clock
from journey_mcp.core.errors import FileNotAllowed, InvalidRequest, MalformedUrl, UnknownImage, UnusableImage
from journey_mcp.core.images import ImageId, OutputImage, UploadId
from journey_mcp.core.next_steps import NextStep, ask_person
from journey_mcp.core.notices import Notice
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import Principal
from journey_mcp.core.redaction import without_userinfo
from journey_mcp.core.requests import ImageRequest
from journey_mcp.core.tasks import SANDBOX, Task
from journey_mcp.engine.renewed_links import RenewedLinks
from journey_mcp.media import formats, image_text, image_urls, local_files
from journey_mcp.media.image_store import ImageStore, StoredImage
from journey_mcp.media.image_text import Data, FilePath, Given, Unusable, WebAddress, WholeTask
from journey_mcp.media.local_files import Located
from journey_mcp.net.address_policy import Gone, is_publicly_fetchable
from journey_mcp.net.safe_http import SafeHttpClient
from journey_mcp.store import Store
from journey_mcp.store.uploads import Upload
from journey_mcp.studio.hosting import Hosting
from journey_mcp.studio.inputs import InputImages, ReadCopy, Source
from journey_mcp.tools.availability import is_listening

Roots = Callable[[], Awaitable[Sequence[Path]]]
"""Asks the client for the folders that its user works in."""

_EXPIRES_SOON_S = 60.0
"""A link that expires within this time may have expired when the provider fetches it."""
_SURELY_ALIVE_S = 86400.0
"""How long a link works if its provider does not say how long."""
_LONG = 65_536
"""Longer texts are parsed in a thread."""
_LIST = "Call fetch_task without task_ids to list the images."
_SHOWN, _SHOWN_OF_DATA = 120, 40
_NOT_HERE = "chat attachments do not reach a server"
_OF_CHATS = NextStep(f" If it is attached to the chat: {_NOT_HERE}; save it as a file, or give a link.", "")
_FROM = re.compile(r"[?&]utm_[a-z]+=[^&#]*", re.IGNORECASE)
_DATA_STEP = "Give data:image/png;base64,… with the complete image, or a URL."


@dataclass(frozen=True, kw_only=True, slots=True)
class _Call:
    """What is the same for all images of one call."""

    files_allowed: bool
    roots: Roots | None
    meanings: Mapping[str, Given]
    tasks: Mapping[str, Task]
    """The principal's tasks, by the ids that the images name."""
    uploads: Mapping[str, Upload]
    """The principal's uploads among the given ids."""
    earlier: Mapping[str, ImageId]
    """The principal's images, by the URLs that are given."""


class ImageFinder:
    """Search for the images that requests name."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        folders: Sequence[Path],
        data_dir: Path,
        safe_http: SafeHttpClient,
        stored: ImageStore,
        hosting: Hosting,
        renewed: RenewedLinks,
    ) -> None:
        self._store = store
        self._clock = clock
        self._folders = folders
        self._data_dir = Path(os.path.realpath(data_dir))
        self._safe_http = safe_http
        self._stored = stored
        self._hosting = hosting
        self._renewed = renewed

    async def find(
        self, request: ImageRequest, principal: Principal, *, files_allowed: bool, roots: Roots | None = None
    ) -> InputImages:
        """Find the source of each image; open none.

        `files_allowed` lets images be paths of this machine; `roots` are requested if a path is in no allowed folder.

        Raises:
            UnknownImage: the id of no finished image of the principal's, or of one that is gone.
            FileNotAllowed, UnusableImage, MalformedUrl: names the argument and what it takes.
        """
        given = [("image", request.image)] if request.image is not None else []
        given += [("reference_images", text) for text in request.reference_images]
        given += [("mask", request.mask)] if request.mask is not None else []
        if not given:
            return InputImages(sources=(), mask=None)
        meanings = {text: await self._meaning(text) for _, text in given}
        earlier = await self._earlier_images(list(filter(None, map(_url_of, meanings.values()))), principal)
        whole = {meaning.task_id for meaning in meanings.values() if isinstance(meaning, WholeTask)}
        ids = whole.union(id_.task_id for id_ in (*earlier.values(), *filter(None, map(_id_of, meanings.values()))))
        tasks = await self._store.tasks.get(list(ids), principal=principal) if ids else {}
        upload_ids = {str(meaning) for meaning in meanings.values() if isinstance(meaning, UploadId)}
        uploads = await self._store.uploads.get(list(upload_ids), principal=principal) if upload_ids else {}
        call = _Call(
            files_allowed=files_allowed, roots=roots, meanings=meanings, tasks=tasks, uploads=uploads, earlier=earlier
        )
        found: dict[str, Source] = {}
        for argument, text in given:
            if text not in found:
                source = await self._source(argument, text, call)
                # the same image in another spelling is read once
                found[text] = next((s for s in found.values() if s.stored and s.stored == source.stored), source)
        sources = [found[text] for argument, text in given if argument != "mask"]
        mask = found[request.mask] if request.mask is not None else None
        needs_host = any(source.url is None or source.is_local for source in found.values())
        host = await self._hosting.of(principal) if needs_host else None
        return InputImages(sources=tuple(sources), mask=mask, host=host)

    async def earlier(self, text: str, principal: Principal) -> ImageId | WholeTask | None:
        """Return the earlier image, or the task without a number, that a text names; `None` for any other image.

        It may be named by its id, by its URL, or by the path of its copy. Whether it exists is not checked.
        """
        meaning = await self._meaning(text)
        if isinstance(meaning, WholeTask):
            return meaning
        url = _url_of(meaning)
        return _id_of(meaning) or ((await self._earlier_images([url], principal)).get(url) if url else None)

    async def _meaning(self, text: str) -> Given:
        """Return what a text refers to; a link of ours refers to its image, also when it has expired."""
        meaning = await _meaning(text)
        url = _url_of(meaning)
        return (self._hosting.image_of(url) if url else None) or meaning

    async def _source(self, argument: str, text: str, call: _Call) -> Source:
        meaning = call.meanings[text]
        # a user name and a password in an address are secrets
        name = f"{argument}={(without_userinfo(text[:_SHOWN]) if '://' in text[:_SHOWN] else text[:_SHOWN])!r}"
        if isinstance(meaning, ImageId):
            return await self._earlier(meaning, call.tasks.get(meaning.task_id))
        if isinstance(meaning, UploadId):
            return await self._upload(meaning, call.uploads.get(str(meaning)))
        if isinstance(meaning, WholeTask):
            task = call.tasks.get(meaning.task_id)
            return await self._earlier(only_image(name, meaning, task), task)
        if isinstance(meaning, Data):
            name = f"{argument}={text[:_SHOWN_OF_DATA]!r}…"
            return Source(name=name, kind="image data", stored="", load=partial(_decoded, name, meaning))
        if isinstance(meaning, WebAddress):
            return await self._at(name, meaning.url, call)
        if isinstance(meaning, FilePath):
            return await self._file(name, meaning, call)
        raise _unusable(name, meaning)

    async def _at(self, name: str, url: str, call: _Call) -> Source:
        if id_ := call.earlier.get(url):
            return await self._earlier(id_, call.tasks.get(id_.task_id))
        is_open = is_publicly_fetchable(url)
        if "@" in urlsplit(url).netloc:
            raise MalformedUrl(
                f"{name} has a user name or password, which is not sent to providers.",
                next_step="Give a public URL, or the image as a file or data URI.",
            )
        if not is_open and not self._safe_http.trusts(url):
            raise MalformedUrl(
                f"{name} is not a public HTTPS URL, so the provider cannot fetch it.",
                next_step="Give a public https:// URL, a data URI, a file, or the id of an earlier image. The person "
                "who runs the server can add a private host to JOURNEY_MCP_TRUSTED_HOSTS.",
            )
        kind = "at an address of this network only"
        return Source(name=name, kind=kind, stored=url, url=url, is_local=not is_open)

    async def _file(self, name: str, path: FilePath, call: _Call) -> Source:
        copied = _id_of(path)
        task = call.tasks.get(copied.task_id) if copied else None
        try:
            located = await self._located(name, path, call, has_other=task is not None)
        except (FileNotAllowed, local_files.NotAllowed, local_files.Unreadable) as error:
            if copied and task:
                return await self._earlier(copied, task)
            is_in_a_folder = "/" in path.texts[-1] and getattr(error, "has_folder", False)
            if path.url and not is_in_a_folder:
                source = await self._at(name, path.url, call)
                return replace(source, notices=(Notice.of("image_url_read", given=name, url=path.url),))
            raise _refused(name, path, error) from error
        if copied and task and located.path.is_relative_to(self._data_dir):
            return await self._earlier(copied, task)
        return Source(
            name=name,
            kind="a local file",
            stored=str(located.path),
            load=partial(_read, name, located),
            notices=(located.notice,) if located.notice else (),
        )

    async def _located(self, name: str, path: FilePath, call: _Call, *, has_other: bool) -> Located:
        """Find the file; ask the client for more folders unless the path has another meaning."""
        if not call.files_allowed:
            raise FileNotAllowed(
                f"{name} is a local file, but this server is reached over HTTP.",
                next_step=f"Give a public URL, a data URI, or the id of an earlier image: {_NOT_HERE}.",
            )
        try:
            return await to_thread.run_sync(self._locate, path, (), abandon_on_cancel=True)
        except (local_files.NotAllowed, local_files.Unreadable):
            folders = await call.roots() if call.roots and not has_other else ()
            if not folders:
                raise
        return await to_thread.run_sync(self._locate, path, folders, abandon_on_cancel=True)

    def _locate(self, path: FilePath, roots: Sequence[Path]) -> Located:
        folders = local_files.allowed_folders(self._folders, roots=roots, data_dir=self._data_dir)
        return local_files.locate(path.texts, folders, data_dir=self._data_dir)

    async def _earlier_images(self, urls: Sequence[str], principal: Principal) -> dict[str, ImageId]:
        """Return which of these URLs are of the principal's images, complete or with the query cut off."""
        if not urls:
            return {}
        paths = {_without_query(spelled) for url in urls for spelled in (url, unquote(url))}
        tasks = await self._store.tasks.mentioning(sorted(paths), principal=principal)
        images = [(ImageId(task.id, n), image.url) for task in tasks for n, image in enumerate(task.images, start=1)]
        return {url: id_ for url in urls if (id_ := image_at(url, images))}

    async def _earlier(self, wanted: ImageId, task: Task | None) -> Source:
        image = image_of(wanted, task)
        assert task is not None  # noqa: S101  # checked by image_of
        copy, stored_copy = await self._copy_of(wanted, image)
        expires_at, now = image.expires_at, self._clock.now()
        is_lasting = expires_at is not None or now - task.created_at < _SURELY_ALIVE_S
        is_alive = expires_at is None or expires_at > now + _EXPIRES_SOON_S
        if is_alive and task.provider == SANDBOX:
            is_alive = await is_listening(image.url)
        elif is_alive and not is_lasting:
            is_alive = not await self._is_gone(image.url, task)
        url = image.url if is_alive else None
        find_link = None if is_alive else partial(self._renewed.find, task, wanted.number)
        if find_link and copy is None and (url := await find_link()) is None:
            raise gone(wanted, task)
        maker = "an earlier image of a sandbox" if task.provider == SANDBOX else "an earlier image"
        ended = "that has ended" if task.provider == SANDBOX else "whose link has expired"
        return Source(
            name=str(wanted),
            kind=f"{maker} {ended}: only its copy is left"
            if url is None
            else f"{maker}, which is on this network only",
            stored=str(wanted),
            url=url,
            is_lasting=is_lasting,
            find_link=find_link if url is None else None,
            copy=copy,
            stored_copy=stored_copy,
            task=task,
            trusted_base=task.base_url,
            is_local=not is_publicly_fetchable(url or image.url),
            is_of_sandbox=task.provider == SANDBOX,
        )

    async def _is_gone(self, url: str, task: Task) -> bool:
        """Return whether the host of an old link says that there is nothing any more. It is asked for no content."""
        # with content, or without an answer, the link may work
        return isinstance(await self._safe_http.with_trusted(task.base_url).probe(url), Gone)

    async def _upload(self, wanted: UploadId, upload: Upload | None) -> Source:
        id_ = str(wanted)
        if upload is None or not (stored := (await self._stored.find([id_])).get(id_)):
            raise UnknownImage(
                f"There is no image {wanted}{', or not any more' if upload is None else ' any more: it was deleted'}.",
                next_step=ask_person("Add the image again, or give the id of another image."),
            )
        return Source(
            name=str(wanted),
            kind="an image that was added on this machine, which has no URL",
            stored=id_,
            copy=partial(self._stored.read, id_),
            stored_copy=stored,
            is_upload=True,
        )

    async def _copy_of(self, wanted: ImageId, image: OutputImage) -> tuple[ReadCopy | None, StoredImage | None]:
        """Return what reads the copy of an image, and the copy; earlier versions may have made it in another folder."""
        id_ = str(wanted)
        if stored := (await self._stored.find([id_])).get(id_):
            return partial(self._stored.read, id_), stored
        path = anyio.Path(image.path) if image.path is not None else None
        return (partial(_content, path) if path and await path.is_file() else None), None


async def _content(path: anyio.Path) -> bytes | None:
    try:
        return await path.read_bytes()
    except OSError:  # it was deleted since it was found
        return None


async def _meaning(text: str) -> Given:
    if len(text) <= _LONG:
        return image_text.parse(text)
    return await to_thread.run_sync(image_text.parse, text, abandon_on_cancel=True)


def _url_of(meaning: Given) -> str | None:
    return meaning.url if isinstance(meaning, WebAddress | FilePath) else None


def _id_of(meaning: Given) -> ImageId | None:
    """Return the id that is given; stored copies of images are files with their ids as names."""
    if isinstance(meaning, FilePath):
        return ImageId.parse(PurePath(meaning.texts[-1].replace("\\", "/")).stem)
    return meaning if isinstance(meaning, ImageId) else None


def image_at(url: str, images: Iterable[tuple[ImageId, str]]) -> ImageId | None:
    """Return the image at this URL, or the only one whose URL differs in the query alone.

    A query that was cut off, or that says where the link was copied from, counts as none. After a file name, additional
    parameters are ignored; a parameter with another value may select another image.
    """
    given = unquote(_FROM.sub("", url.partition("#")[0]))
    is_file = image_urls.names_file(_without_query(given))
    near: dict[str, ImageId] = {}
    for id_, its_url in images:
        plain = unquote(_normalised(its_url))
        if its_url == url or plain == given:
            return id_
        if _without_query(plain) == _without_query(given) and (
            plain.startswith(given) or (is_file and _agree(given, plain))
        ):
            near.setdefault(its_url, id_)
    return next(iter(near.values())) if len(near) == 1 else None


def _agree(given: str, whole: str) -> bool:
    """Return whether the parameters in both queries are the same; the given ones may be cut off."""
    its = dict(parse_qsl(whole.partition("?")[2], keep_blank_values=True))
    parameters = parse_qsl(given.partition("?")[2], keep_blank_values=True)
    return all(its.get(name, value).startswith(value) for name, value in parameters)


def _normalised(url: str) -> str:
    read = image_text.parse(url)
    return read.url if isinstance(read, WebAddress) else url


def _without_query(url: str) -> str:
    return url.partition("#")[0].partition("?")[0]


def _decoded(name: str, data: Data) -> bytes:
    try:
        return image_text.decode(data)
    except ValueError as error:
        raise UnusableImage(
            f"{name} is not a data URI or base64 of an image: {error}.",
            next_step=_DATA_STEP,
        ) from error


def _read(name: str, located: Located) -> bytes:
    try:
        return local_files.content(located, max_bytes=formats.MAX_BYTES)
    except local_files.Unreadable as error:
        raise UnusableImage(f"{name}: {error}.", next_step="Give the path of an image file.") from error


def _refused(name: str, path: FilePath, error: Exception) -> InvalidRequest:
    """Return why no file can be used; a name such as chats give to attachments is often meant for one of these."""
    if isinstance(error, FileNotAllowed):
        return error
    hint = _OF_CHATS if path.may_be_in_chat else ""
    if isinstance(error, local_files.NotAllowed):
        return FileNotAllowed(f"{name}: {error}.", next_step="Give a path inside one of these folders." + hint)
    return UnusableImage(f"{name}: {error}.", next_step="Give the path of an image file." + hint)


_REASONS: dict[Unusable, tuple[type[InvalidRequest], str, str | NextStep]] = {
    Unusable.IN_CHAT: (
        UnusableImage,
        f": {_NOT_HERE}",
        "Save it as a file and give its path, or give a public link. Name an earlier image by its id (tsk_….2).",
    ),
    Unusable.TASK_ID: (
        UnknownImage,
        " is not an image id: a task's id, a dot, and the number of the image",
        f"Give an id such as tsk_….2. {_LIST}",
    ),
    Unusable.BAD_URL: (
        MalformedUrl,
        (
            " is not a complete URL: it needs a host, and has no blanks, no placeholder such as {id}, no dots for an "
            f"omitted part, and at most {image_urls.MAX_URL:,} characters"
        ),
        "Give the image's public URL and nothing else, or the id of an earlier image (tsk_….2).",
    ),
    Unusable.SEVERAL: (
        UnusableImage,
        " names several images",
        "Give one of them, and the others in reference_images.",
    ),
    Unusable.NO_BASE64: (UnusableImage, " is not a data URI of an image: it is not base64", _DATA_STEP),
    Unusable.TOO_LONG: (
        UnusableImage,
        f" is neither base64 nor a URL, and a path has at most {image_text.MAX_PATH:,} characters",
        _DATA_STEP,
    ),
    Unusable.UNKNOWN: (
        MalformedUrl,
        (
            " is neither an http(s) URL, a data URI, the path of an image file, nor the id of an earlier image "
            "(such as tsk_….2)"
        ),
        ("Give the image's public URL, or the id that imagine or fetch_task returned." + _OF_CHATS),
    ),
}


def _unusable(name: str, reason: Unusable) -> InvalidRequest:
    kind, clause, step = _REASONS[reason]
    return kind(f"{name}{clause}.", next_step=step)


def only_image(name: str, wanted: WholeTask, task: Task | None) -> ImageId:
    """Return the only image of a task that is named without a number.

    Raises:
        UnknownImage: it has none, or several.
    """
    first = ImageId(wanted.task_id, 1)
    image_of(first, task)
    if task and len(task.images) > 1:
        raise UnknownImage(
            f"{name} is a task with {len(task.images)} images.", next_step=f"Give the id of one: {_ids_of(task)}."
        )
    return first


def _ids_of(task: Task) -> str:
    return ", ".join(str(ImageId(task.id, n + 1)) for n in range(len(task.images)))


def image_of(wanted: ImageId, task: Task | None) -> OutputImage:
    """Return an image of a task of the caller's, which must have succeeded.

    Raises:
        UnknownImage: there is no such image.
    """
    if task is None:
        raise UnknownImage(f"There is no task {wanted.task_id}.", next_step=_LIST)
    if task.status is not Status.SUCCEEDED:
        hint = f"Call fetch_task with {task.id} until it has succeeded." if not task.status.is_final else _LIST
        raise UnknownImage(f"Task {task.id} is {task.status} and has no image.", next_step=hint)
    if wanted.number > len(task.images):
        raise UnknownImage(f"Task {task.id} has no image {wanted.number}.", next_step=f"It has {_ids_of(task)}.")
    return task.images[wanted.number - 1]


def gone(wanted: ImageId, task: Task) -> UnknownImage:
    """Return the error for an image whose link is dead and that has no copy."""
    if task.provider == SANDBOX:
        return UnknownImage(
            f"{wanted} is an image of a sandbox that ended with its process.",
            next_step="Make the image again. `journey-mcp sandbox --port 8787` runs a sandbox that lasts.",
        )
    return UnknownImage(
        f"The link of {wanted} has expired, and no copy of the image is stored.",
        next_step="Make the image again, or give a URL.",
    )
