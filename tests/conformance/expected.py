"""The expected results: the scenarios that the server passes, and the checks that do not apply to it.

journey-mcp has other tools, prompts and resources than the suite's, and no logging: scenarios that need one of these
are not in the list. They still run, and their messages must be valid; a scenario that passes without
being listed is an error of this list.
"""

from collections.abc import Iterator, Mapping

from conformance.suite import Outcome

Scenarios = Mapping[str, frozenset[str]]
"""By scenario, the checks that do not succeed."""
Outcomes = Mapping[str, Outcome]
"""The results by scenario."""

_WIRE = "wire-schema-valid"
_PASSED: frozenset[str] = frozenset()

_WITHOUT_ITS_TOOLS = frozenset(
    {
        # test_missing_capability, test_streaming_elicitation, test_logging_tool
        "sep-2575-server-rejects-undeclared-capability",
        "sep-2575-missing-capability-http-400",
        "sep-2575-http-server-no-independent-requests-on-stream",
        "sep-2575-server-no-log-without-loglevel",
        # tools that change the lists of tools and prompts
        "sep-2575-server-sends-prompts-list-changed-on-subscription",
        "sep-2575-server-sends-tools-list-changed-on-subscription",
    }
)
_BEFORE_A_REVISION = frozenset(
    {
        # as the first message on stdio, a request without a revision belongs to 2025-11-25 before its handshake
        "sep-2575-request-meta-invalid-missing-meta",
        "sep-2575-request-meta-invalid-missing-protocol-version",
    }
)
_HTTP_STATUS = frozenset(
    {
        "sep-2575-http-server-meta-invalid-400",
        "sep-2575-http-server-unsupported-version-400",
        "sep-2575-http-server-header-mismatch-400",
        "sep-2575-http-server-method-not-found-404",
        *(
            f"sep-2575-http-server-method-not-found-404-{method}"
            for method in ("initialize", "ping", "logging-setlevel", "resources-subscribe", "resources-unsubscribe")
        ),
    }
)

WITHOUT_REQUIREMENTS = frozenset({"2025-06-18"})
"""Revisions for which the suite has scenarios and no set of required ones."""
PRODUCT: Mapping[str, Scenarios] = {
    "2025-06-18": {
        "server-initialize": _PASSED,
        "ping": _PASSED,
        "tools-list": _PASSED,
        "prompts-list": _PASSED,
        "resources-list": _PASSED,
    },
    "2025-11-25": {
        "server-initialize": _PASSED,
        "ping": _PASSED,
        "tools-list": _PASSED,
        "prompts-list": _PASSED,
        "resources-list": _PASSED,
        "dns-rebinding-protection": _PASSED,
    },
    "2026-07-28": {
        "server-stateless": _WITHOUT_ITS_TOOLS,
        "tools-list": _PASSED,
        "server-sse-multiple-streams": _PASSED,
        "dns-rebinding-protection": _PASSED,
        "http-header-validation": _PASSED,
        "input-required-result-unsupported-methods": _PASSED,
        "input-required-result-validate-input": _PASSED,
        "caching": _PASSED,
        "prompts-list": _PASSED,
        "resources-list": _PASSED,
        "sep-2164-resource-not-found": _PASSED,
    },
}
"""What `journey-mcp serve --port` passes, by revision."""

STDIO: Scenarios = {
    "server-initialize": _PASSED,
    "ping": _PASSED,
    "tools-list": _PASSED,
    "server-stateless": _WITHOUT_ITS_TOOLS | _HTTP_STATUS | _BEFORE_A_REVISION,
    "input-required-result-unsupported-methods": _PASSED,
    "input-required-result-validate-input": _PASSED,
    "caching": _PASSED,
    "prompts-list": _PASSED,
    "resources-list": _PASSED,
    "sep-2164-resource-not-found": _PASSED,
}
"""What the server on stdio passes, with its recorded first responses; scenarios about HTTP itself are omitted."""

TASKS = (
    "tasks-lifecycle",
    "tasks-capability-negotiation",
    "tasks-wire-fields",
    "tasks-request-state-removal",
    "tasks-mrtr-input",
    "tasks-request-headers",
    "tasks-dispatch-and-envelope",
    "tasks-required-task-error",
    "tasks-mrtr-composition",
)
"""What the server with the fixtures passes, in revision 2026-07-28."""

EMPTY = ("tasks-status-notifications",)
"""Scenarios of the tasks extension that the suite still skips. When it runs them, they must pass."""


def problems(found: Outcomes, expected: Scenarios) -> Iterator[str]:
    """Yield the differences from the expected results, in both directions."""
    for name in sorted(expected.keys() - found.keys()):
        yield f"{name} was not run"
    for name, outcome in sorted(found.items()):
        applies = expected.get(name)
        if applies is None:
            if _WIRE in outcome.problems:
                yield f"{name}, {_WIRE}: {outcome.problems[_WIRE]}"
            if not outcome.problems and outcome.succeeded - {_WIRE}:
                yield f"{name} passes and is not in the list"
            continue
        for check in sorted(outcome.problems.keys() - applies):
            yield f"{name}, {check}: {outcome.problems[check]}"
        for check in sorted(applies - outcome.problems.keys()):
            yield f"{name}, {check} is listed as not applicable and passes"
        if not outcome.succeeded:
            yield f"{name} checked nothing"
