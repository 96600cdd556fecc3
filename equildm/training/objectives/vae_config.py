"""The loss of a VAE, as options."""

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # loaded where they are used: options are shown without jax
    from ...latents import VAE
    from ...runtime import Policy
    from .adversarial import AdversarialObjective, AdversarialVAE
    from .vae import VAEObjective


@dataclasses.dataclass(frozen=True)
class VAELossConfig:
    """The weights of the terms of a VAE's loss."""

    lpips: float = 0.1
    """Weight of the perceptual term; 0 leaves VGG16 out."""
    lpips_share: float = 0.0625
    """Share of the batch that the perceptual term is taken on. VGG16 costs far more than a small
    VAE."""
    kl: float = 1e-4
    """Weight of the KL divergence, in nats for each element of the latent."""
    adversarial: float = 0.0
    """Weight of the discriminator's term; 0 leaves the discriminator out."""

    def __post_init__(self) -> None:
        for name in ("lpips", "kl", "adversarial"):
            if not getattr(self, name) >= 0:
                raise ValueError(
                    f"--{name} is a weight of at least 0, received {getattr(self, name)}. Use 0 to "
                    "leave the term out."
                )
        if not 0 < self.lpips_share <= 1:
            raise ValueError(
                "--lpips-share is a share of the batch above 0 and at most 1, received "
                f"{self.lpips_share}. Use --lpips 0 to leave the term out."
            )

    def build(
        self, policy: "Policy", batch_size: int = 1, parts: int = 1
    ) -> "VAEObjective | AdversarialObjective":
        """The loss.

        **Arguments:**

        - `policy`: arithmetic of the VAE.
        - `batch_size`, `parts`: examples of a step, and the slices that they are computed in.

        **Raises** `ValueError` where a slice's share of the perceptual term would not be the same
        part of its examples as the whole batch's.
        """
        from .adversarial import AdversarialObjective
        from .vae import VAEObjective

        examples = max(1, round(self.lpips_share * batch_size))
        if self.lpips and parts > 1 and self.lpips_share * batch_size % parts:
            raise ValueError(
                f"--accumulate {parts} cuts the {examples} of {batch_size} examples that "
                f"--lpips-share {self.lpips_share} takes into equal slices, and cannot. Use "
                f"--lpips-share {-(-examples // parts) * parts / batch_size:g}."
            )
        from ...interop import load_lpips  # here: its import takes a second, also for --help

        objective = VAEObjective(
            load_lpips("vgg") if self.lpips else None,
            perceptual_weight=self.lpips,
            kl_weight=self.kl,
            perceptual_share=self.lpips_share,
            policy=policy,
        )
        return AdversarialObjective(objective, self.adversarial) if self.adversarial else objective

    def trained(self, vae: "VAE", *, seed: int) -> "VAE | AdversarialVAE":
        """The model of that loss: the VAE, with a fresh discriminator where the loss has one."""
        import jax

        from ...latents import PatchDiscriminator
        from .adversarial import AdversarialVAE

        if not self.adversarial:
            return vae
        return AdversarialVAE(vae, PatchDiscriminator(key=jax.random.key(seed)))
