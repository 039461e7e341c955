"""Encoders on random weights: this crate against PyTorch eager and onnxruntime, interleaved.

    cargo build --release -p unprompt-nn --example layers
    python crates/unprompt-nn/examples/compare.py target/release/examples/layers

Needs torch 2, timm, open_clip_torch, transformers, onnx, onnxscript and onnxruntime. Prints the
median of each and the median of the ratios round by round; each engine has THREADS threads.
"""

import argparse
import os
import statistics
import subprocess
import tempfile
import time

THREADS = int(os.environ.get("THREADS", "2"))
os.environ["OMP_NUM_THREADS"] = str(THREADS)
os.environ["RAYON_NUM_THREADS"] = str(THREADS)

import onnxruntime
import torch

torch.set_num_threads(THREADS)


class OpenClipImage(torch.nn.Module):
    def __init__(self):
        super().__init__()
        import open_clip

        self.visual = open_clip.create_model("ViT-L-14-quickgelu", pretrained=None).visual

    def forward(self, x):
        return self.visual(x)


class MiniLm(torch.nn.Module):
    def __init__(self):
        super().__init__()
        from transformers import BertConfig, BertModel

        config = BertConfig(
            hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536
        )
        self.bert = BertModel(config)

    def forward(self, ids):
        return self.bert(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state


def vit():
    import timm

    return timm.create_model("vit_base_patch16_224", pretrained=False)


def pictures(batch):
    return torch.randn(batch, 3, 224, 224)


def ids(batch):
    return torch.randint(1000, 20000, (batch, 32))


MODELS = {
    "vit-b-16": (vit, pictures, [1, 8]),
    "vit-l-14": (OpenClipImage, pictures, [1, 4]),
    "minilm": (MiniLm, ids, [32]),
}


def session(model, example):
    # Its fused attention has no counterpart in ONNX.
    torch.backends.mha.set_fastpath_enabled(False)
    folder = tempfile.TemporaryDirectory()
    path = os.path.join(folder.name, "model.onnx")
    torch.onnx.export(model, (example,), path, dynamo=False, opset_version=17)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    torch.backends.mha.set_fastpath_enabled(True)
    loaded = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    folder.cleanup()
    return loaded


def milliseconds(call):
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("layers")
    parser.add_argument("--models", nargs="*", default=list(MODELS))
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    ours = subprocess.Popen(
        [arguments.layers, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def ask(line):
        ours.stdin.write(line + "\n")
        ours.stdin.flush()
        return float(ours.stdout.readline())

    for name in arguments.models:
        build, make, batches = MODELS[name]
        torch.manual_seed(0)
        model = build().eval()
        for batch in batches:
            x = make(batch)
            with torch.inference_mode():
                onnx = session(model, x)
                feed = {onnx.get_inputs()[0].name: x.numpy()}
                engines = {
                    "onnxruntime": lambda: milliseconds(lambda: onnx.run(None, feed)),
                    "ours f32": lambda: ask(f"{name} f32 {batch}"),
                    "torch": lambda: milliseconds(lambda: model(x)),
                    "ours int8": lambda: ask(f"{name} int8 {batch}"),
                }
                rounds = []
                for index in range(arguments.repeats + 2):
                    times = {}
                    for engine, run in engines.items():
                        # Other engines' threads may still be spinning after their last call.
                        time.sleep(0.1)
                        # And after a pause every engine's first call is slower.
                        run()
                        times[engine] = run()
                    if index >= 2:
                        rounds.append(times)
            medians = {e: statistics.median(r[e] for r in rounds) for e in engines}
            print(f"{name} batch {batch}:", ", ".join(f"{e} {m:.1f}" for e, m in medians.items()))
            for over, under in [
                ("ours f32", "onnxruntime"),
                ("ours f32", "torch"),
                ("ours int8", "ours f32"),
            ]:
                ratio = statistics.median(r[over] / r[under] for r in rounds)
                print(f"    {over} / {under}: {ratio:.3f}", flush=True)


main()
