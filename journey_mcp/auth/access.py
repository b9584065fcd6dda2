"""Access: the tokens that a server accepts, from its settings."""

from functools import partial
from typing import TYPE_CHECKING

from journey_mcp.auth.errors import CannotVerify, InvalidToken
from journey_mcp.auth.identity import Identity
from journey_mcp.auth.metadata import ProtectedResource
from journey_mcp.auth.tokens_file import PREFIX, TokensFile
from journey_mcp.core.clock import Clock
from journey_mcp.core.errors import SetupError
from journey_mcp.core.limits import NO_PRINCIPAL_LIMITS, PrincipalLimits
from journey_mcp.core.reports import report
from journey_mcp.net.safe_http import SafeHttpClient
from journey_mcp.settings import Settings

if TYPE_CHECKING:
    from journey_mcp.auth.issuer_keys import IssuerKeys
    from journey_mcp.auth.oauth import OAuthTokens

_MAX_DOCUMENT_BYTES = 1024 * 1024
_DOCUMENT_WITHIN_S = 5.0
_RETRY_AFTER_S = 5


class Access:
    """The accepted tokens: those of a file begin with `jmcp_`, all others are of an OAuth issuer."""

    def __init__(
        self,
        *,
        tokens: TokensFile | None = None,
        oauth: "OAuthTokens | None" = None,
        resource: ProtectedResource | None = None,
    ) -> None:
        self._tokens = tokens
        self._oauth = oauth
        self.resource = resource
        """The metadata for clients of the OAuth issuer, if there is one."""

    @property
    def limits(self) -> PrincipalLimits:
        """The limits of single principals: those that the tokens file states."""
        return self._tokens or NO_PRINCIPAL_LIMITS

    async def identify(self, token: str) -> Identity:
        """Return whose token this is.

        Raises:
            InvalidToken: it is not valid.
            CannotVerify: that cannot be found out now.
        """
        try:
            if token.startswith(PREFIX) and self._tokens is not None:
                return self._tokens.identify(token)
            if not token.startswith(PREFIX) and self._oauth is not None:
                return await self._oauth.identify(token)
        except (InvalidToken, CannotVerify):
            raise
        except Exception as error:
            because = f"The token cannot be verified; report id {report('a token could not be verified', error)}."
            raise CannotVerify(because, retry_after_s=_RETRY_AFTER_S) from error
        raise InvalidToken("This server takes no tokens of this kind.")


def access_of(settings: Settings, clock: Clock | None = None) -> Access | None:
    """Return the access that the settings describe; `None` without authentication.

    Raises:
        SetupError: the tokens file cannot be read, or a setting is missing.
    """
    clock = clock or Clock()
    if settings.tokens_file is None and settings.oauth_issuer is None:
        return None
    tokens = TokensFile(settings.tokens_file, clock) if settings.tokens_file else None
    if settings.oauth_issuer is None:
        return Access(tokens=tokens)
    if settings.endpoint_url is None:
        raise SetupError(
            "JOURNEY_MCP_OAUTH_ISSUER needs the address under which clients reach this server.",
            next_step="Set JOURNEY_MCP_SERVER_URL, as in https://mcp.example.com.",
        )
    from journey_mcp.auth.oauth import OAuthTokens  # noqa: PLC0415  # only OAuth needs PyJWT

    audience = settings.oauth_audience or settings.endpoint_url
    keys = issuer_keys(settings, settings.oauth_issuer, clock)
    oauth = OAuthTokens(settings.oauth_issuer, audience, keys, clock)
    return Access(tokens=tokens, oauth=oauth, resource=ProtectedResource(settings.endpoint_url, settings.oauth_issuer))


def issuer_keys(settings: Settings, issuer: str, clock: Clock) -> "IssuerKeys":
    """Return the keys of this issuer, which are fetched when they are needed."""
    from journey_mcp.auth.issuer_keys import IssuerKeys  # noqa: PLC0415  # as above

    # the person who runs the server named the issuer, which may be in their own network
    client = SafeHttpClient(settings.trusted_hosts).with_trusted(issuer)
    return IssuerKeys(issuer, partial(_fetch, client), clock)


async def _fetch(client: SafeHttpClient, url: str) -> bytes:
    return (await client.get(url, max_bytes=_MAX_DOCUMENT_BYTES, within_s=_DOCUMENT_WITHIN_S)).content
