"""Both sides of `benchmarks/load_weights.py`: a UNet read from a folder, in a fresh process.

Configuration, as JSON: `library` (`"equildm"` or `"diffusers"`), `dtype`, what equildm loads to
(diffusers loads to float32), and `pipeline`, whether the folder holds a whole pipeline. Commands:
`load` (of a `folder`), `save` (what was loaded, to a `folder`). `load` answers `seconds`, `touched`
(the seconds at which every weight has been read once as well: diffusers maps the file, and reads
the weights when they are used) and `anonymous_mb`, the peak of the memory that is not a file's.
"""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks._peer import reset_peak
from benchmarks.peers._serve import Command, serve

Library = tuple[Callable[[str], Any], Callable[[Any], float], Callable[[str, Any], None]]
"""Functions that load a folder, read every weight, and save to a folder."""


class Anonymous(threading.Thread):
    """Watches this process' anonymous memory, every 5 ms, until it is asked for the peak in MB."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._peak, self._over = 0, threading.Event()
        self.start()

    def run(self) -> None:
        while not self._over.wait(0.005):
            lines = Path("/proc/self/status").read_text().splitlines()
            kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
            self._peak = max(self._peak, kilobytes)

    def mb(self) -> float:
        self._over.set()
        self.join()
        return self._peak * 1024 / 1e6


def ours(dtype: str, *, pipeline: bool) -> Library:
    """Functions of equildm that load, read every weight, and save."""
    os.environ["JAX_PLATFORMS"] = "cpu"
    import jax
    import numpy as np

    from equildm import load_pretrained, save_pretrained, TextToImage, VAE
    from equildm.denoise import WidthScaledUNet
    from equildm.interop import load_unet, save_unet
    from equildm.text import CLIPText

    assert all((TextToImage, VAE, WidthScaledUNet, CLIPText))  # imports, which are not timed

    def load(folder: str) -> Any:
        if pipeline:
            model = load_pretrained(folder, dtype=dtype)
            return jax.block_until_ready((model.network, model.vae, model.text_encoder)), model
        return jax.block_until_ready(load_unet(folder, dtype=dtype))

    def touch(loaded: Any) -> float:
        return sum(float(np.asarray(leaf).sum()) for leaf in jax.tree.leaves(loaded[0]))

    def save(folder: str, loaded: Any) -> None:
        if pipeline:
            save_pretrained(folder, loaded[1])
        else:
            save_unet(folder, *loaded)

    jax.block_until_ready(jax.device_put(0.0))  # starts jax, as the imports start PyTorch
    return load, touch, save


def theirs(*, pipeline: bool) -> Library:
    """The same of diffusers."""
    import torch
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    assert all((CLIPTextModel, CLIPTokenizer))  # imports, which are not timed
    kind = StableDiffusionPipeline if pipeline else UNet2DConditionModel

    def load(folder: str) -> Any:
        return kind.from_pretrained(folder, torch_dtype=torch.float32)

    def touch(loaded: Any) -> float:
        parts = (loaded.unet, loaded.vae, loaded.text_encoder) if pipeline else (loaded,)
        with torch.no_grad():
            return sum(float(weight.sum()) for part in parts for weight in part.parameters())

    def save(folder: str, loaded: Any) -> None:
        loaded.save_pretrained(folder)

    return load, touch, save


def build(config: dict[str, Any]) -> dict[str, Command]:
    """The commands, once the library is imported."""
    pipeline = config["pipeline"]
    mine = config["library"] == "equildm"
    load, touch, save = (
        ours(config["dtype"], pipeline=pipeline) if mine else theirs(pipeline=pipeline)
    )
    loaded: Any = None

    def timed_load(folder: str) -> dict[str, Any]:
        nonlocal loaded
        reset_peak()
        anonymous = Anonymous()
        start = time.perf_counter()
        loaded = load(folder)
        seconds = time.perf_counter() - start
        total = touch(loaded)
        touched = time.perf_counter() - start
        answer = {"seconds": seconds, "touched": touched, "total": total}
        return answer | {"anonymous_mb": anonymous.mb()}

    def timed_save(folder: str) -> dict[str, Any]:
        start = time.perf_counter()
        save(folder, loaded)
        return {"seconds": time.perf_counter() - start}

    return {"load": timed_load, "save": timed_save}


if __name__ == "__main__":
    serve(build)
