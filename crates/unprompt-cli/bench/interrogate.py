"""The Python peer of `unprompt bench interrogate`: clip-interrogator 0.6.0 itself, with a CLIP of random weights.

    python3 interrogate.py FOLDER CASE LABELS PICTURE CAPTION CANDIDATES FLAVORS THREADS

Writes the network CASE (small, or ViT-L-14) into FOLDER in open_clip's layout, embeds the label lists in LABELS, ranks them
against the picture and makes its best prompt. Prints one line of JSON: milliseconds of each, the prompt, its cosine, and the
process's largest memory in MB.
"""

import json
import os
import resource
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


def network(folder: Path, case: str):
    import open_clip
    import torch
    from open_clip.model import CLIP
    from open_clip.transform import image_transform
    from safetensors.torch import load_file, save_file

    config = SMALL if case == "small" else open_clip.get_model_config(case)
    model = CLIP(**config)
    place = folder / case
    weights = place / "open_clip_model.safetensors"
    if not weights.exists():
        place.mkdir(parents=True, exist_ok=True)
        # Tokens matter more than positions, or all texts would be alike.
        torch.nn.init.normal_(model.token_embedding.weight, std=0.5)
        (place / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}), encoding="utf-8")
        save_file(model.state_dict(), str(weights))
    model.load_state_dict(load_file(str(weights)))
    return model.eval(), image_transform(config["vision_cfg"]["image_size"], is_train=False)


def main() -> None:
    folder, case, labels, picture, caption, candidates, flavors, threads = sys.argv[1:]
    import clip_interrogator.clip_interrogator as package
    import torch
    from PIL import Image

    torch.set_num_threads(int(threads))
    torch.manual_seed(0)
    model, preprocess = network(Path(folder), case)
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
        main()
    except ImportError as cause:
        print(json.dumps({"missing": INSTALL, "reason": str(cause)}), file=ANSWERS, flush=True)
