"""A predictor in a process of its own, which a picture can neither hold nor take along.

A thread that computes cannot be ended, and takes the whole process along when it runs out of memory. So the
work is done by `unprompt._worker`, and this side watches it: what gives nothing for too long, takes too much
memory or dies is ended, and the pictures that it had are tried one by one in new processes. The picture that
one of them dies of again is the failure; the others have their records.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from multiprocessing import Pipe
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unprompt._native import UnpromptError
from unprompt._worker import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

# How often the process is looked at, in seconds.
_TICK = 0.1
# After so many deaths without a record in between it is not the pictures.
_MOST_DEATHS = 20
# What the process runs.
_PROGRAM = "from unprompt._worker import main; main()"


class _Died(Exception):
    """The process has ended or was ended; the message says how."""


class Supervised:
    """`unprompt.Predictor` in a process of its own.

    Args:
        settings: The arguments of `unprompt.Predictor` by their names.
        metadata: Take the prompt that a picture carries.
        batch_size: Pictures that are worked on together.
        time_limit: Seconds for which the process may give nothing while it has pictures.
        memory_limit: Bytes that it may take for pictures, beyond what it took for models. Watched where
            there is a /proc, which is Linux.

    Raises:
        ValueError, UnpromptError: As `unprompt.Predictor`.
    """

    def __init__(
        self,
        settings: dict[str, Any],
        metadata: bool,
        batch_size: int,
        time_limit: float,
        memory_limit: int,
    ) -> None:
        self._settings = (settings, metadata, batch_size)
        self._time_limit = time_limit
        self._memory_limit = memory_limit
        self._deaths = 0
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._start()
        except _Died as how:
            raise UnpromptError(f"the process that predicts ended before it began: {how}") from None

    def predict(self, pictures: Sequence[Any]) -> list[Record]:
        """One record for each picture, in their order.

        Raises:
            UnpromptError: What all pictures need is broken, or the process dies whatever the picture is.
        """
        if not pictures:
            return []
        with contextlib.suppress(_Died):
            return self._ask(pictures)
        # Something of these; or it was killed from outside, which then costs nothing but time.
        records = []
        for picture in pictures:
            try:
                records += self._ask([picture])
            except _Died as how:
                records.append(Record(error=f"the process that worked on this picture {how}"))
        return records

    def close(self) -> None:
        """Ends the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            self._connection.close()

    def __del__(self) -> None:
        # At the interpreter's end half of what this needs may be gone; the process ends by itself.
        with contextlib.suppress(Exception):
            self.close()

    def _start(self) -> None:
        self._connection, theirs = Pipe()
        with theirs:
            # It finds what this process finds, in the working folder only where this one does.
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONSAFEPATH": "1"}
            command = [sys.executable, "-c", _PROGRAM, str(theirs.fileno())]
            self._process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()]
            )
        self._models = 0
        self._send(self._settings)
        # To load may mean to fetch, which takes as long as it takes.
        self._receive("ready", None)
        self._models = _memory(self._process.pid)

    def _ask(self, pictures: Sequence[Any]) -> list[Record]:
        if self._process is None:
            self._start()
        self._send(list(pictures))
        records: list[Record] = self._receive("records", self._time_limit)
        self._deaths = 0
        return records

    def _send(self, message: Any) -> None:
        try:
            self._connection.send(message)
        except OSError:
            raise self._died() from None

    def _receive(self, wanted: str, limit: float | None) -> Any:
        """Waits for a message, which may take `limit` seconds after each sign of life."""
        since = time.monotonic()
        while True:
            self._watch(since, limit)
            try:
                word, content = self._connection.recv()
            except (EOFError, OSError):
                raise self._died() from None
            if word == wanted:
                return content
            if word == "failed":
                self.close()
                raise content
            if word == "note":
                logging.getLogger("unprompt").info("%s", content)
            since = time.monotonic()

    def _watch(self, since: float, limit: float | None) -> None:
        """Returns when there is a message, or nobody to send one."""
        while not self._connection.poll(_TICK):
            if limit is not None and time.monotonic() - since > limit:
                raise self._died(f"gave nothing for {limit:g} s")
            assert self._process is not None
            if limit is not None and _memory(self._process.pid) - self._models > self._memory_limit:
                raise self._died(f"took more than {self._memory_limit / 1e6:.0f} MB of memory")

    def _died(self, why: str | None = None) -> _Died:
        """Ends what is left of the process, and counts."""
        process = self._process
        assert process is not None
        if why is None:
            # Its end of the connection closes a moment before it ends.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=5)
            why = _how(process.poll())
        self.close()
        self._deaths += 1
        if self._deaths >= _MOST_DEATHS:
            raise UnpromptError(
                f"the process that predicts died {self._deaths} times without a record in between, the last "
                f"time because it {why}: see its messages above, and whether memory_limit and time_limit suffice"
            )
        return _Died(why)


def _how(code: int | None) -> str:
    if code is None:
        return "stopped answering"
    if code >= 0:
        return f"ended with exit code {code}"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"


def _memory(process: int) -> int:
    """Bytes that a process has in memory for itself, without files that are mapped; 0 where nobody tells."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    found = [line.split()[1] for line in lines if line.startswith("RssAnon:")]
    return int(found[0]) * 1024 if found else 0
