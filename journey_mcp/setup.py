"""What every command does first: read the settings and send the logs to stderr."""

import logging
import os

from journey_mcp import logs
from journey_mcp.settings import Settings, misspelled, read_settings


def ready_settings() -> Settings:
    """The settings of the environment, with logs set up accordingly.

    Raises:
        SetupError: as `read_settings`.
    """
    settings = read_settings(os.environ)
    logs.set_up(settings.log_level, settings.secrets)
    for name in misspelled(os.environ):
        logging.getLogger("journey_mcp").warning("%s is not a setting of journey-mcp", name)
    return settings
