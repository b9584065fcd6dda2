"""The copies of finished images: in the object store, and from every replica."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2
from chaos.journal import Row
from chaos.originals import is_copied, originals_of

from replicas.caller import REVISIONS, Caller
from replicas.fleet import Fleet
from replicas.sessions import Result, fetched, new_client

_COPIED_WITHIN_S = 300
"""After an attempt that failed, a copy is tried again after 10 s, and then after a minute."""
_PAUSE_S = 1.0


@dataclass(kw_only=True)
class Copies:
    """The images whose links expire soon."""

    served: int = 0
    """Whose copy each replica serves."""
    missing: int = 0
    """Without a copy: a notice of their task says why. On a busy machine a download takes more than a minute."""
    problems: list[str] = field(default_factory=list)


async def read_images(
    fleet: Fleet, tokens: Mapping[str, str], results: Sequence[Result], rows: Sequence[Row]
) -> Copies:
    """Let each replica serve the copy of every image whose link expires soon."""
    found = Copies()
    copied = {row.id: row for row in rows if is_copied(row)}
    async with new_client() as http:
        for principal, token in tokens.items():
            own = [result for result in results if result.principal == principal and result.id in copied]
            caller = Caller(http=http, url=fleet.proxy_url, token=token, revision=REVISIONS[-1])
            for id_, task in (await _once_copied(fleet, caller, own)).items():
                originals = await originals_of(copied[id_], fleet.upstream)
                for image, original in zip(task["images"], originals, strict=True):
                    if not _is_settled(fleet, task, image):
                        found.problems.append(f"{image['id']} has no copy, and no notice says why")
                    elif _has_link(fleet, image):
                        found.served += 1
                        found.problems += await _differences(fleet, http, image, original)
                    else:
                        found.missing += 1
    return found


async def _once_copied(fleet: Fleet, caller: Caller, results: Sequence[Result]) -> dict[str, Mapping[str, Any]]:
    """Return the tasks by id, once nothing more is copied of them; at the end of the time as they are."""
    deadline = time.monotonic() + _COPIED_WITHIN_S
    while True:
        tasks = await fetched(caller, results)
        is_settled = all(_is_settled(fleet, task, image) for task in tasks.values() for image in task["images"])
        if is_settled or time.monotonic() > deadline:
            return tasks
        await asyncio.sleep(_PAUSE_S)


def _is_settled(fleet: Fleet, task: Mapping[str, Any], image: Mapping[str, Any]) -> bool:
    has_notice = any(f"There is no copy of {image['id']}" in notice for notice in task.get("notices", ()))
    return has_notice or _has_link(fleet, image)


def _has_link(fleet: Fleet, image: Mapping[str, Any]) -> bool:
    """Return whether the link of an image leads to its copy."""
    return bool(image.get("url", "").startswith(fleet.proxy_url))


async def _differences(fleet: Fleet, http: httpx2.AsyncClient, image: Mapping[str, Any], original: bytes) -> list[str]:
    """Return the replicas that do not serve an image as its provider has it."""
    different = []
    for replica in fleet.replicas:
        answer = await http.get(image["url"].replace(fleet.proxy_url, replica.url, 1))
        if answer.content != original:
            different.append(f"replica {replica.name} serves {image['id']} differently: HTTP {answer.status_code}")
    return different
