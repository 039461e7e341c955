"""The types are true, and what the README and the documentation say works."""

from __future__ import annotations

import dataclasses
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import PICTURES, PROJECT

import unprompt
import unprompt.ray

WRONG = '''
import numpy as np
import unprompt

predictor = unprompt.Predictor(device="tpu")
one = predictor.predict("a.png")
print(one.prompt)
many: list[unprompt.Prediction] = predictor.predict(["a.png"])
'''
RIGHT = '''
from pathlib import Path
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm
import unprompt
from unprompt.clip_interrogator import Config, Interrogator

predictor = unprompt.Predictor("lite", device="cpu", threads=2)
one = predictor.predict(Image.open("a.png"))
if one.ok:
    prompt: str = one.prompt
    vector: NDArray[np.float32] | None = one.embedding
else:
    error: str = one.error
with tqdm() as bar:
    for found in predictor.predict([Path("a.png"), b"bytes"], progress=bar):
        print(found.prompt if found.ok else found.error)
array = np.zeros((4, 4, 3), np.uint8)
labels = unprompt.Classifier().classify(array)
rows: NDArray[np.float32] = unprompt.TextEncoder().embed(["a", "b"])
ci = Interrogator(Config(clip_model_name="ViT-L-14/openai"))
text: str = ci.interrogate(Image.open("a.png"))
'''


def mypy(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


def test_a_type_checker_agrees(tmp_path: Path) -> None:
    found = mypy("-p", "unprompt")
    assert found.returncode == 0, found.stdout
    right = tmp_path / "right.py"
    right.write_text(RIGHT)
    found = mypy(right)
    assert found.returncode == 0, found.stdout
    wrong = tmp_path / "wrong.py"
    wrong.write_text(WRONG)
    found = mypy(wrong)
    for message in ('Argument "device"', 'has no attribute "prompt"', "Incompatible types in assignment"):
        assert message in found.stdout, found.stdout


def test_stubs_are_those_of_the_compiled_part() -> None:
    command = [sys.executable, "-m", "mypy.stubtest", "unprompt._native", "--ignore-disjoint-bases"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert found.returncode == 0, found.stdout + found.stderr


def blocks(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("document", ["crates/unprompt-python/README.md", "docs/python.md"])
def test_the_examples_of_the_documentation_work(document: str, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for name in ("cat.png", "rocket.jpg"):
        (tmp_path / "pictures" / name).write_bytes((PICTURES / name).read_bytes())
    (tmp_path / "picture.png").write_bytes((PICTURES / "cat.png").read_bytes())
    found = blocks((PROJECT / document).read_text())
    assert found
    for number, block in enumerate(found):
        script = tmp_path / f"block{number}.py"
        script.write_text(block)
        run = subprocess.run(
            [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=300
        )
        assert run.returncode == 0, f"{block}\n{run.stderr}"


def public(module: ModuleType) -> Iterator[tuple[str, Any, str]]:
    """Names, objects and documentation of what a module offers, and of what its classes do."""
    for name in module.__all__:
        if name.startswith("__"):
            continue
        found = getattr(module, name)
        yield name, found, found.__doc__ or ""
        # Records are documented as a whole, by their attributes.
        if not isinstance(found, type) or dataclasses.is_dataclass(found) or issubclass(found, Exception):
            continue
        for attribute in vars(found):
            if not attribute.startswith("_"):
                value = getattr(found, attribute)
                yield f"{name}.{attribute}", value, value.__doc__ or ""


@pytest.mark.parametrize("module", [unprompt, unprompt.ray])
def test_everything_public_is_documented_with_its_arguments(module: ModuleType) -> None:
    count = 0
    for name, found, documentation in public(module):
        assert documentation, name
        if dataclasses.is_dataclass(found):
            fields = [field.name for field in dataclasses.fields(found)]
        elif callable(found) and not (isinstance(found, type) and issubclass(found, Exception)):
            fields = [field for field in inspect.signature(found).parameters if field not in ("self", "args")]
        else:
            fields = []
        for field in fields:
            assert re.search(rf"\b{field}\b", documentation), f"{name}: {field}"
            count += 1
    assert count > 10
