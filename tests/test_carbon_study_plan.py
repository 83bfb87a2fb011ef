"""The order of a study's runs: randomised blocks, the same for the same seed."""

from collections import Counter

from carbon.study.plan import Configuration, configurations, left_out, plan
from tests.fixtures.studies import make_study

BIG = make_study(strategies=["single", "ddp", "fsdp"], workers=[1, 2, 4], repeats=6)


def test_single_has_one_worker() -> None:
    assert Configuration("single", 1) in configurations(BIG)
    assert left_out(BIG) == [Configuration("single", 2), Configuration("single", 4)]
    assert len(configurations(BIG)) == 7


def test_every_block_holds_every_configuration_once_in_an_order_of_its_own() -> None:
    runs = plan(BIG)
    blocks = [runs[start : start + 7] for start in range(0, len(runs), 7)]
    assert len(blocks) == 6
    for number, block in enumerate(blocks, 1):
        assert {run.repeat for run in block} == {number}
        assert Counter(run.configuration for run in block) == Counter(configurations(BIG))
    orders = {tuple(run.configuration for run in block) for block in blocks}
    assert len(orders) > 1
    assert plan(BIG) == runs
    assert plan(BIG.model_copy(update={"seed": 1})) != runs
    assert len({run.key for run in runs}) == len({run.name for run in runs}) == 42


def test_only_what_is_new_is_planned_again() -> None:
    planned = plan(BIG)
    assert plan(BIG, planned) == []
    more = BIG.model_copy(update={"repeats": 7, "workers": [1, 2, 4, 8]})
    added = plan(more, planned)
    assert not set(added) & set(planned)
    assert len(added) == 7 * 9 - len(planned)
