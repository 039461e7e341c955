"""Predictor: the same records as the command line, whatever a picture is."""

from __future__ import annotations

import io
import logging
import os
import pickle
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import MODELS, PICTURES, Cli
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tqdm import tqdm

import unprompt
from unprompt import Failure, Prediction


@pytest.fixture(scope="module")
def predictor() -> unprompt.Predictor:
    return unprompt.Predictor(offline=True)


def prediction(found: Prediction | Failure) -> Prediction:
    assert found.ok, found
    return found


def bits(found: Prediction | Failure) -> tuple[str, bytes]:
    one = prediction(found)
    return one.prompt, one.embedding.tobytes()


def check(found: Prediction | Failure, record: dict[str, Any]) -> None:
    """Compares with a record of the command line, to the last bit."""
    if not found.ok:
        assert record == {"path": found.path, "error": found.error}
        return
    floats = lambda numbers: np.array(numbers, dtype=np.float32).tobytes()
    assert found.path == record["path"]
    assert found.prompt == record["prompt"]
    assert found.source == record["source"]
    assert found.embedding.tobytes() == floats(record["embedding"])
    assert found.expected_score == record.get("expected_score")
    assert found.metadata_error == record.get("metadata_error")
    assert found.preset == record["preset"]
    members = [(m.name, m.weight, m.text, m.embedding.tobytes()) for m in found.members]
    expected = [(m["name"], m["weight"], m.get("text"), floats(m["embedding"])) for m in record["members"]]
    assert members == expected
    evidence = [(e.prompt, e.similarity) for e in found.evidence]
    assert evidence == [(e["prompt"], e["similarity"]) for e in record.get("evidence", [])]
    receipt = record["receipt"]
    assert (found.receipt.version, found.receipt.dtype) == (receipt["version"], receipt["dtype"])
    models = [(m.name, m.revision, m.sha256, m.dtype) for m in found.receipt.models]
    assert models == [tuple(m[key] for key in ("name", "revision", "sha256", "dtype")) for m in receipt["models"]]


def test_records_are_those_of_the_command_line(
    predictor: unprompt.Predictor, cli: Cli, tmp_path: Path
) -> None:
    for name in ("cat.png", "rocket.jpg", "coffee.webp"):
        (tmp_path / name).write_bytes((PICTURES / name).read_bytes())
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "notes.txt").write_text("no picture")
    paths = unprompt.pictures(tmp_path)
    assert [path.name for path in paths] == ["broken.png", "cat.png", "coffee.webp", "rocket.jpg"]
    found = predictor.predict(paths, batch_size=3)
    records = cli("predict", "--preset", "lite", tmp_path)
    assert len(found) == len(records) == 4
    for one, record in zip(found, records):
        check(one, record)


def test_a_picture_is_the_same_in_every_form(predictor: unprompt.Predictor) -> None:
    for name in ("cat.png", "rocket.jpg", "coffee.webp", "photographer.png"):
        path = PICTURES / name
        expected = bits(predictor.predict(path))
        image = Image.open(path)
        array = np.asarray(image.convert("RGB"))
        wide = np.zeros((array.shape[0], array.shape[1] * 2, 3), np.uint8)
        wide[:, ::2] = array
        forms = [
            str(path),
            os.fspath(path),
            path.read_bytes(),
            bytearray(path.read_bytes()),
            image,
            array,
            np.asfortranarray(array),
            wide[:, ::2],
        ]
        for place, found in enumerate(predictor.predict(forms)):
            assert bits(found) == expected, (name, place)
        assert bits(predictor.predict(np.stack([array]))[0]) == expected
    grey = np.asarray(Image.open(PICTURES / "cat.png").convert("L"))
    expected = bits(predictor.predict(np.stack([grey] * 3, axis=-1)))
    assert bits(predictor.predict(grey)) == expected


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGBA", "CMYK", "YCbCr", "I;16", "RGBa", "La"])
def test_modes_of_pillow_are_what_pillow_writes(predictor: unprompt.Predictor, mode: str) -> None:
    image = Image.open(PICTURES / "cat.png").convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    if mode in ("PA", "La", "RGBa"):
        via = {"PA": "P", "La": "LA", "RGBa": "RGBA"}[mode]
        image = image.convert(via).convert(mode)
    elif mode == "I;16":
        image = image.convert("I").point(lambda value: value * 257).convert("I;16")
    else:
        image = image.convert("RGB").convert(mode) if mode in ("CMYK", "YCbCr", "P", "1") else image.convert(mode)
    file = io.BytesIO()
    as_png = {"CMYK": "RGB", "YCbCr": "RGB", "PA": "RGBA", "RGBa": "RGBA", "La": "LA"}
    image.convert(as_png.get(mode, mode)).save(file, "PNG")
    assert bits(predictor.predict(image)) == bits(predictor.predict(file.getvalue()))


def test_transparency_without_a_channel_is_kept(predictor: unprompt.Predictor) -> None:
    image = Image.open(PICTURES / "cat.png").convert("RGB")
    image.info["transparency"] = image.getpixel((0, 0))
    file = io.BytesIO()
    image.save(file, "PNG")
    assert bits(predictor.predict(image)) == bits(predictor.predict(file.getvalue()))


