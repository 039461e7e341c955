"""Python peers of `unprompt bench caption`: full-size random weights, one captioner at a time.

    python3 caption.py FOLDER CASE THREADS

Writes the network into FOLDER/CASE in its published layout (once) and a normalised picture beside it, prints one line of JSON
with the peer it has, and then answers each line on standard input with one line: milliseconds of one caption of that picture
and its token ids. CASE is `blip-large` (384 px, greedy, 20 tokens forced, transformers) or `ofa-large` (480 px, 5 beams, no two
tokens twice, 16 tokens forced, modelscope's OFAModel under transformers 4.18). All in PyTorch eager, f32, with the cache on.

The OFA reference needs packages of another time, in folders that UNPROMPT_BENCH_OFA names, separated by colons:

    python3 -m pip install --target t418 --no-deps transformers==4.18.0
    python3 -m pip install --target reference --no-deps modelscope==1.40.2
    export UNPROMPT_BENCH_OFA=t418:reference
"""

import importlib
import json
import os
import sys
import time
import types
from pathlib import Path

BLIP_INSTALL = "pip install torch transformers safetensors"
OFA_INSTALL = "pip install --target t418 --no-deps transformers==4.18.0; pip install --target reference --no-deps modelscope==1.40.2; export UNPROMPT_BENCH_OFA=t418:reference"

# The packages print while they load. Standard output is for the answers.
ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def answer(record: dict) -> None:
    print(json.dumps(record), file=ANSWERS, flush=True)


def randomise(model) -> None:
    """Of a size that keeps numbers finite through all layers; PyTorch's own beginnings are nearly nothing."""
    import torch

    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                weight.normal_(0, weight[0].numel() ** -0.5)
            elif name.endswith("bias"):
                weight.normal_(0, 0.05)


def write(place: Path, model, config: dict, files: dict[str, str]) -> None:
    from safetensors.torch import save_file

    place.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (place / name).write_text(text, encoding="utf-8")
    (place / "config.json").write_text(json.dumps(config), encoding="utf-8")
    seen, tensors = set(), {}
    for name, value in model.state_dict().items():
        # Tied weights once: both programs know what is tied.
        if value.data_ptr() not in seen and not name.endswith(("rp_bucket", "image_position_idx")):
            tensors[name] = value.contiguous()
        seen.add(value.data_ptr())
    if "decoder.output_projection.weight" in model.state_dict():
        tensors["decoder.embed_tokens.weight"] = model.state_dict()["decoder.embed_tokens.weight"].clone()
    save_file(tensors, str(place / "model.safetensors"))


def blip_large(folder: Path):
    import torch
    from transformers import BlipConfig, BlipForConditionalGeneration, __version__

    vision = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
    config = BlipConfig(vision_config=vision, text_config={"num_attention_heads": 12})
    model = BlipForConditionalGeneration(config)
    randomise(model)
    words = [f"w{index}" for index in range(30522)]
    words[0], words[100:104] = "[PAD]", ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    write(folder / "blip-large", model, config.to_dict(), {"vocab.txt": "\n".join(words)})
    model.eval()

    def caption(picture):
        return model.generate(picture, min_new_tokens=20, max_new_tokens=20)[0].tolist()

    return f"transformers {__version__}, PyTorch {torch.__version__.split('+')[0]}", 384, caption


