"""clip-interrogator 0.6.0 by its own names: what the package said, in fixtures/models, is what comes out.

The calls are those of the package's command line and of its Gradio app.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import MODELS, PICTURES, PROJECT, REQUIRED
from numpy.typing import NDArray
from PIL import Image

import unprompt
from unprompt.clip_interrogator import (
    Config,
    Interrogator,
    LabelTable,
    list_caption_models,
    list_clip_models,
    load_list,
)

FOLDER = MODELS / "tiny-interrogator"
EXPECTED: dict[str, Any] = json.loads((FOLDER / "expected.json").read_text())
TABLES = ("artists", "flavors", "mediums", "movements", "trendings", "negative")


def values(seed: int, tensor: int, count: int) -> NDArray[np.float32]:
    """As fixtures/models/interrogate.py has it: the upper 24 bits of splitmix64 of a counter, in [-1, 1)."""
    with np.errstate(over="ignore"):
        x = np.arange(count, dtype=np.uint64) + np.uint64((seed << 48) + (tensor << 32))
        x = (x + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return (x >> np.uint64(40)).astype(np.float32) / np.float32(1 << 23) - np.float32(1)


def write_model(folder: Path, seed: int) -> None:
    """The tiny CLIP that the package had for a picture, from its recipe."""
    header: dict[str, Any] = {}
    parts: list[bytes] = []
    place = 0
    for index, tensor in enumerate(EXPECTED["tensors"]):
        count = int(np.prod(tensor["shape"]))
        drawn = np.float32(tensor["offset"]) + np.float32(tensor["scale"]) * values(seed, index, count)
        parts.append(drawn.astype("<f4").tobytes())
        end = place + len(parts[-1])
        header[tensor["name"]] = {"dtype": "F32", "shape": tensor["shape"], "data_offsets": [place, end]}
        place = end
    head = json.dumps(header).encode()
    folder.mkdir()
    (folder / "open_clip_model.safetensors").write_bytes(len(head).to_bytes(8, "little") + head + b"".join(parts))
    (folder / "open_clip_config.json").write_bytes((FOLDER / "open_clip_config.json").read_bytes())


@pytest.fixture(scope="module", autouse=True)
def vocabulary(binary: Path) -> Iterator[None]:
    """CLIP's vocabulary, which is fetched once, beside the weights that other tests fetch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNPROMPT_CACHE", str(PROJECT / "target" / "model-cache"))
        command = [binary, "models", "pull", "clip-bpe-vocabulary"]
        found = subprocess.run(command, capture_output=True, text=True, timeout=600)
        if found.returncode != 0 and not REQUIRED:
            pytest.skip(f"CLIP's vocabulary cannot be fetched: {found.stderr}")
        assert found.returncode == 0, found.stderr
        yield


