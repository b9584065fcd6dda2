"""Aspect ratios as people and models write them."""

import pytest

from journey_mcp.core.images import AspectRatio
from journey_mcp.routing.aspect_ratios import parse

ALLOWED = [AspectRatio(*sides) for sides in ((1, 1), (16, 9), (9, 16), (4, 3), (3, 4), (3, 2), (2, 3))]


@pytest.mark.parametrize(
    ("text", "ratio"),
    [
        ("16x9", "16:9"),
        ("16X9", "16:9"),
        ("16/9", "16:9"),
        ("16 : 9", "16:9"),
        ("16\uff1a9", "16:9"),
        ("\uff11\uff16\uff1a\uff19", "16:9"),
        ("16\u22369", "16:9"),
        ("16\u00d79", "16:9"),
        ("16-9", "16:9"),
        ("16_9", "16:9"),
        ("16 9", "16:9"),
        ("16 by 9", "16:9"),
        ("16:9 (landscape)", "16:9"),
        ("--ar 16:9", "16:9"),
        ("landscape_16_9", "16:9"),
        ("portrait_4_3", "3:4"),
        ("9:16 landscape", "16:9"),
        ("32:18", "16:9"),
        ("4x5", "3:4"),
        ("1024x1024", "1:1"),
        ("1792x1024", "16:9"),
        ("1024x1792 px", "9:16"),
        ("1536*1024", "3:2"),
        ("800:600", "4:3"),
        ("1.78", "16:9"),
        ("1,78", "16:9"),
        ("0.5625", "9:16"),
        ("1.5:1", "3:2"),
        ("1", "1:1"),
        ("landscape", "3:2"),
        ("Portrait orientation", "2:3"),
        ("SQUARE", "1:1"),
        ("square_hd", "1:1"),
        ("wide", "16:9"),
        ("vertical", "9:16"),
        ("panorama", "16:9"),
        ("sixteen by nine", "16:9"),
        ("Four to Three", "4:3"),
        ("three by two", "3:2"),
        ("phone wallpaper", "9:16"),
        ("Instagram story", "9:16"),
        ("YouTube thumbnail", "16:9"),
        ("AspectRatio.RATIO_16_9", "16:9"),
    ],
)
def test_a_ratio_is_parsed_in_any_notation(text: str, ratio: str) -> None:
    """The nearest of the allowed ratios replaces it."""
    reading = parse(text)
    assert reading
    assert str(reading.nearest(ALLOWED)) == ratio


@pytest.mark.parametrize("text", ["4:5", "21:9", "21x9", "2.39:1", "640x1536", "3"])
def test_a_ratio_far_from_all_allowed_ones_is_not_replaced(text: str) -> None:
    """Nor is one that is written `W:H` and is not among them."""
    reading = parse(text)
    assert reading
    assert reading.nearest(ALLOWED) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "banana",
        "16:9:4",
        "0:1",
        "1:0",
        "16:9 please",
        "0.001",
        "9999x1",
        "1080p",
        "4K",
        "x",
        ":",
        "-",
        "auto",
    ],
)
def test_a_text_without_a_ratio_or_with_more_is_not_guessed(text: str) -> None:
    """It is an error, which lists the allowed values."""
    assert parse(text) is None
