"""The compiled part of the package.

A text is an iterable of texts, so that what takes one or many overlaps with itself: one comes first.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, Self, TypeAlias, final, overload

import numpy as np
from numpy.typing import NDArray

from unprompt._results import (
    Caption,
    Classification,
    Failure,
    IndexInfo,
    Interrogation,
    MetadataRecord,
    Neighbours,
    Prediction,
    Receipt,
    Score,
    Stripped,
    Written,
)

__all__ = [
    "__version__",
    "UnpromptError",
    "Captioner",
    "Classifier",
    "ClipModel",
    "LabelTable",
    "clip_labels",
    "clip_models",
    "ImageEncoder",
    "TextEncoder",
    "Index",
    "Interrogator",
    "Predictor",
    "read_metadata",
    "write_metadata",
    "strip_metadata",
    "pictures",
    "score",
]

__version__: str

class UnpromptError(RuntimeError): ...

class _PillowImage(Protocol):
    """A Pillow image, without the need that Pillow be there."""

    @property
    def mode(self) -> str: ...
    @property
    def size(self) -> tuple[int, int]: ...
    @property
    def info(self) -> dict[Any, Any]: ...

class _Bar(Protocol):
    """A progress bar, as tqdm's."""

    def update(self, n: int, /) -> object: ...

_Device: TypeAlias = Literal["auto", "cpu", "cuda"]
_Dtype: TypeAlias = Literal["auto", "f32", "f16", "bf16", "int8"]
_Mode: TypeAlias = Literal["classic", "fast", "best", "negative", "competition", "analyze"]
_Path: TypeAlias = str | os.PathLike[str]
_Picture: TypeAlias = _Path | bytes | bytearray | _PillowImage | NDArray[np.uint8]
_Progress: TypeAlias = Callable[[int, int | None], object] | _Bar | None

@final
class Predictor:
    def __new__(
        cls,
        preset: str | None = None,
        *,
        device: _Device = "auto",
        dtype: _Dtype = "auto",
        threads: int | None = None,
        offline: bool = False,
        allow_pickle: bool = False,
    ) -> Self: ...
    @overload
    def predict(  # type: ignore[overload-overlap]
        self,
        images: _Picture,
        *,
        metadata: bool = True,
        batch_size: int = 16,
        progress: _Progress = None,
    ) -> Prediction | Failure: ...
    @overload
    def predict(
        self,
        images: Iterable[_Picture],
        *,
        metadata: bool = True,
        batch_size: int = 16,
        progress: _Progress = None,
    ) -> list[Prediction | Failure]: ...
    @property
    def preset(self) -> str: ...
    @property
    def receipt(self) -> Receipt: ...
    def __getnewargs_ex__(self, /) -> tuple[tuple[Any, ...], dict[str, Any]]: ...

@final
class Interrogator:
    def __new__(
        cls,
        clip: str = "ViT-L-14/openai",
        *,
        mode: _Mode = "best",
        captioner: str | None = "Salesforce/blip-image-captioning-large",
        labels: _Path | None = None,
        without: Sequence[str] = (),
        allow: _Path | None = None,
        deny: _Path | None = None,
        min_flavors: int = 8,
        max_flavors: int | None = None,
        candidates: int = 2048,
        max_tokens: int | None = None,
        tokenizer: str | None = None,
        budget: float | None = None,
        explain: bool = False,
        top: int = 5,
        compat: Literal["0.6.0"] | None = None,
        chunk_size: int = 2048,
        label_cache: _Path | None = None,
        published_labels: bool = False,
        device: _Device = "auto",
        dtype: _Dtype = "auto",
        threads: int | None = None,
        offline: bool = False,
        allow_pickle: bool = False,
    ) -> Self: ...
    @overload
    def interrogate(  # type: ignore[overload-overlap]
        self,
        images: _Picture,
        *,
        caption: str | None = None,
        batch_size: int = 16,
        progress: _Progress = None,
    ) -> Interrogation | Failure: ...
    @overload
    def interrogate(
        self,
        images: Iterable[_Picture],
        *,
        caption: str | None = None,
        batch_size: int = 16,
        progress: _Progress = None,
    ) -> list[Interrogation | Failure]: ...
    def __getnewargs_ex__(self, /) -> tuple[tuple[Any, ...], dict[str, Any]]: ...

