"""Weights are floating numbers, in files and in memory."""

import jaxtyping
import pytest
from small_models import small_model

from equildm.pretrained import load_pretrained, save_pretrained


@pytest.mark.parametrize("dtype", ["int8", "bool", "complex64", "fp16", "float8_e4m3fn"])
def test_other_types_are_refused_before_anything_is_written(tmp_path, monkeypatch, dtype):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=f"Weights are float32, .* received dtype='{dtype}'"):
        save_pretrained(tmp_path / "model", small_model(), dtype=dtype)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="Weights are float32, bfloat16"):
        load_pretrained("emoji", dtype=dtype)