def test_the_prompt_that_a_picture_carries_is_found(predictor: unprompt.Predictor, tmp_path: Path) -> None:
    # The embedding of such a prompt needs an encoder that is not here; reading does not.
    path = tmp_path / "cat.png"
    path.write_bytes((PICTURES / "cat.png").read_bytes())
    written = unprompt.write_metadata(path, "a cat, naïve, 猫")
    assert written.ok and written.written == ("xmp", "parameters") and written.changed
    forms = [path, path.read_bytes(), Image.open(path)]
    texts = PngInfo()
    texts.add_text("parameters", "a dog\nSteps: 20, Sampler: Euler")
    file = io.BytesIO()
    Image.open(PICTURES / "cat.png").save(file, "PNG", pnginfo=texts)
    for found in unprompt.read_metadata(forms):
        assert found.ok and found.prompt == "a cat, naïve, 猫" and found.generator == "unprompt"
    found = unprompt.read_metadata(Image.open(io.BytesIO(file.getvalue())))
    assert found.ok and found.prompt == "a dog" and found.settings["Steps"] == 20
    jpeg = tmp_path / "rocket.jpg"
    jpeg.write_bytes((PICTURES / "rocket.jpg").read_bytes())
    unprompt.write_metadata(jpeg, "a rocket", form="parameters")
    found = unprompt.read_metadata(Image.open(jpeg))
    assert found.ok and found.prompt == "a rocket"
    as_predicted = predictor.predict([path, Image.open(path)], metadata=False)
    assert {prediction(one).source for one in as_predicted} == {"predicted"}


class Loud:
    """Whatever is asked of it fails."""

    def __fspath__(self) -> str:
        raise RuntimeError("no path today")


def test_what_is_no_picture_fails_in_its_place(predictor: unprompt.Predictor) -> None:
    good = PICTURES / "cat.png"
    huge = np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (10_000, 10_000, 3))
    cases: list[tuple[Any, str]] = [
        (np.zeros((4, 4, 3)), "an array of float64 is no picture: uint8"),
        (np.zeros((4, 4, 3), np.int64), "an array of int64 is no picture: uint8"),
        (np.zeros((4, 4, 2), np.uint8), "[4, 4, 2] is no picture"),
        (np.zeros(4, np.uint8), "[4] is no picture"),
        (np.zeros((0, 4, 3), np.uint8), "hold nothing"),
        (huge, "10000 x 10000 pixels, most pixels allowed are 67108864"),
        (b"", "an empty file"),
        (b"hello", ""),
        (bytes(21 << 20), "longer than the 20971520 bytes allowed"),
        (None, "NoneType is no picture: a path"),
        (5, "int is no picture: a path"),
        (Path("missing.png"), "cannot be read"),
        (str(PICTURES), "cannot be read"),
        (Loud(), "no path today"),
        ("\0", ""),
        (Image.open(io.BytesIO(good.read_bytes()[:3000])), "truncated"),
    ]
    images = [good, *(case for case, _ in cases), good]
    found = predictor.predict(images)
    assert len(found) == len(images)
    assert bits(found[0]) == bits(found[-1])
    for place, (one, (case, message)) in enumerate(zip(found[1:-1], cases), start=1):
        assert isinstance(one, Failure) and not one.ok, (case, one)
        assert message in one.error, (case, one.error)
        if not isinstance(case, (str, Path)):
            assert one.path == f"images[{place}]"
    one = predictor.predict(np.zeros((4, 4, 3)))
    assert isinstance(one, Failure) and one.path == "image"


def test_arguments_that_make_no_sense_are_refused(predictor: unprompt.Predictor) -> None:
    for images in (5, None, {"a": 1}, 1.5):
        with pytest.raises(TypeError, match="is no picture and no iterable of pictures"):
            predictor.predict(images)  # type: ignore[call-overload]
    for size in (0, 5000):
        with pytest.raises(ValueError, match="batch_size"):
            predictor.predict([], batch_size=size)
    with pytest.raises(TypeError, match="progress"):
        predictor.predict([], progress=5)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="device"):
        unprompt.Predictor(device="tpu")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="dtype"):
        unprompt.Predictor(dtype="f64")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="threads"):
        unprompt.Predictor(threads=0)
    with pytest.raises(unprompt.UnpromptError, match="no-such-preset"):
        unprompt.Predictor("no-such-preset")
    with pytest.raises(unprompt.UnpromptError, match="not on this machine"):
        unprompt.Predictor("clip", offline=True)


def test_iterables_are_taken_as_they_come(predictor: unprompt.Predictor) -> None:
    assert predictor.predict([]) == []
    taken = []

    def pictures() -> Iterator[Path]:
        for name in ("cat.png", "rocket.jpg", "coffee.webp"):
            taken.append(name)
            yield PICTURES / name

    found = predictor.predict(pictures(), batch_size=1)
    assert [Path(prediction(one).path).name for one in found] == taken
    assert len(taken) == 3

    def broken() -> Iterator[Path]:
        yield PICTURES / "cat.png"
        raise KeyError("gone")

    with pytest.raises(KeyError, match="gone"):
        predictor.predict(broken(), batch_size=1)


