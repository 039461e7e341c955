"""CLIP Interrogator: the names, arguments, defaults and results of clip-interrogator 0.6.0.

A script that says ``from clip_interrogator import Config, Interrogator`` works on with
``from unprompt.clip_interrogator import Config, Interrogator``, without torch.

What differs: features are numpy arrays where they were tensors, of the same shape; models are unprompt's, so
that ``offload`` options have no meaning; progress goes to ``logging`` and not to the terminal; models other
than BLIP and CLIP are refused.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from unprompt import _native
from unprompt._native import Captioner

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from unprompt._native import _Picture

__all__ = [
    "Config",
    "Interrogator",
    "LabelTable",
    "list_caption_models",
    "list_clip_models",
    "load_list",
]

_CAPTION_MODELS = {
    "blip-base": "Salesforce/blip-image-captioning-base",
    "blip-large": "Salesforce/blip-image-captioning-large",
}
_OTHER_CAPTION_MODELS = ("blip2-2.7b", "blip2-flan-t5-xl", "git-large-coco")


@dataclass
class Config:
    """Settings, with the names and defaults of 0.6.0.

    Attributes:
        caption_model: An ``unprompt.Captioner`` that is loaded already.
        caption_max_length: Tokens that a caption has at most.
        caption_model_name: ``blip-base``, ``blip-large``, any captioner's hub id or path, or None for none.
        clip_model_name: A name of open_clip, as ``ViT-L-14/openai``; a hub id or a path too.
        cache_path: The folder of label embeddings; None keeps none.
        download_cache: Fetch label embeddings that are published.
        chunk_size: Labels that are ranked at once, which decides which of them are found.
        data_path: The folder of label files; None is clip-interrogator's own, which are fetched.
        device: ``cpu`` or ``cuda``, also as a torch.device; None is the best there is.
        flavor_intermediate_count: Labels that a chain is made of.
        caption_processor, caption_offload, clip_model, clip_preprocess, clip_model_path, clip_offload,
            quiet: Without meaning here.
    """

    caption_model: Captioner | None = field(default=None, init=False, repr=False)
    caption_processor: Any = field(default=None, init=False, repr=False)
    clip_model: Any = field(default=None, init=False, repr=False)
    clip_preprocess: Any = field(default=None, init=False, repr=False)

    caption_max_length: int = 32
    caption_model_name: str | None = "blip-large"
    caption_offload: bool = False

    clip_model_name: str = "ViT-L-14/openai"
    clip_model_path: str | None = None
    clip_offload: bool = False

    cache_path: str | None = "cache"
    download_cache: bool = True
    chunk_size: int = 2048
    data_path: str | None = None
    device: Any = None
    flavor_intermediate_count: int = 2048
    quiet: bool = False

    def apply_low_vram_defaults(self) -> None:
        """The smaller captioner, and half of the labels at a time."""
        self.caption_model_name = "blip-base"
        self.caption_offload = True
        self.clip_offload = True
        self.chunk_size = 1024
        self.flavor_intermediate_count = 1024


class Interrogator:
    """Prompts of pictures. The models are loaded when it is made, and again by the methods that load.

    Raises:
        UnpromptError: A model or the labels cannot be had.
        ValueError: The captioner is of a kind that is not built here.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.device = config.device
        self.load_caption_model()
        self.load_clip_model()

    def load_caption_model(self) -> None:
        """Loads the captioner that the configuration names."""
        config = self.config
        name = config.caption_model_name
        self.caption_model = config.caption_model
        if self.caption_model is not None or not name:
            return
        if name in _OTHER_CAPTION_MODELS:
            known = ", ".join(_CAPTION_MODELS)
            raise ValueError(f"caption_model_name {name!r}: {known}, or the hub id or path of a BLIP or OFA")
        self.caption_model = Captioner(_CAPTION_MODELS.get(name, name), device=_device(config))

    def load_clip_model(self) -> None:
        """Loads the CLIP that the configuration names, and the embeddings of the labels."""
        config = self.config
        self._model = _native.ClipModel(
            config.clip_model_name,
            labels=config.data_path,
            cache=config.cache_path,
            published=config.download_cache,
            chunk_size=config.chunk_size,
            device=_device(config),
            dtype="auto",
            threads=None,
            offline=False,
            allow_pickle=False,
        )
        self.artists = self._table("artists")
        self.flavors = self._table("flavors")
        self.mediums = self._table("mediums")
        self.movements = self._table("movements")
        self.trendings = self._table("trendings")
        self.negative = self._table("negative")

    def tokenize(self, texts: str | Sequence[str]) -> NDArray[np.int64]:
        """The ids of texts, padded with zeros to the CLIP's context.

        Returns:
            Shape (texts, context length).
        """
        return self._model.tokenize([texts] if isinstance(texts, str) else list(texts))

    def generate_caption(self, pil_image: _Picture) -> str:
        """What a picture shows, in words.

        Raises:
            AssertionError: No captioner is loaded.
            UnpromptError: The picture cannot be read.
        """
        assert self.caption_model is not None, "no captioner is loaded: set caption_model_name"
        found = self.caption_model.caption(pil_image, max_new_tokens=self.config.caption_max_length)
        if not found.ok:
            raise _native.UnpromptError(found.error)
        return found.caption.strip()

    def image_to_features(self, image: _Picture) -> NDArray[np.float32]:
        """The CLIP's vector of a picture.

        Returns:
            Shape (1, width), of unit length.

        Raises:
            UnpromptError: The picture cannot be read.
        """
        return self._model.features(image)[None, :]

    def interrogate(
        self, image: _Picture, min_flavors: int = 8, max_flavors: int = 32, caption: str | None = None
    ) -> str:
        """The best prompt: a caption and labels, each the one that helps most."""
        return self._prompt("best", image, caption, min_flavors, max_flavors)

    def interrogate_fast(self, image: _Picture, max_flavors: int = 32, caption: str | None = None) -> str:
        """A caption and the labels nearest to the picture."""
        return self._prompt("fast", image, caption, 0, max_flavors)

    def interrogate_classic(self, image: _Picture, max_flavors: int = 3, caption: str | None = None) -> str:
        """A caption, the first medium, artist, site and movement, and some flavors."""
        return self._prompt("classic", image, caption, 0, max_flavors)

    def interrogate_negative(self, image: _Picture, max_flavors: int = 32) -> str:
        """Labels that lead away from the picture."""
        features = _flat(self.image_to_features(image))
        # As in a chain of one's own, eight labels are taken even if they do not help.
        return self._made("negative", features, None, 8, max_flavors)

    def chain(
        self,
        image_features: ArrayLike,
        phrases: Iterable[str],
        best_prompt: str = "",
        best_sim: float = 0,
        min_count: int = 8,
        max_count: int = 32,
        desc: str = "Chaining",
        reverse: bool = False,
    ) -> str:
        """Grows a prompt by phrases, each the one that helps most; with ``reverse``, that leads away most.

        Args:
            image_features: What image_to_features gives.
            phrases: What is appended, each once at most.
            best_prompt: What the prompt begins with; "" for the best of the phrases.
            best_sim: The similarity of that.
            min_count: Phrases that are appended even if they do not help.
            max_count: Phrases that are appended at most.
            desc: Without meaning here.
        """
        start = (best_prompt, best_sim) if best_prompt else None
        features = _flat(image_features)
        return self._model.chain(features, list(phrases), start, min_count, max_count, reverse)

    def rank_top(self, image_features: ArrayLike, text_array: Sequence[str], reverse: bool = False) -> str:
        """The text that is nearest to a picture, or with ``reverse`` farthest; of equals the first."""
        found = self.similarities(image_features, text_array)
        best = min if reverse else max
        return text_array[found.index(best(found))]

    def similarity(self, image_features: ArrayLike, text: str) -> float:
        """The cosine of a text with a picture."""
        return self.similarities(image_features, [text])[0]

    def similarities(self, image_features: ArrayLike, text_array: Sequence[str]) -> list[float]:
        """The cosine of each text with a picture."""
        return self._model.similarities(_flat(image_features), list(text_array))

    def _prompt(
        self, mode: str, image: _Picture, caption: str | None, min_flavors: int, max_flavors: int
    ) -> str:
        caption = caption or self.generate_caption(image)
        features = _flat(self.image_to_features(image))
        return self._made(mode, features, caption, min_flavors, max_flavors)

    def _made(
        self,
        mode: str,
        features: NDArray[np.float32],
        caption: str | None,
        min_flavors: int,
        max_flavors: int,
    ) -> str:
        # These two count as they are now; tables keep the size of chunks that they were made with.
        count, chunk_size = self.config.flavor_intermediate_count, self.config.chunk_size
        return self._model.prompt(mode, features, caption, min_flavors, max_flavors, count, chunk_size)

    def _table(self, name: str) -> LabelTable:
        table = LabelTable.__new__(LabelTable)
        table._fill(self._model.table(name), self.config)
        return table


