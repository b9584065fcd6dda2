"""Stored images in an object store (S3, Google Cloud Storage, Azure Blob Storage), which every replica reads.

Keys are `images/<task id>/<number>.<ending>`, and for uploads `images/<upload id>/1.<ending>`: nothing of a person's is
in them. The store is never listed: the task database says what is in it, so that a look costs no request.
"""

import asyncio
import hashlib
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import urlsplit

from journey_mcp.core.clock import Clock
from journey_mcp.core.errors import SetupError
from journey_mcp.core.images import ImageId
from journey_mcp.core.stored_objects import StoredObject
from journey_mcp.media.circuit_breaker import CircuitBreaker
from journey_mcp.media.image_store import (
    ENDINGS,
    Content,
    ImageStoreUnavailable,
    StoredImage,
    is_image_id,
    owner_of,
)
from journey_mcp.settings.image_store import ImageStoreAddress

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Backend

_ANSWERED_WITHIN_S = 3.0
"""Every request, also if the library repeats it after an error."""
_BYTES_PER_S = 1024 * 1024
"""A slower store counts as one that does not answer."""
_DELETED_AT_ONCE = 50
"""For so many objects more, a deletion may take as long again."""
_CLIENT_OPTIONS: Any = {"timeout": "120s", "connect_timeout": "2s"}
"""The first is above all limits of `_within`, which depend on the kind of the request."""
_RETRIES: Any = {"max_retries": 2, "retry_timeout": timedelta(seconds=_ANSWERED_WITHIN_S)}
"""The library's own defaults repeat a request for three minutes."""
_SILENT = "the image store does not answer"
_READ_AT_ONCE = 1024 * 1024
"""Each part is a request: one for all would end with its timeout if a client reads slowly."""
_SIGNED_AGAIN_AFTER_S = 600.0
_PAGE = 500
_CACHE_CONTROL = "private, max-age=86400, immutable"
_CHECKED_KEY = "images/check"

_Result = TypeVar("_Result")
_log = logging.getLogger(__name__)


class ObjectIndex(Protocol):
    """Index of what is in the object store, as `store.objects.ObjectTable` is; raises StoreUnavailable."""

    async def add(self, stored: StoredObject) -> None:
        """Record an object; one of the same name stays as it is."""
        ...

    async def get(self, names: Collection[str]) -> dict[str, StoredObject]:
        """Return the objects among these names."""
        ...

    async def of(self, owners: Collection[str]) -> list[StoredObject]:
        """Return all objects of these tasks and uploads."""
        ...

    async def oldest(self, *, limit: int, before: float, after: StoredObject | None = None) -> list[StoredObject]:
        """Return objects made before then, the oldest first, after this one."""
        ...

    async def total(self) -> int:
        """Return the bytes of all objects."""
        ...

    async def delete(self, names: Collection[str]) -> None:
        """Delete what is known of these objects."""
        ...


def open_object_store(address: ImageStoreAddress, index: ObjectIndex, clock: Clock | None = None) -> "ObjectStore":
    """Open a store; nothing is sent.

    Raises:
        SetupError: obstore is not installed, or the account is not known.
    """
    try:
        return ObjectStore(_backend(address), index, clock or Clock(), redirects=address.redirects)
    except ImportError as error:
        raise SetupError(
            f"JOURNEY_MCP_STORE={address}: the library for object stores is not installed.",
            next_step="Install it: pip install 'journey-mcp[objects]'",
        ) from error
    except Exception as error:
        raise SetupError(
            f"JOURNEY_MCP_STORE={address} cannot be opened: {_first_line(error)}.",
            next_step="Correct it, or the variables with its credentials: docs/images.md names them.",
        ) from error


