"""Refining an image: which action runs where, on which parent; decided from our own store before anything is paid."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from journey_mcp.core.errors import ActionRequired, DataNotTaken, ImageNotRefinable, ImageRequired, UnsupportedOption
from journey_mcp.core.images import ImageId
from journey_mcp.core.notices import Notice
from journey_mcp.core.predictions import Status
from journey_mcp.core.principals import Principal
from journey_mcp.core.requests import ImageRequest, Parent
from journey_mcp.core.tasks import SANDBOX, Task
from journey_mcp.engine.journal import Journal
from journey_mcp.engine.task_reader import TaskReader
from journey_mcp.media.image_text import WholeTask
from journey_mcp.providers.base import Account
from journey_mcp.providers.clients import ProviderClients, UsableProviders
from journey_mcp.registry import Action, Catalog, Offer
from journey_mcp.routing.actions import listed, required_first, takes
from journey_mcp.routing.validation import HOSTING_STEP, with_checked_prompt
from journey_mcp.store import Store
from journey_mcp.studio.actions import is_made_at, usable_actions
from journey_mcp.studio.image_sources import ImageFinder, Roots, image_of, only_image
from journey_mcp.studio.inputs import InputImages

_GRID_SIZE = 4
_NO_IMAGES = InputImages(sources=(), mask=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Refinement:
    """A request that refines an image, checked."""

    request: ImageRequest
    """With the model that made the image, and the image in one spelling."""
    prompt: str
    """That of the image, for a request without one."""
    offer: Offer
    images: InputImages
    """The image, if it is sent itself."""
    parent: Parent | None
    notices: tuple[Notice, ...] = ()

    @property
    def stored(self) -> ImageRequest:
        """The request as it is stored: its task is found by the prompt of the image too."""
        return replace(self.request, prompt=self.request.prompt or self.prompt)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Earlier:
    """A finished image of the principal's."""

    id: ImageId
    task: Task

    @property
    def is_in_grid(self) -> bool:
        return len(self.task.images) > 1 or self.task.grid_url is not None

    @property
    def has_known_number(self) -> bool:
        """Whether its number is the one at the provider: some images of a grid may have been unusable."""
        return not self.is_in_grid or len(self.task.images) == _GRID_SIZE


