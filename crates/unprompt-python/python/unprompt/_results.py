"""What calls return: records that do not change.

Those that hold arrays are equal only to themselves. All can be pickled. ``ok`` tells a result from a
failure, also to a type checker.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Failure:
    """A picture without a result.

    Attributes:
        path: The picture's path; ``images[3]`` for the fourth of several in memory, ``image`` for one.
        error: What is wrong with it.
    """

    ok: ClassVar[Literal[False]] = False
    path: str
    error: str


@dataclass(frozen=True)
class ModelReceipt:
    """A model that took part.

    Attributes:
        name: The model as the preset names it.
        revision: Its commit, the version of its package, or ``local``.
        sha256: The digest over all its files.
        dtype: The numbers that it computes in.
    """

    name: str
    revision: str
    sha256: str
    dtype: str


@dataclass(frozen=True)
class Receipt:
    """What computed a record: enough to compute it again.

    Attributes:
        version: The version of unprompt.
        dtype: The numbers that were asked for.
        models: The models, in the order of the preset.
    """

    version: str
    dtype: str
    models: tuple[ModelReceipt, ...]


@dataclass(frozen=True)
class Evidence:
    """A real prompt that was found.

    Attributes:
        prompt: The prompt.
        similarity: The cosine by which it was found, from -1 to 1.
    """

    prompt: str
    similarity: float


@dataclass(frozen=True, eq=False)
class Member:
    """One member's part of a prediction.

    Attributes:
        name: Its name in the preset.
        weight: Its weight in the blend.
        text: Its text, if it has one.
        embedding: float32, shape (384,), of unit length.
    """

    name: str
    weight: float
    text: str | None
    embedding: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Prediction:
    """The prompt of one picture.

    Attributes:
        path: The picture's path; ``images[3]`` for the fourth of several in memory, ``image`` for one.
        prompt: The prompt.
        source: ``metadata`` if the picture carried it, ``predicted`` if it is a guess.
        embedding: The prompt's place in the sentence encoder's space: float32, shape (384,), of unit
            length, read-only. None only for a prompt that was read where there is no encoder to
            embed it.
        embedding_error: Why there is no embedding.
        members: What each member of the preset gave; none for a prompt that was read.
        evidence: Real prompts that are near what was seen.
        expected_score: The cosine with the true prompt that the preset's calibration expects, if it has
            one.
        metadata_error: Why the picture's metadata could not be read; a prompt may be in them.
        preset: The preset.
        elapsed_ms: Time spent on this picture, in milliseconds.
        receipt: What computed it.
    """

    ok: ClassVar[Literal[True]] = True
    path: str
    prompt: str
    source: Literal["metadata", "predicted"]
    embedding: NDArray[np.float32] | None
    embedding_error: str | None
    members: tuple[Member, ...]
    evidence: tuple[Evidence, ...]
    expected_score: float | None
    metadata_error: str | None
    preset: str
    elapsed_ms: float
    receipt: Receipt


@dataclass(frozen=True)
class Caption:
    """What a picture shows, in words.

    Attributes:
        path: As in Prediction.
        caption: The words.
        token_ids: As the reference's ``generate`` returns them, start and end included.
        score: The logarithm of its probability, as the model's beams are compared.
    """

    ok: ClassVar[Literal[True]] = True
    path: str
    caption: str
    token_ids: tuple[int, ...]
    score: float


@dataclass(frozen=True)
class Label:
    """One label of a picture.

    Attributes:
        index: The class.
        label: Its name.
        probability: Soft-max over all classes.
        logit: The network's output.
    """

    index: int
    label: str
    probability: float
    logit: float


@dataclass(frozen=True)
class Classification:
    """The labels of one picture.

    Attributes:
        path: As in Prediction.
        labels: The most probable first.
    """

    ok: ClassVar[Literal[True]] = True
    path: str
    labels: tuple[Label, ...]


@dataclass(frozen=True)
class RankedLabel:
    """A label of a table with its cosine.

    Attributes:
        label: The label.
        similarity: Its cosine with the picture.
    """

    label: str
    similarity: float


@dataclass(frozen=True)
class Contribution:
    """What a phrase of a prompt is worth.

    Attributes:
        phrase: The phrase.
        contribution: The prompt's cosine less that of the prompt without the phrase.
    """

    phrase: str
    contribution: float


@dataclass(frozen=True)
class Interrogation:
    """A picture's prompt of labels, or its labels.

    Attributes:
        path: As in Prediction.
        mode: The mode.
        prompt: The prompt; None in analyze.
        caption: The caption that it begins with, if it does.
        similarity: The prompt's cosine with the picture; None in analyze.
        explain: What each phrase adds, where that was asked for.
        tables: The first labels of each table, in analyze.
        complete: Whether the search went to its end, where it had a budget.
    """

    ok: ClassVar[Literal[True]] = True
    path: str
    mode: str
    prompt: str | None
    caption: str | None
    similarity: float | None
    explain: tuple[Contribution, ...] | None
    tables: dict[str, tuple[RankedLabel, ...]] | None
    complete: bool | None


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The prompts of an index nearest to a picture or a text.

    Attributes:
        query: The picture's path as in Prediction, or the text.
        matches: The prompts, the nearest first.
        embedding: What the nearest ones predict: float32, shape (sentence_width,), of unit length.
    """

    ok: ClassVar[Literal[True]] = True
    query: str
    matches: tuple[Evidence, ...]
    embedding: NDArray[np.float32]


