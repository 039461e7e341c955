"""The Python peer of `unprompt bench interrogate`: clip-interrogator 0.6.0 itself, with a CLIP of random weights.

    python3 interrogate.py FOLDER CASE LABELS PICTURE CAPTION CANDIDATES FLAVORS THREADS

Writes the network CASE (small, or ViT-L-14) into FOLDER in open_clip's layout, in a process of its own so that writing does not
count, then opens it as open_clip opens a published one, embeds the label lists in LABELS, ranks them
against the picture and makes its best prompt. Prints one line of JSON: milliseconds of each, the prompt, its cosine, and the
process's largest memory in MB.
"""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

INSTALL = "pip install clip-interrogator==0.6.0 torch open_clip_torch safetensors pillow"

# The packages print while they load; standard output is for the answer.
ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

SMALL = {
    "embed_dim": 768,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 128, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 128, "heads": 4, "layers": 3},
}


def configuration(case: str) -> dict:
    import open_clip

    return SMALL if case == "small" else open_clip.get_model_config(case)


def write(place: Path, case: str) -> None:
    import torch
    from open_clip.model import CLIP
    from safetensors.torch import save_file

    torch.manual_seed(0)
    config = configuration(case)
    model = CLIP(**config)
    # Tokens matter more than positions, or all texts would be alike.
    torch.nn.init.normal_(model.token_embedding.weight, std=0.5)
    place.mkdir(parents=True, exist_ok=True)
    (place / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}), encoding="utf-8")
    save_file(model.state_dict(), str(place / "open_clip_model.safetensors"))


def network(place: Path, case: str):
    from open_clip.model import CLIP
    from open_clip.transform import image_transform
    from safetensors.torch import load_file

    weights = place / "open_clip_model.safetensors"
    if not weights.exists():
        subprocess.run([sys.executable, __file__, "write", str(place), case], check=True)
    config = configuration(case)
    model = CLIP(**config)
    model.load_state_dict(load_file(str(weights)))
    return model.eval(), image_transform(config["vision_cfg"]["image_size"], is_train=False)


def main() -> None:
    folder, case, labels, picture, caption, candidates, flavors, threads = sys.argv[1:]
    import clip_interrogator.clip_interrogator as package
    import torch
    from PIL import Image

    torch.set_num_threads(int(threads))
    model, preprocess = network(Path(folder) / case, case)
    config = package.Config(
        caption_model_name=None, clip_model_name="ViT-L-14/random", cache_path=None, download_cache=False, data_path=labels,
        device="cpu", flavor_intermediate_count=int(candidates), quiet=True,
    )
    config.clip_model, config.clip_preprocess = model, preprocess
    started = time.perf_counter()
    with torch.no_grad():
        ci = package.Interrogator(config)
    tables = time.perf_counter() - started
    five = [ci.artists, ci.flavors, ci.mediums, ci.movements, ci.trendings]
    image = Image.open(picture).convert("RGB")
    features = ci.image_to_features(image)
    started = time.perf_counter()
    package._merge_tables(five, ci).rank(features, 32)
    rank = time.perf_counter() - started
    started = time.perf_counter()
    prompt = ci.interrogate(image, caption=caption, max_flavors=int(flavors))
    best = time.perf_counter() - started
    answer = {
        "tables_ms": tables * 1000, "labels": sum(len(table.labels) for table in [*five, ci.negative]), "rank_ms": rank * 1000,
        "best_ms": best * 1000, "prompt": prompt, "similarity": ci.similarity(features, prompt),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
    }
    print(json.dumps(answer), file=ANSWERS, flush=True)


if __name__ == "__main__":
    try:
        if sys.argv[1] == "write":
            write(Path(sys.argv[2]), sys.argv[3])
        else:
            main()
    except ImportError as cause:
        print(json.dumps({"missing": INSTALL, "reason": str(cause)}), file=ANSWERS, flush=True)
