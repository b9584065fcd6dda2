"""Signed links to stored images: only ours, only until they expire, and with both keys during a rotation."""

import pytest

from journey_mcp.core.image_links import ImageLinks
from journey_mcp.core.images import ImageId, UploadId

TASK = "tsk_" + "a" * 22
NAME = f"{TASK}.2.png"
OLD, NEW = b"o" * 32, b"n" * 32
NOW = 1_795_880_123.5
LINKS = ImageLinks([OLD], "https://mcp.example.com/journey/")


def parts(links: ImageLinks, name: str = NAME, now: float = NOW) -> tuple[str, str]:
    """Return expiry and signature of a new link."""
    link = links.for_an_hour(name, now=now)
    assert link is not None
    base, _, query = link.url.partition("?e=")
    assert base == f"https://mcp.example.com/journey/images/{name}"
    expiry, _, signature = query.partition("&s=")
    return expiry, signature


def test_a_link_works_until_it_expires() -> None:
    """For an hour, to the second."""
    expiry, signature = parts(LINKS)
    assert len(signature) == 32
    assert LINKS.verify(NAME, expiry, signature, now=NOW) == float(expiry) == int(NOW) + 3600
    assert LINKS.verify(NAME, expiry, signature, now=int(NOW) + 3599.9) is not None
    assert LINKS.verify(NAME, expiry, signature, now=int(NOW) + 3600) is None


def test_links_of_results_are_the_same_for_an_hour() -> None:
    """And work for 23 hours at least and a day at most."""
    first = LINKS.for_a_day(NAME, now=NOW)
    assert first is not None
    assert 23 * 3600 < first.expires_at - NOW <= 24 * 3600
    start = int(NOW) // 3600 * 3600
    assert LINKS.for_a_day(NAME, now=start) == LINKS.for_a_day(NAME, now=start + 3599.9) == first
    assert LINKS.for_a_day(NAME, now=start + 3600) != first


def test_nothing_of_a_link_can_be_changed() -> None:
    """Neither the image, nor the ending, nor the expiry; and other spellings are not ours."""
    expiry, signature = parts(LINKS)
    for name, e, s in (
        (f"{TASK}.1.png", expiry, signature),
        (f"{TASK}.2.jpg", expiry, signature),
        (NAME, str(int(expiry) + 1), signature),
        (NAME, f"0{expiry}", signature),
        (NAME, f"{expiry}.0", signature),
        (NAME, "", signature),
        (NAME, expiry, ""),
        (NAME, expiry, signature.upper()),
        (NAME, expiry, signature[:-1]),
        (NAME, expiry, signature + "0"),
        (NAME, expiry, "é" * 32),
        (f"../{NAME}", expiry, signature),
        (f"{TASK}.2", expiry, signature),
    ):
        assert LINKS.verify(name, e, s, now=NOW) is None, (name, e, s)


def test_a_signature_is_only_for_names_of_images() -> None:
    """Even if somebody made us sign another name."""
    expiry, signature = parts(LINKS, "tasks.db")
    assert LINKS.verify("tasks.db", expiry, signature, now=NOW) is None


def test_links_survive_the_rotation_of_the_key() -> None:
    """The old key verifies until it is removed; the new one signs."""
    old = parts(LINKS)
    both = ImageLinks([NEW, OLD], "https://mcp.example.com/journey")
    new = parts(both)
    assert new != old
    assert both.verify(NAME, *old, now=NOW)
    assert both.verify(NAME, *new, now=NOW)
    only = ImageLinks([NEW], "https://mcp.example.com/journey")
    assert only.verify(NAME, *new, now=NOW)
    assert only.verify(NAME, *old, now=NOW) is None


def test_without_an_address_there_are_no_links() -> None:
    """As on stdio."""
    links = ImageLinks([OLD], None)
    assert (links.for_a_day(NAME, now=NOW), links.for_an_hour(NAME, now=NOW)) == (None, None)
    assert links.image_of(f"https://mcp.example.com/journey/images/{NAME}") is None


@pytest.mark.parametrize(
    ("url", "image"),
    [
        (f"https://mcp.example.com/journey/images/{NAME}?e=1&s=x", ImageId(TASK, 2)),
        (f"https://mcp.example.com/journey/images/up_{'b' * 22}.jpg", UploadId("up_" + "b" * 22)),
        (f"https://mcp.example.com/images/{NAME}", None),
        (f"http://mcp.example.com/journey/images/{NAME}", None),
        (f"https://other.example.com/journey/images/{NAME}", None),
        (f"https://mcp.example.com/journey/images/x/../{NAME}", None),
        ("https://mcp.example.com/journey/images/", None),
    ],
)
def test_a_link_names_its_image(url: str, image: ImageId | UploadId | None) -> None:
    """So that a model may give it back as an image; whether it has expired does not matter then."""
    assert LINKS.image_of(url) == image
