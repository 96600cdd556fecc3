"""Each width's learning rate and training."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import equildm as eqd
from equildm.training import EMAS

from ._data import encode, Examples, examples_of, Images
from ._parts import Ladder, SHARES
from ._train import order_of, steps_of_call, Training


class Widths:
    """The programs of all widths, which compile in threads, and their loss."""

    def __init__(self, ladder: Ladder, images: Images):
        c, text_encoder = ladder.config, ladder.text_encoder
        self._ladder, self._fresh = ladder, ladder.vae.build(key=jax.random.key(0))
        template = ladder.model(c.widths[0], self._fresh, 0)
        self.objective = eqd.TrainConfig(steps=c.steps).denoising(
            eqd.LossConfig(),
            template.schedule,
            template.prediction,
            text_encoder.null(),
            dropout=0.1,
        )
        shape = (len(images.training), *template.config.latent_shape)
        self._shapes = jax.eval_shape(
            lambda x: examples_of(x, images.training_captions, text_encoder),
            jax.ShapeDtypeStruct(shape, jnp.float32),
        )
        threads = ThreadPoolExecutor(len(c.widths))
        self._programs = {width: threads.submit(self._compile, width) for width in c.widths}

    def program(self, width: int, examples: Examples) -> Training:
        """The program of a width, on these examples."""
        training = self._programs[width].result()
        training.place(examples)
        return training

    def _compile(self, width: int) -> Training:
        training = Training(self.objective, EMAS["power"], self._shapes, Examples.batch, warmup=100)
        network = self._ladder.model(width, self._fresh, 0).network
        training.compile(network, self._ladder.config.batch_size)
        self._ladder.log(f"{self._ladder.name(width, 0)}: compiled")
        return training


def train_widths(ladder: Ladder, widths: Widths, vae: eqd.VAE, images: Images) -> None:
    """Chooses each width's rate, and trains it."""
    c, text_encoder = ladder.config, ladder.text_encoder
    examples = examples_of(encode(vae, images.training), images.training_captions, text_encoder)
    held_out = examples_of(encode(vae, images.held_out), images.held_out_captions, text_encoder)
    ladder.log(f"encoded, latents of deviation {float(jnp.std(examples.latents)):.3f}")
    batch = held_out.batch(jnp.arange(len(held_out.latents))[:2048])
    keys = jax.random.split(jax.random.key(7), len(batch.latents))
    held_out_loss = jax.jit(lambda network: widths.objective(network, batch, keys)[0])

    log = c.folder / "training.json"
    record: dict[str, Any] = json.loads(log.read_text()) if log.exists() else {}
    for width, seed in [(w, 0) for w in c.widths] + [(w, 1) for w in c.second_seeds]:
        run = ladder.name(width, seed)
        if run in record:
            continue
        training = widths.program(width, examples)
        search = record.setdefault(f"rates {ladder.name(width, 0)}", {})
        for rate in c.rates:
            if str(rate) not in search:
                order = order_of(len(examples.latents), c.batch_size, c.steps // 20, seed=5)
                start = training.start(ladder.model(width, vae, 0).network)
                *_, (state, _) = training.run(start, order, rate, jax.random.key(5))
                search[str(rate)] = float(held_out_loss(state.average()))
                ladder.log(f"{run}, rate {rate:g}: held-out loss {search[str(rate)]:.5f}")
        finite = {rate: loss for rate, loss in search.items() if np.isfinite(loss)}
        rate = float(min(finite, key=finite.__getitem__))

        order = order_of(len(examples.latents), c.batch_size, c.steps, seed=seed)
        start = training.start(ladder.model(width, vae, seed).network)
        losses, held, began, chunk = [], {}, time.perf_counter(), steps_of_call()
        for done, (state, loss) in zip(
            range(chunk, c.steps + 1, chunk),
            training.run(start, order, rate, jax.random.key(seed + 1)),
        ):
            losses.append(round(float(jnp.mean(loss)), 6))
            if done == 5 * chunk:
                began = time.perf_counter()
            if done == 10 * chunk:
                rest = (time.perf_counter() - began) * (c.steps - done) / (5 * chunk)
                if ladder.late(rest):
                    ladder.log(f"{run}: {rest:.0f} s are not left")
                    break
            if done in {round(share * c.steps) for share in SHARES}:
                average = state.average()
                held[done] = float(held_out_loss(average))
                ladder.write(run, done, average)
        else:
            record[run] = {"rate": rate, "losses": losses, "held_out": held}
            ladder.log(f"{run}: rate {rate:g}, held-out losses {held}")
        log.write_text(json.dumps(record))
