"""Which stages run, when, and how long the rest will take. Real processes: tests/test_makefile.py."""

import pytest

from vaebench.pipeline.repro import Plan, stale

NEEDS = {
    "download": set(),
    "train@2": {"download"},
    "train@3": {"download"},
    "evaluate@2": {"train@2"},
    "evaluate@3": {"train@3"},
    "aggregate": {"evaluate@2", "evaluate@3"},
}


@pytest.mark.parametrize(
    ("changed", "run"),
    [
        (set(), []),
        ({"aggregate"}, ["aggregate"]),
        ({"train@3"}, ["train@3", "evaluate@3", "aggregate"]),
        ({"evaluate@2", "train@2"}, ["train@2", "evaluate@2", "aggregate"]),
        ({"download"}, list(NEEDS)),
    ],
)
def test_what_depends_on_a_change_runs_too(changed: set[str], run: list[str]) -> None:
    assert stale(NEEDS, changed) == run


def test_stage_is_ready_when_what_it_needs_is_done() -> None:
    plan = Plan(NEEDS, list(NEEDS))
    assert plan.ready() == ["download"]
    plan.start("download", 0)
    assert (plan.ready(), plan.number) == ([], 2)
    plan.end("download", 1)
    assert plan.ready() == ["train@2", "train@3"]
    plan.start("train@2", 1)
    plan.end("train@2", 2)
    assert plan.ready() == ["train@3", "evaluate@2"]


def test_stage_waits_for_none_that_is_up_to_date() -> None:
    assert Plan(NEEDS, ["evaluate@3", "aggregate"]).ready() == ["evaluate@3"]


def test_time_left_is_that_of_stages_of_the_kind_side_by_side() -> None:
    plan = Plan(NEEDS, list(NEEDS))
    assert plan.left(0, jobs=2) == ""
    plan.start("download", 0)
    plan.end("download", 4)
    assert plan.left(4, jobs=2) == ", about 10 s left"  # five stages as long as this one, two at a time
    plan.start("train@2", 4)
    plan.start("train@3", 4)
    plan.end("train@2", 304)
    # One training is due, three stages as long as the two that are done on average.
    assert plan.left(304, jobs=1) == ", about 8 min left"
    assert plan.left(9_999, jobs=1) == ", about 8 min left"
    assert plan.left(154, jobs=1) == ", about 10 min left"
