"""Media types of images."""

import pytest

from journey_mcp.core.images import OutputImage


@pytest.mark.parametrize(
    ("url", "stated", "known"),
    [
        ("https://x.test/a.png", None, "image/png"),
        ("https://x.test/a.JPG?sig=a.webp", None, "image/jpeg"),
        ("https://x.test/a.jpeg#b", None, "image/jpeg"),
        ("https://x.test/a.webp", None, "image/webp"),
        ("https://x.test/a.png", "image/webp", "image/webp"),
        ("https://x.test/a", None, None),
        ("https://x.test/a.php", None, None),
        ("https://x.test/?name=a.png", None, None),
        ("https://[x/a.png", None, None),
    ],
)
def test_the_type_is_the_stated_one_or_that_of_the_file_name(url: str, stated: str | None, known: str | None) -> None:
    """Otherwise it is unknown."""
    assert OutputImage(url=url, mime_type=stated).known_mime_type == known
