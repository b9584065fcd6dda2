"""An OAuth issuer on this machine: its metadata and its keys over real HTTP, and tokens signed with them."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt import algorithms
from server.auth.served import RESOURCE
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from support import serving

SUBJECT = "auth0|ada"
_NAMES = {"RS256": "RSA", "PS256": "RSA", "ES256": "EC", "EdDSA": "OKP"}


@cache
def private_key(algorithm: str, number: int = 0) -> Any:  # noqa: ARG001  # of each number another one
    """Return a key for an algorithm, made once."""
    match _NAMES[algorithm]:
        case "RSA":
            return rsa.generate_private_key(public_exponent=65537, key_size=2048)
        case "EC":
            return ec.generate_private_key(ec.SECP256R1())
    return ed25519.Ed25519PrivateKey.generate()


def public_jwk(key: Any, **more: Any) -> dict[str, Any]:
    """Return the public key as a JWK, with more members."""
    kind: Any = (
        algorithms.RSAAlgorithm
        if isinstance(key, rsa.RSAPrivateKey)
        else algorithms.ECAlgorithm
        if isinstance(key, ec.EllipticCurvePrivateKey)
        else algorithms.OKPAlgorithm
    )
    return {**kind.to_jwk(key.public_key(), as_dict=True), **more}


class Issuer:
    """What the issuer answers, and what it was asked; a test may change all of it."""

    def __init__(self) -> None:
        self.url = ""
        self.metadata: dict[str, Any] = {}
        self.paths = {"/.well-known/oauth-authorization-server"}
        """Where the metadata are."""
        self.keys = [public_jwk(private_key("ES256"), kid="one", use="sig", alg="ES256")]
        self.is_away = False
        self.asked: list[str] = []

    def token(
        self,
        algorithm: str = "ES256",
        key: Any = None,
        header: Mapping[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """Return a signed token; a claim or a member of the header that is `None` is left out."""
        now = int(time.time())
        usual = {"iss": self.url, "aud": RESOURCE, "sub": SUBJECT, "iat": now, "exp": now + 300}
        usual |= {"scope": "openid images:generate images:read", **claims}
        headers = {"typ": "at+jwt", "kid": "one", **(header or {})}
        payload = {name: value for name, value in usual.items() if value is not None}
        return jwt.encode(
            payload,
            private_key(algorithm) if key is None else key,
            algorithm,
            {name: value for name, value in headers.items() if value is not None},
        )

    async def answer(self, request: Request) -> Response:
        """Answer a request for the metadata or the keys."""
        self.asked.append(request.url.path)
        if self.is_away:
            return Response("away", 503)
        if request.url.path in self.paths:
            return JSONResponse({"issuer": self.url, "jwks_uri": f"{self.url}/keys", **self.metadata})
        if request.url.path.endswith("/keys"):
            return JSONResponse({"keys": self.keys})
        return Response("nothing here", 404)


@asynccontextmanager
async def running_issuer(path: str = "") -> AsyncIterator[Issuer]:
    """Run an issuer whose URL has this path."""
    issuer = Issuer()
    app = Starlette(routes=[Route("/{path:path}", issuer.answer)])
    async with serving(app) as origin:
        issuer.url = f"{origin}{path}"
        yield issuer