@final
class Captioner:
    def __new__(
        cls,
        model: str = "Salesforce/blip-image-captioning-large",
        *,
        device: _Device = "auto",
        dtype: _Dtype = "auto",
        threads: int | None = None,
        offline: bool = False,
        allow_pickle: bool = False,
    ) -> Self: ...
    @overload
    def caption(  # type: ignore[overload-overlap]
        self,
        images: _Picture,
        *,
        prompt: str | None = None,
        beams: int | None = None,
        no_repeat_ngram: int | None = None,
        min_length: int | None = None,
        max_length: int | None = None,
        max_new_tokens: int | None = None,
        length_penalty: float | None = None,
        length_of: Literal["generated", "whole"] | None = None,
        early_stopping: bool | None = None,
        seed: int | None = None,
        temperature: float = 1.0,
        top_k: int = 50,
        top_p: float = 1.0,
        batch_size: int = 16,
        progress: _Progress = None,
    ) -> Caption | Failure: ...
    @overload
    def caption(
        self,
        images: Iterable[_Picture],
        *,
        prompt: str | None = None,
        beams: int | None = None,
        no_repeat_ngram: int | None = None,
        min_length: int | None = None,
        max_length: int | None = None,
        max_new_tokens: int | None = None,
        length_penalty: float | None = None,
        length_of: Literal["generated", "whole"] | None = None,
        early_stopping: bool | None = None,
        seed: int | None = None,
        temperature: float = 1.0,
        top_k: int = 50,
        top_p: float = 1.0,
        batch_size: int = 16,
        progress: _Progress = None,
    ) -> list[Caption | Failure]: ...
    def __getnewargs_ex__(self, /) -> tuple[tuple[Any, ...], dict[str, Any]]: ...

@final
class Classifier:
    def __new__(
        cls,
        model: str = "efficientnet-lite0",
        *,
        device: _Device = "auto",
        dtype: _Dtype = "auto",
        threads: int | None = None,
        offline: bool = False,
        allow_pickle: bool = False,
        heads: int | None = None,
    ) -> Self: ...
    @overload
    def classify(  # type: ignore[overload-overlap]
        self,
        images: _Picture,
        *,
        top: int = 5,
        batch_size: int = 16,
        progress: _Progress = None,
    ) -> Classification | Failure: ...
    @overload
    def classify(
        self,
        images: Iterable[_Picture],
        *,
        top: int = 5,
        batch_size: int = 16,
        progress: _Progress = None,
    ) -> list[Classification | Failure]: ...
    @property
    def labels(self) -> list[str]: ...
    def __getnewargs_ex__(self, /) -> tuple[tuple[Any, ...], dict[str, Any]]: ...

@final
class ImageEncoder:
    def __new__(
        cls,
        model: str,
        *,
        device: _Device = "auto",
        dtype: _Dtype = "auto",
        threads: int | None = None,
        offline: bool = False,
        allow_pickle: bool = False,
        heads: int | None = None,
    ) -> Self: ...
    @overload
    def embed(  # type: ignore[overload-overlap]
        self,
        images: _Picture,
        *,
        raw: bool = False,
        tta: Literal["none", "flip"] = "none",
        batch_size: int = 16,
        progress: _Progress = None,
    ) -> NDArray[np.float32] | Failure: ...
    @overload
    def embed(
        self,
        images: Iterable[_Picture],
        *,
        raw: bool = False,
        tta: Literal["none", "flip"] = "none",
        batch_size: int = 16,
        progress: _Progress = None,
    ) -> list[NDArray[np.float32] | Failure]: ...
    def __getnewargs_ex__(self, /) -> tuple[tuple[Any, ...], dict[str, Any]]: ...

@final
class TextEncoder:
    def __new__(
        cls,
        model: str = "all-MiniLM-L6-v2",
        *,
        device: _Device = "auto",
        dtype: _Dtype = "auto",
        threads: int | None = None,
        offline: bool = False,
        allow_pickle: bool = False,
    ) -> Self: ...
    def embed(
        self,
        texts: str | Iterable[str],
        *,
        raw: bool = False,
        batch_size: int = 16,
        progress: _Progress = None,
    ) -> NDArray[np.float32]: ...
    def __getnewargs_ex__(self, /) -> tuple[tuple[Any, ...], dict[str, Any]]: ...

