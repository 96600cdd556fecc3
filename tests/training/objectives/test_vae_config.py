"""The options of a VAE's loss, and what they build."""

import jax
import pytest

from equildm.features import LPIPS
from equildm.latents import VAEConfig
from equildm.runtime import Policy
from equildm.training import AdversarialObjective, AdversarialVAE, VAELossConfig, VAEObjective

VAE = VAEConfig(width=4, multipliers=(1,), depth=1, latent_channels=2, groups=2)


def test_terms_of_weight_0_are_left_out():
    config, vae = VAELossConfig(lpips=0.0, kl=0.5), VAE.build(key=jax.random.key(0))
    objective = config.build(Policy("bfloat16"))
    assert isinstance(objective, VAEObjective) and objective.perceptual is None
    assert (objective.kl_weight, objective.policy) == (0.5, Policy("bfloat16"))
    assert config.trained(vae, seed=0) is vae


def test_a_discriminator_is_trained_beside_the_vae():
    config, vae = (
        VAELossConfig(lpips=0.2, lpips_share=0.5, adversarial=0.3),
        VAE.build(key=jax.random.key(0)),
    )
    objective = config.build(Policy())
    assert isinstance(objective, AdversarialObjective) and objective.weight == 0.3
    reconstruction = objective.reconstruction
    assert isinstance(reconstruction.perceptual, LPIPS)
    assert (reconstruction.perceptual_weight, reconstruction.perceptual_share) == (0.2, 0.5)
    model = config.trained(vae, seed=0)
    assert isinstance(model, AdversarialVAE) and model.vae is vae


def test_slices_take_their_part_of_the_perceptual_term():
    """One example of sixteen cannot be cut in eight: each slice would take one, eight in all."""
    with pytest.raises(ValueError, match=r"--accumulate 8 .* Use --lpips-share 0.5"):
        VAELossConfig().build(Policy(), batch_size=16, parts=8)
    assert isinstance(VAELossConfig(lpips_share=0.5).build(Policy(), 16, 8), VAEObjective)
    assert isinstance(VAELossConfig(lpips=0.0).build(Policy(), 16, 8), VAEObjective)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lpips": -1.0}, "--lpips is a weight of at least 0, received -1"),
        ({"kl": float("nan")}, "--kl is a weight of at least 0, received nan"),
        ({"adversarial": -0.1}, "--adversarial is a weight of at least 0"),
        ({"lpips_share": 0.0}, "--lpips-share is a share .* received 0.0"),
    ],
)
def test_what_cannot_work_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        VAELossConfig(**options)
