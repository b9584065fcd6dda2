"""Errors: what went wrong and what the caller can do.

The branches are the caller's choices, not our modules:

    JourneyError
      InvalidRequest      change the arguments
      UnknownTask         check the id
      InsufficientScope   the token is for less: ask the person
      SetupError          the person who runs the server has to act
      StoreUnavailable    the task database does not answer: call again
      OverBudget, NotConfirmed, Declined
                          the cost: ask the person
      PerhapsPaid         an identical request may have been charged: check before repeating
      UpstreamError       the provider's side: wait, change the prompt, or check the account before repeating
      InternalError       a bug of journey-mcp: report it

A class has its public `code` and states whether the same call may succeed later; its text says whether money
may have been spent. `docs/errors.md` is generated from these classes. Text of an upstream reaches a message only
through `core.text.quoted`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from journey_mcp.core.next_steps import NextStep, ask_person, person_words


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Why a task or a call failed: the error as stored and shown."""

    code: str
    """One of the codes of this module's classes."""
    message: str
    """What happened, with which value, and what is allowed."""
    retryable: bool = False
    """The same call may succeed later."""
    retry_after_s: float | None = None
    """Seconds to wait first, when known."""
    next_step: str | None = None
    """What to do now, in one sentence, in the words for a model."""
    next_step_for_person: str | None = None
    """The same in the words for the person at a terminal, if they differ. Earlier versions stored none."""

    @property
    def advice(self) -> str | NextStep | None:
        """The next step for both readers."""
        if self.next_step is None or self.next_step_for_person is None:
            return self.next_step
        return NextStep(self.next_step, self.next_step_for_person)

    def for_person(self) -> "Failure":
        """Return the same failure with the next step in the words for the person."""
        return self.advising(self.advice and person_words(self.advice))

    def advising(self, step: str | NextStep | None) -> "Failure":
        """Return the same failure with this next step."""
        for_person = step.for_person if isinstance(step, NextStep) else None
        return replace(self, next_step=None if step is None else str(step), next_step_for_person=for_person)


