"""The address of an object store."""

import sys

import pytest

from journey_mcp.core.errors import SetupError
from journey_mcp.media.object_store import open_object_store
from journey_mcp.settings import read_settings
from journey_mcp.settings.image_store import ImageStoreAddress
from journey_mcp.store.objects import ObjectTable


def parsed(text: str) -> ImageStoreAddress:
    """Return the setting."""
    found = read_settings({"JOURNEY_MCP_STORE": text}).store
    assert found is not None
    return found


def test_a_bucket_and_a_prefix() -> None:
    """The prefix may be missing, and end with a slash."""
    assert (parsed("s3://b").bucket, parsed("s3://b/").prefix) == ("b", "")
    found = parsed("s3://my-bucket/a/b/?endpoint=http://minio:9000/&region=eu-1&links=store")
    assert (found.bucket, found.prefix, found.endpoint, found.region) == (
        "my-bucket",
        "a/b",
        "http://minio:9000",
        "eu-1",
    )
    assert found.redirects
    assert not parsed("gs://b/p").redirects


def test_azure_has_an_account_and_a_container() -> None:
    """In this order."""
    found = parsed("az://account/container/p")
    assert (found.account, found.bucket, found.prefix) == ("account", "container", "p")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("/var/images", "must be s3://"),
        ("https://bucket.example.com", "must be s3://"),
        ("s3:///prefix", "must be s3://"),
        ("az://account", "must be s3://"),
        ("s3://b/a/../b", "must be s3://"),
        ("s3://b/a b", "must be s3://"),
        ("s3://b?endpont=https://x", "unknown option 'endpont'"),
        ("s3://b?endpoint=http://minio:99999", "has an endpoint that is no address"),
        ("gs://b?region=eu-1", "has the option 'region', which is for s3:// only"),
        ("s3://b?endpoint=minio", "has an endpoint that is no address"),
        ("s3://b?endpoint=https://a:b@minio", "has an endpoint that is no address"),
        ("s3://b?links=maybe", "links= neither ours"),
    ],
)
def test_anything_else_is_refused(text: str, says: str) -> None:
    """With the variable, what is wrong, and what is allowed."""
    with pytest.raises(SetupError, match="JOURNEY_MCP_STORE=") as raised:
        parsed(text)
    assert says in str(raised.value)


def test_credentials_in_the_address_are_refused_and_not_shown() -> None:
    """They have variables of their own."""
    with pytest.raises(SetupError, match="no user name or password") as raised:
        parsed("s3://key:secret@bucket/p")
    assert "secret@" not in str(raised.value)
    assert "key:" not in str(raised.value)


def test_without_the_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """With pip."""
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(SetupError, match=r"library for object stores is not installed") as raised:
        open_object_store(parsed("s3://b"), NoObjects())
    assert raised.value.failure.next_step == "Install it: pip install 'journey-mcp[objects]'"


class NoObjects(ObjectTable):
    """An index that is never asked."""

    def __init__(self) -> None:
        pass
