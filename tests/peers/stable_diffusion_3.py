"""diffusers' StableDiffusion3Pipeline: a small random one, saved, and sampled; or opened."""

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from pretrained import randomised
from transformers import (
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
)

TRANSFORMER = {
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "num_layers": 2,
    "in_channels": 16,
    "out_channels": 16,
    "sample_size": 16,
    "joint_attention_dim": 64,
    "caption_projection_dim": 32,
    "pooled_projection_dim": 20,
    "pos_embed_max_size": 12,
}
VAE = {
    "block_out_channels": (16, 32),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "norm_num_groups": 8,
    "latent_channels": 16,
    "scaling_factor": 1.5305,
    "shift_factor": 0.0609,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
}
CLIPS = ((16, 8, "quick_gelu"), (32, 12, "gelu"))
T5 = {"d_model": 64, "d_kv": 16, "d_ff": 96, "num_layers": 2, "num_heads": 4}


def run(config: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """The images in [0, 1] of `config["call"]`, from `arrays["noise"]`, of the pipeline in
    `config["folder"]`, which is made with the tokenizers in `config["make"]` where that is given.
    """
    kind = diffusers.StableDiffusion3Pipeline
    if "make" in config:
        _make(Path(config["make"])).save_pretrained(config["folder"])
    pipeline = kind.from_pretrained(config["folder"], low_cpu_mem_usage=False)
    pipeline.set_progress_bar_config(disable=True)
    noise = torch.from_numpy(arrays["noise"]).permute(0, 3, 1, 2)
    return {"images": pipeline(**config["call"], latents=noise, output_type="np").images}


def _make(folder: Path) -> diffusers.StableDiffusion3Pipeline:
    clip_words = CLIPTokenizer.from_pretrained(folder / "clip")
    t5_words = PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "t5" / "tokenizer.json"), pad_token="<pad>", eos_token="</s>"
    )
    ends = {"bos_token_id": clip_words.bos_token_id, "eos_token_id": clip_words.eos_token_id}
    clips = []
    for width, projection, activation in CLIPS:
        sizes = {"hidden_size": width, "intermediate_size": 2 * width, "num_attention_heads": 2}
        kinds = {"hidden_act": activation, "projection_dim": projection, "num_hidden_layers": 3}
        options = CLIPTextConfig(vocab_size=len(clip_words), **ends, **sizes, **kinds)
        clips.append(randomised(CLIPTextModelWithProjection(options)).eval())
    t5 = T5Config(vocab_size=len(t5_words), feed_forward_proj="gated-gelu", **T5)
    return diffusers.StableDiffusion3Pipeline(
        transformer=randomised(diffusers.SD3Transformer2DModel(**TRANSFORMER)).eval(),
        vae=randomised(diffusers.AutoencoderKL(**VAE)).eval(),
        text_encoder=clips[0],
        text_encoder_2=clips[1],
        text_encoder_3=randomised(T5EncoderModel(t5)).eval(),
        tokenizer=clip_words,
        tokenizer_2=clip_words,
        tokenizer_3=t5_words,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
    )
