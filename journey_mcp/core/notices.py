"""Notices: what a caller should know about a task, as a code with parameters; the sentence is rendered when shown."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

_STILL_CHARGED = "it continues there and will be charged. fetch_task returns its result."
_STILL_FREE = "Nothing was created or charged so far; the request is retried automatically"
_STILL_POLLED = "Polling continues; nothing is lost by waiting."
_FREE_DUPLICATE = "Nothing more is charged. fresh=true makes a new image."
SENTENCES = {
    "action_read": "action={given!r} was read as {taken}.",
    "aspect_ratio_pixels": "aspect_ratio={given} is sent as {width}x{height} pixels.",
    "aspect_ratio_read": "aspect_ratio={given!r} was read as {taken}.",
    "aspect_ratio_nearest": "aspect_ratio={given!r} was read as {taken}, the nearest that {offer} takes.",
    "cancel_in_flight": "Its request is on its way to {provider} and cannot be recalled; " + _STILL_CHARGED,
    "cancel_leased": "{reason} The task waits there, unsent.",
    "cancel_refused": "{provider} did not cancel it ({reason}); " + _STILL_CHARGED,
    "cancel_requested": "{provider} accepted the cancellation; the task is {status}.",
    "cancel_too_late": "The task has ended already: {status}.",
    "cancel_unsupported": "{provider} cannot cancel tasks; " + _STILL_CHARGED,
    "canceled_unsent": "The request was not sent yet; the task is canceled, and nothing is charged.",
    "canceled_upstream": "{provider} canceled the task; the part that ran may be charged.",
    "copy_failed": "There is no copy of {image}: {reason}. Use its link before it expires.",
    "copy_awaited": "The image store does not answer, so there is no copy of {image} yet. It is tried again; use the "
    "link before it expires.",
    "database_awaited": "The task database did not answer. The request is sent once the task can be stored; nothing "
    "was sent or charged so far.",
    "database_silent": "The task database does not answer at the moment. This is the task as it was last known: it "
    "goes on, and nothing is lost by waiting.",
    "duplicate_finished": "Identical request from {age_s} s ago, whose result may not have been received; "
    "returning its task. " + _FREE_DUPLICATE,
    "duplicate_running": "Identical request from {age_s} s ago; returning its task. " + _FREE_DUPLICATE,
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
    "key_rejected": "{reason} The task continues; its result can be fetched once the key is valid again.",
    "key_sealed": "The task was made at {provider} with the caller's own key, which this server cannot open. A server "
    "with the JOURNEY_MCP_SECRET and the base URL of that time gets its result.",
    "language_doubtful": "{offer} understands English only, and this prompt may not be English.",
    "model_read": "model={given!r} was read as {taken}.",
    "not_configured": "The task was made at {provider} ({base_url}), which is not configured on this server. "
    "Set that provider's key and base URL again to get its result.",
    "option_idle": "{name}={value} was not sent: {offer} has no {name}.",
    "parent_reused": "{action} takes only images made by {first}. {parent}, which {first} made from {given} before, "
    "was used; nothing more was paid for it.",
    "poll_failed": "{reason} " + _STILL_POLLED,
    "poll_unknown": "The provider does not know this task at the moment. " + _STILL_POLLED,
    "prompt_idle": "The prompt was not sent: {offer} takes none.",
    "provider_failed": "{provider} did not run it: {reason} {runner} was tried next.",
    "provider_on_cooldown": "{runner} runs this. {provider} was skipped: it is on cooldown ({reason}).",
    "provider_skipped": "{runner} runs this. {provider} was skipped: {reason}",
    "registry_note": "{text}",
    "retrying": "{reason} " + _STILL_FREE + ".",
    "retrying_for": "{reason} " + _STILL_FREE + " for up to {minutes:g} minutes.",
    "sandbox_image": "This is a sandbox image: made up, free whatever the cost says; its link works while the server "
    "runs. Set {variables}, or another provider's key, for real images.",
    "save_failed": "{image} is not in the folder of JOURNEY_MCP_SAVE_DIR: {reason}. Use its link or its copy.",
    "sender_lost": "The server that sent the request seems to have ended. If it has not, the answer may still reach it "
    "until {until}; then the task ends as unconfirmed. Nothing is sent again.",
    "switch_dash": "{given} in the prompt was read as {sent}.",
    "switch_unknown": "{switch} is not a known switch of {offer}: it may be ignored or refused.",
    "switch_value": "{switch} is not a documented value of {offer} ({allowed}): it may be ignored or refused.",
    "switch_wins": "--ar {switch} in the prompt overrides aspect_ratio={given}, which was not sent.",
    "text": "{text}",
    "webhook_awaited": "{reason} {provider} may still report it until {until}. "
    "The server waits for that and sends nothing again.",
    **{
        f"image_converted{ground_code}{reason_code}": (
            "{image}: The image was converted from {given} to {sent}" + ground + reason + "."
        )
        for ground_code, ground in (("", ""), ("_on_white", " on a white background"))
        for reason_code, reason in (
            ("", ""),
            ("_for_bytes", " for the limit of {max_bytes:,} bytes"),
            ("_for_formats", " for this provider, which takes {formats}"),
            ("_unstated", "; this provider does not say which formats it takes"),
        )
    },
}
"""The sentence of each code, with the names of its parameters.

`registry_note` is what a registry file says of an offer; `text` is a sentence that an earlier version stored.
"""

Parameter = str | int | float


@dataclass(frozen=True, slots=True)
class Notice:
    """One notice. Two with the same code and parameters are equal, so that a task has each once."""

    code: str
    parameters: tuple[tuple[str, Parameter], ...] = ()

    @classmethod
    def of(cls, code: str, **parameters: Parameter) -> "Notice":
        """Return the notice of this code, one of `SENTENCES`, with the parameters that the sentence names."""
        return cls(code, tuple(parameters.items()))

    def about(self, image: str) -> "Notice":
        """Return the same notice about this image, for the sentences that name one."""
        return Notice(self.code, (("image", image), *self.parameters))

    def __str__(self) -> str:
        """Return the sentence; the code and the parameters if a newer version stored what this one does not know."""
        with suppress(KeyError, ValueError):
            return SENTENCES[self.code].format(**dict(self.parameters))
        return f"{self.code}: {', '.join(f'{name}={value}' for name, value in self.parameters)}"


def to_plain(notice: Notice) -> dict[str, Any]:
    """Return the notice as it is stored."""
    return {"code": notice.code, "parameters": dict(notice.parameters)}


def from_plain(plain: str | Mapping[str, Any]) -> Notice:
    """Return a stored notice; earlier versions stored some as sentences."""
    if isinstance(plain, str):
        return Notice.of("text", text=plain)
    return Notice(plain["code"], tuple(plain["parameters"].items()))
