"""The forward process."""

from jaxtyping import Array, Float


def corrupt(
    clean: Float[Array, "*shape"],
    noise: Float[Array, "*shape"],
    alpha: Float[Array, ""],
    sigma: Float[Array, ""],
) -> Float[Array, "*shape"]:
    """`x = alpha x0 + sigma eps` (Ho et al. 2020, equation 4).

    Computed in float32 where `alpha` and `sigma` are, and returned in the dtype of `clean`.
    """
    return (alpha * clean + sigma * noise).astype(clean.dtype)