def ofa_large(folder: Path):
    import torch

    places = [place for place in os.environ.get("UNPROMPT_BENCH_OFA", "").split(":") if place]
    if not places:
        raise ImportError("UNPROMPT_BENCH_OFA is not set")
    sys.path[:0] = places

    def package(name: str, path: Path | None = None) -> types.ModuleType:
        module = types.ModuleType(name)
        module.__path__ = [str(path)] if path else []
        sys.modules[name] = module
        return module

    # transformers 4.18 checks for the versions of its time; modelscope's package imports all its models.
    versions = types.ModuleType("transformers.dependency_versions_check")
    versions.dep_version_check = lambda *_: None
    sys.modules["transformers.dependency_versions_check"] = versions
    import huggingface_hub

    for name in ("HfFolder", "Repository", "whoami", "create_repo", "list_repo_files"):
        if not hasattr(huggingface_hub, name):
            setattr(huggingface_hub, name, None)
    roots = [Path(place) / "modelscope" for place in sys.path if (Path(place) / "modelscope" / "models").is_dir()]
    if not roots:
        raise ImportError("no modelscope in UNPROMPT_BENCH_OFA")
    for name in ("", ".models", ".models.multi_modal", ".models.multi_modal.ofa", ".utils"):
        package("modelscope" + name, roots[0].joinpath(*name.split(".")))
    constant = types.ModuleType("modelscope.utils.constant")
    constant.ModelFile = type("ModelFile", (), {"VOCAB_FILE": "vocab.txt"})
    sys.modules["modelscope.utils.constant"] = constant
    package("fairseq")
    package("fairseq.modules").LayerNorm = torch.nn.LayerNorm
    modeling = importlib.import_module("modelscope.models.multi_modal.ofa.modeling_ofa")

    sizes = {"d_model": 1024, "encoder_layers": 12, "decoder_layers": 12, "encoder_ffn_dim": 4096, "decoder_ffn_dim": 4096}
    sizes |= {"encoder_attention_heads": 16, "decoder_attention_heads": 16, "resnet_type": "resnet152"}
    config = modeling.OFAConfig(**sizes, forced_eos_token_id=None)
    model = modeling.OFAModel(config)
    randomise(model)
    with torch.no_grad():
        # With its cache on the reference drops them: it looks them up by the tokens of the step, of which there is one.
        for table in model.decoder.token_rel_pos_table_list:
            table.weight.zero_()
    # Bytes that print are their own tokens: enough for a question of as many tokens as the real one.
    tokens = ["<s>", "<pad>", "</s>", "<unk>"] + [chr(code) for code in range(33, 127)]
    tokens += [f"<code_{index}>" for index in range(59457 - len(tokens))]
    ids = {token: index for index, token in enumerate(tokens)}
    described = config.to_dict() | {"model_type": "ofa", "forced_eos_token_id": None}
    write(folder / "ofa-large", model, described, {"vocab.json": json.dumps(ids), "merges.txt": "#version: 0.2\n"})
    model.eval()
    question = torch.tensor([[0] + [ids[letter] for letter in "abcdefg"] + [2]])

    def caption(picture):
        output = model.generate(
            question, patch_images=picture, patch_masks=torch.tensor([True]), num_beams=5, no_repeat_ngram_size=2,
            min_length=17, max_length=17, bad_words_ids=[[1]], use_cache=True,
        )
        return output[0].tolist()

    return f"modelscope OFA, PyTorch {torch.__version__.split('+')[0]}", 480, caption


CASES = {"blip-large": (blip_large, BLIP_INSTALL), "ofa-large": (ofa_large, OFA_INSTALL)}


def serve(folder: Path, case: str, threads: int) -> None:
    import torch
    from safetensors.torch import save_file

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    name, side, caption = CASES[case][0](folder)
    picture = torch.randn((1, 3, side, side), generator=torch.Generator().manual_seed(1))
    save_file({"pixels": picture.permute(0, 2, 3, 1).contiguous()}, str(folder / "input.safetensors"))
    with torch.inference_mode():
        answer({"peers": [name]})
        for _ in sys.stdin:
            started = time.perf_counter()
            ids = caption(picture)
            answer({"ms": (time.perf_counter() - started) * 1000, "first": ids})


if __name__ == "__main__":
    folder, case, threads = sys.argv[1:]
    try:
        serve(Path(folder), case, int(threads))
    except ImportError as cause:
        answer({"missing": CASES[case][1], "reason": str(cause)})
