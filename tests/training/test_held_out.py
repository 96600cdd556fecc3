"""Held-out examples of the recipes that encode images in the step, and of a subject."""

import jax
import numpy as np
from small_models import captioned_folder

from equildm.data import CaptionedDataConfig, LatentBatch, SubjectConfig
from equildm.text import embed_captions, SmallTextEncoder
from equildm.training import held_out_images, held_out_subject


def test_held_out_images(tmp_path):
    encoder = SmallTextEncoder(8, 1, 1, max_tokens=12, key=jax.random.key(1))
    source = str(captioned_folder(tmp_path / "images"))
    data = CaptionedDataConfig(source, size=16, held_out=0.5)
    _, held_out = data.splits()
    batch = held_out_images(data, held_out, encoder, count=3, control=lambda image: 255 - image)
    images, captions = data.examples(held_out, 3)
    np.testing.assert_array_equal(batch.images, images)
    np.testing.assert_array_equal(batch.control, 255 - images)
    np.testing.assert_array_equal(batch.text.tokens, embed_captions(encoder, captions).tokens)
    assert held_out_images(data, held_out, encoder, count=3).control is None
    nothing = CaptionedDataConfig(source, size=16, held_out=0.0)
    assert held_out_images(nothing, nothing.splits()[1], encoder, count=3) is None


def test_held_out_images_of_a_subject(tmp_path):
    """In captions that the training does not have, with the rare word."""
    asked = []

    def encode(images, captions):
        asked.append((images.shape, captions))
        return LatentBatch(np.zeros((len(images), 2, 2, 2), np.float32), None)

    assert len(held_out_subject(SubjectConfig(), 32, encode, count=2).latents) == 2
    ((shape, captions),) = asked
    assert shape == (2, 32, 32, 3) and all("sks" in caption.split() for caption in captions)
    own = SubjectConfig(source=str(tmp_path))
    assert held_out_subject(own, 32, encode, count=2) is None
