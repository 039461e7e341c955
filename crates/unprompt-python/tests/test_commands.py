"""Every other class: the same bits as the command that it stands for, with the project's tiny models."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import MODELS, PICTURES, Cli

import unprompt
from unprompt import Failure

CAT, ROCKET = PICTURES / "cat.png", PICTURES / "rocket.jpg"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures with a broken one between them."""
    for path in (CAT, ROCKET):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "damaged.png").write_bytes(CAT.read_bytes()[:2000])
    return tmp_path


def floats(numbers: Any) -> bytes:
    return np.array(numbers, dtype=np.float32).tobytes()


def failed(found: object, record: dict[str, Any]) -> bool:
    """Whether both failed, and in the same way."""
    if not isinstance(found, Failure):
        assert "error" not in record
        return False
    assert record == {"path": found.path, "error": found.error}
    return True


def test_captioner(cli: Cli, folder: Path) -> None:
    model = MODELS / "tiny-blip"
    captioner = unprompt.Captioner(str(model), offline=True)
    cases: list[tuple[dict[str, Any], list[object]]] = [
        ({}, []),
        ({"beams": 3, "max_new_tokens": 7, "no_repeat_ngram": 2}, ["--beams", 3, "--max-new-tokens", 7, "--no-repeat-ngram", 2]),
        ({"seed": 5, "temperature": 0.7, "top_k": 9}, ["--seed", 5, "--temperature", 0.7, "--top-k", 9]),
    ]
    for options, flags in cases:
        found = captioner.caption(unprompt.pictures(folder), batch_size=2, **options)
        records = cli("caption", "--model", model, folder, *flags)
        assert len(found) == 3
        for one, record in zip(found, records):
            if not failed(one, record):
                assert one.ok
                assert (one.path, one.caption, list(one.token_ids)) == (
                    record["path"], record["caption"], record["token_ids"]
                )
                assert floats([one.score]) == floats([record["score"]])
    with pytest.raises(ValueError, match="not both"):
        captioner.caption(CAT, max_length=5, max_new_tokens=5)
    with pytest.raises(ValueError, match="beam"):
        captioner.caption(CAT, beams=0)
    with pytest.raises(ValueError, match="length_of"):
        captioner.caption(CAT, length_of="half")  # type: ignore[call-overload]
    again = pickle.loads(pickle.dumps(captioner))
    assert again.caption(CAT) == captioner.caption(CAT)


def test_classifier(cli: Cli, folder: Path) -> None:
    for name in ("tiny-vit-timm", "tiny-efficientnet-lite"):
        model = MODELS / name
        classifier = unprompt.Classifier(str(model), offline=True)
        found = classifier.classify(unprompt.pictures(folder), top=3)
        records = cli("classify", "--model", model, "--top", 3, folder)
        assert len(found) == 3
        for one, record in zip(found, records):
            if not failed(one, record):
                assert one.ok and one.path == record["path"] and len(one.labels) == 3
                for label, expected in zip(one.labels, record["labels"]):
                    assert (label.index, label.label) == (expected["index"], expected["label"])
                    numbers = [expected["probability"], expected["logit"]]
                    assert floats([label.probability, label.logit]) == floats(numbers)
                    assert classifier.labels[label.index] == label.label
        assert pickle.loads(pickle.dumps(classifier)).classify(CAT) == classifier.classify(CAT)


def test_image_encoder(cli: Cli, folder: Path) -> None:
    for name in ("tiny-clip", "tiny-siglip", "tiny-vit-timm"):
        model = MODELS / name
        encoder = unprompt.ImageEncoder(str(model), offline=True)
        cases: list[tuple[dict[str, Any], list[object]]] = [({}, []), ({"raw": True, "tta": "flip"}, ["--raw", "--tta", "flip"])]
        for options, flags in cases:
            found = encoder.embed(unprompt.pictures(folder), **options)
            records = cli("embed", "image", "--model", model, folder, *flags)
            for one, record in zip(found, records):
                if not failed(one, record):
                    assert isinstance(one, np.ndarray) and one.dtype == np.float32
                    assert one.tobytes() == floats(record["embedding"])
        one = encoder.embed(CAT)
        assert isinstance(one, np.ndarray) and one.ndim == 1
        again = pickle.loads(pickle.dumps(encoder))
        assert np.array_equal(again.embed(CAT), one)
    with pytest.raises(ValueError, match="tta"):
        encoder.embed(CAT, tta="both")  # type: ignore[call-overload]
    with pytest.raises(unprompt.UnpromptError, match="sentence encoder"):
        unprompt.ImageEncoder(str(MODELS / "tiny-sbert"), offline=True)


