"""Latent diffusion models in JAX: typed Equinox parts, diffrax samplers, and how they scale.

    import equildm as eqd

    model = eqd.load_pretrained("runs/emoji")
    images = eqd.TextToImage(model)(["a red heart"], steps=50, guidance_scale=3)

Every public name stands here; `__init__.pyi` lists them by room. A room is loaded when one of its
names is first used, file by file, so that the import itself costs next to nothing.
"""

import lazy_loader

from ._rooms import load_lazily

__version__ = "0.2.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

load_lazily(__name__)