def test_progress_is_heard(predictor: unprompt.Predictor) -> None:
    paths = [PICTURES / "cat.png", Path("missing.png"), PICTURES / "rocket.jpg"]
    heard: list[tuple[int, int | None]] = []
    predictor.predict(paths, batch_size=2, progress=lambda done, total: heard.append((done, total)))
    assert heard == [(1, 3), (2, 3), (3, 3)]
    heard.clear()
    predictor.predict(iter(paths), progress=lambda done, total: heard.append((done, total)))
    assert heard[-1] == (3, None)
    with tqdm(file=io.StringIO()) as bar:
        predictor.predict(paths, progress=bar)
        assert (bar.n, bar.total) == (3, 3)

    def stop(done: int, total: int | None) -> None:
        raise StopAsyncIteration("enough")

    with pytest.raises(StopAsyncIteration, match="enough"):
        predictor.predict(paths, progress=stop)


def test_records_do_not_change(predictor: unprompt.Predictor) -> None:
    found = prediction(predictor.predict(PICTURES / "cat.png"))
    with pytest.raises(FrozenInstanceError):
        found.prompt = "a dog"  # type: ignore[misc]
    for array in (found.embedding, found.members[0].embedding):
        assert array.dtype == np.float32 and array.shape == (384,)
        assert not array.flags.writeable and not array.flags.owndata, "moved, not copied"
        assert abs(float(np.linalg.norm(array)) - 1) < 1e-6
        with pytest.raises(ValueError):
            array[0] = 1
    again = pickle.loads(pickle.dumps(found))
    assert bits(again) == bits(found) and again.receipt == found.receipt
    failure = predictor.predict(Path("missing.png"))
    assert pickle.loads(pickle.dumps(failure)) == failure


def test_a_predictor_is_pickled_by_its_arguments(predictor: unprompt.Predictor) -> None:
    again = pickle.loads(pickle.dumps(predictor))
    assert again.preset == predictor.preset == "lite"
    assert again.receipt == predictor.receipt
    path = PICTURES / "cat.png"
    assert bits(again.predict(path)) == bits(predictor.predict(path))
    assert repr(predictor) == 'unprompt.Predictor("lite")'


def test_eight_threads_at_once(predictor: unprompt.Predictor) -> None:
    paths = sorted(PICTURES.glob("*.*g"))
    expected = [bits(one) for one in predictor.predict(paths)]
    two = unprompt.Predictor(offline=True, threads=2)
    # Each in an order of its own, on shared and on different threads.
    def work(number: int) -> None:
        places = [(place + number) % len(paths) for place in range(len(paths))]
        own = (predictor, two)[number % 2]
        for place, found in zip(places, own.predict([paths[place] for place in places], batch_size=1 + number)):
            assert bits(found) == expected[place]

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(work, number) for number in range(8)]:
            done.result()


def test_python_goes_on_meanwhile(predictor: unprompt.Predictor) -> None:
    ticks, stop = [0], threading.Event()

    def tick() -> None:
        while not stop.is_set():
            ticks[0] += 1
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    before = ticks[0]
    predictor.predict([PICTURES / "cat.png"] * 8)
    during = ticks[0] - before
    stop.set()
    thread.join()
    assert during > 3


def test_ctrl_c_ends_a_call(predictor: unprompt.Predictor) -> None:
    taken = [0]

    def endless() -> Iterator[Path]:
        while True:
            taken[0] += 1
            if taken[0] == 3:
                signal.raise_signal(signal.SIGINT)
            yield PICTURES / "cat.png"

    with pytest.raises(KeyboardInterrupt):
        predictor.predict(endless(), batch_size=1)
    assert taken[0] < 50
    # While nothing is asked of Python.
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        predictor.predict([PICTURES / "cat.png"] * 200, batch_size=200)
    assert prediction(predictor.predict(PICTURES / "cat.png")).prompt == "a cat"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_predicts(predictor: unprompt.Predictor) -> None:
    expected = bits(predictor.predict(PICTURES / "cat.png"))
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if bits(predictor.predict(PICTURES / "cat.png")) == expected else 1)
        finally:
            os._exit(2)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert os.waitstatus_to_exitcode(status) == 0
            return
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    pytest.fail("the forked process hangs")


def test_what_is_worth_a_line_is_logged(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "flavors.txt").write_text("glass\nglass\nfire\n")
    with caplog.at_level(logging.INFO, "unprompt"):
        unprompt.Interrogator(
            str(MODELS / "tiny-clip"), mode="fast", captioner=None, labels=tmp_path / "labels", offline=True
        )
    lines = [record.getMessage() for record in caplog.records]
    assert any("1 repeated" in line for line in lines), lines
    assert any("embedding the 3 labels of flavors" in line for line in lines), lines
    assert {record.name for record in caplog.records} == {"unprompt"}
