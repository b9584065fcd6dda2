"""The rules of accessibility: axe-core, run inside a frame."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.async_api import Frame

_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@cache
def _source() -> str:
    spec = find_spec("axe_playwright_python")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).with_name("axe.min.js").read_text(encoding="utf-8")


async def violations(frame: "Frame", *, only: str | None = None) -> list[str]:
    """Return the rules that the document breaks, each with its elements; `only` is the one rule to check."""
    which = {"type": "rule", "values": [only]} if only else {"type": "tag", "values": _RULES}
    if not await frame.evaluate("typeof axe === 'object'"):
        await frame.evaluate(_source())
    found: list[dict[str, Any]] = await frame.evaluate(
        "async (which) => (await axe.run(document, {runOnly: which, resultTypes: ['violations']})).violations", which
    )
    return [f"{one['id']}: {node['html'][:200]} {node['failureSummary']}" for one in found for node in one["nodes"]]
