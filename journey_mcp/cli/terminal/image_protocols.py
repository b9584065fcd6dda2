"""Images in a terminal: which protocol it understands, by its environment, and the text that shows an image.

A terminal is never asked, because its answer would be read as typed keys. All escape sequences are made here: of an
image only numbers and base64 get into them.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from journey_mcp.core.views import Raster, RasterForm

_UPPER_HALF = "▀"
_KITTY_CHUNK = 4096
_SIXEL_ROWS = 6
"""Rows of pixels in a band: each character is a column of so many."""
_SIXELS = bytes(min(63 + bits, 126) for bits in range(256))
"""The character of each column of six bits, as a table for `translate`."""
_SIXEL_RUN = re.compile(rb"(.)\1{3,}", re.DOTALL)
"""What is shorter as a repetition."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TerminalProtocol:
    """How a kind of terminal shows images."""

    name: str
    form: RasterForm
    pixels_per_column: int
    """The width of a cell is unknown, except where a pixel is as wide as a cell."""
    draw: Callable[[Raster, int], str]
    """Return the text that shows an image whose longer side is so many columns, or half as many rows."""


def protocol_of(environment: Mapping[str, str], encoding: str) -> TerminalProtocol | None:
    """Return the protocol that the terminal with this environment understands; `None` if it shows no images.

    `encoding` is that of its text.
    """
    term = environment.get("TERM", "")
    if term == "dumb" or environment.get("CI"):
        return None
    protocol = None if _is_multiplexed(environment) else _graphics_of(environment)
    return protocol or (BLOCKS if _shows_blocks(environment, encoding) else None)


def _is_multiplexed(environment: Mapping[str, str]) -> bool:
    """Return whether tmux or screen is in between, which pass nothing on but characters and their colours."""
    return bool(environment.get("TMUX")) or environment.get("TERM", "").startswith(("screen", "tmux"))


def _graphics_of(environment: Mapping[str, str]) -> TerminalProtocol | None:
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if environment.get("KITTY_WINDOW_ID") or term in {"xterm-kitty", "xterm-ghostty"} or program == "ghostty":
        return KITTY
    if program in {"iTerm.app", "WezTerm", "rio"} or environment.get("LC_TERMINAL") == "iTerm2":
        return ITERM2
    return SIXEL if term.startswith(("foot", "mlterm")) or program == "mintty" else None


def _shows_blocks(environment: Mapping[str, str], encoding: str) -> bool:
    """Return whether coloured characters may be used as pixels; `NO_COLOR` says nothing about real images."""
    has_colours = environment.get("COLORTERM") in {"truecolor", "24bit"} or _is_multiplexed(environment)
    if environment.get("NO_COLOR") or not has_colours:
        return False
    try:
        _UPPER_HALF.encode(encoding)
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def kitty(png: Raster, columns: int) -> str:
    """Return an image in the graphics protocol of kitty: base64 in chunks; `q=2` forbids any answer."""
    data = b64encode(png.content).decode()
    side = f"c={columns}" if png.width >= png.height else f"r={_rows(columns)}"
    chunks = [data[start : start + _KITTY_CHUNK] for start in range(0, len(data), _KITTY_CHUNK)]
    keys = [f"a=T,f=100,q=2,{side},", *[""] * (len(chunks) - 1)]
    more = [*[1] * (len(chunks) - 1), 0]
    return "".join(f"\x1b_G{k}m={m};{chunk}\x1b\\" for k, m, chunk in zip(keys, more, chunks, strict=True)) + "\n"


def iterm2(jpeg: Raster, columns: int) -> str:
    """Return an image as iTerm2 takes inline files."""
    side = f"width={columns}" if jpeg.width >= jpeg.height else f"height={_rows(columns)}"
    keys = f"inline=1;size={len(jpeg.content)};{side};preserveAspectRatio=1"
    return f"\x1b]1337;File={keys}:{b64encode(jpeg.content).decode()}\x07\n"


def _rows(columns: int) -> int:
    """Return the rows that are as high as these columns are wide."""
    return max(1, columns // 2)


def blocks(rgb: Raster, _columns: int) -> str:
    """Return an image whose pixels are the halves of characters: an upper one in their colour, a lower one behind."""
    rows = [_pixels(rgb, y) for y in range(rgb.height)]
    below: list[list[str]] = [*rows[1::2], *[[]] * (rgb.height % 2)]
    return "".join(f"{_line(upper, lower)}\x1b[0m\n" for upper, lower in zip(rows[::2], below, strict=True))


def _pixels(rgb: Raster, y: int) -> list[str]:
    """Return the colours of a row, as parameters of an escape sequence."""
    row = rgb.content[3 * y * rgb.width : 3 * (y + 1) * rgb.width]
    return [f"2;{red};{green};{blue}" for red, green, blue in zip(row[::3], row[1::3], row[2::3], strict=True)]


def _line(upper: list[str], lower: list[str]) -> str:
    """Return a line of characters; their colours are repeated only where they change."""
    codes = [f"38;{a};48;{b}" for a, b in zip(upper, lower, strict=True)] if lower else [f"38;{a}" for a in upper]
    pairs = zip(codes, ["", *codes], strict=False)
    return "".join(_UPPER_HALF if code == before else f"\x1b[{code}m{_UPPER_HALF}" for code, before in pairs)


def sixel(indexed: Raster, _columns: int) -> str:
    """Return an image as DEC's sixels: a palette, then bands of six rows, one layer for each colour in a band."""
    palette = zip(indexed.palette[::3], indexed.palette[1::3], indexed.palette[2::3], strict=True)
    percents = [";".join(str(round(part / 2.55)) for part in colour) for colour in palette]
    colours = "".join(f"#{number};2;{percents[number]}" for number in sorted(set(indexed.content)))
    size = f'"1;1;{indexed.width};{indexed.height}'
    return f"\x1bP0;1q{size}{colours}{'-'.join(_bands(indexed))}\x1b\\\n"


def _bands(indexed: Raster) -> Iterator[str]:
    band_length = _SIXEL_ROWS * indexed.width
    for start in range(0, len(indexed.content), band_length):
        band = indexed.content[start : start + band_length]
        yield "$".join(f"#{colour}{_layer(band, colour, indexed.width)}" for colour in sorted(set(band)))


def _layer(band: bytes, colour: int, width: int) -> str:
    """Return the sixels of one colour: bit n of a column is set if its pixel in row n has this colour."""
    columns = 0
    for number, start in enumerate(range(0, len(band), width)):
        bits = bytes(colour) + bytes((1 << number,)) + bytes(255 - colour)
        # the rows as large numbers: Python combines all columns of them at once
        columns |= int.from_bytes(band[start : start + width].translate(bits))
    sixels = columns.to_bytes(width).translate(_SIXELS)
    return _SIXEL_RUN.sub(lambda run: b"!%d%s" % (len(run[0]), run[1]), sixels).decode()


KITTY = TerminalProtocol(name="kitty", form="png", pixels_per_column=10, draw=kitty)
ITERM2 = TerminalProtocol(name="iterm2", form="jpeg", pixels_per_column=10, draw=iterm2)
SIXEL = TerminalProtocol(name="sixel", form="palette", pixels_per_column=10, draw=sixel)
BLOCKS = TerminalProtocol(name="blocks", form="rgb", pixels_per_column=1, draw=blocks)
