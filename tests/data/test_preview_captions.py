"""Which captions the previews of a training show."""

from image_folders import flawed_folder

from equildm.data import DataConfig, is_held_out, preview_captions, ShapesSource


def test_emoji_are_chosen_by_hand():
    captions = preview_captions(DataConfig())
    assert len(set(captions)) == 16 and captions[0] == "red heart"
    held_out = [is_held_out(caption) for caption in captions]
    assert not any(held_out[:8]) and any(held_out[8:])


def test_half_of_them_are_held_out():
    config = DataConfig(source="shapes", held_out=0.1)
    captions = preview_captions(config)
    assert captions == preview_captions(config)
    assert len(captions) == 16 and len(set(captions)) == 16
    assert [is_held_out(caption, 0.1) for caption in captions] == [False] * 8 + [True] * 8
    assert set(captions) <= {ShapesSource().caption(i) for i in range(len(ShapesSource()))}
    assert len(preview_captions(DataConfig(source="shapes", held_out=0.0))) == 8


def test_unusable_captions_are_left_out(tmp_path):
    source = str(flawed_folder(tmp_path / "images"))
    captions = preview_captions(DataConfig(source=source, held_out=0.3), 30)
    assert len(captions) == 13 and all(captions)


def test_classes_come_once(tmp_path):
    from PIL import Image

    for name in ("cat", "guinea_pig"):
        (tmp_path / name).mkdir()
        for number in range(30):
            Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / name / f"{number}.png")
    config = DataConfig(source=str(tmp_path), held_out=0.2)
    assert sorted(preview_captions(config)) == ["cat", "guinea pig"]