def test_heads_of_tensors_alone(cli: Cli) -> None:
    """They are told as to the command line, and are pickled with the model."""
    bare = MODELS / "tiny-vit-bare.pth"
    encoder = unprompt.ImageEncoder(str(bare), offline=True, allow_pickle=True, heads=4)
    records = cli("embed", "image", "--model", bare, CAT, "--allow-pickle", "--heads", 4)
    one = encoder.embed(CAT)
    assert isinstance(one, np.ndarray) and one.tobytes() == floats(records[0]["embedding"])
    guessed = unprompt.ImageEncoder(str(bare), offline=True, allow_pickle=True)
    assert not np.array_equal(guessed.embed(CAT), one)
    assert np.array_equal(pickle.loads(pickle.dumps(encoder)).embed(CAT), one)
    classifier = unprompt.Classifier(str(bare), offline=True, allow_pickle=True, heads=4)
    again = pickle.loads(pickle.dumps(classifier))
    assert again.classify(CAT) == classifier.classify(CAT)
    with pytest.raises(ValueError, match="heads=0"):
        unprompt.ImageEncoder(str(bare), heads=0)
    with pytest.raises(unprompt.UnpromptError, match="heads"):
        unprompt.Classifier(str(MODELS / "tiny-vit-timm"), offline=True, heads=2)


