"""Where the sheet of a comparison is saved: a file, a folder, or the images of the data folder."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anyio import to_thread

from journey_mcp.cli.images import image_files
from journey_mcp.core.errors import InvalidArguments, SetupError
from journey_mcp.core.principals import LOCAL
from journey_mcp.core.views import SheetForm
from journey_mcp.media.formats import ImageData
from journey_mcp.media.readable_names import readable_name
from journey_mcp.media.save_folder import SaveFolder
from journey_mcp.studio import Studio
from journey_mcp.studio.keep import KeepRequest

_FORMS: dict[str, SheetForm] = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg"}
"""By the ending of a file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedSheet:
    """A sheet that was saved."""

    sheet: ImageData
    path: Path | None
    """`None` if it is in an object store."""
    id: str | None = None
    """Of an image that is kept, as of one that the person added."""

    @property
    def plain(self) -> dict[str, Any]:
        """It as JSON."""
        place = {"id": self.id, "path": str(self.path) if self.path else None}
        known = {name: value for name, value in place.items() if value}
        return {**known, "mime_type": self.sheet.mime_type, "width": self.sheet.width, "height": self.sheet.height}

    @property
    def text(self) -> str:
        """Where it is, in words."""
        if self.id is None:
            return f"Saved {self.path}"
        return f"Sheet {self.id}: {self.path or 'in the image store; -o saves it as a file'}"


@dataclass(frozen=True, kw_only=True, slots=True)
class SheetFile:
    """Where a sheet will be saved."""

    output: Path | None
    """`None`: it is kept in the data folder, and deleted with age like an image that a person adds."""
    is_folder: bool
    form: SheetForm
    replace: bool

    def check(self) -> None:
        """Check before anything is paid that the sheet can be saved.

        Raises:
            InvalidArguments: it cannot.
        """
        if self.output and self.is_folder:
            image_files.check_folder(self.output)
        elif self.output:
            image_files.check_writable([self.output], replace=self.replace)

    async def save(self, studio: Studio, sheet: ImageData, prompt: str) -> SavedSheet:
        """Save the sheet; in a folder its name begins with the date and the prompt.

        Raises:
            SetupError, StoreUnavailable: it cannot be saved.
        """
        if self.output is None:
            kept = await studio.keep_image(KeepRequest(data=sheet.content), LOCAL)
            return SavedSheet(sheet=sheet, id=kept.id, path=await studio.views.file(kept.id, LOCAL))
        name = readable_name(prompt, "comparison", at=studio.now())
        try:
            path = await to_thread.run_sync(self._write, self.output, name, sheet.content)
        except OSError as error:
            raise SetupError(
                f"The sheet cannot be written to {self.output}: {error.strerror or error}.",
                next_step="The images are not lost: repeat the command with --run and another -o.",
            ) from error
        return SavedSheet(sheet=sheet, path=path)

    def _write(self, output: Path, name: str, content: bytes) -> Path:
        if not self.is_folder:
            return image_files.write_file(output, content, replace=self.replace)
        output.mkdir(parents=True, exist_ok=True)
        return SaveFolder(output).save(name, self.form, content)


def sheet_file_of(output: str | None, *, replace: bool) -> SheetFile:
    """Return where `-o` saves a sheet: a folder exists, or ends with a separator; the ending of a file is its format.

    Raises:
        InvalidArguments: the ending is that of no format of a sheet.
    """
    if output is None:
        return SheetFile(output=None, is_folder=False, form="png", replace=replace)
    if "{" in output or "}" in output:
        raise InvalidArguments(
            f"-o {output!r}: a pattern is for images, and a comparison has one sheet.",
            next_step="Name a file such as comparison.png, or a folder. Nothing was sent and nothing was charged.",
        )
    path = Path(output)
    if output.endswith(("/", os.sep)) or path.is_dir():
        return SheetFile(output=path, is_folder=True, form="png", replace=replace)
    if path.suffix.lower() not in _FORMS:
        raise InvalidArguments(
            f"-o {output!r}: the sheet is saved as {', '.join(_FORMS)}, by the ending of the file, or in a folder.",
            next_step="Name a file such as comparison.png. Nothing was sent and nothing was charged.",
        )
    return SheetFile(output=path, is_folder=False, form=_FORMS[path.suffix.lower()], replace=replace)
