"""Peers of `unprompt bench python`: the package `unprompt`, and what torch and sentence-transformers make of a folder.

    python3 python.py import
    python3 python.py wheel PRESET PICTURES THREADS
    python3 python.py torch WEIGHTS PICTURES TEXTS MINILM THREADS

`import` prints how long it takes to import the package in a fresh process, in milliseconds. `wheel` predicts a folder with
a preset and prints a record a line, as the command line does. `torch` is what a Python user does to caption a folder:
decode, resize, classify in batches, average the embeddings of the labels by their probabilities, and take the nearest
text of TEXTS, of which the first thousand are the labels; their embeddings are computed once and kept beside TEXTS.
When a package is missing the JSON has `missing` with the command that installs it.
"""

import contextlib
import json
import sys
import time
from pathlib import Path

WHEEL = "pip install unprompt, the wheel that `maturin build --release -m crates/unprompt-python/Cargo.toml` makes"
TORCH = "pip install efficientnet-lite-pytorch==0.1.0 sentence-transformers==6.2.0 torchvision pillow"
BATCH = 32
LABELS = 1000


def answer(record: dict) -> None:
    print(json.dumps(record), flush=True)


def imported() -> None:
    started = time.perf_counter()
    import unprompt

    answer({"ms": (time.perf_counter() - started) * 1000, "version": unprompt.__version__})


def wheel(preset: str, pictures: str, threads: int) -> None:
    import unprompt

    predictor = unprompt.Predictor(preset, threads=threads, offline=True)
    for found in predictor.predict(unprompt.pictures(pictures), metadata=False):
        answer({"path": found.path, "prompt": found.prompt, "embedding": found.embedding.tolist()})


def torch(weights: str, pictures: str, texts: str, minilm: str, threads: int) -> None:
    # The packages print while they load; standard output is for the answer.
    with contextlib.redirect_stdout(sys.stderr):
        import torch
        from efficientnet_lite_pytorch import EfficientNet
        from PIL import Image
        from safetensors.torch import load_file
        from sentence_transformers import SentenceTransformer
        from torchvision import transforms

        torch.set_num_threads(threads)
        classifier = EfficientNet.from_name("efficientnet-lite0").eval()
        classifier.load_state_dict(load_file(weights))
        lines = Path(texts).read_text(encoding="utf-8").splitlines()
        kept = Path(texts).with_suffix(".pt")
        if not kept.exists():
            encoder = SentenceTransformer(minilm, device="cpu")
            torch.save(encoder.encode(lines, normalize_embeddings=True, convert_to_tensor=True), kept)
        embeddings = torch.load(kept)
        preprocess = transforms.Compose(
            [
                transforms.Resize(224),
                transforms.CenterCrop(224),
                transforms.ToTensor(),
                transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            ]
        )
        paths = sorted(path for path in Path(pictures).iterdir() if path.is_file())
        found = []
        with torch.no_grad():
            for first in range(0, len(paths), BATCH):
                batch = [preprocess(Image.open(path).convert("RGB")) for path in paths[first : first + BATCH]]
                query = classifier(torch.stack(batch)).softmax(dim=1) @ embeddings[:LABELS]
                nearest = (query @ embeddings.T).argmax(dim=1).tolist()
                found.extend({"prompt": lines[index], "embedding": embeddings[index].tolist()} for index in nearest)
    answer({"pictures": len(found)})


def main() -> None:
    mode, *rest = sys.argv[1:]
    try:
        if mode == "import":
            imported()
        elif mode == "wheel":
            wheel(rest[0], rest[1], int(rest[2]))
        else:
            torch(*rest[:-1], int(rest[-1]))
    except ImportError as cause:
        answer({"missing": TORCH if mode == "torch" else WHEEL, "reason": str(cause)})


if __name__ == "__main__":
    main()
