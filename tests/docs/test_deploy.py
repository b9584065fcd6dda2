"""The files in `deploy/`: valid for the programs that read them, and in step with the settings and the command line."""

import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from journey_mcp.settings import variables
from journey_mcp.settings.image_store import ImageStoreAddress

DEPLOY = Path(__file__).parents[2] / "deploy"


def command(words: list[str]) -> tuple[str, ...]:
    """Return the subcommand and the options, without their values, of a way to start the server."""
    return words[0], *(word for word in words if word.startswith("--"))


SERVED = ("serve", "--host", "--port", "--trust-proxy")


def compose() -> Any:
    """Return the Compose file."""
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def documents() -> dict[str, Any]:
    """Return the objects of the Kubernetes manifest by kind."""
    return {one["kind"]: one for one in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())}


@pytest.mark.parametrize("file", sorted(DEPLOY.iterdir()), ids=lambda file: file.name)
def test_every_variable_is_a_setting(file: Path) -> None:
    """A setting that was renamed would silently have no effect."""
    named = set(re.findall(r"\bJOURNEY_MCP_\w+", file.read_text()))
    assert named <= set(variables())


def test_the_compose_file_starts_replicas_behind_a_proxy() -> None:
    """They wait for the database and the store, have time to end, and cannot write anywhere else."""
    services = compose()["services"]
    replicas = [service for name, service in services.items() if name.startswith("replica-")]
    assert len(replicas) == 2
    for replica in replicas:
        assert command(replica["command"]) == SERVED
        assert set(replica["depends_on"]) == {"postgres", "objects"}
        assert ImageStoreAddress.parse(replica["environment"]["JOURNEY_MCP_STORE"]).endpoint == "http://objects:8333"
        assert replica["read_only"]
        assert int(replica["stop_grace_period"].removesuffix("s")) >= 15
    assert services["proxy"]["ports"] == ["127.0.0.1:8080:8080"]
    assert not any("ports" in services[name] for name in ("postgres", "objects"))


def test_the_kubernetes_manifest_is_valid() -> None:
    """By the schemas of the newest version, with no field that it does not know."""
    version = kubernetes_validate.latest_version()
    for document in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()):
        kubernetes_validate.validate(document, version, strict=True)
    pod = documents()["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert command(container["args"]) == SERVED
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert pod["terminationGracePeriodSeconds"] >= 15


def test_the_container_file_has_no_finding() -> None:
    """Of hadolint; and it does not run as root."""
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([linter, DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    assert re.search(r"^USER (?!0\b|root\b)", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)


def test_the_image_keeps_its_data_in_a_volume() -> None:
    """Which its user may write to."""
    instructions = (DEPLOY / "Dockerfile").read_text().splitlines()
    assert "VOLUME /data" in instructions
    assert any("JOURNEY_MCP_DATA_DIR=/data" in line for line in instructions if line.startswith("ENV "))
    assert any("install --directory --owner=journey --mode=0700 /data" in line for line in instructions)


def test_the_unit_of_systemd_starts_one_replica_a_port() -> None:
    """With a time to end that is enough."""
    unit = ConfigParser(strict=False, interpolation=None)
    unit.read(DEPLOY / "journey-mcp@.service")
    service = unit["Service"]
    assert command(service["ExecStart"].split()[1:]) == SERVED
    assert service["DynamicUser"] == "yes"
    assert int(service["TimeoutStopSec"]) >= 15


def test_the_proxy_repeats_no_request_that_may_have_arrived() -> None:
    """A repeated creating request is paid for twice."""
    text = (DEPLOY / "haproxy.cfg").read_text()
    assert re.findall(r"^\s*retry-on (.+)$", text, re.MULTILINE) == ["conn-failure"]
    assert "option http-no-delay" in text
