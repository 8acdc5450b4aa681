"""Where work runs, held against an engine that pickles whatever it is given (`elsewhere.py`)."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from olvf_assets.foundation import engine, parallel
from olvf_assets.foundation.code_identity import sources
from olvf_assets.foundation.code_units import Name
from olvf_assets.foundation.engine import (
    BESIDE_THE_DATA,
    FILMS,
    NETWORK,
    TRAINING,
    EngineError,
    Needs,
    call,
    engine_named,
    gpu_share,
    in_batches,
    in_groups,
)
from olvf_assets.foundation.parallel import LENT, available_cores, parallel_map
from olvf_assets_tests.foundation.elsewhere import chosen

PROJECT = Path(__file__).parents[2]


def double(number: int) -> int:
    if number < 0:
        raise ValueError(f"{number} is less than nothing")
    return 2 * number


def doubles(numbers: list[int]) -> Iterator[int]:
    yield from map(double, numbers)


def told_of(number: int, report: Callable[[str], None] | None, observe: Callable[[dict[str, Any]], None] | None) -> int:
    if report is not None:
        report(f"line {number}")
    if observe is not None:
        observe({"figure": number})
    return number


def test_an_item_goes_elsewhere_if_there_are_several_or_it_needs_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    there = chosen(monkeypatch)
    lines: list[str] = []
    assert parallel_map(double, range(20), what="numbers", report=lines.append) == list(range(0, 40, 2))
    assert (len(lines), lines[0], lines[-1]) == (10, "2/20 numbers", "20/20 numbers")
    assert parallel_map(double, [3], needs=TRAINING) == [6]
    assert parallel_map(double, [3, 4], needs=TRAINING, workers=1) == [6, 8]
    assert there.asked == [("double", 20, FILMS, 0), ("double", 1, TRAINING, 0), ("double", 2, TRAINING, 1)]
    assert there.ended == 3


def test_small_work_and_work_on_files_of_this_host_stay_here(monkeypatch: pytest.MonkeyPatch) -> None:
    there = chosen(monkeypatch)
    assert parallel_map(double, []) == []
    assert parallel_map(double, [], needs=TRAINING) == []
    assert parallel_map(double, [1]) == [2]
    assert parallel_map(double, [1, 2], workers=1) == [2, 4]
    assert parallel_map(double, [1, 2], needs=BESIDE_THE_DATA) == [2, 4]
    assert there.asked == []


def test_an_error_is_raised_as_it_is_and_what_is_left_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    there = chosen(monkeypatch)
    with pytest.raises(ValueError, match="-2 is less than nothing"):
        parallel_map(double, [1, -2, 3])
    with pytest.raises(ValueError, match="-1 is less than nothing"):
        list(in_batches(doubles, [1, 2, -1, 4], 2, NETWORK))
    assert there.ended == 2


def test_work_elsewhere_ends_when_nobody_waits_for_it_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    there = chosen(monkeypatch)

    def interrupted(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        parallel_map(double, range(20), report=interrupted)
    assert there.ended == 1
    found = in_batches(doubles, [1, 2, 3], 1, NETWORK)
    assert next(found) == 2
    found.close()  # type: ignore[attr-defined]
    assert there.ended == 2


def test_ticks_come_while_work_is_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen(monkeypatch)
    ticks: list[int] = []
    parallel_map(double, [1, 2, 3], tick=lambda: ticks.append(len(ticks)))
    assert ticks == [0, 1, 2]


@pytest.mark.parametrize("remote", [False, True])
def test_a_call_is_heard_wherever_it_runs(monkeypatch: pytest.MonkeyPatch, remote: bool) -> None:
    there = chosen(monkeypatch) if remote else None
    said: list[Any] = []
    assert call(told_of, 7, needs=NETWORK, report=said.append, observe=said.append) == 7
    assert call(told_of, 8, needs=NETWORK, report=None, observe=said.append) == 8
    assert said == ["line 7", {"figure": 7}, {"figure": 8}]
    assert there is None or [needs for _, _, needs, _ in there.asked] == [NETWORK, NETWORK]


@pytest.mark.parametrize(("size", "batches"), [(1, 5), (2, 3), (5, 1), (99, 1)])
def test_batches_come_back_in_order(monkeypatch: pytest.MonkeyPatch, size: int, batches: int) -> None:
    assert list(in_batches(doubles, [1, 2, 3, 4, 5], size, NETWORK)) == [2, 4, 6, 8, 10]
    there = chosen(monkeypatch)
    assert list(in_batches(doubles, [1, 2, 3, 4, 5], size, NETWORK)) == [2, 4, 6, 8, 10]
    assert [asked[1:3] for asked in there.asked] == [(batches, NETWORK)]


@pytest.mark.parametrize(
    ("cards", "groups"),
    [(0, [[1], [2], [3], [4], [5]]), (1, [[1, 2, 3, 4, 5]]), (2, [[1, 3, 5], [2, 4]]), (15, [[1], [2], [3], [4], [5]])],
)
def test_items_share_the_cards_that_there_are(
    monkeypatch: pytest.MonkeyPatch, cards: int, groups: list[list[int]]
) -> None:
    assert in_groups([1, 2, 3, 4, 5], TRAINING) == [[1], [2], [3], [4], [5]]  # local: a process each
    chosen(monkeypatch, cards)
    assert in_groups([1, 2, 3, 4, 5], TRAINING) == groups
    assert in_groups([1, 2], Needs()) == [[1], [2]]
    assert in_groups([], TRAINING) == []
    assert in_groups([1, 2, 3], TRAINING, beside=5) == ([[1], [2], [3]] if cards > 7 else [])


def test_an_engine_that_does_not_exist_is_named() -> None:
    for name in ("local", "kubernetes"):
        assert engine_named(name) is None
    with pytest.raises(EngineError, match="OLVF_ENGINE is local, ray, kubernetes, not 'celery'"):
        engine_named("celery")


def test_ray_that_is_not_installed_is_told_of_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # its import fails
    engine_named.cache_clear()
    with pytest.raises(EngineError, match="OLVF_ENGINE is ray, which is not installed: make setup EXTRAS=cluster"):
        engine_named("ray")


def test_all_nodes_must_have_one_program(monkeypatch: pytest.MonkeyPatch) -> None:
    from olvf_assets.foundation import engine_ray

    digests = set()
    for versions in ({"torch": "2.11"}, {"torch": "2.11+cpu"}, {"torch": "2.12"}, {"torch": "2.11", "timm": "1"}):
        monkeypatch.setattr(engine_ray, "version", lambda name, known=versions: known.get(name, "0"))
        engine_ray.own_code.cache_clear()
        digests.add(engine_ray.own_code())
    engine_ray.own_code.cache_clear()
    assert len(digests) == 3  # the build of a version says nothing of its figures


@pytest.mark.parametrize(("said", "share"), [("", None), ("0", 0.0), ("0.5", 0.5), ("1", 1.0), ("4", 4.0)])
def test_the_share_of_a_gpu_is_said_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, said: str, share: float | None
) -> None:
    monkeypatch.setenv(engine.GPU_SHARE, said)
    assert gpu_share() == share


@pytest.mark.parametrize("said", ["one", "-1", "1.5", "nan", "inf", "1/2"])
def test_a_share_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv(engine.GPU_SHARE, said)
    with pytest.raises(EngineError, match="OLVF_GPU_SHARE is 0"):
        gpu_share()


@pytest.mark.parametrize(("nodes", "said"), [([{"CPU": 8.0}], 1), ([{"CPU": 8.0, "GPU": 1.0}], 0), ([{"GPU": 0.0}], 1)])
def test_work_that_waits_for_a_gpu_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, nodes: list[dict[str, float]], said: int
) -> None:
    from olvf_assets.foundation import engine_ray

    monkeypatch.setenv(engine.GPU_SHARE, "1")
    monkeypatch.setattr(engine_ray, "_nodes", lambda: nodes)
    demand = engine_ray.RayEngine.__new__(engine_ray.RayEngine)._demand(Needs(gpu=True))
    assert (demand["num_cpus"], demand["num_gpus"]) == (1, 1.0)
    assert caplog.text.count("OLVF_GPU_SHARE=0 uses none") == said


def test_a_worker_uses_the_cores_that_it_is_lent(monkeypatch: pytest.MonkeyPatch) -> None:
    assert available_cores() == len(parallel.os.sched_getaffinity(0))
    monkeypatch.setenv(LENT, "3")
    assert available_cores() == 3


def test_the_local_engine_loads_nothing_of_a_cluster() -> None:
    program = (
        "import sys\nfrom olvf_assets.foundation.engine import engine\n"
        "from olvf_assets.foundation.parallel import parallel_map\n"
        "assert engine() is None\nparallel_map(abs, [1])\n"
        "print([name for name in sys.modules if name.split('.')[0] == 'ray' or 'engine_' in name])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=PROJECT)
    assert done.stdout.strip() == "[]"


def test_what_is_made_does_not_hang_on_where_it_is_made() -> None:
    made = sources().named([Name("olvf_assets.classification.training", "train_folds")])
    assert any(name.startswith("olvf_assets.foundation.parallel:") for name in made.digests)
    assert not any(".engine" in name for name in made.digests)
    assert "ray" not in made.libraries
