"""JourneyAPI's models as far as its fake needs them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

ImageUse = Literal["none", "optional", "required"]


@dataclass(frozen=True, kw_only=True)
class Model:
    """The properties in which models differ."""

    model_id: str
    credits: float
    image: ImageUse
    """How the model uses `image_url`."""
    seconds: tuple[float, float]
    """The minimum and maximum duration. Documented for Midjourney only, the others are plausible."""

    @property
    def is_grid(self) -> bool:
        """Whether a result is four images and their grid."""
        return self.model_id == "midjourney"

    @property
    def is_flux_1(self) -> bool:
        """Whether it takes output_format and negative_prompt."""
        return self.model_id in ("flux-pro", "flux-dev", "flux-schnell")

    @property
    def is_synchronous(self) -> bool:
        """Whether the work happens inside the creating request."""
        return not (self.is_grid or self.is_flux_1)

    @property
    def takes_resolution(self) -> bool:
        """Whether `resolution` has an effect; C5: stated for nano-banana-2 by all sources, for Flux.1 by one."""
        return self.is_flux_1 or self.model_id == "nano-banana-2"


def extra_model(model_id: str) -> Model:
    """Return a model that only the settings name: synchronous, with an optional image."""
    return Model(model_id=model_id, credits=1, image="optional", seconds=(4, 8))


_ROWS: tuple[tuple[str, float, ImageUse, float, float], ...] = (
    ("midjourney", 4, "none", 30, 90),
    ("flux-pro", 4, "none", 8, 14),
    ("flux-schnell", 1, "none", 2, 4),
    ("flux-dev", 2, "none", 5, 9),
    ("nano-banana", 2, "none", 5, 9),
    ("nano-banana-2", 4, "optional", 8, 14),
    ("nano-banana-hd", 3, "none", 8, 14),
    ("seedream-3", 2, "none", 5, 9),
    ("seedream-4", 3, "none", 6, 10),
    ("seedream-4.5", 3, "none", 6, 12),
    ("seedream-5-lite", 3, "none", 5, 9),
    ("seededit", 3, "required", 6, 12),
    ("gpt-image-1", 2, "optional", 12, 20),
    ("gpt-image-1.5", 3, "optional", 12, 20),
    ("gpt-4o-image", 2, "optional", 14, 20),
    ("grok-image", 3, "optional", 6, 10),
    ("grok-image-2", 4, "optional", 6, 12),
    ("z-image", 2, "none", 4, 6),
    ("qwen-image", 4, "none", 6, 12),
    ("qwen-image-edit", 4, "required", 6, 12),
    ("ideogram-v3", 6, "none", 8, 14),
    ("ideogram-v3-edit", 6, "required", 8, 16),
    ("ideogram-v3-remix", 6, "required", 8, 16),
    ("ideogram-v3-reframe", 6, "required", 8, 16),
    ("recraft", 3, "none", 6, 12),
    ("flux-2-dev", 1, "none", 4, 8),
    # no available source states its credits; the price of its more expensive sibling
    ("flux-2-flex", 4, "none", 8, 14),
    ("flux-2-max", 4, "none", 8, 16),
    ("flux-kontext-pro", 4, "required", 6, 12),
    ("flux-kontext-max", 8, "required", 8, 16),
)

MODELS: Mapping[str, Model] = {
    model_id: Model(model_id=model_id, credits=price, image=image, seconds=(shortest, longest))
    for model_id, price, image, shortest, longest in _ROWS
}
"""The documented models by id."""
