"""Argument names as models and clients write them: other spellings of ours, and corrections for unknown names.

To extend a table, add a word in the spelling of `normalized`.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from journey_mcp.core.images import AspectRatio
from journey_mcp.core.requests import ModelTool
from journey_mcp.registry import Catalog
from journey_mcp.routing import aspect_ratios, model_names
from journey_mcp.tools import definitions
from journey_mcp.tools.defaults import Defaults

_ADDED_BY_CLIENTS = """
    action agentid callbacks chatid chatinput config conversationid dummy explanation isbackground messageid metadata
    progresstoken randomstring reason reasoning requiresapproval runid runmanager securityrisk servername sessionid
    signal stream summary taskprogress thinking thought thoughts threadid toolaction toolcall toolcallid toolname
    toolsummary traceid user userid waitforprevious waitforprevioustools
    """
"""Arguments that clients and frameworks add for themselves; so are all names that begin with `_`."""

_OTHER_NAMES = {
    "prompt": "caption content description editprompt input instruction instructions prompttext query text userprompt",
    "negative_prompt": "avoid exclude negative negativeprompts negprompt without",
    "model": "checkpoint engine modelid modelname modelversion",
    "provider": "backend platform vendor",
    "image": """
        attachment attachments baseimage file filepath files imagebase64 imagedata imagefile imageid imagepath images
        imageuri imageurl imageurls img imgs imgurl initimage inputfile inputimage inputimages inputimageurl media
        originalimage photo picture pictures sourceimage sourceurl url urls
        """,
    "reference_images": """
        characterreference controlimage cref imageprompt oref refimage refimages reference referenceimage
        referenceimageurl referenceimageurls references refs sref styleimage stylereference
        """,
    "mask": "maskfile maskimage maskpath maskurl",
    "aspect_ratio": "ar aspect imageratio orientation proportions ratio shape",
    "width": "imagewidth outputwidth w",
    "height": "h imageheight outputheight",
    "resolution": "imageresolution megapixels outputresolution",
    "output_format": "contenttype extension fileformat filetype format imageformat mime mimetype outputtype",
    "seed": "noiseseed randomseed",
    "prompt_upsampling": "enhance enhanceprompt magicprompt promptenhance promptextend promptoptimizer upsampleprompt",
    "safety_tolerance": "moderation moderationlevel nsfw safety safetychecker safetyfilter safetylevel",
    "guidance": "cfg cfgscale guidancescale promptstrength scale",
    "steps": "inferencesteps iterations numinferencesteps numsteps samplingsteps",
    "webhook_url": "callback callbackurl notifyurl webhook",
    "fresh": "force forcenew nocache regenerate reroll retry",
    "wait_s": "maxwait timeout wait waitseconds waittime",
    "task_ids": "id ids imageid imageids jobid jobids predictionid requestid task taskid tasks",
    # without an equivalent argument
    "count": """
        amount batch batchcount batchsize copies count howmany imagecount maximages n nimages num number numberofimages
        numimages numoutputs numsamples numvariations outputs quantity samples variations
        """,
    "size": "dimension dimensions imagedimensions imagesize imgsize outputsize size",
    "quality": "detail details dpi hd quality upscale",
    "style": "artstyle background effect lora loras preset strength style stylepreset theme",
    "output": "download filename folder outputdir outputfile outputpath responseformat save savepath saveto",
    "before": "after cursor older olderthan until",
    "query": "contains date day filter find keyword keywords match month search searchquery searchterm since words",
    "listing": "limit offset page pagesize status",
}
"""Other APIs' names for our arguments, and their names without an equivalent, by kind."""
_ACTIONS = "button command direction mode method operation transform transformation type upscale variant variation"
"""Other APIs' names for the action of `refine_image`."""
_NUMBERS = "candidate choice index number position u v"
"""Other APIs' names for the number of an image in a grid."""
_KINDS = {name: kind for kind, names in _OTHER_NAMES.items() for name in names.split()}
_MAX_NAMED = 10
"""How many wrong names get a correction each."""
_MAX_SHOWN = 80
_MAX_SWITCH_LENGTH = 30
_CREATION_TOOLS: Mapping[str, ModelTool] = {"imagine": "imagine", "edit_image": "edit_image"}
_TASK_KINDS = frozenset({"task_ids", "listing", "before", "query"})
_MIN_SIMILARITY = 0.75
"""The similarity, 0 to 1, from which a name is a misspelling of another; `thought` is not one of `height`."""
_NO_EQUIVALENT = "leave it out: there is no equivalent"


