"""Run folders of format 1, whose options lay flat, read as those of format 2.

Only names are known here: each section of today's config by the old option that it was.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_OPTIMIZER = {
    "optimizer": "optimizer",
    "learning_rate": "rate",
    "warmup": "warmup",
    "decay": "decay",
    "weight_decay": "weight_decay",
    "clip": "clip",
}
_TRAIN: dict[str, Any] = {
    **{
        name: name
        for name in (
            *("resume", "steps", "batch_size", "accumulate", "ema", "compute", "remat", "mesh"),
            *("cluster", "seed", "keep", "snapshots"),
        )
    },
    "log_every": "every.log",
    "save_every": "every.save",
    "preview_every": "every.sample",
    "optimizer": ("OptimizerConfig", _OPTIMIZER),
}
_LOSS = ("LossConfig", {"weight": "weight", "times": "times"})
_DATA = (
    "DataConfig",
    {"source": "data", "size": "size", "flip": "flip", "held_out": "held_out", "cache": "cache"},
)
_FINE_TUNE = (
    "FineTuneConfig",
    {
        "start": "start",
        "start_ema": "average",
        "preset": "preset",
        "vae": "vae",
        "trainable": "train",
        "lora": "lora",
        "groups": "groups",
    },
)
_COMMON: dict[str, Any] = {"run": "run", "train": ("TrainConfig", _TRAIN)}
_CONFIGS: dict[str, dict[str, Any]] = {
    "pretrain": {
        **_COMMON,
        "data": _DATA,
        "noise": ("NoiseConfig", {"schedule": "schedule", "prediction": "prediction"}),
        "loss": _LOSS,
        "preset": "preset",
        "vae": "vae",
        "text_encoder": "text",
        "max_tokens": "caption_length",
        "caption_dropout": "dropout",
        "prompts": "prompts",
        "guidance_scale": "guidance",
    },
    "distill": {
        **_COMMON,
        "teacher": "teacher",
        "teacher_ema": "average",
        "distill": (
            "DistillConfig",
            {
                **{
                    name: name
                    for name in (
                        *("method", "guidance", "solver", "distance", "data_weight", "lora"),
                        "stages",
                    )
                },
                "guidance_range": "weights",
            },
        ),
        "prompts": "prompts",
        "guidance_scale": "cfg",
    },
    "dreambooth": {
        **_COMMON,
        "fine_tune": _FINE_TUNE,
        "loss": _LOSS,
        "subject": (
            "SubjectConfig",
            {
                **{name: name for name in ("token", "class_prompt")},
                "source": "data",
            },
        ),
        "prior": (
            "PriorConfig",
            {name: f"prior_{name}" for name in ("weight", "count", "prompts")},
        ),
        "sampling_steps": "sampling_steps",
        "prompts": "prompts",
        "train_text_encoder": "train_text",
        "guidance_scale": "guidance",
    },
    "super_resolution": {
        **_COMMON,
        "fine_tune": _FINE_TUNE,
        "loss": _LOSS,
        "data": (
            "DegradedDataConfig",
            {
                **{
                    name: name
                    for name in ("shrink", "size", "scale", "degradation", "crops", "held_out")
                },
                "source": "data",
            },
        ),
        **{name: name for name in ("augmentation", "captions", "count", "sampling_steps")},
        "caption_dropout": "dropout",
    },
    "train_vae": {
        **_COMMON,
        "data": (
            "ImageDataConfig",
            {
                **{name: name for name in ("size", "cut", "flip", "held_out")},
                "source": "data",
            },
        ),
        "vae": (
            "VAEConfig",
            {name: name for name in ("width", "multipliers", "depth", "latent_channels", "groups")},
        ),
        "loss": (
            "VAELossConfig",
            {name: name for name in ("lpips", "lpips_share", "kl", "adversarial")},
        ),
        "init": "init",
        "trainable": "train",
        "dtype": "dtype",
    },
}


def upgrade_run(document: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """`config.json` of format 1 as one of format 2.

    A recipe that is not known, such as one's own, keeps its options as they are.
    """
    recipe, old = document["recipe"], document["config"]
    layout = _CONFIGS.get(recipe)
    config = dict(old) if layout is None else {"class": "Config", **_section(layout, old)}
    if recipe == "distill":
        teacher = json.loads((folder / "teacher.json").read_text(encoding="utf-8"))
        config["data"] = upgrade_run(teacher, folder)["config"]["data"]
        if old.get("cache") is not None:
            config["data"]["cache"] = old["cache"]
    if recipe == "train_vae":
        config["vae"]["scale"] = 1.0
        config["train"]["ema"] = f"decay-{old['ema']}"
    return {"format": 2, "recipe": recipe, "config": config}


def _section(layout: Mapping[str, Any], old: Mapping[str, Any]) -> dict[str, Any]:
    section: dict[str, Any] = {}
    for name, source in layout.items():
        if isinstance(source, str):
            outer, _, inner = source.partition(".")
            if outer in old:
                section[name] = old[outer][inner] if inner else old[outer]
        else:
            section[name] = {"class": source[0], **_section(source[1], old)}
    return section


_SCHEDULES: dict[str, Any] = {
    "scaled-linear": {"class": "ScaledLinear"},
    "squared-cosine": {"class": "SquaredCosine"},
    "scaled-linear-zero-snr": {"class": "ZeroTerminalSNR", "schedule": {"class": "ScaledLinear"}},
}
_PREDICTIONS = {"eps": "Epsilon", "v": "Velocity", "x0": "Clean"}


def upgrade_model(document: Mapping[str, Any]) -> dict[str, Any]:
    """`model.json` of format 1 as one of format 2; one of format 2 as it is."""
    if document.get("class") != "Model":
        return dict(document)
    old = document
    unet = dict(old["unet"])
    guidance_width = unet.pop("guidance_width", None)
    distilled, upscaling = old.get("distilled"), old.get("upscaling")
    channels, side = unet["in_channels"], old["size"] // old["factor"]
    network: dict[str, Any] = unet
    if guidance_width is not None:
        network = _wrap("GuidanceEmbeddingConfig", network, width=guidance_width)
    if upscaling is not None:
        network = _wrap("ConcatConfig", network, channels=channels)
        facts = {name: upscaling[name] for name in ("scale", "augmentation")}
        network = _wrap("UpscalerConfig", network, **facts)
    if distilled is not None and distilled["boundary"] is not None:
        network = _wrap("ConsistencyConfig", network, boundary=distilled["boundary"])
    model = {
        "class": "ModelConfig",
        "network": network,
        "image_size": old["size"],
        "latent_shape": [side, side, channels],
        "scheduler": {
            "class": "Scheduler",
            "schedule": _SCHEDULES[old["schedule"]],
            "prediction": {"class": _PREDICTIONS[old["prediction"]]},
            "spacing": "trailing",
            "ends_clean": True,
        },
        "max_tokens": old["caption_length"],
    }
    if distilled is not None:
        model |= {
            "solver": distilled["sampler"],
            "sampling_steps": distilled["steps"],
            "guidance_scale": distilled["weight"],
        }
    if upscaling is not None:
        model |= {"sampling_steps": 20, "guidance_scale": 1.0}
    trained: dict[str, Any] = {"class": "AllWeights"}
    if old.get("lora") is not None:
        trained = {"class": "LoRAConfig", "rank": old["lora"]}
    elif old.get("train", ["*"]) != ["*"]:
        trained = {"class": "MatchingWeights", "patterns": old["train"]}
    return {
        "class": "RunModelConfig",
        "model": model,
        "ema": old["ema"],
        "trained": trained,
        "trains_text_encoder": old.get("trains_text", False),
        "stages": (distilled or {}).get("stages", []),
    }


def _wrap(name: str, of: Mapping[str, Any], **facts: Any) -> dict[str, Any]:
    return {"class": name, "of": of, **facts}