@final
class Index:
    def __new__(
        cls,
        folder: _Path,
        *,
        clip: str | None = None,
        sentence: str | None = None,
        device: _Device = "auto",
        dtype: _Dtype = "auto",
        threads: int | None = None,
        offline: bool = False,
        allow_pickle: bool = False,
    ) -> Self: ...
    @classmethod
    def build(
        cls,
        prompts: _Path,
        folder: _Path,
        *,
        clip: str,
        sentence: str = "all-MiniLM-L6-v2",
        column: str = "prompt",
        segment_rows: int = 2048,
        batch_size: int = 16,
        progress: _Progress = None,
        device: _Device = "auto",
        dtype: _Dtype = "auto",
        threads: int | None = None,
        offline: bool = False,
        allow_pickle: bool = False,
    ) -> Index: ...
    @overload
    def search(  # type: ignore[overload-overlap]
        self,
        images: _Picture,
        *,
        top: int = 10,
        as_published: bool = False,
        batch_size: int = 16,
        progress: _Progress = None,
    ) -> Neighbours | Failure: ...
    @overload
    def search(
        self,
        images: Iterable[_Picture],
        *,
        top: int = 10,
        as_published: bool = False,
        batch_size: int = 16,
        progress: _Progress = None,
    ) -> list[Neighbours | Failure]: ...
    @overload
    def search_texts(  # type: ignore[overload-overlap]
        self,
        texts: str,
        *,
        top: int = 10,
        as_published: bool = False,
        batch_size: int = 16,
        progress: _Progress = None,
    ) -> Neighbours: ...
    @overload
    def search_texts(
        self,
        texts: Iterable[str],
        *,
        top: int = 10,
        as_published: bool = False,
        batch_size: int = 16,
        progress: _Progress = None,
    ) -> list[Neighbours]: ...
    @property
    def info(self) -> IndexInfo: ...
    def check(self) -> None: ...
    def export(self, path: _Path) -> None: ...
    def __len__(self) -> int: ...
    def __getnewargs_ex__(self, /) -> tuple[tuple[Any, ...], dict[str, Any]]: ...

def pictures(*paths: _Path) -> list[Path]: ...
@overload
def read_metadata(  # type: ignore[overload-overlap]
    images: _Picture,
    *,
    progress: _Progress = None,
) -> MetadataRecord | Failure: ...
@overload
def read_metadata(
    images: Iterable[_Picture],
    *,
    progress: _Progress = None,
) -> list[MetadataRecord | Failure]: ...
@overload
def write_metadata(  # type: ignore[overload-overlap]
    paths: _Path,
    prompt: str,
    *,
    form: Literal["auto", "both", "xmp", "parameters"] = "auto",
) -> Written | Failure: ...
@overload
def write_metadata(
    paths: Iterable[_Path],
    prompt: str,
    *,
    form: Literal["auto", "both", "xmp", "parameters"] = "auto",
) -> list[Written | Failure]: ...
@overload
def strip_metadata(  # type: ignore[overload-overlap]
    paths: _Path,
) -> Stripped | Failure: ...
@overload
def strip_metadata(
    paths: Iterable[_Path],
) -> list[Stripped | Failure]: ...
def score(
    pred: _Path,
    truth: _Path,
    *,
    model: str = "all-MiniLM-L6-v2",
    device: _Device = "auto",
    dtype: _Dtype = "auto",
    threads: int | None = None,
    offline: bool = False,
    allow_pickle: bool = False,
) -> Score: ...

@final
class ClipModel:
    def __new__(
        cls,
        clip: str,
        *,
        labels: _Path | None,
        cache: _Path | None,
        published: bool,
        chunk_size: int,
        device: _Device,
        dtype: _Dtype,
        threads: int | None,
        offline: bool,
        allow_pickle: bool,
    ) -> Self: ...
    def features(self, image: _Picture) -> NDArray[np.float32]: ...
    def similarities(self, features: NDArray[np.float32], texts: list[str]) -> list[float]: ...
    def prompt(
        self,
        mode: str,
        features: NDArray[np.float32],
        caption: str | None,
        min_flavors: int,
        max_flavors: int,
        candidates: int,
        chunk_size: int,
    ) -> str: ...
    def chain(
        self,
        features: NDArray[np.float32],
        phrases: list[str],
        start: tuple[str, float] | None,
        min_count: int,
        max_count: int,
        reverse: bool,
    ) -> str: ...
    def table(self, name: str) -> LabelTable: ...
    def new_table(self, labels: list[str], name: str | None) -> LabelTable: ...
    def tokenize(self, texts: list[str]) -> NDArray[np.int64]: ...

@final
class LabelTable:
    @property
    def labels(self) -> list[str]: ...
    @property
    def embeds(self) -> NDArray[np.float32]: ...
    def rank(
        self, features: NDArray[np.float32], top_count: int, reverse: bool, chunk_size: int
    ) -> list[str]: ...

def clip_models() -> list[str]: ...
def clip_labels(offline: bool) -> Path: ...
