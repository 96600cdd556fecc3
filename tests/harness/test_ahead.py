"""What a compiled program's kernels move, read from its text."""

from benchmarks.gpu.ahead import kernels

TEXT = """HloModule step

%sliced (param_0: f32[24,64], param_1: f32[64]) -> f32[64] {
  %param_0 = f32[24,64]{1,0} parameter(0)
  %param_1 = f32[64]{0} parameter(1)
  %row = f32[1,64]{1,0} slice(%param_0), slice={[3:4], [0:64]}
  %flat = f32[64]{0} bitcast(%row)
  ROOT %sum = f32[64]{0} add(%flat, %param_1)
}

%twice (param_0.1: f32[24,64]) -> f32[24,64] {
  %param_0.1 = f32[24,64]{1,0} parameter(0)
  %row.1 = f32[1,64]{1,0} slice(%param_0.1), slice={[3:4], [0:64]}
  %wide = f32[24,64]{1,0} broadcast(%row.1), dimensions={0,1}
  ROOT %all = f32[24,64]{1,0} add(%wide, %param_0.1)
}

%body (state: (f32[24,64])) -> (f32[24,64]) {
  %state = (f32[24,64]{1,0}) parameter(0)
  %array = f32[24,64]{1,0} get-tuple-element(%state), index=0
  %new = f32[24,64]{1,0} fusion(%array), kind=kLoop, calls=%twice
  ROOT %next = (f32[24,64]{1,0}) tuple(%new)
}

ENTRY %main (a: f32[24,64], b: f32[64]) -> f32[64] {
  %a = f32[24,64]{1,0} parameter(0)
  %b = f32[64]{0} parameter(1)
  %start = (f32[24,64]{1,0}) tuple(%a)
  %loop = (f32[24,64]{1,0}) while(%start), condition=%never, body=%body
  %out = f32[24,64]{1,0} get-tuple-element(%loop), index=0
  %cut = f32[1,64]{1,0} dynamic-slice(%out, %b), dynamic_slice_sizes={1,64}
  ROOT %loop_add_fusion = f32[64]{0} fusion(%out, %b), kind=kLoop, calls=%sliced
}
"""


def test_what_is_sliced_is_read_in_part():
    moved = {kernel.name: (kernel.bytes, kernel.times) for kernel in kernels(TEXT, turns=50)}
    row, array = 64 * 4, 24 * 64 * 4
    assert moved["loop_add_fusion"] == (3 * row, 1)  # a slice, a vector, and the result
    assert moved["new"] == (2 * array, 50), "what is used whole as well is read whole"
    assert moved["cut"] == (3 * row, 1)
