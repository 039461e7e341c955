"""Predictions in Ray Data: a class for ``map_batches``.

    >>> import ray
    >>> import unprompt.ray
    >>> pictures = ray.data.read_parquet("pictures/")
    >>> prompts = pictures.map_batches(
    ...     unprompt.ray.Predictor,
    ...     fn_constructor_kwargs={"id": "key", "picture": "image"},
    ...     compute=ray.data.ActorPoolStrategy(size=4),
    ...     num_cpus=4,
    ...     batch_size=64,
    ... )
    >>> prompts.write_parquet("prompts/")

Nothing of Ray is needed here, only pyarrow, which Ray Data brings, and Linux or macOS.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from unprompt._supervised import Supervised

if TYPE_CHECKING:
    from unprompt._worker import Record

__all__ = ["Predictor"]

# Columns that pictures are looked for in. `image` is what Hugging Face's data sets and read_images have,
# `bytes` what read_binary_files has.
_PICTURES = ("bytes", "image", "image_bytes", "picture", "jpg", "jpeg", "png", "webp", "path", "image_path")
# Columns of a record, besides its id.
_COLUMNS = ("prompt", "source", "embedding", "expected_score", "metadata_error", "error")
# Numbers of an embedding.
_WIDTH = 384


class Predictor:
    """Turns a batch of rows with pictures into one record a row.

    What is wrong with a picture is the `error` of its record: a broken file, one that holds the computation
    for longer than `time_limit`, takes more memory than `memory_limit`, or ends the process that works on
    it, which is a process of its own for that reason. The others have their records. An exception concerns
    all: a model that cannot be had, a column that is not there.

    The record of a row depends on the picture and the settings alone, so a batch that is computed again
    gives the same bits. Objects are pickled by their arguments and load the models anew.

    Args:
        preset: As in `unprompt.Predictor`.
        id: The column that names a row; it is in the records under the same name.
        picture: The column of pictures, or several, of which the first counts that a row has a value in.
            A picture is the bytes of a file, a path, a uint8 array as in `unprompt.Predictor.predict`, or
            a struct with `bytes` or `path`, as in Hugging Face's data sets. None is the usual names.
        metadata: Take the prompt that the picture carries, where it carries one.
        batch_size: Pictures that are worked on together, from 1 to 4096; no result depends on it.
        time_limit: Seconds without a record after which a picture is given up.
        memory_limit: Bytes that may be taken for the pictures that are worked on, beyond what the models
            take. Watched on Linux.
        threads: Threads to compute with. None is as many as Ray gave processors (`num_cpus`), elsewhere one
            for each core.
        device, dtype, offline, allow_pickle: As in `unprompt.Predictor`.

    Raises:
        ValueError: An argument is out of its range.
        UnpromptError: The preset or one of its models cannot be had.
    """

    def __init__(
        self,
        preset: str | None = None,
        *,
        id: str = "id",
        picture: str | Sequence[str] | None = None,
        metadata: bool = True,
        batch_size: int = 16,
        time_limit: float = 600.0,
        memory_limit: int = 4 << 30,
        device: str = "auto",
        dtype: str = "auto",
        threads: int | None = None,
        offline: bool = False,
        allow_pickle: bool = False,
    ) -> None:
        self._arguments = {
            "preset": preset,
            "id": id,
            "picture": picture,
            "metadata": metadata,
            "batch_size": batch_size,
            "time_limit": time_limit,
            "memory_limit": memory_limit,
            "device": device,
            "dtype": dtype,
            "threads": threads,
            "offline": offline,
            "allow_pickle": allow_pickle,
        }
        if id in _COLUMNS:
            raise ValueError(f"id={id!r}: records have a column of this name; rename the one that names rows")
        if not 1 <= batch_size <= 4096:
            raise ValueError(f"batch_size={batch_size}: from 1 to 4096 can be asked for")
        if not time_limit > 0:
            raise ValueError(f"time_limit={time_limit}: some seconds are needed")
        if memory_limit < 1 << 20:
            raise ValueError(f"memory_limit={memory_limit}: bytes are needed, at least {1 << 20}")
        self._id = id
        self._pictures = _PICTURES if picture is None else (picture,) if isinstance(picture, str) else tuple(picture)
        settings = {
            "preset": preset,
            "device": device,
            "dtype": dtype,
            "threads": _assigned() if threads is None else threads,
            "offline": offline,
            "allow_pickle": allow_pickle,
        }
        self._lock = threading.Lock()
        self._predictor = Supervised(settings, metadata, batch_size, time_limit, memory_limit)

    def __call__(self, batch: Any) -> Any:
        """The records of a batch.

        Args:
            batch: A batch in any of Ray's formats: a mapping of columns, a pyarrow table, a data frame.

        Returns:
            A pyarrow table with a row for each of the batch's, in their order: the id; `prompt`; `source`,
            `metadata` or `predicted`; `embedding`, 384 f32 of unit length, NaN where there is none;
            `expected_score`; `metadata_error`; `error`.

        Raises:
            KeyError: The batch has no such column.
            UnpromptError: What all pictures need is broken, or the process that predicts dies whatever the
                picture is.
        """
        pyarrow: Any = importlib.import_module("pyarrow")
        names = [str(name) for name in _names(batch)]
        if self._id not in names:
            raise KeyError(f"no column {self._id!r} names the rows, of {names}: say which does by id=")
        present = [_column(batch, name) for name in self._pictures if name in names]
        if not present:
            raise KeyError(f"no column of pictures is among {names}: say which is one by picture=")
        with self._lock:
            records = self._predictor.predict([_picture(values) for values in zip(*present)])
        identity = batch.column(self._id) if hasattr(batch, "column") else pyarrow.array(list(batch[self._id]))
        return _table(pyarrow, self._id, identity, records)

    def __getstate__(self) -> dict[str, Any]:
        return self._arguments

    def __setstate__(self, arguments: dict[str, Any]) -> None:
        self.__init__(**arguments)  # type: ignore[misc]

    def close(self) -> None:
        """Ends the process that predicts; the next batch starts another."""
        self._predictor.close()


def _names(batch: Any) -> Any:
    """The names of a batch's columns."""
    return getattr(batch, "column_names", None) or list(batch)


