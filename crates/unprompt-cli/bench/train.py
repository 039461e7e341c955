"""The Python peer of `unprompt bench train`: a step of a full-size network on random weights.

    python3 train.py FOLDER BATCH THREADS [DEVICE]

Writes timm's ViT-B/16 with 384 outputs into FOLDER in its published layout, pictures and targets beside it, prints one line
of JSON with its name, and then answers each line on standard input with one line: milliseconds of the way forward, the loss
(one less the cosine), and the way back, the loss, and the first row of the gradient of the head.

With a DEVICE, as `cuda`, it is a whole step there, in bf16 by autocast: pictures to the device, forward, back, AdamW, and an average
of the weights; what it answers has no gradient.
"""

import json
import os
import sys
import time
from pathlib import Path

INSTALL = "pip install torch timm safetensors"

# The packages print while they load. Standard output is for the answers.
ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def answer(record: dict) -> None:
    print(json.dumps(record), file=ANSWERS, flush=True)


def write(folder: Path, batch: int):
    """The network, and its pictures and targets, which are written too."""
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = timm.create_model("vit_base_patch16_224", num_classes=384).train()
    torch.nn.init.normal_(model.head.weight, std=0.05)  # timm starts it at nearly nothing
    config = {"architecture": "vit_base_patch16_224", "num_classes": 384, "global_pool": "token"}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(model.state_dict(), str(folder / "model.safetensors"))
    pictures = torch.randn((batch, 3, 224, 224))
    targets = torch.randn((batch, 384))
    inputs = {"pixels": pictures.permute(0, 2, 3, 1).contiguous(), "targets": targets}
    save_file(inputs, str(folder / "input.safetensors"))
    return model, pictures, targets


def serve(folder: Path, batch: int, threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    model, pictures, targets = write(folder, batch)
    answer({"peers": [f"PyTorch {torch.__version__.split('+')[0]}"]})
    for _ in sys.stdin:
        for parameter in model.parameters():
            parameter.grad = None
        started = time.perf_counter()
        loss = (1 - torch.nn.functional.cosine_similarity(model(pictures), targets)).mean()
        loss.backward()
        elapsed = (time.perf_counter() - started) * 1000
        answer({"ms": elapsed, "loss": loss.item(), "first": model.head.weight.grad[0].tolist()})


def serve_on(device: str, folder: Path, batch: int) -> None:
    import torch

    model, pictures, targets = write(folder, batch)
    model = model.to(device)
    average = [parameter.detach().clone() for parameter in model.parameters()]
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-5, weight_decay=0.05)
    answer({"peers": [f"PyTorch {torch.__version__.split('+')[0]} bf16"]})
    for _ in sys.stdin:
        started = time.perf_counter()
        seen, wanted = pictures.to(device), targets.to(device)
        optimiser.zero_grad()
        with torch.autocast(device, dtype=torch.bfloat16):
            outputs = model(seen)
        loss = (1 - torch.nn.functional.cosine_similarity(outputs.float(), wanted)).mean()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            torch._foreach_lerp_(average, list(model.parameters()), 2e-4)
        value = loss.item()
        if device == "cuda":
            torch.cuda.synchronize()
        answer({"ms": (time.perf_counter() - started) * 1000, "loss": value})


if __name__ == "__main__":
    place, count, cores, *where = sys.argv[1:]
    try:
        if where:
            serve_on(where[0], Path(place), int(count))
        else:
            serve(Path(place), int(count), int(cores))
    except ImportError as cause:
        answer({"missing": INSTALL, "reason": str(cause)})
