"""Control images: edges where there are edges, colours without shapes."""

import numpy as np
import pytest
from scipy import ndimage

from equildm.data import blurred_colors, canny_edges, CONTROLS


def disc(inside, outside, side=64, radius=20):
    rows, columns = np.indices((side, side)) - side / 2 + 0.5
    distance = np.hypot(rows, columns)
    image = np.where((distance < radius)[..., None], inside, outside).astype(np.uint8)
    return image, distance - radius


@pytest.mark.parametrize(
    ("inside", "outside"),
    [
        ((255, 255, 255), (0, 0, 0)),
        ((255, 255, 0), (255, 255, 255)),  # hardly any difference in brightness
        ((200, 40, 40), (40, 90, 40)),
    ],
)
def test_edges_of_a_disc_are_its_outline(inside, outside):
    image, distance = disc(inside, outside)
    edges = canny_edges(image)
    assert edges.shape == image.shape and edges.dtype == np.uint8
    assert set(np.unique(edges)) == {0, 255} and (edges[..., 0] == edges[..., 2]).all()
    line = edges[..., 0] > 0
    assert np.abs(distance[line]).max() < 1.5  # at the outline and nowhere else
    assert 2 * np.pi * 20 * 0.7 < line.sum() < 2 * np.pi * 20 * 1.3  # one pixel thin
    # In one piece all around: what is inside is cut off from what is outside.
    regions, _ = ndimage.label(~line)
    assert regions[32, 32] != regions[0, 0]


def test_weak_edges_stay_where_they_are_connected_to_strong_ones():
    image = np.zeros((40, 40, 3), np.uint8)
    image[:, 20:] = np.linspace(0, 255, 40)[:, None, None]  # a step that grows from 0
    image[5:15, 5:10] = 25  # weak all around
    edges = canny_edges(image)[..., 0] > 0
    assert not edges[:, :17].any()
    column = edges[:, 18:22].any(1)
    assert column[-1] and column[15] and not column[0]


def test_a_flat_image_has_no_edges():
    assert not canny_edges(np.full((16, 24, 3), 137, np.uint8)).any()


def test_colors_are_those_of_the_image_and_smooth():
    image, _ = disc((200, 40, 40), (40, 90, 240))
    colors = blurred_colors(image)
    assert colors.shape == image.shape and colors.dtype == np.uint8
    assert np.abs(colors[32, 32] - np.asarray([200.0, 40, 40])).max() < 12
    assert np.abs(colors[0, 0] - np.asarray([40.0, 90, 240])).max() < 12
    steps = [np.abs(np.diff(pixels.astype(float), axis=0)).max() for pixels in (image, colors)]
    assert steps[0] == 200 and steps[1] < 15
    np.testing.assert_allclose(colors.mean((0, 1)), image.mean((0, 1)), atol=4)


@pytest.mark.parametrize("name", CONTROLS)
def test_control_images_have_the_size_of_the_image(name):
    image = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)
    control = CONTROLS[name](image)
    assert control.shape == image.shape and control.dtype == np.uint8
    np.testing.assert_array_equal(control, CONTROLS[name](image))