def _backend(address: ImageStoreAddress) -> "Backend":
    from obstore.store import AzureStore, GCSStore, S3Store  # noqa: PLC0415  # an extra

    options = dict(_CLIENT_OPTIONS)
    more: Any = {"prefix": address.prefix or None, "client_options": options, "retry_config": _RETRIES}
    if address.scheme == "gs":
        return GCSStore(address.bucket, **more)
    if address.scheme == "az":
        return AzureStore(address.bucket, account_name=address.account, **more)
    if address.region:
        more["region"] = address.region
    if address.endpoint:
        options["allow_http"] = address.endpoint.startswith("http://")
        # most stores besides Amazon's have no host of its own for each bucket
        more |= {"endpoint": address.endpoint, "virtual_hosted_style_request": False}
    return S3Store(address.bucket, **more)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Attributes:
    """What the store sends with an object, if it is read without this server."""

    file_name: str
    kind: str

    def as_given(self) -> dict[str, str]:
        return {
            "Content-Type": f"image/{self.kind}",
            "Content-Disposition": f'inline; filename="{self.file_name}"',
            "Cache-Control": _CACHE_CONTROL,
        }


class ObjectStore:
    """An object store and the index of it; its methods are those of `ImageStore`.

    An object is written before it is recorded. What a process leaves that dies in between is overwritten with the next
    copy of the image, or is never read.

    Every request has a time limit by the bytes that it moves. After two that were not answered, others fail at once
    for a while.
    """

    def __init__(self, backend: "Backend", index: ObjectIndex, clock: Clock, *, redirects: bool) -> None:
        self._backend = backend
        self._index = index
        self._redirects = redirects
        self._breaker = CircuitBreaker(clock)
        self._clock = clock
        self._link_origin: str | None = None
        self._next_signing = 0.0
        """When it is tried again whether links can be signed."""

    @property
    def is_answering(self) -> bool:
        """Whether the last request was answered."""
        return not self._breaker.is_failing

    @property
    def redirects(self) -> bool:
        """Whether links of this server redirect to links of the store."""
        return self._redirects

    async def find(self, image_ids: Collection[str]) -> dict[str, StoredImage]:
        """Return the stored images among these ids."""
        found = await self._index.get([image_id for image_id in image_ids if is_image_id(image_id)])
        return {name: StoredImage(id=name, format=stored.format) for name, stored in found.items()}

    async def read(self, image_id: str) -> bytes | None:
        """Return the bytes of an image; `None` if there is none."""
        stored = (await self._index.get([image_id] if is_image_id(image_id) else [])).get(image_id)
        if stored is None:
            return None
        try:
            return await self._bytes_of(_key(image_id, stored.format), stored.bytes)
        except FileNotFoundError:
            _log.warning("image %s is not in the object store any more", image_id)
            await self._index.delete([image_id])
            return None

    async def describe(self, image_id: str) -> Content | None:
        """Return size and digest of an image; `None` if there is none."""
        found = (await self._index.get([image_id] if is_image_id(image_id) else [])).get(image_id)
        return Content(size_bytes=found.bytes, digest=found.digest) if found else None

    async def stream(self, image: StoredImage, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield the bytes from `start` to before `end`."""
        import obstore  # noqa: PLC0415  # an extra

        key = _key(image.id, image.format)
        for at in range(start, end, _READ_AT_ONCE):
            until = min(at + _READ_AT_ONCE, end)
            get = partial(obstore.get_range_async, self._backend, key, start=at, end=until)
            yield bytes(await self._answer(get, _within(until - at)))

    async def link(self, image: StoredImage, seconds: int) -> str:
        """Return a URL at which the store itself serves the image for so long."""
        return await self._signed(_key(image.id, image.format), seconds)

    async def link_origin(self) -> str | None:
        """Return scheme and host of these URLs; `None` if they cannot be signed."""
        if self._link_origin is None and self._clock.elapsed() >= self._next_signing:
            try:
                parts = urlsplit(await self._signed(_CHECKED_KEY, 1))
                self._link_origin = f"{parts.scheme}://{parts.netloc}"
            except ImageStoreUnavailable:
                self._next_signing = self._clock.elapsed() + _SIGNED_AGAIN_AFTER_S
        return self._link_origin

    async def _signed(self, key: str, seconds: int) -> str:
        import obstore  # noqa: PLC0415  # an extra
        from obstore.exceptions import BaseError  # noqa: PLC0415  # an extra

        backend: Any = self._backend
        try:
            # that asks at most the machine for credentials
            async with asyncio.timeout(_ANSWERED_WITHIN_S):
                return str(await obstore.sign_async(backend, "GET", key, timedelta(seconds=seconds)))
        except (BaseError, TimeoutError) as error:
            _log.warning("no link of the object store: %s", _first_line(error))
            raise ImageStoreUnavailable(_SILENT) from error

    async def write(self, image_id: str, kind: str, content: bytes, *, made_at: float) -> StoredImage:
        """Store an image of this format, unless it is stored already."""
        if stored := (await self.find([image_id])).get(image_id):
            return stored
        stored = StoredImage(id=image_id, format=kind)
        attributes = _Attributes(file_name=stored.file_name, kind=kind)
        await self._put(_key(image_id, kind), content, attributes, is_new=True)
        await self._index.add(_object(image_id, image_id, kind, content, made_at))
        return stored

    async def read_thumbnail(self, image_id: str, size: int) -> bytes | None:
        """Return the thumbnail of this size; `None` if there is none, or it cannot be read."""
        with suppress(OSError):
            return await self._bytes_of(_thumbnail_key(image_id, size), 0)
        return None

    async def write_thumbnail(self, image_id: str, size: int, content: bytes, *, made_at: float) -> None:
        """Store a thumbnail."""
        name = _thumbnail_name(image_id, size)
        attributes = _Attributes(file_name=f"{name}.jpg", kind="jpeg")
        await self._put(_thumbnail_key(image_id, size), content, attributes, is_new=False)
        await self._index.add(_object(name, image_id, "jpeg", content, made_at))

    async def forget_thumbnails(self, image_ids: Collection[str], sizes: Sequence[int]) -> None:
        """Delete the thumbnails of these images."""
        names = [_thumbnail_name(image_id, size) for image_id in image_ids for size in sizes]
        await self._delete(list((await self._index.get(names)).values()))

    async def delete(self, owners: Collection[str]) -> None:
        """Delete all objects of these tasks and uploads."""
        await self._delete(await self._index.of(owners))

    async def usage(self) -> int:
        """Return the bytes of everything that is stored."""
        return await self._index.total()

    async def evict(self, max_bytes: int, protected: Collection[str]) -> int:
        """Delete the oldest objects until all of them fit; those of a protected image's task stay together."""
        left = await self._index.total()
        owners = {owner_of(id_) for id_ in protected}
        last: StoredObject | None = None
        while left > max_bytes and (found := await self._index.oldest(limit=_PAGE, before=math.inf, after=last)):
            deleted = []
            for stored in found:
                if left > max_bytes and stored.owner not in owners:
                    left -= stored.bytes
                    deleted.append(stored)
            await self._delete(deleted)
            last = found[-1]
        return left

    async def forget_older(self, than: float) -> None:
        """Delete the objects made before then."""
        while found := await self._index.oldest(limit=_PAGE, before=than):
            await self._delete(found)

    async def delete_unfinished(self, now: float) -> None:
        """Do nothing: an object is there completely or not at all."""

    async def check(self) -> None:
        """Verify that objects can be written, read and deleted.

        Raises:
            OSError: one of these failed.
        """
        await self._put(_CHECKED_KEY, b"check", _Attributes(file_name="check", kind="png"), is_new=False)
        await self._bytes_of(_CHECKED_KEY, 0)
        await self._remove([_CHECKED_KEY])

    async def _bytes_of(self, key: str, size: int) -> bytes:
        """Return an object of about this many bytes."""
        import obstore  # noqa: PLC0415  # an extra

        async def get() -> bytes:
            found = await obstore.get_async(self._backend, key)
            return bytes(await found.bytes_async())

        return await self._answer(get, _within(size))

    async def _put(self, key: str, content: bytes, attributes: _Attributes, *, is_new: bool) -> None:
        import obstore  # noqa: PLC0415  # an extra
        from obstore.exceptions import AlreadyExistsError  # noqa: PLC0415  # an extra

        given: Any = attributes.as_given()
        put = partial(obstore.put_async, self._backend, key, content, attributes=given)
        within_s = _within(len(content))
        try:
            await self._answer(partial(put, mode="create" if is_new else "overwrite"), within_s)
        except AlreadyExistsError:
            # it is not recorded: a process has died before it was, or is recording it now
            await self._answer(partial(put, mode="overwrite"), within_s)
        except FileNotFoundError as error:
            raise ImageStoreUnavailable("the image store has no such bucket") from error

    async def _delete(self, stored: Sequence[StoredObject]) -> None:
        if stored:
            await self._remove([_key_of(one) for one in stored])
            await self._index.delete([one.name for one in stored])

    async def _remove(self, keys: Sequence[str]) -> None:
        import obstore  # noqa: PLC0415  # an extra

        try:
            # some stores take many keys in one request, others a request for each
            within_s = _ANSWERED_WITHIN_S * (1 + len(keys) / _DELETED_AT_ONCE)
            await self._answer(partial(obstore.delete_async, self._backend, list(keys)), within_s)
        except FileNotFoundError:
            # some stores report an object that is gone: the others may still be there
            for key in keys:
                with suppress(FileNotFoundError):
                    await self._answer(partial(obstore.delete_async, self._backend, key))

    async def _answer(self, request: Callable[[], Awaitable[_Result]], within_s: float = _ANSWERED_WITHIN_S) -> _Result:
        """Send a request and return the answer; a missing object raises FileNotFoundError.

        Raises:
            ImageStoreUnavailable: the store does not answer in time, did not answer before, or refuses.
            AlreadyExistsError: there is such an object.
        """
        from obstore.exceptions import (  # noqa: PLC0415  # an extra
            AlreadyExistsError,
            BaseError,
            PermissionDeniedError,
            UnauthenticatedError,
        )

        if not self._breaker.allows():
            raise ImageStoreUnavailable(_SILENT)
        try:
            async with asyncio.timeout(within_s):
                answer = await request()
        except (AlreadyExistsError, FileNotFoundError):
            self._breaker.succeeded()
            raise
        except (PermissionDeniedError, UnauthenticatedError) as error:
            self._breaker.succeeded()
            _log.warning("the object store refuses a request: %s", _first_line(error))
            raise ImageStoreUnavailable("the image store refuses the server's credentials") from error
        except (BaseError, TimeoutError) as error:
            self._breaker.failed()
            _log.warning("the object store does not answer: %s", _first_line(error) or f"within {within_s:.1f} s")
            raise ImageStoreUnavailable(_SILENT) from error
        self._breaker.succeeded()
        return answer


def _within(size_bytes: int) -> float:
    """Return the time limit in seconds for a request that moves so many bytes."""
    return _ANSWERED_WITHIN_S + size_bytes / _BYTES_PER_S


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(". ")


def _object(name: str, image_id: str, kind: str, content: bytes, made_at: float) -> StoredObject:
    return StoredObject(
        name=name,
        owner=owner_of(image_id),
        format=kind,
        bytes=len(content),
        digest=hashlib.sha256(content).hexdigest(),
        created_at=made_at,
    )


def _number_of(image_id: str) -> int:
    id_ = ImageId.parse(image_id)
    return id_.number if id_ else 1


def _key(image_id: str, kind: str) -> str:
    return f"images/{owner_of(image_id)}/{_number_of(image_id)}.{ENDINGS[kind]}"


def _thumbnail_name(image_id: str, size: int) -> str:
    return f"{image_id}-{size}"


def _thumbnail_key(image_id: str, size: int) -> str:
    return f"images/{owner_of(image_id)}/{_number_of(image_id)}-{size}.jpg"


def _key_of(stored: StoredObject) -> str:
    if is_image_id(stored.name):
        return _key(stored.name, stored.format)
    image_id, _, size = stored.name.rpartition("-")
    return _thumbnail_key(image_id, int(size))
