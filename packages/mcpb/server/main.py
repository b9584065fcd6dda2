"""Start the server, which uv has installed from the bundle's `pyproject.toml`."""

from journey_mcp.__main__ import main

if __name__ == "__main__":
    main()
