"""JSON with comments is edited in place: the content is as expected, and the rest of the text is as it was."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from journey_mcp.cli.install import jsonc
from journey_mcp.cli.install.editing import NotEditable

ENTRY = {"command": "/bin/journey-mcp", "env": {"KEY": "k"}}
PATH = ("mcpServers", "journey")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '{\n  "mcpServers": {\n    "journey": 1\n  }\n}\n'),
        ("// mine\n", '// mine\n{\n  "mcpServers": {\n    "journey": 1\n  }\n}\n'),
        ("{}", '{\n  "mcpServers": {\n    "journey": 1\n  }\n}'),
        ("{\r\n}\r\n", '{\r\n  "mcpServers": {\r\n    "journey": 1\r\n  }\r\n}\r\n'),
        ('{"mcpServers": {}}', '{"mcpServers": {"journey": 1}}'),
        ('{"mcpServers":{"a":1}}', '{"mcpServers":{"a":1, "journey": 1}}'),
        ('{"mcpServers": {"a": 1,}}', '{"mcpServers": {"a": 1, "journey": 1,}}'),
        ('{"mcpServers": {/* none */}}', '{"mcpServers": {/* none */ "journey": 1}}'),
        ('{"x": 0}', '{"x": 0, "mcpServers": {"journey": 1}}'),
        (
            '{\n\t"mcpServers": {\n\t\t"a": 1\n\t}\n}',
            '{\n\t"mcpServers": {\n\t\t"a": 1,\n\t\t"journey": 1\n\t}\n}',
        ),
        (
            '{\n    "mcpServers": {\n        "a": 1, // first\n        // last\n    }\n}',
            '{\n    "mcpServers": {\n        "a": 1, // first\n        "journey": 1,\n        // last\n    }\n}',
        ),
        (
            '{\n  "mcpServers": {\n    "a": 1 // first, "b"\n  }\n}',
            '{\n  "mcpServers": {\n    "a": 1, // first, "b"\n    "journey": 1\n  }\n}',
        ),
        (
            '{\n  "mcpServers": { // none\n  }\n}',
            '{\n  "mcpServers": { // none\n    "journey": 1\n  }\n}',
        ),
        ('{\n  "mcpServers": {}\n}', '{\n  "mcpServers": {\n    "journey": 1\n  }\n}'),
        ('{\n  "mcpServers": {\n    "a": 1 }\n}', '{\n  "mcpServers": {\n    "a": 1,\n    "journey": 1 }\n}'),
        ('{"mcpServers": {"journey": [2]}, "x": 0}', '{"mcpServers": {"journey": 1}, "x": 0}'),
        # readers take the last one of a name
        (
            '{"mcpServers": {"journey": 2, "journey": 3}}',
            '{"mcpServers": {"journey": 2, "journey": 1}}',
        ),
    ],
)
def test_a_value_is_put(before: str, after: str) -> None:
    """In the style of the file: indentation, line ends, comments, a comma after the last item."""
    assert jsonc.put(before, PATH, 1) == after


def test_an_object_is_written_as_the_file_is() -> None:
    """Its members are on lines of their own if those of the file are."""
    assert jsonc.put('{\n\t"mcpServers": {}\n}\n', PATH, ENTRY) == (
        '{\n\t"mcpServers": {\n\t\t"journey": {\n\t\t\t"command": "/bin/journey-mcp",\n'
        '\t\t\t"env": {\n\t\t\t\t"KEY": "k"\n\t\t\t}\n\t\t}\n\t}\n}\n'
    )


def test_an_element_is_appended_to_an_array() -> None:
    """By the index that follows the last one."""
    assert jsonc.put('{"inputs": [1]}', ("inputs", 1), 2) == '{"inputs": [1, 2]}'
    assert jsonc.put("{}", ("inputs", 0), 2) == '{\n  "inputs": [\n    2\n  ]\n}'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"journey": 1}', "{}"),
        ('{\n  "journey": 1\n}\n', "{}\n"),
        ('{"a": 1, "journey": 1, "b": 1}', '{"a": 1, "b": 1}'),
        ('{"journey": 1, "b": 1}', '{"b": 1}'),
        ('{"a": 1, "journey": 1}', '{"a": 1}'),
        ('{"a": 1, "journey": 1,}', '{"a": 1,}'),
        ('{\n  "a": 1,\n  "journey": 1\n}', '{\n  "a": 1\n}'),
        ('{\n  "journey": 1,\n  "a": 1\n}', '{\n  "a": 1\n}'),
        ('{\r\n  "a": 1, // a\r\n  "journey": 1\r\n}', '{\r\n  "a": 1 // a\r\n}'),
        ('{\n  "a": 1,\n  // ours\n  "journey": 1 // too\n}', '{\n  "a": 1\n  // ours\n  // too\n}'),
        ('{ // a\n  "journey": 1, "b": 2 }', '{ // a\n  "b": 2 }'),
        ('{\n  "journey": 1 /* c */,\n  "b": 2\n}', '{\n  /* c */\n  "b": 2\n}'),
        ('{ "journey": 1 /* c */ }', "{ /* c */ }"),
    ],
)
def test_a_value_is_removed(before: str, after: str) -> None:
    """With its line and its comma; comments stay."""
    assert jsonc.remove(before, ("journey",)) == after


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("{", "line 1, column 2: expected a name in double quotes"),
        ('{\n  "a": 1\n  "b": 2\n}', "line 3, column 3: expected a comma or }"),
        ('{"a" 1}', "line 1, column 6: expected a colon"),
        ("{a: 1}", "line 1, column 2: expected a name in double quotes"),
        ('{"a": }', "line 1, column 7: expected a value"),
        ('{"a": 01}', "line 1, column 7: expected a value"),
        ('{"a": nullable}', "line 1, column 7: expected a value"),
        ('{"a": "b\n"}', "line 1, column 7: expected a valid string"),
        ('{"a": "\\q"}', "line 1, column 7: expected a valid string"),
        ("{} {}", "line 1, column 4: expected the end of the file"),
        ("{} /* a", "line 1, column 4: expected the end of the file"),
        ('{"a": [1 2]}', "line 1, column 10: expected a comma or ]"),
        ('{"a": [,]}', "line 1, column 8: expected a value"),
        ("[" * 300, "line 1, column 202: nested more than 200 deep"),
        ("[1]", "line 1, column 1: expected an object"),
    ],
)
def test_a_wrong_text_is_refused(text: str, where: str) -> None:
    """The error says where, counted as in editors."""
    with pytest.raises(NotEditable, match=f"^{re.escape(where)}"):
        jsonc.parse(text)


@pytest.mark.parametrize(
    ("text", "path", "where"),
    [
        ('{"mcpServers": null}', PATH, "line 1, column 16: expected an object"),
        ('{"mcpServers": []}', PATH, "line 1, column 16: expected an object"),
        ('{"inputs": {}}', ("inputs", 0), "line 1, column 12: expected an array"),
    ],
)
def test_something_else_in_the_place_of_a_container_is_refused(text: str, path: Any, where: str) -> None:
    """It is not replaced: nobody knows what it means."""
    with pytest.raises(NotEditable, match=f"^{re.escape(where)}"):
        jsonc.put(text, path, 1)


NAMES = st.sampled_from(["mcpServers", "journey", "a", "ä\n", 'q"\\', ""])
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-9, 10**20), st.floats(allow_nan=False, allow_infinity=False))
PLAIN = st.recursive(
    SCALARS | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3)
)
BOOLEANS = st.booleans()
BLANKS = st.sampled_from(["", " ", "\n", "\r\n  ", "\t", '// } , "\n', "/* , { */", " /**/ ", "\n  // x\r\n  "])


@st.composite
def texts(draw: st.DrawFn, plain: Any) -> str:
    """Write a value with blanks, comments and commas anywhere."""

    def written(value: Any) -> str:
        if isinstance(value, dict):
            items = [json.dumps(name) + draw(BLANKS) + ":" + written(item) for name, item in value.items()]
        elif isinstance(value, list):
            items = [written(item) for item in value]
        else:
            return draw(BLANKS) + json.dumps(value, ensure_ascii=draw(BOOLEANS)) + draw(BLANKS)
        inner = ",".join(draw(BLANKS) + item + draw(BLANKS) for item in items)
        inner += "," + draw(BLANKS) if draw(BOOLEANS) and items else draw(BLANKS)
        return draw(BLANKS) + ("{%s}" if isinstance(value, dict) else "[%s]") % inner + draw(BLANKS)

    return written(plain)


@st.composite
def files(draw: st.DrawFn) -> tuple[dict[str, Any], str]:
    """Return the content of a file, which may have the entry, and its text."""
    content = draw(st.dictionaries(NAMES, PLAIN, max_size=3))
    if not isinstance(content.get("mcpServers"), dict):
        content["mcpServers"] = draw(st.dictionaries(NAMES, PLAIN, max_size=3))
    return content, draw(texts(content))


def comments(text: str) -> list[str]:
    """Return the comments of a text; in strings there are none."""
    found = re.findall(r'"(?:[^"\\]|\\.)*"|//[^\r\n]*|/\*.*?\*/', text, re.DOTALL)
    return [one for one in found if not one.startswith('"')]


@given(files(), PLAIN)
def test_any_value_is_put_into_any_file(file: tuple[dict[str, Any], str], value: Any) -> None:
    """The content is as expected, and a value that was not there can be removed again without a trace."""
    content, text = file
    assert jsonc.parse(text) == content
    put = jsonc.put(text, PATH, value)
    assert jsonc.parse(put) == {**content, "mcpServers": {**content["mcpServers"], "journey": value}}
    if "journey" not in content["mcpServers"]:
        assert comments(put) == comments(text)
        removed = jsonc.remove(put, PATH)
        # blanks at the end of an empty container are not kept
        assert removed == text if content["mcpServers"] else "".join(removed.split()) == "".join(text.split())


@given(files())
def test_any_value_is_removed_from_any_file(file: tuple[dict[str, Any], str]) -> None:
    """The rest of the content stays, also if comments are around it."""
    content, text = file
    for name in list(content):
        rest = {other: value for other, value in content.items() if other != name}
        assert jsonc.parse(jsonc.remove(text, (name,))) == rest
    for at, _ in enumerate(content.get("a", []) if isinstance(content.get("a"), list) else []):
        rest = {**content, "a": content["a"][:at] + content["a"][at + 1 :]}
        assert jsonc.parse(jsonc.remove(text, ("a", at))) == rest
