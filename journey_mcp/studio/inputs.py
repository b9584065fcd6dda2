"""The input images of a request: read, fetched, and fitted to the limits of the offer that takes them."""

import hashlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from anyio import to_thread

from journey_mcp.core.errors import ImageUnavailable, StoreUnavailable, UnusableImage
from journey_mcp.core.images import InputImage
from journey_mcp.core.notices import Notice
from journey_mcp.core.requests import ImageRequest
from journey_mcp.core.tasks import Task
from journey_mcp.media import formats
from journey_mcp.media.containers import NotAnImage
from journey_mcp.media.image_store import StoredImage
from journey_mcp.net.address_policy import FetchError, is_publicly_fetchable
from journey_mcp.net.safe_http import SafeHttpClient
from journey_mcp.providers.base import Account
from journey_mcp.registry import Offer


class Fitter(Protocol):
    """Work on the bytes of images, as `workers.Workers` does it, for one caller."""

    async def fit(self, content: bytes, limits: formats.Limits) -> tuple[formats.ImageData, tuple[Notice, ...]]:
        """Fit an image to limits; return it, and a notice of each change. Raises NotAnImage."""
        ...

    async def mask(self, content: bytes, size: tuple[int, int]) -> formats.ImageData:
        """Scale a mask to a width and height. Raises NotAnImage."""
        ...


class ImageHost(Protocol):
    """Host of the images of a call for providers, as `hosting.CallersHost` is."""

    def serves(self, account: Account) -> bool:
        """Return whether this provider can fetch images there."""
        ...

    async def url_of(self, image: formats.ImageData, stored: StoredImage | None) -> str:
        """Return a URL of the image, which may be stored already. Raises SetupError, StoreUnavailable."""
        ...


ReadCopy = Callable[[], Awaitable[bytes | None]]
"""Returns the copy of an image; `None` if it was deleted. Raises OSError, StoreUnavailable."""
FindLink = Callable[[], Awaitable[str | None]]
"""Asks a provider for another link to an image whose link is dead; `None` if it gives none."""

MAX_BYTES_OF_CALL = 128 * 1024 * 1024
"""Of all images of one call together."""
_FETCH_WITHIN_S = 20.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A given image before its content is read."""

    name: str
    """For messages: the argument, and the image in short."""
    kind: str
    """For messages, as in "is a local file"."""
    stored: str = ""
    """The name that the stored request has for it, the same for every spelling; empty for data, named by its digest."""
    url: str | None = None
    is_lasting: bool = True
    """The URL works as far as is known; otherwise a copy is sent where data is taken."""
    find_link: FindLink | None = None
    """Only of an earlier image whose link is dead."""
    copy: ReadCopy | None = None
    """Reads an image with an id. It is read when an offer needs it, because an id never means another image."""
    stored_copy: StoredImage | None = None
    """The copy, if it is in the image store."""
    load: Callable[[], bytes] | None = None
    """Reads or decodes the content, and blocks. Raises UnusableImage."""
    content: bytes | None = None
    """What `load` returned."""
    digest: str | None = None
    """Of the content: the same path may be another image later."""
    notices: tuple[Notice, ...] = ()
    task: Task | None = None
    """The finished task that made the image."""
    trusted_base: str | None = None
    """The base URL of the service that made the image; it is fetched from there."""
    is_local: bool = False
    """The URL works on this machine or network only."""
    is_upload: bool = False
    """It was kept from the person."""
    is_of_sandbox: bool = False
    """A sandbox made it. Its link ends with the process, which a provider's would not: another sandbox hosts it."""

    def url_for(self, account: Account) -> str | None:
        """Return the URL if this provider can fetch it."""
        return self.url if account.is_on_this_machine or not self.is_local else None

    def is_hosted_by(self, account: Account) -> bool:
        """Return whether the provider fetches the copy from a sandbox of this process."""
        return account.host is not None and self.is_of_sandbox and self.copy is not None

    def prefers_copy(self, offer: Offer) -> bool:
        """Return whether the offer gets the copy although it takes URLs: the link may be dead."""
        return self.copy is not None and not self.is_lasting and offer.images.takes_data


