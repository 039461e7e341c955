"""The process that predicts for `unprompt.ray`: one that can be ended, as a thread cannot.

Started with the number of a socket. Over it come the arguments of `unprompt.Predictor`, once, and then lists
of pictures; back go messages, pairs of a word and what belongs to it:

| word | with it | when |
|---|---|---|
| ready | nothing | the models are loaded |
| note | a line for `logging` | as it comes |
| done | how many pictures of the list are done | after each |
| records | one record a picture | after the list |
| failed | an exception | what all pictures need cannot be had; the process ends |
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

import unprompt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from unprompt import Failure, Prediction


class Record(NamedTuple):
    """What is kept of a picture.

    Attributes:
        prompt: The prompt, or None where there is an error.
        source: As in Prediction.
        embedding: As in Prediction.
        expected_score: As in Prediction.
        metadata_error: As in Prediction.
        error: What is wrong with the picture.
    """

    prompt: str | None = None
    source: str | None = None
    embedding: NDArray[np.float32] | None = None
    expected_score: float | None = None
    metadata_error: str | None = None
    error: str | None = None


def record(found: Prediction | Failure) -> Record:
    """What is kept of a result: members, evidence and receipt are long, or the same in all."""
    if not found.ok:
        return Record(error=found.error)
    return Record(found.prompt, found.source, found.embedding, found.expected_score, found.metadata_error)


class _Notes(logging.Handler):
    """Lines for `logging`, which are the parent's to show."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(logging.INFO)
        self._connection = connection

    def emit(self, line: logging.LogRecord) -> None:
        self._connection.send(("note", line.getMessage()))


def _listen(connection: Connection, requests: SimpleQueue[list[Any]]) -> None:
    """Takes requests; ends the process when nobody is left to ask, whatever it is doing."""
    try:
        while True:
            requests.put(connection.recv())
    except (EOFError, OSError):
        os._exit(0)


def main() -> None:
    """Serves the parent until it is gone."""
    # An interrupt at the terminal is for the parent, which ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = Connection(int(sys.argv[1]))
    settings, metadata, batch_size = connection.recv()
    requests: SimpleQueue[list[Any]] = SimpleQueue()
    threading.Thread(target=_listen, args=(connection, requests), daemon=True).start()
    logger = logging.getLogger("unprompt")
    logger.setLevel(logging.INFO)
    logger.addHandler(_Notes(connection))
    try:
        predictor = unprompt.Predictor(**settings)
        connection.send(("ready", None))
        while True:
            found = predictor.predict(
                requests.get(),
                metadata=metadata,
                batch_size=batch_size,
                progress=lambda done, _: connection.send(("done", done)),
            )
            connection.send(("records", [record(one) for one in found]))
    except Exception as error:
        connection.send(("failed", error))
