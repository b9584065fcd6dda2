"""What a caller wants, in our words. Knows no provider."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal
from urllib.parse import urlsplit

from journey_mcp.errors import InvalidWebhook, MalformedUrl

Tool = Literal["imagine", "edit_image"]

OPTIONS = ("aspect_ratio", "resolution", "output_format", "negative_prompt", "seed")
"""The arguments beyond prompt and pictures that an offer may or may not take."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageRequest:
    """One wish for a picture: made new by `imagine`, or from a given one by `edit_image`."""

    tool: Tool
    prompt: str
    model: str
    image: str | None = None
    """The picture to edit: a URL, or the id of an earlier output image."""
    reference_images: tuple[str, ...] = ()
    """Pictures that guide, in the same forms."""
    mask: str | None = None
    """Same size as `image`; white is redrawn."""
    aspect_ratio: str | None = None
    resolution: str | None = None
    output_format: str | None = None
    negative_prompt: str | None = None
    seed: int | None = None
    webhook_url: str | None = None

    @property
    def pictures(self) -> tuple[str, ...]:
        """All pictures given, the one to edit first; the mask is none of them."""
        return ((self.image,) if self.image is not None else ()) + self.reference_images

    @property
    def options(self) -> dict[str, Any]:
        """The given ones among `OPTIONS`."""
        return {name: value for name in OPTIONS if (value := getattr(self, name)) is not None}

    def as_plain(self) -> dict[str, Any]:
        """Plain data for storage: absent means not given."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        plain["reference_images"] = list(self.reference_images)
        return {name: value for name, value in plain.items() if value not in (None, [])}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "ImageRequest":
        """The opposite of `as_plain`."""
        return cls(**{**plain, "reference_images": tuple(plain.get("reference_images", ()))})


def check_image_url(url: str, argument: str) -> None:
    """Refuse what is no web address: HTTP or HTTPS with a host.

    Raises:
        MalformedUrl: names the argument and the forms that are taken.
    """
    if not _has_scheme_and_host(url, {"http", "https"}):
        raise MalformedUrl(
            f"{argument}={url[:120]!r} is neither an http(s) URL nor the id of an earlier picture "
            "(such as tsk_….2); a local file cannot be sent.",
            next_step="Give the picture's public URL, or the id that imagine or fetch_task returned.",
        )


def check_webhook_url(url: str) -> None:
    """Refuse a webhook address that is not HTTPS.

    Raises:
        InvalidWebhook: names the address.
    """
    if not _has_scheme_and_host(url, {"https"}):
        raise InvalidWebhook(f"webhook_url={url[:120]!r} is not an HTTPS URL.")


def _has_scheme_and_host(url: str, schemes: set[str]) -> bool:
    if any(character.isspace() or not character.isprintable() for character in url):
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in schemes and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
