"""The collectives of compiled programs, read from saved text."""

from pathlib import Path

import pytest

from equildm.plan import read_collectives, totals

HLO = (Path(__file__).parent / "collectives.hlo").read_text(encoding="utf-8")
MIB = 2**20


def test_collectives_of_a_program():
    """Two layers in a loop of four turns: the text is a compiler's, cut to what matters."""
    kinds = totals(read_collectives(HLO, turns=4))
    # One gather in the loop, one that is spread over two fusions, one asynchronous.
    assert kinds["all-gather"]["instructions"] == 3
    assert kinds["all-gather"]["runs"] == 4 + 1 + 1
    assert kinds["all-gather"]["bytes"] == (4 + 1 + 1) * 8 * MIB
    assert kinds["all-gather"]["received"] == kinds["all-gather"]["bytes"] * 15 / 16
    assert kinds["all-gather"]["largest"] == 8 * MIB
    assert kinds["reduce-scatter"] == {
        "instructions": 1,
        "runs": 4,
        "bytes": 4 * 8 * MIB,
        "received": 4 * 8 * MIB * 15 / 16,
        "largest": 8 * MIB,
    }
    # A pair of vectors, and the loss in the loop; the one within one device moves nothing.
    assert kinds["all-reduce"]["instructions"] == 2
    assert kinds["all-reduce"]["bytes"] == 4 * (4096 + 1024) + 4 * 4
    assert kinds["collective-permute"]["bytes"] == 2 * 128


@pytest.mark.parametrize(
    ("line", "size", "devices"),
    [
        ("((f32[1024]), f32[64]) reduce-scatter-start(x), replica_groups=[1,16]<=[16]", 4096, 16),
        ("((f32[64]), f32[1024]) all-gather-start(x), replica_groups=[1,16]<=[16]", 4096, 16),
        ("((f32[1024]), f32[1024]) all-to-all-start(x), replica_groups=[1,16]<=[16]", 4096, 16),
        ("f32[64] reduce-scatter(x), replica_groups={}", 4096, 64),
        ("f32[8] all-gather(x), replica_groups=mesh['a'=2,'b'=8], device_ids=(0) {'b'}", 32, 8),
        ("f32[8] all-gather(x), replica_groups=mesh['a'=2,'b'=8] {'a','b':(1)4}", 32, 8),
        ("f32[8] ragged-all-to-all(x), replica_groups={{0,1,2}}", 32, 3),
    ],
)
def test_forms_of_collectives(line, size, devices):
    text = f"HloModule m, num_partitions=64\n\nENTRY %main () -> f32[] {{\n  %r = {line}\n}}\n"
    (collective,) = read_collectives(text)
    assert (collective.size, collective.devices) == (size if devices != 64 else 256 * 64, devices)


def test_a_length_that_the_text_states_wins():
    text = HLO.replace("body=%body,", 'body=%body, x="known_trip_count":{"n":"7"},')
    assert totals(read_collectives(text, turns=4))["reduce-scatter"]["runs"] == 7


def test_text_that_is_no_program():
    with pytest.raises(ValueError, match="ENTRY"):
        read_collectives("nothing")
