"""Views: `view_image` of a finished image of 4 megapixels, compared with a thumbnail by Pillow alone.

Both make a JPEG of 512 pixels from the same file each time, in the same quality: journey-mcp finds no thumbnail. Its
time is that of a whole call over stdio, with the process that decodes already running; Pillow's is that of a function
in this process.
"""

import io
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image, ImageFilter

from bench.client import StdioClient
from bench.measure import BARE, OURS, Samples, clean_environment, running_upstream

VIEWED = ("JPEG", "PNG", "WebP")
_OPTIONS: Mapping[str, Mapping[str, Any]] = {"JPEG": {"quality": 92}, "PNG": {}, "WebP": {"quality": 90}}
_ENDINGS = {"JPEG": "jpg", "PNG": "png", "WebP": "webp"}
_SIDE = 2048
_SIZE = 512


def figure(kind: str) -> str:
    """Return the name of the figure for a format."""
    return f"`view_image`, {kind} of 4 megapixels"


def measure_views(samples: Samples, rounds: int) -> None:
    """View an image of each format and scale it with Pillow, in turn. The first round only fills caches."""
    with (
        tempfile.TemporaryDirectory(prefix="journey-bench-") as folder,
        running_upstream() as port,
        StdioClient(OURS, _environment(port, folder), "2026-07-28") as client,
    ):
        client.open()
        for kind in VIEWED:
            image_id, path = _finished_image(client, Path(folder), kind)
            for number in range(rounds + 1):
                kept = samples if number else Samples()
                shutil.rmtree(Path(folder, "thumbnails"), ignore_errors=True)
                began = time.perf_counter()
                client.call("view_image", {"image_ids": [image_id], "size": _SIZE})
                kept.add(figure(kind), OURS, _ms_since(began))
                began = time.perf_counter()
                plain_thumbnail(path)
                kept.add(figure(kind), BARE, _ms_since(began))


def plain_thumbnail(path: Path) -> bytes:
    """Return a thumbnail as a script of five lines would make it."""
    with Image.open(path) as image:
        image.thumbnail((_SIZE, _SIZE))  # a JPEG is decoded at a fraction of its size
        buffer = io.BytesIO()
        image.convert("RGB").save(buffer, "JPEG", quality=80, optimize=True, progressive=True)
    return buffer.getvalue()


def _environment(port: int, folder: str) -> dict[str, str]:
    # the upstream's images do not exist: no copy is tried
    return {**clean_environment(port), "JOURNEY_MCP_DATA_DIR": folder, "JOURNEY_MCP_COPY_MAX_MB": "0"}


def _finished_image(client: StdioClient, folder: Path, kind: str) -> tuple[str, Path]:
    """Return the id of a finished image, and its copy, which is drawn here."""
    made = client.call("imagine", {"prompt": f"a lighthouse, as {kind}", "model": "z-image"})["structuredContent"]
    image_id = made["images"][0]["id"]
    path = folder / "pictures" / f"{image_id}.{_ENDINGS[kind]}"
    path.parent.mkdir(exist_ok=True)
    photograph().save(path, kind, **_OPTIONS[kind])
    return image_id, path


def photograph() -> Image.Image:
    """Return an image that compresses as photographs do: large shapes, and fine grain."""
    side = (_SIDE, _SIDE)
    shapes = [Image.effect_noise((64, 64), 90).resize(side, Image.Resampling.BICUBIC) for _ in range(3)]
    grain = Image.effect_noise(side, 24).filter(ImageFilter.GaussianBlur(0.7))
    return Image.blend(Image.merge("RGB", shapes), Image.merge("RGB", [grain] * 3), 0.25)


def _ms_since(began: float) -> float:
    return (time.perf_counter() - began) * 1000
