"""What every command does first: read the settings and send the logs to stderr."""

import logging
import os

from journey_mcp import logs
from journey_mcp.core.errors import SetupError
from journey_mcp.core.redaction import secrets_in
from journey_mcp.settings import Settings, misspelled, read_settings


def ready_settings() -> Settings:
    """The settings of the environment, with logs set up accordingly.

    Raises:
        SetupError: as `read_settings`.
    """
    try:
        settings = read_settings(os.environ)
    except SetupError:
        logs.set_up("warning", secrets_in(os.environ))
        raise
    logs.set_up(settings.log_level, settings.secrets)
    for name in misspelled(os.environ):
        logging.getLogger("journey_mcp").warning("%s is not a setting of journey-mcp", name)
    return settings
