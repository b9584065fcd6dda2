"""The options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON, the same object as the MCP tool returns.")]
Model = Annotated[str | None, typer.Option(help="Which model; `journey-mcp models` lists them.", metavar="ID")]
References = Annotated[
    list[str] | None, typer.Option("--reference", help="A picture that guides: id or URL; repeatable.", metavar="IMAGE")
]
AspectRatio = Annotated[str | None, typer.Option(help="Width to height, as in 16:9.", metavar="W:H")]
Resolution = Annotated[str | None, typer.Option(help="Size class: 1K, 2K or 4K.", metavar="SIZE")]
OutputFormat = Annotated[str | None, typer.Option(help="File format: png or jpeg.", metavar="FORMAT")]
NegativePrompt = Annotated[str | None, typer.Option(help="What to avoid.", metavar="TEXT")]
Seed = Annotated[int | None, typer.Option(help="Same seed, same picture.", metavar="NUMBER")]
WebhookUrl = Annotated[
    str | None, typer.Option(help="HTTPS URL that gets the provider's result by POST.", metavar="URL")
]
WaitS = Annotated[
    float | None, typer.Option("--wait", min=0, help="Seconds to wait; default: until finished.", metavar="SECONDS")
]
Output = Annotated[
    Path | None,
    typer.Option("-o", "--output", help="Save the picture; several become FILE-1.png, FILE-2.png …", metavar="FILE"),
]
Force = Annotated[bool, typer.Option("--force", help="Replace files that exist.")]