class Refiner:
    """Search for what an action needs."""

    def __init__(
        self, clients: ProviderClients, journal: Journal, reader: TaskReader, store: Store, images: ImageFinder
    ) -> None:
        self._clients = clients
        self._journal = journal
        self._reader = reader
        self._store = store
        self._images = images

    async def find(
        self,
        request: ImageRequest,
        usable: UsableProviders,
        principal: Principal,
        *,
        files_allowed: bool,
        roots: Roots | None = None,
    ) -> Refinement:
        """Return how the first of the request's actions that takes the image runs on it; nothing is sent or stored.

        Raises:
            InvalidRequest: the image, or the prompt, is not taken; states what is.
        """
        actions = usable.catalog.actions[request.action or ""]
        _check_prompt_taken(request, actions[0])
        earlier = await self._earlier(request, principal, actions[0])
        if earlier is not None:
            for action in actions:
                if found := await self._on_parent(request, action, earlier, principal, usable):
                    return found
        taking = next((action for action in actions if action.images.is_taken), None)
        if taking is None:
            raise self._not_taken(actions[0], earlier, usable)
        return await self._on_image(
            request, taking, principal, usable, earlier=earlier, files_allowed=files_allowed, roots=roots
        )

    async def _earlier(self, request: ImageRequest, principal: Principal, action: Action) -> _Earlier | None:
        """Return the image of ours that the request names; `None` for any other image."""
        if request.image is None:
            raise ImageRequired(
                "refine_image needs the image to refine.", next_step="Give image: the id of an earlier image (tsk_….2)."
            )
        named = await self._images.earlier(request.image, principal)
        if named is None:
            return None
        task = (await self._reader.known([named.task_id], principal=principal)).get(named.task_id)
        if isinstance(named, WholeTask):
            is_number_needed = action.sends_number or action.images.is_taken or task is None or not task.images
            named = only_image(f"image={request.image!r}", named, task) if is_number_needed else _first(named)
        image_of(named, task)
        assert task is not None  # noqa: S101  # checked by image_of
        return _Earlier(id=named, task=task)

    async def _on_parent(
        self,
        request: ImageRequest,
        action: Action,
        earlier: _Earlier,
        principal: Principal,
        usable: UsableProviders,
    ) -> Refinement | None:
        """Return how the action runs on the run that made the image; `None` if it cannot."""
        kind = earlier.task.request.kind
        if not is_made_at(usable.account_of(action), earlier.task):
            return None
        if takes(action, kind):
            # where a grid is incomplete, the image itself can still be sent
            is_sent_itself = action.images.is_taken and not earlier.has_known_number
            return None if is_sent_itself else _refinement(request, action, earlier, usable.catalog)
        first = required_first(action, kind, usable.catalog)
        if first is None:
            return None
        made = await self._made_by(first, earlier, principal, usable.account_of(first))
        notice = Notice.of(
            "parent_reused", action=action.id, first=first.id, parent=str(made.id), given=str(earlier.id)
        )
        return _refinement(request, action, made, usable.catalog, notice)

    async def _made_by(self, first: Action, candidate: _Earlier, principal: Principal, account: Account) -> _Earlier:
        """Return the newest image that an action made from a candidate.

        Raises:
            ActionRequired: there is none; nothing is bought without being asked for.
        """
        stored = await self._store.tasks.refining(str(candidate.id), principal=principal)
        newest = [self._journal.get(task.id) or task for task in stored if task.request.action == first.id]
        here = [task for task in newest if is_made_at(account, task)]
        if done := next((task for task in here if task.status is Status.SUCCEEDED and task.images), None):
            return _Earlier(id=ImageId(done.id, 1), task=done)
        what = f"This action takes only images made by {first.id}, and {candidate.id} is a candidate of a grid."
        if running := next((task for task in here if not task.status.is_final), None):
            raise ActionRequired(
                f"{what} Task {running.id} is making it.",
                next_step=f"Nothing was charged. Call fetch_task with {running.id}, then repeat this call.",
            )
        raise ActionRequired(
            f"{what} {first.id} costs {first.price}.",
            next_step=f'Nothing was charged. Call refine_image with image "{candidate.id}" and action {first.id} '
            f"({first.price}) first, then repeat this call.",
        )

    async def _on_image(
        self,
        request: ImageRequest,
        action: Action,
        principal: Principal,
        usable: UsableProviders,
        *,
        earlier: _Earlier | None,
        files_allowed: bool,
        roots: Roots | None,
    ) -> Refinement:
        """Return how the action runs on an image that is sent itself, such as one at a public URL."""
        account = usable.account_of(action)
        named = replace(request, image=str(earlier.id)) if earlier else request
        images = await self._images.find(named, principal, files_allowed=files_allowed, roots=roots)
        images = await images.with_links([] if action.images.takes_data else [account])
        if (problem := images.requires_upload(account)) and not action.images.takes_data:
            raise DataNotTaken(
                f"{action.id} at {account.provider} takes images as URLs only; {problem}.",
                next_step="Give a public HTTPS URL, or the id of an earlier image whose link is alive. " + HOSTING_STEP,
            )
        images = await images.read()
        request = replace(images.named_in(request), model=action.id)
        return _checked(request, action, earlier, images, None, (), usable.catalog)

    def _not_taken(self, action: Action, earlier: _Earlier | None, usable: UsableProviders) -> ImageNotRefinable:
        """Return why an action does not take an image, and which do."""
        account = usable.account_of(action)
        if earlier is None:
            return ImageNotRefinable(
                f"{action.id} takes only images that were made here, by {listed(action.parents)}.",
                next_step="Give the id of such an image (tsk_….2). "
                f"{self._alternatives(None, usable)} Nothing was charged.".strip(),
            )
        if reason := _elsewhere(earlier, account):
            keep = " To refine images of a sandbox, keep one running: `journey-mcp sandbox`."
            return ImageNotRefinable(
                reason,
                next_step=f"{self._alternatives(earlier.task, usable)} Nothing was charged."
                + keep * (earlier.task.provider == account.provider == SANDBOX),
            )
        return ImageNotRefinable(
            f"{action.id} takes images made by {listed(action.parents)}; {earlier.id} was made by "
            f"{earlier.task.request.kind}.",
            next_step=f"{self._alternatives(earlier.task, usable)} Nothing was charged.".strip(),
        )

    def _alternatives(self, task: Task | None, usable: UsableProviders) -> str:
        """Return which actions take the images of a task, or any image."""
        if task is not None:
            names = [one.action.id for one in usable_actions(task, self._clients, usable.catalog)]
        else:
            names = [one.id for its in usable.catalog.actions.values() for one in its if one.images.is_taken]
        return f"It can be refined with {listed(names)}." if names else "edit_image may take it."


