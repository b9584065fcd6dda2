"""The imports of the sandbox."""
# ruff: noqa: D103 - the names are sentences; a docstring could only say them again

import subprocess
import sys


def test_importing_the_sandbox_loads_neither_web_server_nor_pillow() -> None:
    heavy = ("starlette", "uvicorn", "httpx2", "PIL")
    code = f"import sys, journey_mcp.sandbox; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_sandbox_imports_no_other_package_of_journey_mcp() -> None:
    code = (
        "import sys, journey_mcp.sandbox.app, journey_mcp.sandbox.connections, journey_mcp.sandbox.drawing;"
        "print(sorted(m for m in sys.modules if m.startswith('journey_mcp.') and '.sandbox' not in m))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
