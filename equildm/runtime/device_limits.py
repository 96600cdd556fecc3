"""What the devices of this process can do at most, and the memory that was needed."""

import re
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

import jax

PEAK_FLOPS = {
    r"\bA100\b": 312e12,
    r"\bH100 PCIe\b": 756e12,
    r"\bH100 NVL\b": 835e12,
    r"\bG?H[12]00\b": 989e12,
    r"\bB200\b": 2250e12,
    r"\bL4\b": 121e12,
    r"\bL40S\b": 362e12,
    r"\bRTX 4090\b": 165e12,
    r"\bTPU v4$": 275e12,
    r"\bTPU v5 lite\b": 197e12,
    r"\bTPU v5p?$": 459e12,
    r"\bTPU v6 lite\b": 918e12,
}
"""Peak rates of dense bfloat16 products, a multiply and an add counting as two, as the vendors
publish them; by a pattern of the device's name in JAX. The first match counts."""


def peak_flops(kind: str) -> float | None:
    """Operations a second that a device can do at most in bfloat16; `None` if that is not known.

    **Arguments:**

    - `kind`: name of the device, `jax.devices()[0].device_kind`.
    """
    return next((rate for name, rate in PEAK_FLOPS.items() if re.search(name, kind)), None)


def memory_use(devices: Sequence[jax.Device] | None = None) -> dict[str, int]:
    """The memory that was needed until now, in bytes. It waits for no computation.

    **Returns:** `device_peak_bytes`, of the fullest of this process's devices where the backend
    tells; else `host_bytes`, what this process holds of the host's memory (at most held until now,
    where the system has no /proc).
    """
    devices = jax.local_devices() if devices is None else devices
    stats = [device.memory_stats() or {} for device in devices]
    peaks = [int(s["peak_bytes_in_use"]) for s in stats if "peak_bytes_in_use" in s]
    if peaks:
        return {"device_peak_bytes": max(peaks)}
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return {"host_bytes": pages * resource.getpagesize()}
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {"host_bytes": most * (1 if sys.platform == "darwin" else 1024)}
