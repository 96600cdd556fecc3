"""diffusers' pipelines of PixArt: a small random one, saved, and sampled; or opened."""

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from pretrained import randomised
from stable_diffusion_3 import T5, VAE
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

TRANSFORMER = {
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "num_layers": 2,
    "in_channels": 4,
    "out_channels": 8,
    "sample_size": 16,
    "cross_attention_dim": 24,
    "caption_channels": T5["d_model"],
}
OWN_VAE = VAE | {
    "latent_channels": 4,
    "scaling_factor": 0.18215,
    "shift_factor": None,
    "use_quant_conv": True,
    "use_post_quant_conv": True,
}
SCHEDULER = {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02}
"""PixArt's own; the rest are the defaults: order 2, linspace."""


def run(config: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """The images in [0, 1] of `config["call"]`, from `arrays["noise"]`, of the pipeline in
    `config["folder"]`. With `make`, the folder of a T5's tokenizer, it is made before: of the class
    `config["class"]`, with the changes `config["transformer"]`, its T5 in shards.
    """
    kind = getattr(diffusers, config["class"])
    if "make" in config:
        pipeline = _make(kind, Path(config["make"]), config["transformer"])
        pipeline.save_pretrained(config["folder"], max_shard_size="100KB")
    pipeline = diffusers.DiffusionPipeline.from_pretrained(
        config["folder"], low_cpu_mem_usage=False
    )
    assert type(pipeline) is kind, type(pipeline)
    pipeline.set_progress_bar_config(disable=True)
    noise = torch.from_numpy(arrays["noise"]).permute(0, 3, 1, 2)
    options = {"clean_caption": False, "use_resolution_binning": False, "output_type": "np"}
    return {"images": pipeline(**config["call"], **options, latents=noise).images}


def _make(kind: Any, folder: Path, changes: dict[str, Any]) -> Any:
    words = PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), pad_token="<pad>", eos_token="</s>"
    )
    t5 = T5Config(vocab_size=len(words), feed_forward_proj="gated-gelu", **T5)
    transformer = diffusers.PixArtTransformer2DModel(**TRANSFORMER | changes)
    return kind(
        transformer=randomised(transformer).eval(),
        vae=randomised(diffusers.AutoencoderKL(**OWN_VAE)).eval(),
        text_encoder=randomised(T5EncoderModel(t5)).eval(),
        tokenizer=words,
        scheduler=diffusers.DPMSolverMultistepScheduler(**SCHEDULER),
    )