def test_text_encoder(cli: Cli) -> None:
    texts = ["a cat", "ein Haus, nebelig", "", "猫 " * 50]
    for name in ("tiny-sbert", "tiny-clip", "tiny-siglip"):
        model = MODELS / name
        encoder = unprompt.TextEncoder(str(model), offline=True)
        found = encoder.embed(iter(texts), batch_size=3)
        records = cli("embed", "text", "--model", model, *texts)
        assert found.dtype == np.float32 and found.shape[0] == 4
        assert found.tobytes() == floats([record["embedding"] for record in records])
        one = encoder.embed("a cat", raw=True)
        assert one.shape == found.shape[1:]
        records = cli("embed", "text", "--model", model, "--raw", "a cat")
        assert one.tobytes() == floats(records[0]["embedding"])
        assert encoder.embed([]).shape[0] == 0
        assert np.array_equal(pickle.loads(pickle.dumps(encoder)).embed(texts), found)
    with pytest.raises(TypeError, match="a text or an iterable of texts"):
        encoder.embed(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        encoder.embed([5])  # type: ignore[list-item]


def test_interrogator(cli: Cli, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    labels = MODELS / "tiny-interrogator" / "labels"
    clip, blip = MODELS / "tiny-clip", MODELS / "tiny-blip"
    begun: dict[str, Any] = {"clip": str(clip), "labels": labels, "offline": True}
    flags = ["interrogate", "--clip", clip, "--labels", labels]
    for mode in ("classic", "fast", "best", "negative", "competition", "analyze"):
        for compat in (None, "0.6.0"):
            options = {"mode": mode, "candidates": 20, "captioner": str(blip), "explain": True, "top": 2}
            interrogator = unprompt.Interrogator(**begun, **options, compat=compat)
            found = interrogator.interrogate(unprompt.pictures(folder), batch_size=2)
            more = ["--mode", mode, "--candidates", 20, "--captioner", blip, "--explain", "--top", 2]
            more += ["--compat", compat] if compat else []
            records = cli(*flags, *more, folder)
            assert len(found) == 3
            for one, record in zip(found, records):
                if failed(one, record):
                    continue
                assert one.ok and (one.path, one.mode) == (record["path"], mode)
                assert (one.prompt, one.caption) == (record.get("prompt"), record.get("caption"))
                if mode == "analyze":
                    assert one.similarity is None and one.tables is not None
                    assert {
                        name: [(label.label, np.float32(label.similarity)) for label in table]
                        for name, table in one.tables.items()
                    } == {
                        name: [(label["label"], np.float32(label["similarity"])) for label in table]
                        for name, table in record["tables"].items()
                    }
                else:
                    assert floats([one.similarity]) == floats([record["similarity"]])
                    assert one.explain is not None
                    told = [(of.phrase, np.float32(of.contribution)) for of in one.explain]
                    assert told == [(of["phrase"], np.float32(of["contribution"])) for of in record["explain"]]
    given = unprompt.Interrogator(**begun, mode="fast", captioner=None, without=["artists"], max_tokens=20, budget=60)
    found_one = given.interrogate(CAT, caption="a cat")
    record = cli(*flags, "--mode", "fast", "--caption", "a cat", "--without", "artists", "--max-tokens", 20, "--budget", "60s", CAT)[0]
    assert found_one.ok and found_one.prompt == record["prompt"] and found_one.complete is True
    assert pickle.loads(pickle.dumps(given)).interrogate(CAT, caption="a cat") == found_one
    with pytest.raises(ValueError, match="compat does not go with"):
        unprompt.Interrogator(**begun, compat="0.6.0", max_tokens=20)
    with pytest.raises(ValueError, match="mode"):
        unprompt.Interrogator(**begun, mode="worst")


def test_index(cli: Cli, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tmp_path_factory.mktemp("index")
    prompts = place / "prompts.csv"
    rows = [f"{colour} {thing}" for colour in ("red", "old", "misty") for thing in ("tower", "cat", "street")]
    prompts.write_text("prompt\n" + "\n".join([*rows, rows[0], ""]) + "\n")
    clip, sentence = MODELS / "tiny-clip", MODELS / "tiny-sbert"
    heard: list[tuple[int, int | None]] = []
    index = unprompt.Index.build(
        prompts, place / "ours", clip=str(clip), sentence=str(sentence), offline=True,
        progress=lambda done, total: heard.append((done, total)),
    )
    cli("index", "build", prompts, "--clip", clip, "--sentence", sentence, "--out", place / "theirs")
    content = lambda folder: {
        str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    assert content(place / "ours") == content(place / "theirs") != {}
    assert heard[-1] == (9, 9)
    info = cli("index", "info", place / "theirs")[0]
    assert (len(index), index.info.prompts, index.info.duplicates, index.info.empty) == (9, 9, 1, info["empty"])
    assert index.info.clip.sha256 == info["clip"]["sha256"] and index.info.bytes == info["bytes"]
    index.check()
    found = index.search(unprompt.pictures(folder), top=4)
    records = cli("index", "search", place / "theirs", "--top", 4, folder)
    for one, record in zip(found, records):
        if failed(one, record):
            continue
        assert one.ok and one.query == record["path"]
        assert one.embedding.tobytes() == floats(record["embedding"])
        told = [(match.prompt, np.float32(match.similarity)) for match in one.matches]
        assert told == [(match["prompt"], np.float32(match["similarity"])) for match in record["matches"]]
    texts = ["old cat", "blue sky"]
    flags = [flag for text in texts for flag in ("--text", text)]
    by_text = index.search_texts(texts, top=1)
    for near, record in zip(by_text, cli("index", "search", place / "theirs", "--top", 1, *flags)):
        assert near.query == record["text"] and near.matches[0].prompt == record["matches"][0]["prompt"]
        assert near.embedding.tobytes() == floats(record["embedding"])
    assert index.search_texts("old cat", top=1).matches == by_text[0].matches
    index.export(place / "ours.parquet")
    assert (place / "ours.parquet").read_bytes()[:4] == b"PAR1"
    again = pickle.loads(pickle.dumps(index))
    assert again.search_texts("old cat").matches == index.search_texts("old cat").matches
    with pytest.raises(unprompt.UnpromptError, match="nowhere"):
        unprompt.Index(place / "nowhere")


def test_metadata_is_read(cli: Cli) -> None:
    pictures = PICTURES.parents[1] / "crates" / "unprompt-metadata" / "tests" / "fixtures"
    paths = unprompt.pictures(pictures)
    assert len(paths) > 20
    found = unprompt.read_metadata(paths)
    records = cli("metadata", pictures)
    assert len(found) == len(records)
    for one, record in zip(found, records):
        if not failed(one, record):
            assert one.ok
            assert (one.path, one.found, one.generator) == (record["path"], record["found"], record.get("generator"))
            assert (one.prompt, one.negative_prompt) == (record.get("prompt"), record.get("negative_prompt"))
            assert one.settings == record.get("settings", {})
    assert any(one.ok and one.found for one in found)


def test_metadata_is_written(cli: Cli, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    for path in folder.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    found = unprompt.write_metadata(unprompt.pictures(folder), "a cat, oil", form="both")
    records = cli("metadata", "--write", "a cat, oil", "--form", "both", other)
    for one, record in zip(found, records):
        assert (folder / Path(record["path"]).name).read_bytes() == Path(record["path"]).read_bytes()
        if isinstance(one, Failure):
            assert one.error == record["error"]
        else:
            assert (list(one.written), one.prompt, one.changed) == (record["written"], record["prompt"], record["changed"])
    again = unprompt.write_metadata(folder / "cat.png", "a cat, oil")
    assert again.ok and not again.changed
    stripped = unprompt.strip_metadata([folder / "cat.png", folder / "rocket.jpg"])
    assert [one.ok and one.stripped for one in stripped] == [True, True]
    assert (folder / "cat.png").read_bytes() == CAT.read_bytes()
    link = folder / "link.png"
    link.symlink_to(folder / "cat.png")
    refused = unprompt.write_metadata([link, CAT.read_bytes()], "no")  # type: ignore[list-item]
    assert [isinstance(one, Failure) for one in refused] == [True, True]
    assert (folder / "cat.png").read_bytes() == CAT.read_bytes()
    for prompt in ("", " "):
        with pytest.raises(ValueError, match="empty"):
            unprompt.write_metadata(CAT, prompt)


def test_score(cli: Cli, tmp_path: Path) -> None:
    pred, truth = tmp_path / "pred.csv", tmp_path / "truth.csv"
    rows = {"a": np.eye(384)[0], "b": np.ones(384)}
    for path, shift in ((pred, 0.5), (truth, 0.0)):
        lines = [f"{name}_{place},{value + shift}" for name, row in rows.items() for place, value in enumerate(row)]
        path.write_text("\n".join(["imgId_eId,val", *lines]) + "\n")
    found = unprompt.score(pred, truth, offline=True)
    record = cli("score", "--pred", pred, "--truth", truth)[0]
    assert (found.mean_cosine, found.n) == (record["mean_cosine"], record["n"])
    assert 0 < found.mean_cosine < 1
    told = [(one.id, one.cosine) for one in found.per_image]
    assert told == [(one["id"], one["cosine"]) for one in record["per_image"]]
    with pytest.raises(unprompt.UnpromptError, match="nowhere"):
        unprompt.score("nowhere.csv", truth)
