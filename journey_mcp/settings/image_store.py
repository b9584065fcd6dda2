"""The address of an object store for images, as `JOURNEY_MCP_STORE` states it."""

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

_SCHEMES = ("s3", "gs", "az")
_FORM = "must be s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://ACCOUNT/CONTAINER/PREFIX"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,221}")
_PREFIX = re.compile(r"[A-Za-z0-9._/-]{0,400}")
_OF_S3 = ("endpoint", "region")
_OPTIONS = (*_OF_S3, "links")


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageStoreAddress:
    """A bucket, or a container of an account, and the beginning of its keys."""

    text: str
    scheme: str
    bucket: str
    prefix: str
    account: str | None = None
    """Of Azure."""
    endpoint: str | None = None
    """Of a store that is compatible with S3."""
    region: str | None = None
    redirects: bool = False
    """Our links redirect to links of the store itself."""

    @classmethod
    def parse(cls, text: str) -> "ImageStoreAddress":
        """Parse an address.

        Raises:
            ValueError: a clause, to follow a colon.
        """
        parts = urlsplit(text)
        if parts.scheme not in _SCHEMES:
            raise ValueError(_FORM)
        if "@" in parts.netloc:
            raise ValueError("must have no user name or password: credentials come from variables of their own")
        account, path = None, parts.path.strip("/")
        bucket = parts.netloc
        if parts.scheme == "az":
            account = bucket
            bucket, _, path = path.partition("/")
        is_prefix = _PREFIX.fullmatch(path) and ".." not in path and "//" not in path
        if not (_NAME.fullmatch(bucket) and (account is None or _NAME.fullmatch(account)) and is_prefix):
            raise ValueError(_FORM)
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        if unknown := next((name for name in options if name not in _OPTIONS), None):
            raise ValueError(f"has the unknown option {unknown!r}; there are {', '.join(_OPTIONS)}")
        if parts.scheme != "s3" and (only := next((name for name in _OF_S3 if name in options), None)):
            raise ValueError(f"has the option {only!r}, which is for s3:// only")
        return cls(
            text=text,
            scheme=parts.scheme,
            bucket=bucket,
            prefix=path.rstrip("/"),
            account=account,
            endpoint=_endpoint(options.get("endpoint")),
            region=options.get("region"),
            redirects=_redirects(options.get("links", "ours")),
        )

    def __str__(self) -> str:
        return self.text


def _endpoint(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        parts = urlsplit(text)
        is_address = (
            parts.scheme in {"http", "https"} and parts.hostname and "@" not in parts.netloc and parts.port != 0
        )
    except ValueError:  # of the port
        is_address = False
    if not is_address:
        raise ValueError("has an endpoint that is no address such as https://minio.example.com")
    return text.rstrip("/")


def _redirects(text: str) -> bool:
    if text not in {"ours", "store"}:
        raise ValueError("has links= neither ours (default: this server serves images) nor store (it redirects)")
    return text == "store"
