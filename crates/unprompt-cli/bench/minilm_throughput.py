"""How fast Python peers embed a batch of texts with all-MiniLM-L6-v2: medians as JSON.

    python3 minilm_throughput.py --model FOLDER --threads N --repetitions N [--texts FILE] [--onnx FILE]

The peers are sentence-transformers (torch) and onnxruntime, both on the CPU in f32, texts in and unit-length
embeddings out, tokenizing included. Without --texts the batch is 32 texts of 32 tokens each (the two special tokens
counted). --onnx names where the exported graph is kept; it is exported there when the file does not exist, and into
a temporary folder when the option is left out. A peer whose package is missing has `missing` with the command that
installs it instead of numbers.
"""

import argparse
import contextlib
import json
import os
import random
import statistics
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

BATCH = 32
WORDS_PER_TEXT = 30
# Each is one token of the model's vocabulary.
WORDS = (
    "a the of in on with and photo painting portrait cat dog house mountain river sky night day light red green "
    "blue old small large style oil canvas detailed dramatic sun moon city forest robot dragon castle sea"
).split()


def texts_of_equal_length() -> list[str]:
    choice = random.Random(0)
    return [" ".join(choice.choice(WORDS) for _ in range(WORDS_PER_TEXT)) for _ in range(BATCH)]


def sentence_transformers(options: argparse.Namespace, texts: list[str]):
    """A function that embeds the texts, and the versions it stands on."""
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(options.threads)
    model = SentenceTransformer(options.model, device="cpu")

    def run():
        return model.encode(texts, batch_size=len(texts), normalize_embeddings=True)

    return run, {name: version(name) for name in ("sentence-transformers", "torch")}


def onnxruntime(options: argparse.Namespace, texts: list[str]):
    """The same through an ONNX graph of the encoder; pooling in numpy."""
    import numpy as np
    import onnxruntime as ort
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(options.model) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=256)
    tokenizer.enable_padding()

    with contextlib.ExitStack() as stack:
        graph = options.onnx or os.path.join(stack.enter_context(tempfile.TemporaryDirectory()), "minilm.onnx")
        if not os.path.exists(graph):
            export(options.model, graph)
        settings = ort.SessionOptions()
        settings.intra_op_num_threads = options.threads
        settings.inter_op_num_threads = 1
        session = ort.InferenceSession(graph, settings, providers=["CPUExecutionProvider"])

    def run():
        encoded = tokenizer.encode_batch(texts)
        ids = np.array([e.ids for e in encoded], dtype=np.int64)
        mask = np.array([e.attention_mask for e in encoded], dtype=np.int64)
        types = np.zeros_like(ids)
        hidden = session.run(None, {"input_ids": ids, "attention_mask": mask, "token_type_ids": types})[0]
        weights = mask[:, :, None].astype(np.float32)
        pooled = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
        return pooled / np.linalg.norm(pooled, axis=1, keepdims=True)

    return run, {"onnxruntime": version("onnxruntime")}


def export(model: str, graph: str) -> None:
    """Writes the encoder as an ONNX graph with any batch size and length."""
    import onnx  # noqa: F401  (both are needed by torch.onnx; a clear ImportError comes from here)
    import onnxscript  # noqa: F401
    import torch
    from transformers import AutoModel

    encoder = AutoModel.from_pretrained(model, attn_implementation="eager").eval()

    class Encoder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = encoder

        def forward(self, input_ids, attention_mask, token_type_ids):
            return self.encoder(
                input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
            ).last_hidden_state

    # Three tensors, not one three times over: the exporter takes the same object for the same input.
    ids, mask = torch.full((2, 8), 2000), torch.ones(2, 8, dtype=torch.int64)
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length", max=512)
    names = ("input_ids", "attention_mask", "token_type_ids")
    torch.onnx.export(
        Encoder(),
        (ids, mask, torch.zeros_like(ids)),
        graph,
        input_names=list(names),
        output_names=["last_hidden_state"],
        dynamic_shapes={name: {0: batch, 1: length} for name in names},
        external_data=False,
        verbose=False,
    )


PEERS = {
    "sentence-transformers": (sentence_transformers, "pip install sentence-transformers==6.2.0"),
    "onnxruntime": (onnxruntime, "pip install onnxruntime onnx onnxscript sentence-transformers==6.2.0"),
}


def measure(options: argparse.Namespace, texts: list[str], name: str) -> tuple[dict, object]:
    """What goes into the result, and the embeddings."""
    prepare, install = PEERS[name]
    try:
        run, versions = prepare(options, texts)
    except ImportError as cause:
        return {"name": name, "missing": install, "reason": str(cause)}, None
    for _ in range(3):
        embeddings = run()
    seconds = []
    for _ in range(options.repetitions):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    median = statistics.median(seconds)
    numbers = {
        "name": name,
        "versions": versions,
        "median_ms": round(median * 1000, 3),
        "min_ms": round(min(seconds) * 1000, 3),
        "texts_per_second": round(len(texts) / median, 1),
        "first_embedding": [float(value) for value in embeddings[0]],
    }
    return numbers, embeddings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--texts", help="file with one text a line, embedded as one batch")
    parser.add_argument("--onnx", help="the exported graph; made when it does not exist")
    parser.add_argument("--peer", choices=list(PEERS), action="append", help="only this one (may be repeated)")
    options = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false" if options.threads == 1 else "true"

    if options.texts:
        with open(options.texts, encoding="utf-8", newline="\n") as lines:
            texts = lines.read().rstrip("\n").split("\n")
    else:
        texts = texts_of_equal_length()
    # Packages print while they load and export; standard output is for the result.
    with contextlib.redirect_stdout(sys.stderr):
        measured = [measure(options, texts, name) for name in options.peer or PEERS]
    result = {"texts": len(texts), "threads": options.threads, "repetitions": options.repetitions}
    result["peers"] = [numbers for numbers, _ in measured]
    # A time is worth nothing unless the peers computed the same thing.
    computed = [embeddings for _, embeddings in measured if embeddings is not None]
    if len(computed) == 2:
        result["largest_difference"] = float(abs(computed[0] - computed[1]).max())
    print(json.dumps(result))


if __name__ == "__main__":
    main()
