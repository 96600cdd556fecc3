"""`transformers.CLIPModel` with random weights, and its image processor on Pillow."""

from typing import Any

import numpy as np
import torch
from transformers import CLIPConfig, CLIPModel, CLIPTokenizerFast
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil


def run(config: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Vectors of `image0`, `image1`, ... (bytes) and of `config["captions"]`, and what the
    processor made of the images.

    With `config["sizes"]` the model is made and saved to `config["folder"]`, which holds the
    tokenizer's files.
    """
    folder = config["folder"]
    if "sizes" in config:
        model = CLIPModel(CLIPConfig(**config["sizes"]))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.ndim < 2:
                    scale = "norm" in name and name.endswith("weight")
                    parameter.normal_(1.0 if scale else 0.0, 0.3)
                elif "embed" in name:
                    parameter.normal_()
                else:
                    parameter.normal_(std=parameter.shape[-1] ** -0.5)
        model.save_pretrained(folder)
    if "captions" not in config:
        return {}
    model, info = CLIPModel.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"], info
    side = model.config.vision_config.image_size
    process = CLIPImageProcessorPil(
        size={"shortest_edge": side}, crop_size={"height": side, "width": side}
    )
    images = [arrays[f"image{i}"] for i in range(len(arrays))]
    pixels = process(images, return_tensors="pt")["pixel_values"]
    tokenizer = CLIPTokenizerFast.from_pretrained(folder)
    words = tokenizer(
        config["captions"],
        padding="max_length",
        truncation=True,
        max_length=model.config.text_config.max_position_embeddings,
        return_tensors="pt",
    )
    with torch.no_grad():
        out = model.eval()(**words, pixel_values=pixels)
        tower = model.get_image_features(pixel_values=pixels).pooler_output
    return {
        "pixels": pixels.permute(0, 2, 3, 1),
        "image": tower,
        "image_unit": out.image_embeds,
        "caption_unit": out.text_embeds,
        "logits": out.logits_per_image,
    }
