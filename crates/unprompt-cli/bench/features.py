"""The Python peer of `unprompt bench features`: EfficientNet-Lite0's features of a folder, by timm and PyTorch's DataLoader.

    python3 features.py WEIGHTS PICTURES THREADS

WEIGHTS is the model's safetensors. Prints one line of JSON with its name, and then answers each line on standard input
with one line: milliseconds from the names of the files to the features of all (decoded, resized and normalised in
THREADS workers, which are started beforehand, and then through the network in batches), and the features of the first.
"""

import json
import os
import sys
import time
from pathlib import Path

INSTALL = "pip install torch timm torchvision pillow safetensors"
SIZE = 224
BATCH = 32

# The packages print while they load. Standard output is for the answers.
ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def answer(record: dict) -> None:
    print(json.dumps(record), file=ANSWERS, flush=True)


def renamed(tensors: dict, model) -> dict:
    """timm's names for those of the reference package: blocks are counted through, and each kind has its own order."""
    names = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    blocks = [(stage, block) for stage, kind in enumerate(model.blocks) for block in range(len(kind))]
    for index, (stage, block) in enumerate(blocks):
        if stage == 0:
            layers = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
        else:
            layers = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"}
            layers |= {"_project_conv": "conv_pwl", "_bn2": "bn3"}
        names |= {f"_blocks.{index}.{ours}": f"blocks.{stage}.{block}.{timms}" for ours, timms in layers.items()}
    found = {}
    for name, values in tensors.items():
        layer, _, kind = name.rpartition(".")
        found[f"{names[layer]}.{kind}"] = values
    return found


def serve(weights: str, pictures: str, threads: int) -> None:
    import timm
    import torch
    from PIL import Image
    from safetensors.torch import load_file
    from torchvision import transforms

    torch.set_num_threads(threads)
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    missing, unexpected = model.load_state_dict(renamed(load_file(weights), model), strict=False)
    assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing)
    steps = [
        transforms.Resize(SIZE),
        transforms.CenterCrop(SIZE),
        transforms.ToTensor(),
        transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
    ]
    pixels = transforms.Compose(steps)

    class Pictures(torch.utils.data.Dataset):
        def __init__(self) -> None:
            self.paths = sorted(Path(pictures).glob("*.jpg"))

        def __len__(self) -> int:
            return len(self.paths)

        def __getitem__(self, index: int):
            return pixels(Image.open(self.paths[index]).convert("RGB"))

    data = Pictures()
    loader = torch.utils.data.DataLoader(
        data, batch_size=BATCH, num_workers=threads, persistent_workers=True, multiprocessing_context="fork"
    )
    with torch.inference_mode():
        next(iter(loader))  # starts the workers
        name = f"PyTorch {torch.__version__.split('+')[0]}, timm {timm.__version__}"
        answer({"peers": [name]})
        for _ in sys.stdin:
            started = time.perf_counter()
            features = [model.forward_head(model.forward_features(batch), pre_logits=True) for batch in loader]
            features = torch.cat(features)
            elapsed = (time.perf_counter() - started) * 1000
            assert len(features) == len(data)
            answer({"ms": elapsed, "first": features[0].tolist()})


if __name__ == "__main__":
    *places, cores = sys.argv[1:]
    try:
        serve(*places, int(cores))
    except ImportError as cause:
        answer({"missing": INSTALL, "reason": str(cause)})