@dataclass(frozen=True, kw_only=True, slots=True)
class InputImages:
    """All images of one request."""

    sources: tuple[Source, ...]
    mask: Source | None
    host: ImageHost | None = None
    """Serves images to providers that take URLs only."""

    @property
    def _all(self) -> list[Source]:
        return [*self.sources, *([self.mask] if self.mask else [])]

    @property
    def digests(self) -> tuple[str, ...]:
        """The digests of the images that were read."""
        return tuple(source.digest for source in self._all if source.digest is not None)

    async def with_links(self, accounts: Iterable[Account]) -> "InputImages":
        """Return the images with new links in place of dead ones, if one of these providers cannot do without."""
        dead = [source for source in self._all if source.find_link is not None]
        if not dead or not any(map(self.requires_upload, accounts)):
            return self
        found = {id(source): await _with_link(source) for source in dead}
        return replace(
            self,
            sources=tuple(found.get(id(source), source) for source in self.sources),
            mask=found.get(id(self.mask), self.mask) if self.mask else None,
        )

    async def read(self) -> "InputImages":
        """Read the files and decode the data among them, each once.

        Raises:
            UnusableImage: one cannot be read, or together they are larger than one call may send.
        """
        found: dict[int, Source] = {}
        size = 0
        for source in self._all:
            if source.load is not None and id(source) not in found:
                # a cancelled call does not wait for a slow disk
                found[id(source)] = loaded = await to_thread.run_sync(_loaded, source, abandon_on_cancel=True)
                size += len(loaded.content or b"")
                _check_size(size)
        return InputImages(
            sources=tuple(found.get(id(source), source) for source in self.sources),
            mask=found.get(id(self.mask), self.mask) if self.mask else None,
            host=self.host,
        )

    def named_in(self, request: ImageRequest) -> ImageRequest:
        """Return the request as it is stored: each image in one spelling, data by its digest."""
        if not self._all:
            return request
        names = [source.stored for source in self.sources]
        return replace(
            request,
            image=names.pop(0) if request.image is not None else None,
            reference_images=tuple(names),
            mask=self.mask.stored if self.mask else None,
        )

    def requires_upload(self, account: Account) -> str | None:
        """Return which image this provider cannot fetch by itself, in words; `None` if it can fetch all."""
        if self.host is not None and self.host.serves(account):
            return None
        return next(
            (
                f"{source.name} is {source.kind}"
                for source in self._all
                if source.url_for(account) is None and not source.is_hosted_by(account)
            ),
            None,
        )

    async def prepared(
        self, offer: Offer, account: Account, safe_http: SafeHttpClient, fitter: Fitter
    ) -> tuple[tuple[InputImage, ...], InputImage | None, tuple[Notice, ...]]:
        """Return images and mask in the form that the offer takes, and notices for the caller.

        A mask that was painted on this machine is scaled to the image as it is sent.

        Raises:
            UnusableImage: one cannot be fetched, is not an image, or cannot be fitted.
            SetupError, NotSubmitted: nothing can be prepared now.
        """
        ready: dict[int, InputImage] = {}
        notices: list[Notice] = []
        size = 0
        for source in self._all:
            if id(source) not in ready:
                ready[id(source)], found = await _prepared(source, offer, account, safe_http, fitter, self.host)
                notices += (*source.notices, *found)
                size += len(ready[id(source)].content)
                _check_size(size)
        images = tuple(ready[id(source)] for source in self.sources)
        mask = ready[id(self.mask)] if self.mask is not None else None
        if self.mask is not None and mask is not None:
            sizes = await to_thread.run_sync(_sizes, mask, images[0] if images else None)
            mask = await _matching(self.mask, mask, sizes, fitter) if sizes else mask
        return images, mask, tuple(notices)


async def _with_link(source: Source) -> Source:
    url = await source.find_link() if source.find_link else None
    if url is None:
        return source
    return replace(source, url=url, is_lasting=False, find_link=None, is_local=not is_publicly_fetchable(url))


def _loaded(source: Source) -> Source:
    content = source.load() if source.load else b""
    digest = hashlib.sha256(content).hexdigest()
    stored = source.stored or f"data:sha256={digest} ({len(content)} bytes)"
    return replace(source, load=None, content=content, digest=digest, stored=stored)


