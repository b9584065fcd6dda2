"""Tables and findings at a terminal of 80 columns: no longer line, and no broken word."""

import pytest
from rich.cells import cell_len

from cli.command import CommandLine
from journey_mcp.cli.terminal import drawn_table
from journey_mcp.registry import load
from journey_mcp.sandbox import Running

PROMPTS = (
    "a lighthouse at dusk, photorealistic, in the style of an electroencephalographically inspired expressionist",
    "x",
)
COLUMNS = {
    "models": ["Model", "Command", "Offers", "Best at"],
    "tasks": ["Task", "Age", "Status", "Prompt"],
    "spend": ["Day", "Provider", "Model", "Tasks", "Credits", "USD"],
}
LONGEST_MODEL = max((offer.model for offer in load().offers if offer.synchronous and not offer.is_edit_only), key=len)
"""Of those that answer at once: a poll takes its time."""


async def with_tasks(journey: CommandLine, sandbox: Running) -> CommandLine:
    """Return the command line with a key for every provider, and tasks."""
    journey = journey.at_all(sandbox, JOURNEY_MCP_KEEP_IMAGES="off")
    for prompt in PROMPTS:
        assert (await journey.run("imagine", prompt, "--model", "z-image")).code == 0
    assert (await journey.run("imagine", "x", "--model", LONGEST_MODEL)).code == 0
    return journey


def words_of(lines: list[str]) -> set[str]:
    """Return the words of these lines."""
    return {word for line in lines for word in line.split()}


@pytest.mark.parametrize("command", COLUMNS)
async def test_a_table_fits_80_columns(journey: CommandLine, sandbox: Running, command: str) -> None:
    """It has some of the columns, and each of their words."""
    journey = await with_tasks(journey, sandbox)
    header, *rows = [line.split("\t") for line in (await journey.run(command)).out.splitlines()]
    lines = (await journey.run(command, "--format", "human")).out.splitlines()
    assert max(map(cell_len, lines)) <= 80
    cells = [row[header.index(name)] for row in rows for name in COLUMNS[command] if name != "Age"]
    assert words_of([cell.replace("*", "") for cell in cells]) <= words_of([line.replace("*", "") for line in lines])
    assert " ".join(lines[0].split()) == " ".join(COLUMNS[command])


@pytest.mark.parametrize("command", COLUMNS)
async def test_a_wide_table_has_all_columns(journey: CommandLine, sandbox: Running, command: str) -> None:
    """Each row is one line, however long."""
    journey = await with_tasks(journey, sandbox)
    header, *rows = (await journey.run(command)).out.splitlines()
    lines = (await journey.run(command, "--format", "human", "--wide")).out.splitlines()
    assert lines[0].split() == header.split()
    assert [*lines, ""].index("") == 1 + len(rows)  # the bars of `spend` come later


async def test_offers_in_english_only_are_marked(journey: CommandLine, sandbox: Running) -> None:
    """In a table; a pipe has a column."""
    journey = journey.at(sandbox)
    drawn = await journey.run("models", "--format", "human", "--wide")
    kontext = next(line for line in drawn.out.splitlines() if line.startswith("flux-kontext-pro"))
    assert "journeyapi* 4 credits" in kontext
    assert drawn.err == "* takes prompts in English only.\n"
    piped = await journey.run("models")
    assert "*" not in piped.out + piped.err


async def test_findings_fit_80_columns(journey: CommandLine, sandbox: Running) -> None:
    """Broken between words, and long ones in full."""
    journey = journey.at_all(sandbox, JOURNEY_MCP_BUDGET="90credits/day@journeyapi, 5usd/day@each")
    whole = await journey.run("doctor")
    assert max(map(len, whole.out.splitlines())) > 80
    wrapped = await journey.run("doctor", "--format", "human")
    too_long = [line for line in wrapped.out.splitlines() if len(line) > 80]
    assert [line.split() for line in too_long if len(line.split()) > 1] == []
    assert wrapped.out.split() == whole.out.split()
    assert (await journey.run("doctor", "--format", "human", "--wide")).out == whole.out


def test_the_longest_values_fit(capsys: pytest.CaptureFixture[str]) -> None:
    """Amounts of a busy month, the longest model and provider, and a task that runs."""
    spent = ["2026-11-29", "journeyapi", "flux-2-klein-9b-preview", "12345", "123456.75", "12345.6789"]
    task = ["tsk_T9D-0-HMDzPJqhI8gojA7A", "364 days", "running 100%", PROMPTS[0]]
    for name, row in (("spend", spent), ("tasks", task)):
        drawn_table.draw(COLUMNS[name], [row], fits=True)
        lines = capsys.readouterr().out.splitlines()
        assert max(map(cell_len, lines)) <= 80
        assert words_of(row) <= words_of(lines), name


def test_a_column_with_a_long_word_keeps_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The column with short words gives way, though it is not the widest."""
    monkeypatch.setenv("COLUMNS", "40")
    drawn_table.draw(["Offers", "Best at"], [["aa bb cc dd ee ff gg hh", f"{'z' * 25} y"]], fits=True)
    assert "z" * 25 in words_of(capsys.readouterr().out.splitlines())


def test_a_text_without_spaces_is_broken(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no other way. The other columns keep their words, and the narrowest terminal ends no command."""
    text = "富士山の上に浮かぶ巨大な鯨、浮世絵風、夕焼けの空、細部まで描き込まれた作品"
    drawn_table.draw(["Task", "Prompt"], [["tsk_T9D-0-HMDzPJqhI8gojA7A", text]], fits=True)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(cell_len, lines)) <= 80
    assert lines[1].split()[0] == "tsk_T9D-0-HMDzPJqhI8gojA7A"
    assert "".join(" ".join(line.split()[-1] for line in lines[1:]).split()) == text
    monkeypatch.setenv("COLUMNS", "2")
    drawn_table.draw(["Task", "Prompt"], [["tsk_1", text]], fits=True)
