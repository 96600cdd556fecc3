"""LoRAs of `peft` and `diffusers` on a small random UNet and text encoder."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.utils import convert_state_dict_to_diffusers, convert_state_dict_to_kohya
from peft import get_peft_model, LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

FILE = "pytorch_lora_weights.safetensors"


def run(config: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """What the two answer to the arrays with a LoRA, from the folder `config["base"]`.

    - `make`: the options of the two models, which are drawn and saved there first.
    - `layout`, `unet`, `text_encoder`: a random LoRA with these options of `LoraConfig`, saved in
        that layout into the folder `config["lora"]`.
    - `file`: a LoRA read by the pipeline's own loader.
    """
    base = Path(config["base"])
    for part, options in config.get("make", {}).items():
        _make(part, options).save_pretrained(base / part)
    unet = UNet2DConditionModel.from_pretrained(base / "unet", low_cpu_mem_usage=False)
    text = CLIPTextModel.from_pretrained(base / "text_encoder", dtype=torch.float32)
    if "layout" in config:
        for model, name in ((unet, "unet"), (text, "text_encoder")):
            if name in config:
                model.add_adapter(LoraConfig(init_lora_weights=False, **config[name]))
        _LAYOUTS[config["layout"]](unet, text, config)
    if "file" in config:
        pipeline = StableDiffusionPipeline(
            vae=None,
            text_encoder=text,
            tokenizer=None,
            unet=unet,
            scheduler=DDIMScheduler(),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        file = Path(config["file"])
        pipeline.load_lora_weights(str(file.parent), weight_name=file.name)
    x, t, tokens, ids = (torch.from_numpy(arrays[name]) for name in ("x", "t", "text", "ids"))
    with torch.no_grad():
        noise = unet.eval()(x.permute(0, 3, 1, 2), t, tokens, return_dict=False)[0]
        states = text.eval()(input_ids=ids.long()).last_hidden_state
    return {"unet": noise.permute(0, 2, 3, 1), "text_encoder": states}


def _make(part: str, options: dict[str, Any]) -> Any:
    model: Any = UNet2DConditionModel(**options) if part == "unet" else None
    if model is None:
        model = CLIPTextModel(CLIPTextConfig(**options))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return model


def _diffusers(unet: Any, text: Any, config: dict[str, Any]) -> None:
    StableDiffusionPipeline.save_lora_weights(
        config["lora"],
        unet_lora_layers=get_peft_model_state_dict(unet),
        text_encoder_lora_layers=get_peft_model_state_dict(text),
        unet_lora_adapter_metadata=_metadata(unet),
        text_encoder_lora_adapter_metadata=_metadata(text),
    )


def _older_diffusers(unet: Any, text: Any, config: dict[str, Any]) -> None:
    StableDiffusionPipeline.save_lora_weights(
        config["lora"],
        unet_lora_layers=convert_state_dict_to_diffusers(get_peft_model_state_dict(unet)),
        text_encoder_lora_layers=convert_state_dict_to_diffusers(get_peft_model_state_dict(text)),
    )


def _adapter(unet: Any, text: Any, config: dict[str, Any]) -> None:
    unet.save_lora_adapter(config["lora"])


def _peft(unet: Any, text: Any, config: dict[str, Any]) -> None:
    # peft's own wrapper of a model that has the same adapter, to save under its own names.
    plain = UNet2DConditionModel.from_pretrained(config["base"] + "/unet", low_cpu_mem_usage=False)
    wrapped = get_peft_model(plain, LoraConfig(**config["unet"]))
    wrapped.load_state_dict(
        {f"base_model.model.{name}": value for name, value in unet.state_dict().items()}
    )
    wrapped.save_pretrained(config["lora"])


def _kohya(unet: Any, text: Any, config: dict[str, Any]) -> None:
    parts = {"unet": unet, "text_encoder": text}
    tensors = {
        f"{part}.{name}": value
        for part, model in parts.items()
        for name, value in get_peft_model_state_dict(model).items()
    }
    Path(config["lora"]).mkdir(parents=True, exist_ok=True)
    save_file(
        {k: v.contiguous() for k, v in convert_state_dict_to_kohya(tensors).items()},
        Path(config["lora"], FILE),
    )


def _metadata(model: Any) -> dict[str, Any]:
    options = model.peft_config["default"].to_dict()
    return {k: list(v) if isinstance(v, set) else v for k, v in options.items()}


_LAYOUTS = {
    "diffusers": _diffusers,
    "older diffusers": _older_diffusers,
    "adapter": _adapter,
    "peft": _peft,
    "kohya": _kohya,
}