def _check_size(size: int) -> None:
    if size > MAX_BYTES_OF_CALL:
        raise UnusableImage(
            f"The images of this call have more than {MAX_BYTES_OF_CALL:,} bytes in total.",
            next_step="Give fewer or smaller images.",
        )


async def _prepared(
    source: Source,
    offer: Offer,
    account: Account,
    safe_http: SafeHttpClient,
    fitter: Fitter,
    host: ImageHost | None,
) -> tuple[InputImage, tuple[Notice, ...]]:
    url = source.url_for(account)
    if url is not None and "url" in offer.images.encodings and not source.prefers_copy(offer):
        return InputImage(url=url), ()
    content = await content_of(source, safe_http)
    if account.host is not None and source.is_hosted_by(account) and not offer.images.takes_data:
        return InputImage(url=account.host(content)), ()
    accepted = offer.images
    limits = formats.Limits(
        formats=accepted.formats,
        max_bytes=accepted.max_bytes,
        max_pixels=accepted.max_pixels,
        min_side=accepted.min_side,
    )
    try:
        fitted, notices = await fitter.fit(content, limits)
    except NotAnImage as error:
        raise UnusableImage(
            f"{source.name} cannot be sent to {account.provider}: {error}.",
            next_step="Give another image: PNG, JPEG, WebP, GIF, AVIF, BMP or TIFF, of fewer pixels if it is large.",
        ) from error
    about = tuple(notice.about(source.name) for notice in notices)
    if host is not None and not accepted.takes_data:
        is_stored = fitted.content == content
        return InputImage(url=await host.url_of(fitted, source.stored_copy if is_stored else None)), about
    return InputImage(content=fitted.content, mime_type=fitted.mime_type), about


async def content_of(source: Source, safe_http: SafeHttpClient) -> bytes:
    """Return the bytes of an image: as they were read, from its copy, or else from its URL.

    Raises:
        UnusableImage: it cannot be fetched, or its copy was deleted meanwhile.
    """
    if source.content is not None:
        return source.content
    if source.copy is not None and (copied := await _copied(source, source.copy)) is not None:
        return copied
    if source.url is None:
        raise UnusableImage(
            f"{source.name}: its copy was deleted since it was found.",
            next_step="Make the image again, or give a URL or another image.",
        )
    return await _fetched(source, source.url, safe_http)


async def _copied(source: Source, read: ReadCopy) -> bytes | None:
    try:
        return await read()
    except (OSError, StoreUnavailable) as error:
        if source.url is not None:
            return None
        raise ImageUnavailable(
            f"{source.name}: its copy cannot be read now: {error}.", next_step="Call again in a minute."
        ) from error


async def _fetched(source: Source, url: str, safe_http: SafeHttpClient) -> bytes:
    with_trusted = safe_http.with_trusted(source.trusted_base) if source.trusted_base else safe_http
    try:
        return (await with_trusted.get(url, max_bytes=formats.MAX_BYTES, within_s=_FETCH_WITHIN_S)).content
    except FetchError as error:
        raise UnusableImage(
            f"{source.name} cannot be fetched: {error}.",
            next_step="Give a public HTTPS URL, a file, or the id of an earlier image.",
        ) from error


def _sizes(mask: InputImage, image: InputImage | None) -> tuple[formats.ImageData, formats.ImageData] | None:
    """Return mask and image with their sizes; `None` when the provider fetches one, and compares them itself."""
    if not (mask.content and image and image.content):
        return None
    return formats.probe(mask.content), formats.probe(image.content)


async def _matching(
    source: Source, mask: InputImage, sizes: tuple[formats.ImageData, formats.ImageData], fitter: Fitter
) -> InputImage:
    """Return a mask of the size of its image."""
    _, image = sizes
    try:
        formats.check_same_size(*sizes)
    except NotAnImage as error:
        if source.is_upload:
            scaled = await fitter.mask(mask.content, (image.width, image.height))
            return InputImage(content=scaled.content, mime_type=scaled.mime_type)
        raise UnusableImage(f"mask: {error}.", next_step="Give a mask of the same size as the image.") from error
    return mask
