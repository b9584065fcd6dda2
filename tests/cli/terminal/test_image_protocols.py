"""Which terminals show images, and the text that shows them: exact, and decoded back to pixels."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import re
from base64 import b64decode
from itertools import product

import pytest
from drawn import drawn, opened, photo, written
from PIL import Image

from journey_mcp.cli.terminal.image_protocols import BLOCKS, ITERM2, KITTY, SIXEL, TerminalProtocol, protocol_of
from journey_mcp.core.views import Raster
from journey_mcp.media.rendering import raster

TRUECOLOR = {"COLORTERM": "truecolor"}


@pytest.mark.parametrize(
    ("environment", "protocol"),
    [
        ({}, None),
        ({"TERM": "xterm-256color"}, None),
        ({"TERM": "xterm-256color", **TRUECOLOR}, BLOCKS),
        ({"COLORTERM": "24bit"}, BLOCKS),
        ({"TERM": "dumb", **TRUECOLOR}, None),
        ({"TERM": "dumb", "KITTY_WINDOW_ID": "1"}, None),
        ({"CI": "true", **TRUECOLOR}, None),
        ({"CI": "", **TRUECOLOR}, BLOCKS),
        ({"NO_COLOR": "1", **TRUECOLOR}, None),
        ({"NO_COLOR": "", **TRUECOLOR}, BLOCKS),
        ({"NO_COLOR": "1", "TERM": "xterm-kitty"}, KITTY),
        ({"KITTY_WINDOW_ID": "1"}, KITTY),
        ({"TERM": "xterm-kitty"}, KITTY),
        ({"TERM": "xterm-ghostty"}, KITTY),
        ({"TERM_PROGRAM": "ghostty"}, KITTY),
        ({"TERM_PROGRAM": "iTerm.app", **TRUECOLOR}, ITERM2),
        ({"TERM_PROGRAM": "WezTerm"}, ITERM2),
        ({"TERM_PROGRAM": "rio"}, ITERM2),
        ({"LC_TERMINAL": "iTerm2"}, ITERM2),
        ({"TERM": "foot"}, SIXEL),
        ({"TERM": "foot-extra"}, SIXEL),
        ({"TERM": "mlterm"}, SIXEL),
        ({"TERM_PROGRAM": "mintty"}, SIXEL),
        ({"TMUX": "/tmp/tmux-1000/default,1,0", "TERM_PROGRAM": "iTerm.app"}, BLOCKS),
        ({"TERM": "screen-256color", "KITTY_WINDOW_ID": "1"}, BLOCKS),
        ({"TERM": "tmux-256color"}, BLOCKS),
        ({"TERM": "tmux-256color", "NO_COLOR": "1"}, None),
    ],
)
def test_the_protocol_is_found_by_the_environment(
    environment: dict[str, str], protocol: TerminalProtocol | None
) -> None:
    assert protocol_of(environment, "utf-8") is protocol


@pytest.mark.parametrize(("encoding", "protocol"), [("utf-8", BLOCKS), ("cp437", BLOCKS), ("ascii", None), ("?", None)])
def test_blocks_need_an_encoding_that_has_them(encoding: str, protocol: TerminalProtocol | None) -> None:
    assert protocol_of(TRUECOLOR, encoding) is protocol


def flag(width: int, height: int, *colours: tuple[int, int, int]) -> Raster:
    """Return pixels of these colours, in their order."""
    return Raster(content=bytes(part for colour in colours for part in colour), width=width, height=height)


RED, BLUE = (255, 0, 0), (0, 0, 255)


def test_blocks_repeat_no_colours() -> None:
    drawing = BLOCKS.draw(flag(3, 2, RED, RED, BLUE, BLUE, BLUE, BLUE), 3)
    assert drawing == "\x1b[38;2;255;0;0;48;2;0;0;255m▀▀\x1b[38;2;0;0;255;48;2;0;0;255m▀\x1b[0m\n"


def test_the_lower_half_of_an_odd_row_keeps_the_background() -> None:
    drawing = BLOCKS.draw(flag(1, 3, RED, RED, BLUE), 1)
    assert drawing == "\x1b[38;2;255;0;0;48;2;255;0;0m▀\x1b[0m\n\x1b[38;2;0;0;255m▀\x1b[0m\n"


@pytest.mark.parametrize("size", [(48, 32), (48, 27), (1, 1), (5, 48)])
def test_blocks_are_the_pixels(size: tuple[int, int]) -> None:
    pixels = raster(written(drawn(size=size), "png"), size=48, form="rgb")
    assert pixels_of_blocks(BLOCKS.draw(pixels, 48)) == pixels.content


def pixels_of_blocks(drawing: str) -> bytes:
    """Return the pixels, as a terminal shows them."""
    rows: list[bytes] = []
    for line in drawing.splitlines():
        upper, lower, colours = b"", b"", {}
        for codes, character in re.findall(r"(?:\x1b\[([\d;]*)m)?(▀?)", line):
            for ground, *rgb in re.findall(r"([34]8);2;(\d+);(\d+);(\d+)", codes):
                colours[ground] = bytes(map(int, rgb))
            if character:
                upper, lower = upper + colours["38"], lower + colours.get("48", b"")
        rows += [upper, lower]
    return b"".join(rows)


@pytest.mark.parametrize(("size", "side"), [((48, 32), b"c=48"), ((32, 48), b"r=24"), ((48, 48), b"c=48")])
def test_kitty_gets_a_png_in_chunks(size: tuple[int, int], side: bytes) -> None:
    png = raster(written(photo().resize(size), "png"), size=480, form="png")
    drawing = KITTY.draw(png, 48).encode()
    first, *others = re.findall(rb"\x1b_G([^;]*);([A-Za-z0-9+/=]{1,4096})\x1b\\", drawing)
    assert first[0] == b"a=T,f=100,q=2," + side + b",m=1"
    assert [keys for keys, _ in others] == [*[b"m=1"] * (len(others) - 1), b"m=0"]
    assert [len(data) for _, data in (first, *others)][:-1] == [4096] * len(others)
    assert b64decode(b"".join(data for _, data in (first, *others))) == png.content
    assert drawing.endswith(b"\x1b\\\n")


def test_a_png_of_one_chunk_is_complete() -> None:
    png = Raster(content=b"PNG", width=2, height=1)
    assert KITTY.draw(png, 7) == "\x1b_Ga=T,f=100,q=2,c=7,m=0;UE5H\x1b\\\n"


@pytest.mark.parametrize(("size", "side"), [((3, 2), "width=48"), ((2, 3), "height=24")])
def test_iterm2_gets_a_file(size: tuple[int, int], side: str) -> None:
    jpeg = Raster(content=b"JPEG", width=size[0], height=size[1])
    assert ITERM2.draw(jpeg, 48) == f"\x1b]1337;File=inline=1;size=4;{side};preserveAspectRatio=1:SlBFRw==\x07\n"


def test_sixels_have_a_layer_for_each_colour() -> None:
    palette = bytes((255, 0, 0, 0, 0, 255)).ljust(768, b"\0")
    # five columns of seven rows: the first column is blue
    pixels = Raster(content=bytes((1, 0, 0, 0, 0)) * 7, width=5, height=7, palette=palette)
    bands = "#0?!4~$#1~!4?-#0?!4@$#1@!4?"
    assert SIXEL.draw(pixels, 48) == f'\x1bP0;1q"1;1;5;7#0;2;100;0;0#1;2;0;0;100{bands}\x1b\\\n'


@pytest.mark.parametrize("size", [(96, 64), (63, 97), (7, 13), (1, 1)])
def test_sixels_are_the_pixels(size: tuple[int, int]) -> None:
    pixels = raster(written(photo().convert("RGB").resize(size), "png"), size=480, form="palette")
    assert pixels_of_sixels(SIXEL.draw(pixels, 48)) == (size, shown_colours(pixels))


def shown_colours(pixels: Raster) -> list[tuple[int, ...]]:
    """Return the colours in the percents that sixels have."""
    palette = [tuple(round(part / 2.55) for part in pixels.palette[3 * n : 3 * n + 3]) for n in range(256)]
    return [palette[index] for index in pixels.content]


def pixels_of_sixels(drawing: str) -> tuple[tuple[int, int], list[tuple[int, ...]]]:
    """Return size and colours, as a terminal shows them."""
    body = re.fullmatch(r'\x1bP0;1q"1;1;(\d+);(\d+)((?:#\d+;2;\d+;\d+;\d+)+)([^\x1b]*)\x1b\\\n', drawing)
    assert body
    width, height = int(body[1]), int(body[2])
    palette = {int(n): tuple(map(int, rgb)) for n, *rgb in re.findall(r"#(\d+);2;(\d+);(\d+);(\d+)", body[3])}
    shown: dict[tuple[int, int], tuple[int, ...]] = {}
    for band, layers in enumerate(body[4].split("-")):
        for layer in layers.split("$"):
            number, sixels = re.fullmatch(r"#(\d+)(.*)", layer).groups()  # type: ignore[union-attr]  # it matches
            plain = re.sub(r"!(\d+)(.)", lambda run: int(run[1]) * run[2], sixels)
            for (x, sixel), row in product(enumerate(plain), range(6)):
                if ord(sixel) - 63 >> row & 1:
                    assert shown.setdefault((x, 6 * band + row), palette[int(number)]) == palette[int(number)]
    return (width, height), [shown[x, y] for y, x in product(range(height), range(width))]


@pytest.mark.parametrize(("protocol", "form"), [(KITTY, "PNG"), (ITERM2, "JPEG")])
def test_the_files_are_in_the_form_that_the_terminal_takes(protocol: TerminalProtocol, form: str) -> None:
    made = raster(written(Image.new("RGBA", (900, 600), (255, 0, 0, 255)), "webp"), size=480, form=protocol.form)
    image = opened(made.content)
    assert (image.format, image.mode, image.size) == (form, "RGB", (480, 320))


@pytest.mark.parametrize("protocol", [BLOCKS, KITTY, ITERM2, SIXEL], ids=lambda protocol: protocol.name)
def test_no_bytes_of_an_image_become_control_characters(protocol: TerminalProtocol) -> None:
    made = raster(written(photo(), "png"), size=48, form=protocol.form)
    plain = re.sub(
        r"\x1b\[[\d;]*m|\x1b_G[^\x1b]*\x1b\\|\x1b\]1337;[^\x07]*\x07|\x1bP[^\x1b]*\x1b\\", "", protocol.draw(made, 48)
    )
    assert set(plain) <= {"\n", "▀"}
