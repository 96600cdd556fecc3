"""Reading a scheduler's JSON object into settings: each field is read, or refused by name."""

import math
from typing import Any

from .config_fields import Fields, finite_float, flag, positive_float, positive_int
from .scheduler_classes import CLASSES, PublicScheduler
from .scheduler_fields import SUPPORTED, WITHOUT_EFFECT
from .scheduler_levels import Settings, SPACINGS


def public_class(kind: object) -> PublicScheduler:
    """The class of that name. **Raises** `ValueError` for one that is not sampled here."""
    if kind not in list(CLASSES):
        raise ValueError(
            f"_class_name is {kind!r}, which is not sampled here, only {', '.join(CLASSES)}. Give "
            "another scheduler, `scheduler=Scheduler(...)`, or edit the file"
        )
    return CLASSES[str(kind)]


def read_settings(fields: Fields) -> Settings:
    """All fields of the class, with its defaults.

    **Raises** `ValueError` or `KeyError` naming the field that is not supported.
    """
    kind = fields["_class_name"]
    public = public_class(kind)
    for name, value in fields.items():
        if name not in public.fields and not name.startswith("_"):
            _check_foreign(str(kind), name, value)
    settings: dict[str, Any] = {}
    for name, default in public.fields.items():
        value = fields.get(name, default)
        value = public.aliases.get(name, {}).get(value, value) if isinstance(value, str) else value
        allowed = public.supported.get(name, SUPPORTED.get(name))
        if value is None and isinstance(default, bool):
            value = False  # as Python takes it
        if allowed is None and isinstance(default, bool):
            settings[name] = flag({name: value}, name)
        elif allowed is None:
            settings[name] = _READERS.get(name, finite_float)(fields, name, default)
        elif value in list(allowed) and isinstance(value, bool) == isinstance(allowed[0], bool):
            settings[name] = value
        else:
            raise ValueError(f"{name} is {value!r}, and only {_list(allowed)} supported for {kind}")
    _check_together(public, settings)
    return settings


def _check_foreign(kind: str, name: str, value: Any) -> None:
    defaults = [public.fields[name] for public in CLASSES.values() if name in public.fields]
    defaults += [False] if name == "skip_prk_steps" else []
    if not defaults:
        raise ValueError(
            f"{name} is {value!r}, a field that {kind} does not have. Take it out of the file"
        )
    if name not in WITHOUT_EFFECT and value not in defaults:
        raise ValueError(
            f"{name} is {value!r}, and {kind} does not have that field: diffusers would ignore it. "
            "Take it out of the file, or name a scheduler that has it"
        )


def _check_together(public: PublicScheduler, settings: Settings) -> None:
    if settings.get("rescale_betas_zero_snr") and settings["prediction_type"] == "epsilon":
        raise ValueError(
            "rescale_betas_zero_snr is True and prediction_type 'epsilon': from a level without "
            "signal, the noise tells nothing of the image. Use 'v_prediction' or 'sample', or "
            "rescale_betas_zero_snr False"
        )
    for values, reason in public.refused:
        if all(settings[name] == value for name, value in values.items()):
            together = " and ".join(f"{name} {value!r}" for name, value in values.items())
            raise ValueError(f"{together} are not supported together: {reason}")
    spacings = [name for name in SPACINGS if settings.get(name)]
    if len(spacings) > 1:
        raise ValueError(f"{' and '.join(spacings)} are both true. Choose one")
    if public.sampler == "consistency":
        _check_boundary(settings)
    if settings.get("sigma_data", 1) != 1 and settings["prediction_type"] == "v_prediction":
        raise ValueError(
            f"sigma_data is {settings['sigma_data']} and prediction_type 'v_prediction', which is "
            "read for unit data only. Use sigma_data 1, or 'epsilon'"
        )
    if settings.get("use_dynamic_shifting"):
        ends = settings["base_image_seq_len"], settings["max_image_seq_len"]
        if ends[0] >= ends[1]:
            raise ValueError(
                f"base_image_seq_len is {ends[0]} and max_image_seq_len {ends[1]}: the shift grows "
                "from the first to the second. Use 256 and 4096"
            )


def _check_boundary(settings: Settings) -> None:
    """The factor of `x` in the public LCM scheduler is below 1e-4 at every time, and left out."""
    spaced = settings["num_train_timesteps"] // settings["original_inference_steps"]
    if (spaced - 1) * settings["timestep_scaling"] < 50:
        raise ValueError(
            f"original_inference_steps is {settings['original_inference_steps']} and "
            f"timestep_scaling {settings['timestep_scaling']:g}: the boundary condition of the "
            "public LCM scheduler would count, which is not supported. Use at most "
            f"{settings['num_train_timesteps'] // 10} steps and a scaling of 10"
        )


def _size(fields: Fields, name: str, default: Any) -> int:
    return positive_int(fields, name, default)


def _level(fields: Fields, name: str, default: Any) -> float | None:
    if default is None and fields.get(name) is None:
        return None
    return positive_float(fields, name, default)


def _positive(fields: Fields, name: str, default: Any) -> float:
    return positive_float(fields, name, default)


def _clip(fields: Fields, name: str, default: Any) -> float:
    value = fields.get(name, default)
    return -math.inf if value == -math.inf else finite_float(fields, name, default)


_READERS = {
    "num_train_timesteps": _size,
    "base_image_seq_len": _size,
    "max_image_seq_len": _size,
    "shift": _positive,
    "shift_terminal": _level,
    "sigma_data": _positive,
    "rho": _positive,
    "original_inference_steps": _size,
    "beta_start": _positive,
    "beta_end": _positive,
    "timestep_scaling": _positive,
    "sigma_min": _level,
    "sigma_max": _level,
    "lambda_min_clipped": _clip,
}


def _list(values: tuple[Any, ...]) -> str:
    return f"{values[0]!r} is" if len(values) == 1 else f"{', '.join(map(repr, values))} are"
