"""A stand-in for S3 in tests: moto's server, as a process that can be stopped and continued."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from support import free_port

_STARTED_WITHIN_S = 60.0
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "made-up-secret"}


@dataclass(frozen=True)
class ObjectStoreServer:
    """A running server with one bucket."""

    process: subprocess.Popen[bytes]
    origin: str

    def address(self, prefix: str, **options: str) -> str:
        """Return the setting for a part of the bucket."""
        more = "".join(f"&{name}={value}" for name, value in options.items())
        return f"s3://images/{prefix}?endpoint={self.origin}&region=us-east-1{more}"

    def keys(self, prefix: str) -> dict[str, int]:
        """Return the keys below a prefix, with their sizes; asked without our own client."""
        import boto3  # noqa: PLC0415  # comes with the stand-in

        client: Any = boto3.client("s3", endpoint_url=self.origin, region_name="us-east-1")
        found = client.list_objects_v2(Bucket="images", Prefix=f"{prefix}/").get("Contents", ())
        return {one["Key"].removeprefix(f"{prefix}/"): one["Size"] for one in found}

    def head(self, key: str) -> dict[str, Any]:
        """Return what the store says of an object."""
        import boto3  # noqa: PLC0415  # as above

        client: Any = boto3.client("s3", endpoint_url=self.origin, region_name="us-east-1")
        found: dict[str, Any] = client.head_object(Bucket="images", Key=key)
        return found

    def remove(self, key: str) -> None:
        """Delete an object, as a rule of the bucket may."""
        import boto3  # noqa: PLC0415  # as above

        client: Any = boto3.client("s3", endpoint_url=self.origin, region_name="us-east-1")
        client.delete_object(Bucket="images", Key=key)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Let it accept connections without an answer, as long as the block runs."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


@contextmanager
def running_object_store() -> Iterator[ObjectStoreServer]:
    """Run a server; on a developer's machine without it, the test is skipped."""
    if importlib.util.find_spec("moto") is None or importlib.util.find_spec("obstore") is None:
        problem = "there is no stand-in for S3: make system installs it"
        if os.environ.get("CI"):
            pytest.fail(problem)
        pytest.skip(problem)
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + _STARTED_WITHIN_S
        while True:
            try:
                httpx2.put(f"{origin}/images", trust_env=False).raise_for_status()
                break
            except httpx2.TransportError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)
        yield ObjectStoreServer(process, origin)
    finally:
        process.kill()
        process.wait()
