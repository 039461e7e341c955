"""What the tests share: the command line to compare with, and caches of their own."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[3]
PICTURES = PROJECT / "examples" / "pictures"
MODELS = PROJECT / "fixtures" / "models"

# Whether what cannot be fetched is an error.
REQUIRED = "UNPROMPT_REQUIRE_WEIGHTS" in os.environ

# Nothing of the user's own is seen; set before the package reads it.
_CACHES = tempfile.TemporaryDirectory()
for name in list(os.environ):
    if name.startswith(("UNPROMPT_", "HF_", "TRANSFORMERS_")) and name != "UNPROMPT_BINARY":
        del os.environ[name]
os.environ["UNPROMPT_CACHE"] = _CACHES.name
os.environ["HF_HOME"] = str(Path(_CACHES.name, "huggingface"))

Cli = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="session")
def binary() -> Path:
    """The program: UNPROMPT_BINARY, or what cargo built."""
    path = Path(os.environ.get("UNPROMPT_BINARY", PROJECT / "target" / "debug" / "unprompt"))
    assert path.exists(), f"{path}: no such program; build it with cargo, or name it in UNPROMPT_BINARY"
    return path


@pytest.fixture(scope="session")
def cli(binary: Path) -> Cli:
    """Runs the command line and gives its records, failures among them."""

    def run(*arguments: object) -> list[dict[str, Any]]:
        command = [str(binary), *map(str, arguments), "--quiet", "--format", "json", "--offline"]
        found = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert found.returncode in (0, 2), found.stderr
        records = json.loads(found.stdout)
        return records if isinstance(records, list) else [records]

    return run
