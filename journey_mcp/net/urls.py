"""URLs in the form in which an HTTP client sends them."""

import httpx2


def in_ascii(url: str) -> str:
    """Return the URL with its host by IDNA and the rest percent-encoded.

    Raises:
        ValueError: no HTTP client takes it.
    """
    try:
        return str(httpx2.URL(url))
    except httpx2.InvalidURL as error:
        raise ValueError(str(error)) from error
