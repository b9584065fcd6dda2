"""Rendering of render specs to images. The only module that loads Pillow."""

import colorsys
import io
import math
import random
import re
from collections.abc import Callable, Sequence
from functools import singledispatch

from PIL import Image, ImageColor, ImageDraw, ImageFont, ImageOps

from journey_mcp.sandbox.render_specs import FINENESS, LONGEST_SIDE_PX, Edit, Format, Refined, Scene, Sheet

Color = tuple[int, int, int]

_LARGEST_SOURCE_PX = 40_000_000
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_MOST_CHUNKS, _MOST_SCANS = 65_536, 100
_CAPTION_CHARACTERS = 60


class NotAnImageError(ValueError):
    """These bytes are not an image that can be edited; the message says why."""


@singledispatch
def render(render_spec: object, fineness: float = FINENESS) -> bytes:  # noqa: ARG001  # for those that are registered
    """Return the encoded image of a render spec, the same bytes every time.

    Scenes are drawn larger by `fineness` and scaled down, which smooths their edges; below 1 they are coarse and quick.
    """
    raise TypeError(f"{render_spec!r} is not a render spec.")


@render.register
def _(render_spec: Scene, fineness: float = FINENESS) -> bytes:
    return _encode(_scene(render_spec, fineness), render_spec.image_format)