class LabelTable:
    """Labels with their embeddings.

    Args:
        labels: The labels.
        desc: The name under which embeddings are kept in the configuration's ``cache_path``; None keeps
            none.
        ci: Whose CLIP embeds them.

    Attributes:
        labels: The labels.
        embeds: One vector a label: float32, shape (width,), rounded to half precision.
        chunk_size: Labels that are ranked at once.
    """

    def __init__(self, labels: list[str], desc: str | None, ci: Interrogator) -> None:
        name = desc if ci.config.cache_path is not None else None
        self._fill(ci._model.new_table(list(labels), name), ci.config)

    def _fill(self, table: _native.LabelTable, config: Config) -> None:
        self._native_table = table
        self.config = config
        self.chunk_size = config.chunk_size
        self.device = config.device
        self.labels = table.labels

    @property
    def embeds(self) -> list[NDArray[np.float32]]:
        return list(self._native_table.embeds)

    def rank(self, image_features: ArrayLike, top_count: int = 1, reverse: bool = False) -> list[str]:
        """The labels nearest to a picture, the nearest first.

        A table of more than ``chunk_size`` labels is ranked as in 0.6.0: a few of each chunk are chosen, with
        ``reverse`` the farthest, and of those always the nearest are told.

        Args:
            image_features: What image_to_features gives.
            top_count: Labels at most.
            reverse: The farthest in place of the nearest.
        """
        return self._native_table.rank(_flat(image_features), top_count, reverse, self.chunk_size)