class JourneyError(Exception):
    """Base class of all expected errors."""

    code: ClassVar[str]
    retryable: ClassVar[bool] = False
    next_step: ClassVar[str | NextStep | None] = None

    def __init__(
        self, message: str, *, next_step: str | NextStep | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.failure = Failure(
            code=self.code, message=message, retryable=self.retryable, retry_after_s=retry_after_s
        ).advising(next_step or type(self).next_step)


class InvalidRequest(JourneyError):
    """The arguments are wrong in a way that no narrower code covers."""

    code = "invalid_request"
    next_step = "Correct the arguments and call again. Nothing was sent and nothing was charged."


class InvalidArguments(InvalidRequest):
    """An argument is unknown, missing, of the wrong type, or out of range."""

    code = "invalid_arguments"


class EmptyPrompt(InvalidRequest):
    """The prompt has no text."""

    code = "empty_prompt"


class UnreadablePrompt(InvalidRequest):
    """Characters of the prompt were lost before the prompt reached this server."""

    code = "unreadable_prompt"


class UnknownModel(InvalidRequest):
    """No configured provider offers a model of this name."""

    code = "unknown_model"


class UnknownAction(InvalidRequest):
    """No configured provider offers an action of this name, or several actions have it."""

    code = "unknown_action"


class ImageNotRefinable(InvalidRequest):
    """The action does not take this image: it was made elsewhere, by another model, or by another action."""

    code = "image_not_refinable"


class ActionRequired(InvalidRequest):
    """The action takes the result of another one, which costs something and must be called first."""

    code = "action_required"


class EditOnlyModel(InvalidRequest):
    """`imagine` was called with a model that only edits images."""

    code = "edit_only_model"


class ImageRequired(InvalidRequest):
    """The model edits an image, and none was given."""

    code = "image_required"


class ImageNotTaken(InvalidRequest):
    """The model takes no image, and one was given."""

    code = "image_not_taken"


class DataNotTaken(InvalidRequest):
    """The provider fetches images itself and cannot reach the given one."""

    code = "data_not_taken"


class TooManyImages(InvalidRequest):
    """More images were given than the model takes."""

    code = "too_many_images"


class UnknownImage(InvalidRequest):
    """No image has this id."""

    code = "unknown_image"


class UnusableImage(InvalidRequest):
    """A given image cannot be fetched, read or sent."""

    code = "unusable_image"


class ImageUnavailable(UnusableImage):
    """An earlier image cannot be downloaded or shown at this moment."""

    code = "image_unavailable"
    retryable = True
    next_step = "Call again, or open its URL."


class FileNotAllowed(InvalidRequest):
    """A local file is outside the allowed folders, or the caller is not on this machine."""

    code = "file_not_allowed"


class NoOffer(InvalidRequest):
    """Several providers offer the model, and none accepts the request as it is."""

    code = "no_offer"


class UnsupportedValue(InvalidRequest):
    """A value is outside the list or range that the model takes."""

    code = "unsupported_value"


class UnsupportedOption(InvalidRequest):
    """The model would ignore a given parameter."""

    code = "unsupported_option"


class MalformedUrl(InvalidRequest):
    """An image's URL is not a usable HTTP or HTTPS URL."""

    code = "malformed_url"


class InvalidWebhook(InvalidRequest):
    """The webhook's URL is not HTTPS, or this server must not call it."""

    code = "invalid_webhook"


class NotEnglish(InvalidRequest):
    """The model understands only English, and the prompt is clearly not English."""

    code = "not_english"


class UnknownTask(JourneyError):
    """The caller has no task with this id. Tasks are deleted after `JOURNEY_MCP_KEEP_DAYS`."""

    code = "unknown_task"
    next_step = "Check the id, or call fetch_task without task_ids to list your newest tasks."


class InsufficientScope(JourneyError):
    """The access token of the client lacks a scope that the call needs. Nothing was sent."""

    code = "insufficient_scope"
    next_step = "Nothing was sent. " + ask_person("Connect again with this scope, or with another token.")


class OverBudget(JourneyError):
    """The call would exceed a spending limit. Nothing was sent."""

    code = "over_budget"


class TooManyTasks(JourneyError):
    """The caller has as many unfinished tasks as one caller may have at once. Nothing was sent."""

    code = "too_many_tasks"
    retryable = True
    next_step = "Nothing was sent or charged. Wait until one of your tasks has ended (fetch_task), then call again."


class Declined(JourneyError):
    """The person did not agree to the cost. Nothing was sent."""

    code = "declined"
    next_step = "Nothing was sent or charged." + NextStep(" Ask the person what they want instead.", "")


class NotConfirmed(JourneyError):
    """The cost needs the person's confirmation, and the client cannot ask. Nothing was sent."""

    code = "not_confirmed"
    next_step = "Nothing was sent. Choose a cheaper model, or " + ask_person("raise JOURNEY_MCP_CONFIRM_ABOVE.")


class PerhapsPaid(JourneyError):
    """An identical request was sent recently and got no answer: it may have been charged. Nothing was sent now."""

    code = "perhaps_paid"
    next_step = ask_person("Check the provider's account first; then call again with fresh=true to send it again.")


class SetupError(JourneyError):
    """A setting, a registry file or the data folder is wrong."""

    code = "setup"


class CredentialsRejected(SetupError):
    """The provider rejects the key. Nothing was created."""

    code = "credentials_rejected"


class StoreUnavailable(JourneyError):
    """The task database is locked, full, deleted, replaced or away, or the image store does not answer."""

    code = "store_unavailable"
    retryable = True
    next_step = "Call again in a moment. If the error stays, " + ask_person("look at the server's disk.")


class UpstreamError(JourneyError):
    """The provider answered in a way that no narrower code covers."""

    code = "upstream"


class OutOfCredits(UpstreamError):
    """The balance at the provider is too low. Nothing was created."""

    code = "out_of_credits"


class RateLimited(UpstreamError):
    """The provider is at its limit, and ten minutes of retries did not help. Nothing was created."""

    code = "rate_limited"
    retryable = True
    next_step = "Nothing was charged. Wait until running tasks have ended, then call again."


class Unreachable(UpstreamError):
    """No connection to the provider. Nothing was sent."""

    code = "unreachable"
    retryable = True
    next_step = "Nothing was sent or charged. Try again in a minute; `journey-mcp doctor` shows the connection."


class Refused(UpstreamError):
    """The provider rejected the request. Nothing was created."""

    code = "refused"
    next_step = "Nothing was charged. Change what the provider names, then call again."


class SubmissionUnconfirmed(UpstreamError):
    """The request was sent and got no usable answer: it may have been charged."""

    code = "submission_unconfirmed"
    next_step = "Do not simply repeat the call: the image may exist and be paid for. " + ask_person(
        "Check the provider's account first."
    )


class GenerationFailed(UpstreamError):
    """The provider accepted the task, and the task failed; a content filter counts as a failure."""

    code = "generation_failed"
    next_step = "Change the prompt or the image, or choose another model, then call again."


class NoImage(UpstreamError):
    """The provider reports the task as finished without a usable image: it may have been charged."""

    code = "no_picture"
    next_step = ask_person("Check the provider's account before you repeat the call.")


class LostUpstream(UpstreamError):
    """For 15 minutes the provider has not known a task that it had accepted: it may have been charged."""

    code = "lost_upstream"
    next_step = ask_person("Check the provider's account before you repeat the call.")


class KeyLost(UpstreamError):
    """The caller's own key, with which the task was made, cannot be opened or is not valid any more.

    The task may have been charged to that account.
    """

    code = "key_lost"


class SandboxGone(UpstreamError):
    """The sandbox that ran the task ended with its process. Nothing was charged."""

    code = "sandbox_gone"
    retryable = True
    next_step = "Call again; sandbox images cost nothing."


class NotSubmitted(UpstreamError):
    """The server stopped before the request was sent. Nothing was charged."""

    code = "not_submitted"
    retryable = True
    next_step = "Nothing was sent or charged. Call again."


class InternalError(JourneyError):
    """A bug of journey-mcp, logged under the id in the message."""

    code = "internal"
    next_step = "Report the id together with the server's log."


def all_errors() -> Iterator[type[JourneyError]]:
    """Return every class that defines a code, in the order of the tree."""

    def walk(parent: type[JourneyError]) -> Iterator[type[JourneyError]]:
        for child in parent.__subclasses__():
            if "code" in vars(child):
                yield child
            yield from walk(child)

    return walk(JourneyError)
