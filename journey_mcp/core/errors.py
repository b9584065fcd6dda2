"""What can go wrong, and what helps.

The branches are the choices a caller has, not our modules:

    JourneyError
      InvalidRequest      change the arguments
      UnknownTask         check the id
      SetupError          the person who runs the server has to act
      StoreUnavailable    the task database does not answer: call again
      UpstreamError       the provider's side: wait, change the prompt, or look before asking again
      InternalError       ours: report it

A class carries its public `code`, whether the same call may succeed later, and whether money may have
been spent; `docs/errors.md` is generated from these classes. Text that came from an upstream reaches a
message only through `core.text.quoted`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Why a task, or a call, failed: the error as it is stored and shown."""

    code: str
    """One of the codes of this module's classes."""
    message: str
    """What happened, with which value, what is allowed."""
    retryable: bool = False
    """The same call may succeed later."""
    retry_after_s: float | None = None
    """Seconds to wait first, when known."""
    next_step: str | None = None
    """What to do now, in one sentence."""


class JourneyError(Exception):
    """Base of everything this package raises on purpose."""

    code: ClassVar[str]
    retryable: ClassVar[bool] = False
    next_step: ClassVar[str | None] = None

    def __init__(self, message: str, *, next_step: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.failure = Failure(
            code=self.code,
            message=message,
            retryable=self.retryable,
            retry_after_s=retry_after_s,
            next_step=next_step or type(self).next_step,
        )


class InvalidRequest(JourneyError):
    """Something about the arguments that no narrower code names."""

    code = "invalid_request"
    next_step = "Correct the arguments and call again. Nothing was sent and nothing was charged."


class InvalidArguments(InvalidRequest):
    """An argument is unknown, missing, of the wrong type, or out of range."""

    code = "invalid_arguments"


class EmptyPrompt(InvalidRequest):
    """The prompt has no text."""

    code = "empty_prompt"


class UnreadablePrompt(InvalidRequest):
    """Characters of the prompt were lost before it reached this server."""

    code = "unreadable_prompt"


class UnknownModel(InvalidRequest):
    """No configured provider offers a model of this name."""

    code = "unknown_model"


class EditOnlyModel(InvalidRequest):
    """`imagine` was asked for a model that only edits pictures."""

    code = "edit_only_model"


class ImageRequired(InvalidRequest):
    """The model edits a picture, and none was given."""

    code = "image_required"


class ImageNotTaken(InvalidRequest):
    """The model takes no picture, and one was given."""

    code = "image_not_taken"


class DataNotTaken(InvalidRequest):
    """The provider fetches pictures itself, and one was given that lies nowhere where it could."""

    code = "data_not_taken"


class TooManyImages(InvalidRequest):
    """More pictures were given than the model takes."""

    code = "too_many_images"


class UnknownImage(InvalidRequest):
    """A picture id names no picture that is there."""

    code = "unknown_image"


class UnusableImage(InvalidRequest):
    """A given picture cannot be fetched or read, or is none that can be sent."""

    code = "unusable_image"


class FileNotAllowed(InvalidRequest):
    """A local file lies outside the folders that pictures may come from, or the caller is not on this machine."""

    code = "file_not_allowed"


class NoOffer(InvalidRequest):
    """Several providers offer the model, and none of them takes the request as it is."""

    code = "no_offer"


class UnsupportedValue(InvalidRequest):
    """A value outside the list or range that the model takes."""

    code = "unsupported_value"


class UnsupportedOption(InvalidRequest):
    """A parameter that the model would ignore."""

    code = "unsupported_option"


class MalformedUrl(InvalidRequest):
    """A picture's address is not an HTTP or HTTPS URL."""

    code = "malformed_url"


class InvalidWebhook(InvalidRequest):
    """The webhook's address is not an HTTPS URL."""

    code = "invalid_webhook"


class NotEnglish(InvalidRequest):
    """The model understands English only, and the prompt is clearly not English."""

    code = "not_english"


class UnknownTask(JourneyError):
    """No task of the caller has this id; tasks are deleted after the days they are kept."""

    code = "unknown_task"
    next_step = "Check the id, or call fetch_task without task_ids to list your newest tasks."


class OverBudget(JourneyError):
    """A limit on spending leaves no room for the call. Nothing was sent."""

    code = "over_budget"


class Declined(JourneyError):
    """The person did not agree to the cost. Nothing was sent."""

    code = "declined"
    next_step = "Nothing was sent or charged. Ask the person what they would rather have."


class NotConfirmed(JourneyError):
    """The cost is above what a call may have without asking, and the client cannot ask. Nothing was sent."""

    code = "not_confirmed"
    next_step = "Nothing was sent. Choose a cheaper model, or ask the person to raise JOURNEY_MCP_CONFIRM_ABOVE."


class PerhapsPaid(JourneyError):
    """An equal call was sent a short while ago and never answered: it may have been paid. Nothing was sent now."""

    code = "perhaps_paid"
    next_step = (
        "Ask the person to look at the provider's account first; then call again with fresh=true to send it again."
    )


class SetupError(JourneyError):
    """A setting, a registry file, or the place for the data is wrong."""

    code = "setup"


class CredentialsRejected(SetupError):
    """The provider refuses the key. Nothing was created."""

    code = "credentials_rejected"


class StoreUnavailable(JourneyError):
    """The task database is locked, full, deleted, or replaced. The code of this was `setup` before."""

    code = "store_unavailable"
    retryable = True
    next_step = "Call again in a moment. If the error stays, ask the person to look at the server's disk."


class UpstreamError(JourneyError):
    """The provider answered in a way that no narrower code names."""

    code = "upstream"


class OutOfCredits(UpstreamError):
    """The balance at the provider is too low. Nothing was created."""

    code = "out_of_credits"


class RateLimited(UpstreamError):
    """The provider is at its limit; after ten minutes of trying, a task ends with this. Nothing was created."""

    code = "rate_limited"
    retryable = True
    next_step = "Nothing was charged. Wait for running tasks to end, then call again."


class Unreachable(UpstreamError):
    """No connection to the provider. Nothing was sent."""

    code = "unreachable"
    retryable = True
    next_step = "Nothing was sent or charged. Try again in a minute; `journey-mcp doctor` shows the connection."


class Refused(UpstreamError):
    """The provider refused the request. Nothing was created."""

    code = "refused"
    next_step = "Nothing was charged. Change what the provider names, then call again."


class SubmissionUnconfirmed(UpstreamError):
    """The request was sent and no usable answer came: it may have been charged."""

    code = "submission_unconfirmed"
    next_step = (
        "Do not simply repeat the call: the picture may exist and be paid for. "
        "Ask the person to look at the provider's account first."
    )


class GenerationFailed(UpstreamError):
    """The provider accepted the task and then failed it, a content filter included."""

    code = "generation_failed"
    next_step = "Change the prompt or the picture, or choose another model, then call again."


class NoImage(UpstreamError):
    """The provider calls the task finished and gives no picture that can be read: it may have been charged."""

    code = "no_picture"
    next_step = "Ask the person to look at the provider's account before the call is repeated."


class LostUpstream(UpstreamError):
    """The provider has not known a task for a quarter of an hour that it had accepted: it may have been charged."""

    code = "lost_upstream"
    next_step = "Ask the person to look at the provider's account before the call is repeated."


class SandboxGone(UpstreamError):
    """The sandbox that ran the task ended with its process. Nothing was charged."""

    code = "sandbox_gone"
    retryable = True
    next_step = "Call again; sandbox pictures cost nothing."


class NotSubmitted(UpstreamError):
    """The server ended before the request was sent. Nothing was charged."""

    code = "not_submitted"
    retryable = True
    next_step = "Nothing was sent or charged. Call again."


class InternalError(JourneyError):
    """A fault of journey-mcp itself, logged under the id that the message names."""

    code = "internal"
    next_step = "Report the id with the server's log."


def all_errors() -> Iterator[type[JourneyError]]:
    """Every class with a code of its own, in the order of the tree."""

    def walk(parent: type[JourneyError]) -> Iterator[type[JourneyError]]:
        for child in parent.__subclasses__():
            if "code" in vars(child):
                yield child
            yield from walk(child)

    return walk(JourneyError)