def config(folder: Path, name: str, **more: Any) -> Config:
    model = folder / name
    if not model.exists():
        write_model(model, EXPECTED["pictures"][name]["seed"])
    return Config(
        caption_model_name=None,
        clip_model_name=str(model),
        cache_path=str(folder / f"{name}.cache"),
        download_cache=False,
        chunk_size=EXPECTED["chunk_size"],
        data_path=str(FOLDER / "labels"),
        device="cpu",
        flavor_intermediate_count=EXPECTED["candidates"],
        quiet=True,
        **more,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clip")


@pytest.mark.parametrize("name", sorted(EXPECTED["pictures"]))
def test_the_same_words_as_the_package(folder: Path, name: str) -> None:
    expected = EXPECTED["pictures"][name]
    ci = Interrogator(config(folder, name))
    image = Image.open(PICTURES / name).convert("RGB")
    caption = expected["caption"]
    prompts = {
        "best": ci.interrogate(image, caption=caption),
        "classic": ci.interrogate_classic(image, caption=caption),
        "fast": ci.interrogate_fast(image, caption=caption),
        "negative": ci.interrogate_negative(image),
    }
    assert prompts == {mode: expected[mode] for mode in prompts}
    features = ci.image_to_features(image)
    assert features.shape == (1, 32) and features.dtype == np.float32
    assert np.abs(features[0] - np.array(expected["features"])).max() < 1e-5
    for mode, similarity in zip(prompts, ci.similarities(features, list(prompts.values()))):
        assert abs(similarity - expected["similarity"][mode]) < 1e-5
    for table in TABLES:
        assert getattr(ci, table).rank(features, 10) == expected["tables"][table], table
    # The analysis of the Gradio app.
    top_mediums = ci.mediums.rank(features, 5)
    ranks = dict(zip(top_mediums, ci.similarities(features, top_mediums)))
    assert list(ranks) == sorted(ranks, key=lambda medium: -ranks[medium])


def test_pieces_make_the_whole(folder: Path) -> None:
    """The modes by hand, from the pieces that scripts use."""
    expected = EXPECTED["pictures"]["cat.png"]
    ci = Interrogator(config(folder, "cat.png"))
    image = Image.open(PICTURES / "cat.png").convert("RGB")
    features = ci.image_to_features(image)
    flavors = ci.flavors.rank(features, ci.config.flavor_intermediate_count, reverse=True)
    assert ci.chain(features, flavors + ci.negative.labels, max_count=32, reverse=True) == expected["negative"]
    caption = expected["caption"]
    assert ci.rank_top(features, [expected["best"], caption, expected["negative"]]) == expected["best"]
    assert ci.rank_top(features, [expected["best"], expected["negative"]], reverse=True) == expected["negative"]
    grown = ci.chain(
        features,
        ci.mediums.labels,
        best_prompt=caption,
        best_sim=ci.similarity(features, caption),
        min_count=2,
        max_count=4,
    )
    assert grown.startswith(caption)
    # Nothing is better than what counts as perfect.
    assert ci.chain(features, ci.mediums.labels, caption, 1.5, min_count=0) == caption
    own = LabelTable(["a cat", "fire", "an old tower"], None, ci)
    by_hand = ci.similarities(features, own.labels)
    assert own.rank(features, 3) == [own.labels[place] for place in np.argsort(-np.array(by_hand), kind="stable")]
    assert own.rank(features, 1, reverse=True) == [own.labels[int(np.argmin(by_hand))]]
    assert [row.shape for row in own.embeds] == [(32,)] * 3
    rows = np.stack(own.embeds)
    assert np.abs(rows @ features[0] - by_hand).max() < 1e-3
    kept = LabelTable(["a cat", "fire"], "mine", ci)
    assert kept.labels == ["a cat", "fire"]
    assert any("mine" in path.name for path in (folder / "cat.png.cache").iterdir())
    ids = ci.tokenize(["a cat", "fire"])
    assert ids.shape == (2, 77) and ids.dtype == np.int64 and (ids[:, 0] == 49406).all() and ids[0, -1] == 0
    with pytest.raises(ValueError, match="5 numbers"):
        ci.similarity(np.zeros((1, 5), np.float32), "a cat")
    with pytest.raises(unprompt.UnpromptError):
        ci.image_to_features(PICTURES / "missing.png")


def test_captions_begin_prompts(folder: Path) -> None:
    blip = MODELS / "tiny-blip"
    settings = config(folder, "cat.png")
    with pytest.raises(AssertionError):
        Interrogator(settings).interrogate_fast(Image.open(PICTURES / "cat.png"))
    settings.caption_model_name = str(blip)
    ci = Interrogator(settings)
    image = Image.open(PICTURES / "cat.png").convert("RGB")
    caption = unprompt.Captioner(str(blip)).caption(image, max_new_tokens=32)
    assert caption.ok and ci.generate_caption(image) == caption.caption.strip()
    assert ci.interrogate_fast(image) == ci.interrogate_fast(image, caption=ci.generate_caption(image))
    settings.caption_model_name = "git-large-coco"
    with pytest.raises(ValueError, match="blip-base, blip-large"):
        Interrogator(settings)
    settings.caption_model = unprompt.Captioner(str(blip))
    assert Interrogator(settings).generate_caption(image) == ci.generate_caption(image)


def test_models_are_switched_as_programs_do(folder: Path) -> None:
    """The command line and the Gradio app change the configuration and load again."""
    ci = Interrogator(config(folder, "cat.png"))
    other = config(folder, "rocket.jpg")
    ci.config.clip_model_name = other.clip_model_name
    ci.load_clip_model()
    image = Image.open(PICTURES / "rocket.jpg").convert("RGB")
    expected = EXPECTED["pictures"]["rocket.jpg"]
    assert ci.interrogate_classic(image, caption=expected["caption"]) == expected["classic"]
    ci.config.flavor_intermediate_count = 16
    assert ci.interrogate(image, caption=expected["caption"]) != ""


def test_names_and_defaults() -> None:
    settings = Config()
    assert (settings.caption_model_name, settings.clip_model_name) == ("blip-large", "ViT-L-14/openai")
    assert (settings.chunk_size, settings.flavor_intermediate_count) == (2048, 2048)
    assert (settings.caption_max_length, settings.cache_path, settings.download_cache) == (32, "cache", True)
    settings.apply_low_vram_defaults()
    assert (settings.caption_model_name, settings.chunk_size, settings.flavor_intermediate_count) == (
        "blip-base", 1024, 1024
    )
    assert settings.clip_offload and settings.caption_offload
    with pytest.raises(TypeError):
        Config(caption_model=None)  # type: ignore[call-arg]
    assert list_caption_models() == ["blip-base", "blip-large"]
    assert "ViT-L-14/openai" in list_clip_models() and "ViT-H-14/laion2b_s32b_b79k" in list_clip_models()


def test_lists_are_read_as_the_package_reads_them(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_bytes(b" a \r\nb\n\n\xff\n")
    expected = ["a", "b", "", "\ufffd"]
    assert load_list(str(tmp_path), "mine.txt") == load_list(str(tmp_path / "mine.txt")) == expected
    artists = load_list(str(FOLDER / "labels"), "artists.txt")
    assert len(artists) == 12
