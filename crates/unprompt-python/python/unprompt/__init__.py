"""Turns an image back into its prompt: as text, and as the embedding of that text.

    >>> import unprompt
    >>> predictor = unprompt.Predictor()
    >>> predictor.predict("picture.png").prompt
    'a cat'

Nothing is fetched for the default preset. What is fetched for others, and what else is worth a line, goes
to the logger ``unprompt`` of Python's ``logging``, at the level INFO.
"""

from unprompt._native import (
    Captioner,
    Classifier,
    ImageEncoder,
    Index,
    Interrogator,
    Predictor,
    TextEncoder,
    UnpromptError,
    __version__,
    pictures,
    read_metadata,
    score,
    strip_metadata,
    write_metadata,
)
from unprompt._results import (
    Caption,
    Classification,
    Contribution,
    Evidence,
    Failure,
    ImageScore,
    IndexInfo,
    Interrogation,
    Label,
    Member,
    MetadataRecord,
    ModelReceipt,
    Neighbours,
    Prediction,
    RankedLabel,
    Receipt,
    Score,
    Stripped,
    Written,
)

__all__ = [
    "Caption",
    "Captioner",
    "Classification",
    "Classifier",
    "Contribution",
    "Evidence",
    "Failure",
    "ImageEncoder",
    "ImageScore",
    "Index",
    "IndexInfo",
    "Interrogation",
    "Interrogator",
    "Label",
    "Member",
    "MetadataRecord",
    "ModelReceipt",
    "Neighbours",
    "Prediction",
    "Predictor",
    "RankedLabel",
    "Receipt",
    "Score",
    "Stripped",
    "TextEncoder",
    "UnpromptError",
    "Written",
    "__version__",
    "pictures",
    "read_metadata",
    "score",
    "strip_metadata",
    "write_metadata",
]
