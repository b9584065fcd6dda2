"""Prompts through a real client, in both eras."""

from pathlib import Path

import pytest
from mcp import MCPError
from support import client_of, settings_for

ERAS = ["auto", "legacy"]
NAMES = ["product_photo", "styled_portrait", "compare_models"]


@pytest.mark.parametrize("mode", ERAS)
async def test_three_prompts_are_listed_with_titles(mode: str, tmp_path: Path) -> None:
    """So are their arguments; at least one of each is required."""
    async with client_of(settings_for("http://127.0.0.1:9", tmp_path), mode) as client:
        prompts = (await client.list_prompts()).prompts
    assert [prompt.name for prompt in prompts] == NAMES
    for prompt in prompts:
        assert prompt.title
        assert prompt.description
        assert prompt.arguments
        assert all(argument.title and argument.description for argument in prompt.arguments)
        assert any(argument.required for argument in prompt.arguments)


@pytest.mark.parametrize("mode", ERAS)
async def test_a_prompt_is_a_message_of_the_person(mode: str, tmp_path: Path) -> None:
    """With the arguments in it, whatever characters they have."""
    async with client_of(settings_for("http://127.0.0.1:9", tmp_path), mode) as client:
        got = await client.get_prompt("product_photo", {"product": "a {blue} teapot", "model": "MJ", "setting": " "})
    (message,) = got.messages
    assert message.role == "user"
    assert message.content.type == "text"
    assert "Make a product photo of: a {blue} teapot\n" in message.content.text
    assert "Setting: a plain, light studio background\n" in message.content.text
    assert "Use model midjourney;" in message.content.text


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("product", {}, "Unknown prompt: product. Prompts: product_photo, styled_portrait, compare_models"),
        ("product_photo", {"product": " "}, "product_photo: product is missing"),
        ("styled_portrait", {"person": "a sailor"}, "styled_portrait: style is missing"),
        (
            "product_photo",
            {"product": "x", "colour": "y"},
            "no argument colour; it takes product, setting",
        ),
        ("product_photo", {"product": "x" * 32_001}, "product has 32,001 characters (at most 32,000)"),
        (
            "product_photo",
            {"product": "x", "model": "dall-e"},
            "product_photo takes no model 'dall-e' (allowed: midjourney, ",
        ),
        ("compare_models", {"prompt": "x", "models": "midjourney"}, "models='midjourney' must be two to 6 models"),
        (
            "compare_models",
            {"prompt": "x", "models": "midjourney, seededit"},
            "compare_models takes no model 'seededit'",
        ),
    ],
)
async def test_a_wrong_prompt_is_an_error(name: str, arguments: dict[str, str], says: str, tmp_path: Path) -> None:
    """It names what is allowed."""
    async with client_of(settings_for("http://127.0.0.1:9", tmp_path)) as client:
        with pytest.raises(MCPError) as raised:
            await client.get_prompt(name, arguments)
    assert raised.value.error.code == -32602
    assert says in str(raised.value.error.message)


@pytest.mark.parametrize(
    ("tools", "names"),
    [("edit_image", NAMES[:2]), ("imagine", NAMES), ("fetch_task", []), ("imagine,edit_image,fetch_task", NAMES)],
)
async def test_a_prompt_needs_its_tools(tools: str, names: list[str], tmp_path: Path) -> None:
    """Those that are not listed cannot be called."""
    settings = settings_for("http://127.0.0.1:9", tmp_path, JOURNEY_MCP_TOOLS=tools)
    async with client_of(settings) as client:
        assert [prompt.name for prompt in (await client.list_prompts()).prompts] == names
        if not names:
            with pytest.raises(MCPError, match=r"Unknown prompt: compare_models\. Prompts: none"):
                await client.get_prompt("compare_models", {"prompt": "x"})