def normalized(name: str) -> str:
    """Return a name without case, blanks, hyphens and underscores: `negativePrompt` equals `negative-prompt`."""
    return re.sub(r"[\W_]", "", name[:_MAX_SHOWN]).lower()


def is_added_by_client(name: str) -> bool:
    """Return whether a client added the argument for itself, so that it has no meaning here."""
    return name.startswith("_") or normalized(name) in _ADDED_BY_CLIENTS.split()


def match_name(name: str, known: Iterable[str]) -> str | None:
    """Return the known argument that this name spells, or `None`."""
    return name if name in known else next((one for one in known if normalized(one) == normalized(name)), None)


@dataclass(frozen=True, kw_only=True)
class ToolContext:
    """The catalog and defaults of a configuration: an error names nothing outside them."""

    catalog: Catalog
    defaults: Defaults

    def properties(self, tool: str) -> Mapping[str, Any]:
        """Return the arguments in the tool's schema, each with its schema."""
        spec = next(one for one in definitions.build(self.catalog, self.defaults) if one["name"] == tool)
        schemas: Mapping[str, Any] = spec["inputSchema"]["properties"]
        return schemas

    def takes_no_prompt(self, model: object) -> bool:
        """Return whether this is the id of a model that is never given a prompt."""
        offers = self.catalog.offers.get(model, ()) if isinstance(model, str) else ()
        return bool(offers) and all(offer.prompt == "none" for offer in offers)

    def provider(self, text: str) -> str:
        """Return the id of the provider that a text names (`Black Forest Labs`, `replicate.com`), else the text."""
        known = {normalized(name): id_ for id_, facts in self.catalog.providers.items() for name in (id_, facts.title)}
        given = normalized(text)
        spelled = (given, given.removesuffix("com"), given.removesuffix("ai"), given.removesuffix("api"), f"{given}api")
        return next((known[name] for name in spelled if name in known), text)

    def correction(self, tool: str, unknown: Mapping[str, Any], known: Mapping[str, Any]) -> str:
        """Return corrections for the unknown arguments of a call; `known` are its other arguments."""
        shown = self.properties(tool)
        problems = []
        for name, value in list(unknown.items())[:_MAX_NAMED]:
            kind = _KINDS.get(normalized(name), name)
            if creation_tool := _CREATION_TOOLS.get(tool):
                advice = self._advise_creation(creation_tool, kind, value, shown, known) or self._advise_switch(
                    creation_tool, name, value
                )
            elif tool == "view_image":
                advice = _advise_view(kind, value)
            elif tool == "refine_image":
                advice = _advise_refinement(name, kind, shown)
            else:
                advice = _advise_tasks(kind, value, shown)
            advice = advice or _did_you_mean(name, shown)
            problems.append(f"there is no argument {name[:_MAX_SHOWN]}{f' ({advice})' if advice else ''}")
        return f"{'; '.join(problems)}. {tool} takes: {', '.join(shown)}"

    def _advise_creation(
        self, tool: ModelTool, kind: str, value: Any, shown: Mapping[str, Any], known: Mapping[str, Any]
    ) -> str | None:
        if kind == "count":
            return self._advise_count(tool, known)
        if kind in {"image", "reference_images"}:
            return self._advise_images(tool, kind, value, shown)
        if kind in shown:
            return f"use {kind}"
        fixed = {
            **dict.fromkeys(("size", "width", "height"), _advise_size(value, shown)),
            "quality": "use resolution, or choose another model" if "resolution" in shown else "choose another model",
            "style": "describe it in the prompt",
            "output": "leave it out: the result has the URL of each image",
            **dict.fromkeys(_TASK_KINDS),
        }
        return fixed.get(kind, _NO_EQUIVALENT if kind in _OTHER_NAMES else None)

    def _advise_switch(self, tool: ModelTool, name: str, value: Any) -> str | None:
        """Return how a prompt takes the argument as a switch, such as `--chaos 10`, or `None`."""
        for model, offers in self.catalog.offers_for(tool).items():
            for switch, matching in {key: fact for offer in offers for key, fact in offer.switches.items()}.items():
                if normalized(name) in {switch, *matching.aliases}:
                    shown = f" {value}" if isinstance(value, str | int | float) and value is not True else ""
                    return f"{model} takes --{switch}{shown[:_MAX_SWITCH_LENGTH]} at the end of the prompt"
        return None

    def _advise_images(self, tool: ModelTool, kind: str, value: Any, shown: Mapping[str, Any]) -> str:
        guide = "reference_images" in shown
        if tool == "imagine":
            edit = ["call edit_image with image to edit an image"] if self.defaults.edit_image else []
            return " or ".join([*(["use reference_images"] if guide else []), *edit]) or _NO_EQUIVALENT
        if kind == "reference_images":
            return "use reference_images" if guide else "leave it out: only image is accepted"
        if isinstance(value, list) and len(value) > 1 and guide:
            return "use image for the one to edit, and reference_images for the others"
        return "use image"

    def _advise_count(self, tool: ModelTool, known: Mapping[str, Any]) -> str:
        """Return how to get more images, and their cost if the registry has it."""
        offers = self.catalog.offers_for(tool)
        given = {name: value.lower() for name in ("model", "provider") if isinstance(value := known.get(name), str)}
        provider = given.get("provider")
        model = model_names.resolve(given.get("model", ""), self.catalog) or self.defaults.model(tool, provider)
        matching = [offer for offer in offers.get(model, ()) if provider in {None, offer.provider}]
        each = f", each costs {matching[0].price}" if matching and matching[0].unit else ""
        makers = [name for name, some in offers.items() if some[0].result == "grid" and some[0].images.minimum == 1]
        four = f"; {model if model in makers else makers[0]} makes four candidates at once" if makers else ""
        return f"call again with fresh=true for another image{each}{four}"