def list_caption_models() -> list[str]:
    """The captioners that can be named."""
    return list(_CAPTION_MODELS)


def list_clip_models() -> list[str]:
    """The CLIPs that can be named, as ``architecture/weights``."""
    return _native.clip_models()


def load_list(data_path: str | None, filename: str | None = None) -> list[str]:
    """The lines of a file, without blanks around them; wrong UTF-8 is replaced.

    Args:
        data_path: The file, or its folder where there is a name; None is the folder of
            clip-interrogator's own lists, which are fetched.
        filename: The name.
    """
    path = data_path if data_path is not None else str(_native.clip_labels(False))
    if filename is not None:
        path = os.path.join(path, filename)
    with open(path, encoding="utf-8", errors="replace") as file:
        return [line.strip() for line in file]


def _device(config: Config) -> Any:
    """The device by unprompt's names."""
    name = "auto" if config.device is None else str(config.device)
    # Apple's has no counterpart here.
    return {"mps": "cpu"}.get(name, "cuda" if name.startswith("cuda") else name)


def _flat(features: ArrayLike) -> NDArray[np.float32]:
    """Features of one picture as one row, from an array or a tensor of shape (1, width)."""
    import numpy as np

    return np.ascontiguousarray(features, dtype=np.float32).reshape(-1)