@dataclass(frozen=True)
class IndexInfo:
    """What an index holds.

    Attributes:
        folder: Its folder.
        prompts: How many prompts.
        duplicates: How many rows of the list were left out because they came before.
        empty: How many were left out because there was nothing in them.
        prompts_sha256: The digest of the prompts.
        clip: The CLIP or SigLIP.
        clip_width: The numbers of its vectors.
        sentence: The sentence encoder.
        sentence_width: The numbers of its vectors.
        segments: The files of the index.
        segment_rows: Prompts in a file.
        bytes: What all of it takes on disk.
    """

    folder: Path
    prompts: int
    duplicates: int
    empty: int
    prompts_sha256: str
    clip: ModelReceipt
    clip_width: int
    sentence: ModelReceipt
    sentence_width: int
    segments: int
    segment_rows: int
    bytes: int


@dataclass(frozen=True)
class MetadataRecord:
    """What a picture says of how it was made.

    Attributes:
        path: As in Prediction.
        found: Whether there is a record.
        generator: The program whose record it is, as ``a1111``, if the record says so.
        prompt: The prompt; None where there is no record, and empty where it has none.
        negative_prompt: The negative prompt, if there is one.
        settings: Everything else, under the program's own names.
    """

    ok: ClassVar[Literal[True]] = True
    path: str
    found: bool
    generator: str | None
    prompt: str | None
    negative_prompt: str | None
    settings: dict[str, Any]


@dataclass(frozen=True)
class Written:
    """A file with a prompt in it.

    Attributes:
        path: The file.
        written: Where the prompt is: ``xmp``, ``parameters``.
        prompt: The prompt.
        changed: Whether the file had to be changed.
    """

    ok: ClassVar[Literal[True]] = True
    path: str
    written: tuple[str, ...]
    prompt: str
    changed: bool


@dataclass(frozen=True)
class Stripped:
    """A file without prompts.

    Attributes:
        path: The file.
        stripped: Whether there was anything to take out.
    """

    ok: ClassVar[Literal[True]] = True
    path: str
    stripped: bool


@dataclass(frozen=True)
class ImageScore:
    """How well the prediction of one image matches.

    Attributes:
        id: The image's id: its file name without folder and extension.
        cosine: Cosine of predicted and true embedding, from -1 to 1.
    """

    id: str
    cosine: float


@dataclass(frozen=True)
class Score:
    """How well predictions match the truth.

    Attributes:
        mean_cosine: Mean of the cosines, from -1 to 1.
        n: How many images.
        per_image: Each image, in the order of the truth.
    """

    mean_cosine: float
    n: int
    per_image: tuple[ImageScore, ...]
