"""Prompts that a person starts, as slash commands in several clients: what an assistant is asked to do."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from journey_mcp.core.errors import InvalidArguments
from journey_mcp.core.requests import LONGEST_PROMPT
from journey_mcp.registry import Catalog
from journey_mcp.routing import model_names
from journey_mcp.tools.defaults import Defaults

_MAX_SHOWN = 80
_MOST_MODELS = 6
_USUAL_MODELS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Argument:
    """An argument of a prompt."""

    name: str
    title: str
    description: str
    required: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """A prompt and its arguments."""

    name: str
    title: str
    description: str
    arguments: tuple[Argument, ...]
    text: str
    """What the assistant is asked to do, with a place for each argument."""


_MODEL = Argument(name="model", title="Model", description="An image model; default: the server's.")
PROMPTS = (
    Prompt(
        name="product_photo",
        title="Product photo",
        description="Make a clean photo of a product, from a description or from an image of it.",
        arguments=(
            Argument(
                name="product",
                title="Product",
                description="The product in words, or an image of it: image id, URL or file.",
                required=True,
            ),
            Argument(name="setting", title="Setting", description="Where it stands; default: a plain studio."),
            _MODEL,
        ),
        text=(
            "Make a product photo of: {product}\n"
            "Setting: {setting}\n\n"
            "If the product is given as an image (an id, a URL or a file), call edit_image with it and keep the "
            "product itself unchanged: shape, colours, labels and proportions. Otherwise call imagine. {model}\n"
            "Write one prompt in plain sentences: the product first, then the setting, a soft key light with gentle "
            "shadows, the angle of the camera, and what stays empty around the product. No text, logos or hands that "
            "were not asked for. Choose the aspect ratio 4:5 if the model takes it. Make one image, show it with its "
            "notices and its cost, and offer one change that would improve it."
        ),
    ),
    Prompt(
        name="styled_portrait",
        title="Portrait in a style",
        description="Make a portrait in a style, from a description or from a photo.",
        arguments=(
            Argument(
                name="person",
                title="Person",
                description="The person in words, or a photo: image id, URL or file.",
                required=True,
            ),
            Argument(
                name="style",
                title="Style",
                description="The style, such as watercolour, 1920s poster or clay figure.",
                required=True,
            ),
            _MODEL,
        ),
        text=(
            "Make a portrait of: {person}\n"
            "Style: {style}\n\n"
            "If the person is given as an image (an id, a URL or a file), call edit_image with it, and say in the "
            "prompt that face, pose and expression stay recognizable while everything is redrawn in the style. "
            "Otherwise call imagine. {model}\n"
            "Write one prompt in plain sentences: the style first, then the person, the light, the background and the "
            "crop (head and shoulders unless something else is asked for). Describe the style by its material, line, "
            "colours and light, and not only by its name. Make one image, show it with its notices and its cost, and "
            "offer one variation of the style."
        ),
    ),
    Prompt(
        name="compare_models",
        title="One prompt, several models",
        description="Make the same prompt with several models and compare the images.",
        arguments=(
            Argument(name="prompt", title="Prompt", description="What to show.", required=True),
            Argument(
                name="models",
                title="Models",
                description=f"Two to {_MOST_MODELS} models, comma-separated; default: {_USUAL_MODELS} that differ.",
            ),
        ),
        text=(
            "Compare image models with this prompt: {prompt}\n"
            "Models: {models}\n\n"
            "First say what the images will cost together, from the prices in the description of imagine. Then call "
            "imagine once for each model, with exactly the same prompt and, where all of them take it, the same aspect "
            "ratio. Use wait_s 0, so that they run at the same time, and then fetch_task with all task ids. Show the "
            "images side by side with model, cost and duration. Compare how well each follows the prompt, its "
            "composition, its details and any text in it, and say which one to continue with."
        ),
    ),
)
_WITHOUT_AN_IMAGE = frozenset({"compare_models"})
"""Prompts that need `imagine`; for the others, one of the tools that create images is enough."""


def offered(tools: Collection[str]) -> list[Prompt]:
    """Return the prompts that can be carried out with these tools."""
    usable = {"imagine", "edit_image"}.intersection(tools)
    return [prompt for prompt in PROMPTS if "imagine" in usable or (usable and prompt.name not in _WITHOUT_AN_IMAGE)]


def render(prompt: Prompt, given: Mapping[str, str], catalog: Catalog, defaults: Defaults) -> str:
    """Return the text of a prompt with its arguments.

    Raises:
        InvalidArguments: names the argument that is missing, unknown or too long, or the model that does not exist.
    """
    values = {name: text for name, value in given.items() if (text := value.strip())}
    if unknown := [name for name in values if name not in {argument.name for argument in prompt.arguments}]:
        names = ", ".join(argument.name for argument in prompt.arguments)
        raise InvalidArguments(f"{prompt.name}: there is no argument {unknown[0][:_MAX_SHOWN]}; it takes {names}.")
    if too_long := [name for name, text in values.items() if len(text) > LONGEST_PROMPT]:
        raise InvalidArguments(
            f"{prompt.name}: {too_long[0]} has {len(values[too_long[0]]):,} characters (at most {LONGEST_PROMPT:,})."
        )
    if missing := [one.name for one in prompt.arguments if one.required and one.name not in values]:
        raise InvalidArguments(f"{prompt.name}: {missing[0]} is missing.")
    places = {"setting": "a plain, light studio background", **values}
    if prompt.name in _WITHOUT_AN_IMAGE:
        places["models"] = _models_sentence(prompt, values.get("models"), catalog, defaults)
    else:
        places["model"] = _model_sentence(prompt, values.get("model"), catalog, defaults)
    return prompt.text.format_map(places)


def models_of(prompt: Prompt, catalog: Catalog) -> list[str]:
    """Return the models that a prompt takes: it gives them one image at most."""
    if prompt.name in _WITHOUT_AN_IMAGE:
        return list(catalog.offers_for("imagine"))
    return [name for name in catalog.models if any(offer.images.minimum <= 1 for offer in catalog.offers[name])]


def _model_sentence(prompt: Prompt, given: str | None, catalog: Catalog, defaults: Defaults) -> str:
    if given is None:
        usual = " or ".join(dict.fromkeys(filter(None, (defaults.imagine, defaults.edit_image))))
        return f"Leave out model: the default ({usual}) fits."
    model = _resolved(prompt, given, catalog)
    return f"Use model {model}; if that tool does not offer it, say so and propose one that it offers."


def _models_sentence(prompt: Prompt, given: str | None, catalog: Catalog, defaults: Defaults) -> str:
    if given is None:
        return ", ".join(_different(catalog, defaults))
    models = list(dict.fromkeys(_resolved(prompt, name, catalog) for name in given.split(",") if name.strip()))
    if not 1 < len(models) <= _MOST_MODELS:
        raise InvalidArguments(
            f"{prompt.name}: models={given[:_MAX_SHOWN]!r} must be two to {_MOST_MODELS} models, comma-separated."
        )
    return ", ".join(models)


def _different(catalog: Catalog, defaults: Defaults) -> list[str]:
    """Return the default model and the first ones of other families."""
    families: dict[str, str] = {}
    for model in (defaults.imagine, *catalog.offers_for("imagine")):
        families.setdefault(catalog.models[model].family, model)
    return list(families.values())[:_USUAL_MODELS]


def _resolved(prompt: Prompt, name: str, catalog: Catalog) -> str:
    allowed = models_of(prompt, catalog)
    model = model_names.resolve(name.strip(), catalog)
    if model not in allowed:
        raise InvalidArguments(
            f"{prompt.name} takes no model {name.strip()[:_MAX_SHOWN]!r} (allowed: {', '.join(allowed)})."
        )
    return model
