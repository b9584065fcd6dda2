"""Images: media types, ids of uploads, ids in texts."""

import pytest

from journey_mcp.core.images import OutputImage, UploadId, mentioned_ids


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


@pytest.mark.parametrize("text", ["up_short", f"up_{'a' * 23}", f"up_{'a' * 21}!", f"tsk_{'a' * 22}", ""])
def test_other_texts_are_no_ids_of_uploads(text: str) -> None:
    """They have as many characters as ids of tasks."""
    assert UploadId.parse(text) is None


def test_a_new_upload_has_an_id_of_its_own() -> None:
    """It can be parsed, with blanks around it."""
    one, other = UploadId.new(), UploadId.new()
    assert one != other
    assert UploadId.parse(f" {one}\n") == one


def test_the_ids_in_a_text_are_found() -> None:
    """Those of images, not of tasks, and no part of a longer word."""
    image, upload = f"tsk_{'a' * 22}.12", f"up_{'b-_' * 7}b"
    text = f'{{"image":"{image}","mask":"{upload}","prompt":"tsk_{"a" * 22} x{image} {image}345 {upload}c"}}'
    assert mentioned_ids(text) == {image, upload}
