"""Nothing is lost over many calls."""

from __future__ import annotations

import gc
import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import PICTURES
from PIL import Image

import unprompt

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


def resident() -> int:
    """What the process has in memory, in bytes."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * 4096


def grows(call: Callable[[], object], times: int) -> float:
    """Megabytes that `times` calls leave behind, after as many tenths to warm up."""
    for _ in range(times // 10 + 1):
        call()
    gc.collect()
    before = resident()
    for _ in range(times):
        call()
    gc.collect()
    return (resident() - before) / 1e6


def test_ten_thousand_calls_leave_nothing() -> None:
    predictor = unprompt.Predictor(offline=True)
    file = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(file, "PNG")
    png = file.getvalue()
    array = np.zeros((8, 8, 3), np.float64)
    # Of 4 KB each would remain 40 MB, if a call kept them.
    assert len(png) > 3000
    assert grows(lambda: unprompt.read_metadata(png), 10_000) < 30
    assert grows(lambda: predictor.predict(array), 10_000) < 30
    assert grows(lambda: predictor.predict([]), 10_000) < 30


def test_pictures_and_results_are_let_go() -> None:
    predictor = unprompt.Predictor(offline=True)
    image = Image.open(PICTURES / "cat.png").convert("RGB")
    array = np.asarray(image).copy()
    heard: list[object] = []
    progress = heard.append

    def call() -> None:
        heard.clear()
        found = predictor.predict([image, array], progress=lambda done, total: progress(done))
        assert all(one.ok for one in found)

    call()
    counts = [sys.getrefcount(one) for one in (image, array, progress, predictor)]
    assert grows(call, 60) < 40
    assert [sys.getrefcount(one) for one in (image, array, progress, predictor)] == counts
    found = predictor.predict(image)
    assert found.ok
    # Counted outside of an assertion, which holds what it compares.
    counts = [sys.getrefcount(found), sys.getrefcount(found.embedding)]
    assert counts == [2, 2]
