"""Notices: what a caller should know about a task, as a code with parameters; the sentence is made when it is shown."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

_SENTENCES = {
    "aspect_ratio_read": "aspect_ratio={given!r} was read as {taken}.",
    "aspect_ratio_nearest": "aspect_ratio={given!r} was read as {taken}, the nearest that {offer} takes.",
    "image_8_bits": "{image}: The image was converted to 8 bits per channel.",
    "image_cmyk": "{image}: The image was converted from CMYK to RGB.",
    "image_compressed": "{image}: The image was compressed more strongly for the limit of {max_bytes:,} bytes.",
    "image_file_found": "{given} was found in {folder}.",
    "image_file_similar": "There is no {given}; the only file whose name looks the same was taken: {taken}.",
    "image_url_read": "{given} was read as {url}.",
    "image_first_frame": "{image}: Only the first frame of the animation is used.",
    "image_first_heic": "{image}: Only the main image of the HEIC is used.",
    "image_first_tiff": "{image}: Only the first page of the TIFF is used.",
    "image_scaled_for_bytes": "{image}: The image was scaled from {given} to {sent} for the limit of "
    "{max_bytes:,} bytes.",
    "image_scaled_for_pixels": "{image}: The image was scaled from {given} to {sent} for this provider's limit of "
    "{max_pixels:,} pixels.",
    "images_left_out": "The provider returned {returned:,} images; the first {kept} are kept.",
    "images_unusable": "The provider returned {returned:,} images; {kept} of them can be used.",
    "option_idle": "{name}={value} was not sent: {offer} has no {name}.",
    "switch_dash": "{given} in the prompt was read as {sent}.",
    "switch_unknown": "{switch} is no known switch of {offer}: it may be ignored, or refused.",
    "switch_value": "{switch} is not what {offer} takes ({allowed}): it may be ignored, or refused.",
    "switch_wins": "--ar {switch} in the prompt wins over aspect_ratio={given}, which was not sent.",
    **{
        f"image_converted{ground_code}{reason_code}": (
            "{image}: The image was converted from {given} to {sent}" + ground + reason + "."
        )
        for ground_code, ground in (("", ""), ("_on_white", " on a white ground"))
        for reason_code, reason in (
            ("", ""),
            ("_for_bytes", " for the limit of {max_bytes:,} bytes"),
            ("_for_formats", " for this provider, which takes {formats}"),
            ("_unstated", "; this provider does not say which formats it takes"),
        )
    },
}
"""The sentence of each code, with the names of its parameters."""

Plain = str | int | float


@dataclass(frozen=True, slots=True)
class Notice:
    """One notice. Two with the same code and parameters are equal, so that a task tells each once."""

    code: str
    parameters: tuple[tuple[str, Plain], ...] = ()

    @classmethod
    def of(cls, code: str, **parameters: Plain) -> "Notice":
        """The notice of this code, one of this module's sentences, with the parameters that the sentence names."""
        return cls(code, tuple(parameters.items()))

    def about(self, image: str) -> "Notice":
        """The same of this image, for the sentences that name one."""
        return Notice(self.code, (("image", image), *self.parameters))

    def __str__(self) -> str:
        """The sentence; where a newer version stored one that this version cannot make, the code and the parameters."""
        with suppress(KeyError):
            return _SENTENCES[self.code].format(**dict(self.parameters))
        return f"{self.code}: {', '.join(f'{name}={value}' for name, value in self.parameters)}"


AnyNotice = Notice | str
"""A notice, or the sentence of one: those of registry files, and those that have no code yet."""


def to_plain(notice: AnyNotice) -> str | dict[str, Any]:
    """The notice as it is stored."""
    return notice if isinstance(notice, str) else {"code": notice.code, "parameters": dict(notice.parameters)}


def from_plain(plain: str | Mapping[str, Any]) -> AnyNotice:
    """The opposite of `to_plain`."""
    return plain if isinstance(plain, str) else Notice(plain["code"], tuple(plain["parameters"].items()))