def _refinement(
    request: ImageRequest, action: Action, made: _Earlier, catalog: Catalog, *notices: Notice
) -> Refinement:
    if action.sends_number and not made.has_known_number:
        raise ImageNotRefinable(
            f"The provider returned only {len(made.task.images)} usable images of the grid of {made.task.id}, so "
            f"it is not known which of them {made.id} is there.",
            next_step="Nothing was charged. Refine an image of another task, or make the image again.",
        )
    number = made.id.number if action.sends_number and made.is_in_grid else None
    assert made.task.prediction_id is not None  # noqa: S101  # it has succeeded
    parent = Parent(prediction_id=made.task.prediction_id, number=number)
    request = replace(request, model=made.task.request.model, image=str(made.id))
    return _checked(request, action, made, _NO_IMAGES, parent, notices, catalog)


def _checked(
    request: ImageRequest,
    action: Action,
    earlier: _Earlier | None,
    images: InputImages,
    parent: Parent | None,
    notices: Sequence[Notice],
    catalog: Catalog,
) -> Refinement:
    offer = _with_switches(action.offer_for(request.model), catalog)
    request, about_prompt = with_checked_prompt(request, offer, catalog)
    return Refinement(
        request=request,
        prompt=earlier.task.request.prompt if earlier else "",
        offer=offer,
        images=images,
        parent=parent,
        notices=(*notices, *about_prompt),
    )


def _with_switches(offer: Offer, catalog: Catalog) -> Offer:
    """Return the offer of an action, which reads prompts as its model does."""
    its = next((o for o in catalog.offers.get(offer.model, ()) if o.provider == offer.provider), None)
    return replace(offer, switches=its.switches, prompt_max_length=its.prompt_max_length) if its else offer


def _first(task: WholeTask) -> ImageId:
    return ImageId(task.task_id, 1)


def _check_prompt_taken(request: ImageRequest, action: Action) -> None:
    if request.prompt and action.prompt == "none":
        raise UnsupportedOption(
            f"{action.id} would ignore prompt={request.prompt[:60]!r}.",
            next_step="Leave prompt out, or call edit_image to change the image as a prompt says.",
        )


def _elsewhere(earlier: _Earlier, account: Account) -> str | None:
    """Return why the account does not know the image; `None` if it does."""
    task = earlier.task
    if is_made_at(account, task):
        return None
    if task.provider == SANDBOX:
        if account.provider == SANDBOX:
            return f"{earlier.id} was made in a sandbox that has ended: the one that runs now does not know it."
        return f"{earlier.id} was made in a sandbox: {account.provider} does not know it."
    if task.provider == account.provider and task.base_url.partition("#")[0] == account.base_url:
        return (
            f"{earlier.id} was made at {task.provider} with another key than this call uses, and only the account of "
            "that key knows the image."
        )
    if task.provider == account.provider:
        return f"{earlier.id} was made at {task.provider} ({task.base_url}), which this server does not use."
    return f"{earlier.id} was made at {task.provider}; this action takes only images made at {account.provider}."