@render.register
def _(render_spec: Sheet, fineness: float = FINENESS) -> bytes:
    panels = [_drawn(panel, fineness) for panel in render_spec.panels]
    half = (panels[0].width // 2, panels[0].height // 2)
    sheet = Image.new("RGB", (half[0] * 2, half[1] * 2))
    for index, panel in enumerate(panels):
        small = panel.resize(half, Image.Resampling.BOX)
        sheet.paste(small, (index % 2 * half[0], index // 2 * half[1]))
    return _encode(sheet, render_spec.image_format)


@render.register
def _(render_spec: Edit, fineness: float = FINENESS) -> bytes:
    return _encode(_drawn(render_spec, fineness), render_spec.image_format)


@render.register
def _(render_spec: Refined, fineness: float = FINENESS) -> bytes:
    return _encode(_drawn(render_spec, fineness), render_spec.image_format)


@singledispatch
def _drawn(source: object, fineness: float) -> Image.Image:  # noqa: ARG001  # as above
    """Return the image of a render spec that is not a sheet, or of encoded bytes."""
    raise TypeError(f"{source!r} is not an image.")


@_drawn.register
def _(source: bytes, _fineness: float) -> Image.Image:
    return _open(source)


@_drawn.register
def _(render_spec: Scene, fineness: float) -> Image.Image:
    return _scene(render_spec, fineness)


@_drawn.register
def _(render_spec: Edit, fineness: float) -> Image.Image:
    image = _shaped(_open(render_spec.source), render_spec)
    edited = _edited(image, render_spec)
    if render_spec.mask is not None:
        edited = Image.composite(edited, image, _open(render_spec.mask).convert("L").resize(image.size))
    return _expanded(edited, render_spec, fineness) if any(render_spec.margins) else edited


@_drawn.register
def _(render_spec: Refined, fineness: float) -> Image.Image:
    image = _drawn(render_spec.source, fineness)
    if render_spec.difference:
        image = Image.blend(image, _surroundings(render_spec, image.size, fineness), render_spec.difference)
    if any(render_spec.margins):
        left, top, *_ = _pixels(render_spec, image.size)
        around = _surroundings(render_spec, image.size, fineness)
        around.paste(image, (left, top))
        image = around
    image = _scaled(image, render_spec.scale)
    _write(image, render_spec.label)
    return image


def check(content: bytes) -> tuple[int, int]:
    """Return width and height. Raises NotAnImageError unless `content` is an image of a size that can be edited."""
    return _open(content).size


def _open(content: bytes) -> Image.Image:
    if _takes_long(content):
        raise NotAnImageError("this image has too many chunks")
    try:
        image = Image.open(io.BytesIO(content))
        if math.prod(image.size) > _LARGEST_SOURCE_PX:
            raise NotAnImageError(f"{image.width} x {image.height} pixels are too many")
        return ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise NotAnImageError("this is not an image") from error


def _takes_long(content: bytes) -> bool:
    """Return whether this PNG or JPEG has more chunks or scans than any image; Pillow needs time for each."""
    if content.startswith(b"\xff\xd8"):
        return content.count(b"\xff\xda") > _MOST_SCANS
    chunks, at = 0, len(_PNG_MAGIC)
    while content.startswith(_PNG_MAGIC) and at < len(content) and chunks <= _MOST_CHUNKS:
        at += 12 + int.from_bytes(content[at : at + 4])
        chunks += 1
    return chunks > _MOST_CHUNKS


def _encode(image: Image.Image, image_format: Format) -> bytes:
    content = io.BytesIO()
    if image_format == "png":
        image.save(content, "PNG", compress_level=3)
    elif image_format == "webp":
        image.save(content, "WEBP", quality=85, method=2)
    else:
        image.save(content, "JPEG", quality=90)
    return content.getvalue()


_PALETTES: tuple[tuple[str, str, str, str], ...] = (
    # top of the sky, horizon, light, near ground
    ("#1b2a5c", "#f6a76f", "#ffe9c2", "#231a33"),
    ("#3a1f5d", "#f2798f", "#ffd9b0", "#1d1230"),
    ("#0f3d5e", "#bfe3dd", "#fff6d8", "#0c2a33"),
    ("#5b8fc7", "#fbe5c8", "#fffaf0", "#274046"),
    ("#0b1026", "#3f6aa8", "#e8f1ff", "#070b18"),
    ("#7a2e3a", "#f7b267", "#fff0c9", "#2a1018"),
    ("#2d6a6a", "#f3e3b3", "#fffbe6", "#12302f"),
    ("#4a3b7c", "#e9b7d8", "#fff0f7", "#221a3d"),
    ("#22466b", "#f0c9a0", "#ffe3a8", "#16263a"),
    ("#355c4b", "#e2eec0", "#fdffe0", "#13261d"),
)


class _Palette:
    """Matching colours, slightly different for each image."""

    def __init__(self, rng: random.Random) -> None:
        turn = rng.uniform(-0.03, 0.03)
        self.top, self.horizon, self.light, self.ground = (_turned(c, turn) for c in rng.choice(_PALETTES))

    def layer(self, depth: float) -> Color:
        """Return the colour of the ground at a depth: 0.0 is far and hazy, 1.0 near and dark."""
        return _mix(_mix(self.horizon, self.top, 0.35), self.ground, 0.1 + 0.9 * depth)


def _turned(color: str, turn: float) -> Color:
    red, green, blue = (part / 255 for part in ImageColor.getrgb(color)[:3])
    hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
    return _hsv(hue + turn, saturation, value)


def _hsv(hue: float, saturation: float, value: float) -> Color:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _mix(one: Color, other: Color, share: float) -> Color:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


_GLOW = [round(150 * max(0.0, 1 - value / 180) ** 2) for value in range(256)]
"""Brightness by the distance from the centre; zero well before the edge."""


class _Canvas:
    """An image in progress, with the tools that every motif needs."""

    def __init__(self, size: tuple[int, int], rng: random.Random) -> None:
        self.width, self.height = size
        self.unit = min(self.width, self.height)
        self.rng = rng
        self.palette = _Palette(rng)
        self.image = _gradient((self.width, self.height), (self.palette.top, self.palette.horizon))
        self.pen = ImageDraw.Draw(self.image, "RGBA")

    def disc(self, x: float, y: float, radius: float, color: tuple[int, ...]) -> None:
        self.pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)

    def glow(self, x: float, y: float, radius: float) -> None:
        side = round(radius * 2)
        mask = Image.radial_gradient("L").point(_GLOW).resize((side, side))
        self.image.paste(self.palette.light, (round(x - radius), round(y - radius)), mask)

    def ridge(self, base: float, rise: float, roughness: float, color: Color) -> list[tuple[float, float]]:
        """Fill the ground below a rough line around `base` (a fraction of the height); return the line."""
        waves = [
            (self.rng.uniform(0.6, 1.4) * 2**octave, self.rng.uniform(0, math.tau), roughness**octave)
            for octave in range(6)
        ]
        step = max(4, self.width // 160)
        line = [
            (float(x), self.height * (base - rise * _wave(x / self.unit, waves)))
            for x in range(0, self.width + step, step)
        ]
        self.pen.polygon([*line, (self.width, self.height), (0, self.height)], fill=color)
        return line


def _wave(place: float, waves: Sequence[tuple[float, float, float]]) -> float:
    return sum(height * math.sin(place * pace * 4.0 + start) for pace, start, height in waves) / 2


def _gradient(size: tuple[int, int], colors: tuple[Color, Color]) -> Image.Image:
    column = Image.new("RGB", (1, 256))
    column.putdata([_mix(*colors, (step / 255) ** 1.3) for step in range(256)])
    # all columns are equal: interpolating one and repeating it is ten times as fast
    return column.resize((1, size[1]), Image.Resampling.BILINEAR).resize(size, Image.Resampling.NEAREST)


def _sun(canvas: _Canvas, height: float) -> None:
    x, y = canvas.width * canvas.rng.uniform(0.2, 0.8), canvas.height * height
    radius = canvas.unit * canvas.rng.uniform(0.06, 0.12)
    canvas.glow(x, y, radius * 4)
    canvas.disc(x, y, radius, canvas.palette.light)


def _mountains(canvas: _Canvas) -> None:
    _sun(canvas, canvas.rng.uniform(0.2, 0.45))
    layers = canvas.rng.randint(4, 6)
    for layer in range(layers):
        depth = layer / (layers - 1)
        canvas.ridge(0.5 + 0.4 * depth, 0.16 - 0.07 * depth, 0.55, canvas.palette.layer(depth))


def _dunes(canvas: _Canvas) -> None:
    _sun(canvas, canvas.rng.uniform(0.15, 0.35))
    layers = canvas.rng.randint(5, 7)
    for layer in range(layers):
        depth = layer / (layers - 1)
        warm = _mix(canvas.palette.layer(depth), canvas.palette.light, 0.45 - 0.4 * depth)
        canvas.ridge(0.42 + 0.5 * depth, 0.09, 0.3, warm)


def _sea(canvas: _Canvas) -> None:
    horizon = canvas.rng.uniform(0.5, 0.62)
    _sun(canvas, horizon - canvas.rng.uniform(0.0, 0.12))
    top = round(canvas.height * horizon)
    colors = (_mix(canvas.palette.horizon, canvas.palette.layer(0.6), 0.5), canvas.palette.layer(1.0))
    canvas.image.paste(_gradient((canvas.width, canvas.height - top), colors), (0, top))
    for _ in range(140):
        depth = canvas.rng.random() ** 1.6
        y = top + depth * (canvas.height - top)
        length = canvas.unit * (0.02 + 0.16 * depth) * canvas.rng.uniform(0.4, 1.2)
        x = canvas.rng.uniform(-0.1, 1.0) * canvas.width
        thickness = canvas.unit * (0.001 + 0.006 * depth)
        canvas.pen.rounded_rectangle((x, y, x + length, y + thickness), thickness, fill=(*canvas.palette.light, 90))


def _city(canvas: _Canvas) -> None:
    _sun(canvas, canvas.rng.uniform(0.18, 0.4))
    for depth in (0.15, 0.5, 0.9):
        color = canvas.palette.layer(depth)
        x = -canvas.unit * 0.05
        while x < canvas.width:
            width = canvas.unit * canvas.rng.uniform(0.06, 0.13) * (0.7 + 0.5 * depth)
            top = canvas.height * (1 - canvas.rng.uniform(0.2, 0.62) * (1.1 - 0.5 * depth))
            canvas.pen.rectangle((x, top, x + width, canvas.height), fill=color)
            _windows(canvas, (x, top, width), depth)
            x += width * canvas.rng.uniform(0.95, 1.25)


def _windows(canvas: _Canvas, tower: tuple[float, float, float], depth: float) -> None:
    x, top, width = tower
    side = canvas.unit * 0.012 * (0.6 + 0.6 * depth)
    for row in range(round((canvas.height - top) / (side * 2.4))):
        for column in range(1, int(width / (side * 2))):
            if canvas.rng.random() < 0.3 * depth:
                left, upper = x + column * side * 2 - side / 2, top + side * (1.2 + row * 2.4)
                canvas.pen.rectangle((left, upper, left + side, upper + side), fill=(*canvas.palette.light, 200))


def _forest(canvas: _Canvas) -> None:
    _sun(canvas, canvas.rng.uniform(0.2, 0.4))
    for depth in (0.0, 0.3, 0.6, 1.0):
        color = canvas.palette.layer(depth)
        line = canvas.ridge(0.52 + 0.38 * depth, 0.07, 0.5, color)
        for x, y in line[:: 3 if depth > 0.5 else 2]:  # noqa: PLR2004 - near trees are larger and fewer
            height = canvas.unit * canvas.rng.uniform(0.05, 0.1) * (0.5 + 1.2 * depth)
            half = height * 0.24
            canvas.pen.polygon([(x, y - height), (x + half, y + height / 4), (x - half, y + height / 4)], fill=color)


def _orbs(canvas: _Canvas) -> None:
    for _ in range(canvas.rng.randint(14, 22)):
        x, y = canvas.rng.random() * canvas.width, canvas.rng.random() * canvas.height
        radius = canvas.unit * canvas.rng.uniform(0.04, 0.26)
        ends = canvas.rng.choice(
            ((canvas.palette.top, canvas.palette.light), (canvas.palette.horizon, (255, 255, 255)))
        )
        color = _mix(*ends, canvas.rng.random())
        canvas.disc(x, y, radius, (*color, 120))
        canvas.disc(x - radius / 3, y - radius / 3, radius / 5, (255, 255, 255, 90))
    _sun(canvas, canvas.rng.uniform(0.3, 0.7))


Motif = Callable[[_Canvas], None]

_MOTIFS: tuple[Motif, ...] = (_mountains, _dunes, _sea, _city, _forest, _orbs)
_MOTIF_WORDS: dict[str, Motif] = {
    **dict.fromkeys(("mountain", "mountains", "snow", "alps", "peak", "valley"), _mountains),
    **dict.fromkeys(("desert", "dune", "dunes", "sand", "savanna"), _dunes),
    **dict.fromkeys(("sea", "ocean", "lake", "boat", "ship", "harbour", "harbor", "lighthouse", "beach"), _sea),
    **dict.fromkeys(("city", "street", "town", "skyline", "neon", "robot"), _city),
    **dict.fromkeys(("forest", "tree", "trees", "wood", "woods", "fox", "owl"), _forest),
}
"""Words of a prompt that select a motif. Any other prompt gets a random motif."""


def _motif(scene: Scene) -> Motif:
    words = re.findall(r"[a-z]+", scene.prompt.lower())
    named = next((_MOTIF_WORDS[word] for word in words if word in _MOTIF_WORDS), None)
    # by prompt and model only, so that the images of one task are variations of one subject
    return named or random.Random(f"{scene.prompt}\n{scene.model}").choice(_MOTIFS)  # noqa: S311 - no secret


def _scene(scene: Scene, fineness: float) -> Image.Image:
    rng = random.Random(f"{scene.prompt}\n{scene.model}\n{scene.seed}\n{scene.variant}")  # noqa: S311 - no secret
    width, height = (max(1, round(side * fineness)) for side in scene.size)
    canvas = _Canvas((width, height), rng)
    _motif(scene)(canvas)
    image = canvas.image.resize(scene.size, Image.Resampling.BOX if fineness > 1 else Image.Resampling.NEAREST)
    _write(image, scene.model, scene.prompt)
    return image


def _write(image: Image.Image, *lines: str) -> None:
    """Write small lines of text into the lower left corner."""
    size = max(10, min(image.size) // 48)
    font = ImageFont.load_default(size)
    pen = ImageDraw.Draw(image, "RGBA")
    left, top = size, image.height - round(size * (1.4 * len(lines) + 0.8))
    texts = [" ".join(line.split())[:_CAPTION_CHARACTERS] for line in lines]
    width = max(font.getlength(text) for text in texts)
    plate = (left - size // 2, top - size // 3, left + width + size // 2, image.height - size // 2)
    pen.rounded_rectangle(plate, size // 3, fill=(0, 0, 0, 95))
    for index, text in enumerate(texts):
        pen.text((left, top + round(index * size * 1.4)), text, font=font, fill=(255, 255, 255, 235))


def _shaped(image: Image.Image, edit: Edit) -> Image.Image:
    if edit.ratio is not None:
        image = ImageOps.fit(image, _largest_inside(image.size, edit.ratio))
    return ImageOps.fit(image, edit.size) if edit.size is not None else image


def _edited(image: Image.Image, edit: Edit) -> Image.Image:
    rng = _edit_rng(edit)
    color = _hsv(rng.random(), 0.7, 0.9)
    tinted = Image.blend(image, Image.new("RGB", image.size, color), 0.22)
    pen = ImageDraw.Draw(tinted, "RGBA")
    border = max(2, min(image.size) // 40)
    pen.rectangle((0, 0, image.width - 1, image.height - 1), outline=color, width=border)
    bar = max(16, min(image.size) // 9)
    pen.rectangle((0, image.height - bar, image.width, image.height), fill=(*_mix(color, (0, 0, 0), 0.6), 190))
    _paste_others(tinted, edit.others)
    _write(tinted, f"edited by {edit.model}", edit.prompt)
    return tinted


def _edit_rng(edit: Edit) -> random.Random:
    # variant 0 adds nothing, so that images from before variants existed stay the same
    variant = f"\n{edit.variant}" if edit.variant else ""
    return random.Random(f"{edit.prompt}\n{edit.model}\n{edit.seed}{variant}")  # noqa: S311 - no secret


def _paste_others(image: Image.Image, others: Sequence[bytes]) -> None:
    """Show the further input images side by side on the upper edge."""
    side = max(8, min(image.size) // 8)
    for index, content in enumerate(others):
        image.paste(ImageOps.fit(_open(content), (side, side)), (side // 4 + index * round(side * 1.15), side // 4))


def _expanded(image: Image.Image, edit: Edit, fineness: float) -> Image.Image:
    """Paste the image onto a larger one of the same subject."""
    left, top, right, bottom = edit.margins
    size = (image.width + left + right, image.height + top + bottom)
    scene = Scene(prompt=edit.prompt, model=edit.model, seed=edit.seed, size=size, image_format=edit.image_format)
    around = _scene(scene, fineness)
    around.paste(image, (left, top))
    return around


def _surroundings(refined: Refined, size: tuple[int, int], fineness: float) -> Image.Image:
    """Return another scene of the same subject, as large as the image with its margins."""
    left, top, right, bottom = _pixels(refined, size)
    scene = Scene(
        prompt=refined.prompt,
        model=refined.model,
        seed=refined.seed,
        size=(size[0] + left + right, size[1] + top + bottom),
        image_format=refined.image_format,
        variant=refined.variant,
    )
    return _scene(scene, fineness)


def _pixels(refined: Refined, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the margins in pixels."""
    left, top, right, bottom = refined.margins
    return round(left * size[0]), round(top * size[1]), round(right * size[0]), round(bottom * size[1])


def _scaled(image: Image.Image, scale: int) -> Image.Image:
    longest = max(image.size)
    factor = min(scale, max(1.0, LONGEST_SIDE_PX / longest))
    size = (round(image.width * factor), round(image.height * factor))
    return image if factor == 1 else image.resize(size, Image.Resampling.BICUBIC)


def _largest_inside(size: tuple[int, int], ratio: tuple[int, int]) -> tuple[int, int]:
    scale = min(size[0] / ratio[0], size[1] / ratio[1])
    return max(1, round(ratio[0] * scale)), max(1, round(ratio[1] * scale))
