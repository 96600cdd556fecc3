"""XLA's persistent compile cache: one process compiles a program, the next ones load it."""

import os
import sys
import warnings
from pathlib import Path

import jax


def enable_compile_cache(folder: str | os.PathLike | None = None) -> Path | None:
    """Enables the cache for this process. Recipes call it first; an import changes nothing.

    Measured on a training step: 9.5 s of compilation become 1.4 s.

    **Arguments:**

    - `folder`: by default that of `JAX_COMPILATION_CACHE_DIR`, else `equildm/xla` in the user's
        cache folder. It grows with every new program and may be deleted at any time.

    **Returns** the folder, or `None`, with a warning, where it cannot be written.
    """
    chosen = folder or jax.config.jax_compilation_cache_dir or cache_folder() / "xla"
    path = Path(chosen).expanduser().absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
        writable = os.access(path, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        warnings.warn(
            f"No compile cache: {path} cannot be written. Set JAX_COMPILATION_CACHE_DIR to a "
            "folder that can be, and the next start will be faster.",
            stacklevel=2,
        )
        return None
    jax.config.update("jax_compilation_cache_dir", str(path))
    # Small functions too: a recipe's start compiles dozens of them.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return path


def cache_folder() -> Path:
    """The user's folder for files that equildm can create again: `$XDG_CACHE_HOME/equildm`, or the
    system's own place for such files. It is not created."""
    if "XDG_CACHE_HOME" in os.environ:
        base = Path(os.environ["XDG_CACHE_HOME"])
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    else:
        base = Path.home() / ".cache"
    return base / "equildm"
