"""Normalisations. Statistics are float32, or float64 for inputs of that."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._init import constant


class GroupNorm(eqx.Module):
    """Group normalisation (Wu & He 2018) of one example, channels last.

    `y = (x - mean_g) / sqrt(var_g + eps) * weight + bias`, where the mean and variance of a group
    are over its channels and every position.

    The array is read once for both moments and once for the result, a multiply-add; so is its
    gradient. The moments are of `x - shift`, with one position as the shift, so that a mean far
    from 0 costs the variance no digits. Where that position alone is an outlier, by `a` deviations,
    the variance has a relative error below `1e-7 a^2`.
    """

    weight: Float[Array, "channels"]
    bias: Float[Array, "channels"]
    groups: int = eqx.field(static=True)
    eps: float = eqx.field(static=True)

    def __init__(self, groups: int, channels: int, eps: float = 1e-5):
        """**Arguments:**

        - `groups`: number of groups; must divide `channels`.
        - `channels`: size of the last axis.
        - `eps`: added to the variance.
        """
        if channels % groups:
            raise ValueError(
                f"GroupNorm's groups must divide its channels, received groups={groups} and "
                f"channels={channels}. Choose a width that is a multiple of {groups}, or fewer "
                "groups."
            )
        self.weight = constant((channels,), 1.0)
        self.bias = constant((channels,), 0.0)
        self.groups = groups
        self.eps = eps

    def __call__(
        self, x: Float[Array, "*positions channels"]
    ) -> Float[Array, "*positions channels"]:
        channels = self.weight.shape[0]
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32)).reshape(-1, channels)
        shift = jax.lax.stop_gradient(wide[wide.shape[0] // 2])
        wide = wide - shift
        mean = jnp.mean(wide, axis=0)
        variance = jnp.mean(wide * wide, axis=0) - mean * mean
        from_group = mean + shift - self._over_group(mean + shift)
        variance = self._over_group(variance + from_group * from_group)
        scale = jax.lax.rsqrt(variance + self.eps) * self.weight
        y = wide * scale + (self.bias + (from_group - mean) * scale)
        return y.reshape(x.shape).astype(x.dtype)

    def _over_group(self, per_channel: Float[Array, "channels"]) -> Float[Array, "channels"]:
        grouped = jnp.mean(per_channel.reshape(self.groups, -1), axis=1)
        return jnp.repeat(grouped, per_channel.shape[0] // self.groups)


class LayerNorm(eqx.Module):
    """Layer normalisation (Ba et al. 2016) of the last axis.

    As in `GroupNorm` one pass gives both moments, and the result is a multiply-add. The moments are
    of `x - shift`, with the first channel as the shift. So the square of the mean is at most
    `channels` times the variance, whatever `x`: where the first channel is an outlier, up to 3 of
    float32's 7 digits cancel at 1280 channels. Elsewhere few do, also where all channels are large.
    """

    weight: Float[Array, "channels"] | None
    bias: Float[Array, "channels"] | None
    eps: float = eqx.field(static=True)

    def __init__(self, channels: int, eps: float = 1e-5, *, affine: bool = True):
        """**Arguments:**

        - `channels`: size of the last axis.
        - `eps`: added to the variance.
        - `affine`: whether it has a weight and a bias. A layer norm that is modulated has none.
        """
        self.weight = constant((channels,), 1.0) if affine else None
        self.bias = constant((channels,), 0.0) if affine else None
        self.eps = eps

    def __call__(self, x: Float[Array, "*rest channels"]) -> Float[Array, "*rest channels"]:
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        wide = wide - jax.lax.stop_gradient(wide[..., :1])
        mean = jnp.mean(wide, axis=-1, keepdims=True)
        variance = jnp.mean(wide * wide, axis=-1, keepdims=True) - mean * mean
        scale = jax.lax.rsqrt(variance + self.eps)
        y = wide * scale - mean * scale
        if self.weight is not None and self.bias is not None:
            y = y * self.weight + self.bias
        return y.astype(x.dtype)


class RMSNorm(eqx.Module):
    """`x / sqrt(mean(x^2) + eps) * weight` over the last axis (Zhang & Sennrich 2019).

    Equinox's acts on arrays of one fixed shape; this one on any axes before the last.
    """

    weight: Float[Array, "channels"]
    eps: float = eqx.field(static=True)

    def __init__(self, channels: int, eps: float = 1e-6):
        """**Arguments:**

        - `channels`: size of the last axis.
        - `eps`: added to the mean square.
        """
        self.weight = constant((channels,), 1.0)
        self.eps = eps

    def __call__(self, x: Float[Array, "*rest channels"]) -> Float[Array, "*rest channels"]:
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        square = jnp.mean(wide * wide, axis=-1, keepdims=True)
        return (wide * jax.lax.rsqrt(square + self.eps) * self.weight).astype(x.dtype)
