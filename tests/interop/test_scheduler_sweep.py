"""A share of `benchmarks/scheduler_parity.py`, which compares all of it and writes the page."""

import pytest
from helpers import page_code

from benchmarks._peer import Peer, peer_python
from benchmarks.scheduler_cases import all_cases, BASE, Case
from benchmarks.scheduler_parity import MARK, PAGE, problem, sweep
from equildm.interop.scheduler_classes import CLASSES
from equildm.interop.scheduler_levels import SPACINGS
from equildm.interop.scheduler_settings import read_settings

PUBLIC_ONLY_IN_FILES = {"sigma_min", "sigma_max"}
"""Fields that some classes read from a file and do not name in their signature."""


@pytest.fixture(scope="module")
def worker():
    if peer_python() is None:
        pytest.skip("no PyTorch")
    with Peer("benchmarks/peers/scheduler_worker.py", problem().lists()) as peer:
        yield peer


@pytest.mark.peer
def test_the_fields_and_defaults_are_the_public_ones(worker):
    public = worker("classes")["classes"]
    for kind, ours in CLASSES.items():
        named = {k: v for k, v in ours.fields.items() if k not in PUBLIC_ONLY_IN_FILES}
        theirs = {k: v for k, v in public[kind].items() if k not in PUBLIC_ONLY_IN_FILES}
        assert named == theirs, kind


@pytest.mark.slow
@pytest.mark.peer
@pytest.mark.parametrize("share", [1, 499])
def test_the_latents_are_equal_or_the_file_is_refused(worker, share):
    public = worker("classes")["classes"]
    cases = all_cases(public)[::share]
    outcomes = sweep(worker, cases, problem())
    assert set(public) >= set(CLASSES)
    wrong = [f"{c}: {o}" for c, o in zip(cases, outcomes, strict=True) if not o.allowed]
    assert wrong == []
    assert sum(outcome.equal for outcome in outcomes) > len(cases) / 5


SIGMA_MIN = {"final_sigmas_type": "sigma_min"}
VELOCITY = {"skip_prk_steps": True, "prediction_type": "v_prediction"}
TOGETHER = (
    *(Case({"_class_name": "PNDMScheduler"} | BASE | VELOCITY, n) for n in (1, 10, 25)),
    Case({"_class_name": "DDIMScheduler", "set_alpha_to_one": None} | BASE, 10),
    *(
        Case({"_class_name": f"{kind}MultistepScheduler", "lower_order_final": None} | f | BASE, 7)
        for kind, f in (("DPMSolver", SIGMA_MIN), ("DEIS", {}))
    ),
)


@pytest.mark.peer
def test_values_that_meet_in_one_file(worker):
    """Velocities in PNDM, and flags that are null: Python takes them as false."""
    outcomes = sweep(worker, TOGETHER, problem())
    assert [str(c) for c, o in zip(TOGETHER, outcomes, strict=True) if not o.equal] == []


@pytest.mark.parametrize("name", SPACINGS)
def test_a_last_step_without_length_is_refused(name):
    fields = {"solver_order": 3, name: True, "lower_order_final": False}
    with pytest.raises(ValueError, match="has no length"):
        read_settings({"_class_name": "DPMSolverMultistepScheduler"} | SIGMA_MIN | fields)


@pytest.mark.slow
def test_the_page_runs_and_names_every_class():
    exec(compile(page_code("docs/schedulers.md"), "docs/schedulers.md", "exec"), {})
    _, mark, text = PAGE.read_text(encoding="utf-8").partition(MARK)
    assert mark and all(f"| `{kind}` |" in text for kind in CLASSES)