def _advise_tasks(kind: str, value: Any, shown: Mapping[str, Any]) -> str | None:
    if kind == "task_ids":
        return f"use task_ids=[{value!r}]" if isinstance(value, str) and len(value) < _MAX_SHOWN else "use task_ids"
    if kind in {"listing", "count"}:
        return (
            "leave it out: without task_ids the newest 20 tasks are listed, and before gets the next ones"
            if "wait_for" in shown
            else None
        )
    if kind in {"prompt", "model"} and "query" in shown:
        return "use query"
    return f"use {kind}" if kind in shown else None


def _advise_view(kind: str, value: Any) -> str | None:
    if kind in {"image", "reference_images", "task_ids"}:
        return f"use image_ids=[{value!r}]" if isinstance(value, str) and len(value) < _MAX_SHOWN else "use image_ids"
    return "use size" if kind in {"width", "height", "resolution", "quality"} else None


def _advise_refinement(name: str, kind: str, shown: Mapping[str, Any]) -> str | None:
    if kind in {"image", "reference_images", "task_ids"}:
        return "use image"
    if normalized(name) in _NUMBERS.split():
        return "give the number with the image: tsk_….2 is image 2"
    if normalized(name) in _ACTIONS.split():
        return "use action"
    return f"use {kind}" if kind in shown else _NO_EQUIVALENT if kind in _OTHER_NAMES else None


def _advise_size(value: Any, shown: Mapping[str, Any]) -> str:
    """Return how to give a size in this configuration, with the ratio of a text such as `1024x1024`."""
    ways: list[str] = []
    if "aspect_ratio" in shown:
        allowed = [one for text in shown["aspect_ratio"].get("enum", ()) if (one := AspectRatio.parse(text))]
        reading = aspect_ratios.parse(value[:_MAX_SHOWN]) if isinstance(value, str) else None
        ratio = (reading.nearest(allowed) if allowed else reading.ratio) if reading else None
        ways.append(f"aspect_ratio={ratio}" if ratio else "aspect_ratio")
    if "width" in shown:
        ways.append("width and height")
    size_class = "; resolution is the size class" if ways and "resolution" in shown else ""
    return f"use {', or '.join(ways)}{size_class}" if ways else _NO_EQUIVALENT


def _did_you_mean(name: str, shown: Mapping[str, Any]) -> str | None:
    near = difflib.get_close_matches(name[:_MAX_SHOWN].lower(), shown, n=1, cutoff=_MIN_SIMILARITY)
    return f"did you mean {near[0]}?" if near else None
