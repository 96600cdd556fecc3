"""diffusers' StableDiffusionPipeline: small random ones, saved, loaded and sampled."""

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from pretrained import randomised
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

UNET = {
    "block_out_channels": (32, 64),
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "layers_per_block": 1,
    "sample_size": 16,
    "norm_num_groups": 16,
    "cross_attention_dim": 32,
}
VAE = {
    "block_out_channels": (16, 32),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "norm_num_groups": 8,
}
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
SCHEDULER = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "clip_sample": False,
    "steps_offset": 1,
}


def run(config: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Makes and saves a pipeline (`make`: options of its parts) or opens one, and samples it.

    `config["samples"]` lists the calls: options of the pipeline's call, and `scheduler`, a class to
    sample by. All start from `arrays["noise"]`. Answers the pictures in [0, 1], each call's by its
    number.
    """
    if "make" in config:
        pipeline = _make(**config["make"])
        pipeline.save_pretrained(config["folder"])
    elif "file" in config:
        pipeline = diffusers.StableDiffusionPipeline.from_single_file(
            config["file"], config=config["folder"], local_files_only=True, safety_checker=None
        )
    else:
        kind = getattr(diffusers, config.get("pipeline", "StableDiffusionPipeline"))
        pipeline = kind.from_pretrained(config["folder"], low_cpu_mem_usage=False)
    pipeline.set_progress_bar_config(disable=True)
    original, outputs = pipeline.scheduler, {}
    for i, call in enumerate(config.get("samples", [])):
        scheduler = getattr(diffusers, call.pop("scheduler"))
        pipeline.scheduler = scheduler.from_config(original.config)
        noise = torch.from_numpy(arrays["noise"]).permute(0, 3, 1, 2)
        outputs[str(i)] = pipeline(**call, latents=noise, output_type="np").images
    return outputs


def _make(
    vocabulary: str,
    prediction: str = "epsilon",
    unet: Any = None,
    vae: Any = None,
    scheduler: Any = None,
    **text: Any,
) -> diffusers.StableDiffusionPipeline:
    folder = Path(vocabulary)
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    texts = CLIPTextConfig(vocab_size=len(tokenizer), **ends, **TEXT | text)
    schedule = SCHEDULER | {"prediction_type": prediction} | (scheduler or {})
    return diffusers.StableDiffusionPipeline(
        unet=randomised(diffusers.UNet2DConditionModel(**UNET | (unet or {}))).eval(),
        vae=randomised(diffusers.AutoencoderKL(**VAE | (vae or {}))).eval(),
        text_encoder=randomised(CLIPTextModel(texts)).eval(),
        tokenizer=tokenizer,
        scheduler=diffusers.DDIMScheduler(**schedule),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