def _column(batch: Any, name: str) -> Any:
    """The values of a column."""
    if not hasattr(batch, "column"):
        return batch[name]
    # By chunk, for which Ray's columns of arrays give arrays of their shape.
    return [value for chunk in batch.column(name).chunks for value in chunk.to_numpy(zero_copy_only=False)]


def _picture(values: Sequence[Any]) -> Any:
    """The first value that a row has. A number that is none is how a data frame says that it has none."""
    for value in values:
        if isinstance(value, Mapping):
            value = value.get("bytes") or value.get("path")
        if value is not None and not isinstance(value, float):
            return value
    return None


def _table(pyarrow: Any, name: str, identity: Any, records: Sequence[Record]) -> Any:
    """Records as columns of the same types, whatever is in them."""
    embeddings = np.full((len(records), _WIDTH), np.nan, np.float32)
    for row, record in zip(embeddings, records):
        if record.embedding is not None:
            row[:] = record.embedding
    kinds = {"expected_score": pyarrow.float64()}
    columns = {
        column: pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(embeddings.reshape(-1)), _WIDTH)
        if column == "embedding"
        else pyarrow.array([getattr(one, column) for one in records], kinds.get(column, pyarrow.string()))
        for column in _COLUMNS
    }
    return pyarrow.table({name: identity, **columns})


def _assigned() -> int | None:
    """The processors that Ray gave to this actor, where it is one."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return None
    context = ray.get_runtime_context()
    # A driver has none assigned, and must not ask.
    if context.get_actor_id() is None:
        return None
    processors = context.get_assigned_resources().get("CPU")
    return max(1, int(processors)) if processors else None
