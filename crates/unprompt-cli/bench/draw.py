"""Python peer of `unprompt bench draw`: Stable Diffusion 1.5 at full size on random weights.

    python3 draw.py FOLDER SIDE THREADS

Writes the pipeline into FOLDER/sd15 in its published layout, in half precision (2.1 GB; both programs compute in f32), prints
one line of JSON with the peer it has, and then answers each line on standard input with one line: milliseconds of a picture of
SIDE x SIDE in two steps of DDIM with guidance, text and decoder included, and of its second step alone. diffusers in PyTorch
eager, f32.
"""

import json
import os
import sys
import time
from pathlib import Path

INSTALL = "pip install torch diffusers transformers safetensors"

# The packages print while they load. Standard output is for the answers.
ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def answer(record: dict) -> None:
    print(json.dumps(record), file=ANSWERS, flush=True)


def tokenizer(folder: Path) -> None:
    """49,408 words of which the letters are real: enough for any prompt."""
    folder.mkdir(parents=True)
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(code) for code in shown] + [chr(256 + place) for place in range(256 - len(shown))]
    words = letters + [letter + "</w>" for letter in letters]
    words += [f"word{place}</w>" for place in range(49406 - len(words))]
    words += ["<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: place for place, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    special = {"bos_token": words[-2], "eos_token": words[-1], "pad_token": words[-1], "unk_token": words[-1]}
    config = {**special, "model_max_length": 77, "tokenizer_class": "CLIPTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def pipeline(folder: Path):
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    tokenizer(folder / "tokenizer")
    text = CLIPTextConfig(
        hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, vocab_size=49408,
        bos_token_id=0, eos_token_id=2, pad_token_id=1,
    )
    pipe = StableDiffusionPipeline(
        vae=AutoencoderKL(
            down_block_types=["DownEncoderBlock2D"] * 4,
            up_block_types=["UpDecoderBlock2D"] * 4,
            block_out_channels=[128, 256, 512, 512],
            layers_per_block=2,
            sample_size=512,
        ),
        text_encoder=CLIPTextModel(text),
        tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        unet=UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8),
        scheduler=DDIMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False, steps_offset=1
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    for part in ("vae", "unet", "text_encoder"):
        module = getattr(pipe, part).eval().half()
        module.save_pretrained(folder / part)
        module.float()
    pipe.scheduler.save_pretrained(folder / "scheduler")
    index = {"_class_name": "StableDiffusionPipeline"}
    (folder / "model_index.json").write_text(json.dumps(index))
    pipe.set_progress_bar_config(disable=True)
    return pipe


def main() -> None:
    folder, side, threads = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    try:
        import diffusers
        import torch

        torch.set_num_threads(threads)
        pipe = pipeline(folder / "sd15")
    except ImportError as error:
        answer({"missing": f"{error}; {INSTALL}"})
        return
    answer({"peers": [f"diffusers {diffusers.__version__}, PyTorch {torch.__version__.split('+')[0]}"]})
    for _ in sys.stdin:
        steps = []

        def keep(_pipe, _step, _time, values):
            steps.append(time.perf_counter())
            return values

        start = time.perf_counter()
        with torch.inference_mode():
            pipe(
                "a cat", width=side, height=side, num_inference_steps=2, guidance_scale=7.5, output_type="np",
                generator=torch.Generator().manual_seed(0), callback_on_step_end=keep,
            )
        end = time.perf_counter()
        answer({"ms": (end - start) * 1e3, "step_ms": (steps[1] - steps[0]) * 1e3})


main()
