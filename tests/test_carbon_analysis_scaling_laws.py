"""Laws of scaling against published studies, against their own formulas and by simulation."""

import math
import random
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon.analysis.scaling_laws import Band, Law, Timing, choose_law, fit_law
from carbon.errors import CarbonError, UsageError
from tests.published import SERIES

# Of every series without its largest configuration: by how many percent the law that is chosen
# misses that, and whether it says that it cannot tell.
LEFT_OUT = {
    "virgo deepspeed": (3.7, True),
    "virgo horovod": (1.2, True),
    "virgo torch-ddp": (7.2, True),
    "emulator usc_one_node_cores": (-4.0, True),
    "emulator gcp_nodes": (0.4, True),
    "emulator usc_nodes": (-6.6, True),
    "lumi": (5.6, False),
    "mnist deepspeed": (-0.7, True),
    "mnist horovod": (-3.7, True),
    "mnist torch-ddp": (5.6, True),
    "jetson pytorch_3ep": (1.3, False),
    "jetson pytorch_15ep": (6.3, False),
    "jetson tf_300": (4.5, False),
    "jetson tf_3000": (3.5, False),
}


def timings(times: dict[int, float], **fields: Any) -> list[Timing]:
    return [Timing(workers, epoch_s, **fields) for workers, epoch_s in times.items()]


def amdahl_s(workers: int, t1_s: float, sigma: float) -> float:
    return t1_s * (sigma + (1 - sigma) / workers)


def usl_s(workers: int, t1_s: float, sigma: float, kappa: float) -> float:
    n = workers
    return t1_s * (1 + sigma * (n - 1) + kappa * n * (n - 1)) / n


@pytest.mark.parametrize("name", LEFT_OUT)
def test_the_largest_configuration_of_a_published_series_is_predicted(name: str) -> None:
    *known, largest = timings(SERIES[name])
    law = choose_law(known).law
    predicted = law.predict(largest.workers)
    off_percent, is_too_wide = LEFT_OUT[name]
    assert abs(off_percent) < 10
    assert 100 * (predicted.epoch_s / largest.epoch_s - 1) == pytest.approx(off_percent, abs=0.05)
    assert predicted.is_extrapolated
    assert predicted.is_too_wide_to_tell == is_too_wide
    assert predicted.low_s < largest.epoch_s < predicted.high_s
    assert law.law == "amdahl"


def test_of_three_counts_one_is_no_fit() -> None:
    two = timings(dict(list(SERIES["virgo horovod"].items())[:2]))
    with pytest.raises(UsageError, match=r"2 parameters .* 3 or more .* but there are 2; measure"):
        choose_law(two)
    with pytest.raises(UsageError, match="but there are 2"):
        fit_law("amdahl", [*two, *two])  # The same counts again are no more counts.
    with pytest.raises(UsageError, match="3 parameters and is fitted to 4 or more"):
        fit_law("usl", timings({1: 10.0, 2: 6.0, 4: 4.0}))


@pytest.mark.parametrize(
    ("timing", "said"),
    [
        (Timing(0, 1.0), "workers is 0"),
        (Timing(2, 0.0), "epoch_s of 2 workers is 0"),
        (Timing(2, math.nan), "epoch_s of 2 workers is nan"),
        (Timing(2, math.inf), "epoch_s of 2 workers is inf"),
    ],
)
def test_a_timing_that_cannot_be_is_refused(timing: Timing, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        choose_law([*timings({1: 4.0, 4: 1.0, 8: 0.5}), timing])


def test_nobody_asks_for_no_workers() -> None:
    law = fit_law("amdahl", timings({1: 4.0, 2: 2.1, 4: 1.2}))
    with pytest.raises(UsageError, match="workers is 0"):
        law.predict(0)


COUNTS = st.lists(
    st.sampled_from([1, 2, 3, 4, 6, 8, 12, 16, 32, 64, 128]), min_size=4, max_size=8, unique=True
)


@given(COUNTS, st.floats(1e-3, 1e5), st.floats(0, 1))
@settings(max_examples=40)
def test_times_on_amdahls_law_give_it_back(counts: list[int], t1_s: float, sigma: float) -> None:
    exact = {n: amdahl_s(n, t1_s, sigma) for n in counts}
    law = choose_law(timings(exact)).law
    assert law.law == "amdahl"
    assert law.t1_s.value == pytest.approx(t1_s, rel=1e-6)
    assert law.sigma.value == pytest.approx(sigma, abs=1e-6)
    assert (law.kappa, law.fastest_workers) == (Band(0, 0, 0), None)
    assert law.predict(256).epoch_s == pytest.approx(amdahl_s(256, t1_s, sigma), rel=1e-6)


@given(COUNTS, st.floats(1e-3, 1e5), st.floats(0, 0.9), st.floats(1e-3, 0.1))
@settings(max_examples=40)
def test_times_on_gunthers_law_give_it_back(
    counts: list[int], t1_s: float, sigma: float, kappa: float
) -> None:
    law = fit_law("usl", timings({n: usl_s(n, t1_s, sigma, kappa) for n in counts}))
    assert law.t1_s.value == pytest.approx(t1_s, rel=1e-5)
    assert law.sigma.value == pytest.approx(sigma, abs=1e-5)
    assert law.kappa.value == pytest.approx(kappa, abs=1e-5)
    assert law.lambda_per_s.value == pytest.approx(1 / t1_s, rel=1e-5)
    assert law.fastest_workers == pytest.approx(
        max(1.0, math.sqrt((1 - sigma) / kappa)), rel=1e-2, abs=1e-2
    )


@given(
    st.dictionaries(st.sampled_from([1, 2, 4, 8, 1000, 10_000_000]), st.floats(1e-6, 1e9)),
    st.sampled_from(["amdahl", "usl"]),
)
@settings(max_examples=60)
def test_every_band_holds_its_value_whatever_the_times(times: dict[int, float], law: Law) -> None:
    if len(times) < {"amdahl": 3, "usl": 4}[law]:
        with pytest.raises(UsageError):
            fit_law(law, timings(times))
        return
    found = fit_law(law, timings(times))
    for band in (found.t1_s, found.sigma, found.kappa, found.lambda_per_s):
        assert 0 <= band.low <= band.value <= band.high
    assert found.sigma.high <= 1
    for workers in (1, 3, 64):
        predicted = found.predict(workers)
        assert 0 <= predicted.low_s <= predicted.epoch_s <= predicted.high_s


def test_where_more_workers_take_longer_the_law_is_gunthers() -> None:
    chosen = choose_law(timings({1: 10.0, 2: 6.0, 4: 5.0, 8: 7.0, 16: 12.0}))
    assert chosen.law.law == "usl"
    assert chosen.reason.startswith("The Universal Scalability Law: every added worker costs")
    assert chosen.law.fastest_workers == pytest.approx(3.6, abs=0.1)
    assert chosen.law.predict(32).epoch_s > 20


def test_the_choice_says_why() -> None:
    assert (
        "3 numbers of workers are too few" in choose_law(timings({1: 9.0, 2: 5.0, 4: 3.0})).reason
    )
    reason = choose_law(timings(SERIES["lumi"])).reason
    assert reason.startswith("Amdahl's law: nothing measured needs a cost that grows")
    assert "(kappa is between 0 and 0.00035 at 95%)" in reason


def test_without_a_bound_in_the_way_the_band_is_that_of_linear_regression() -> None:
    """Against Student's interval for a new observation, worked out by hand from X'X."""
    times = {1: 10.0, 2: 5.9, 4: 3.55, 8: 2.6}
    law = fit_law("amdahl", timings(times))
    rows = [(1 / t, 1 / (n * t)) for n, t in times.items()]
    s11, s12, s22 = (sum(r[i] * r[j] for r in rows) for i, j in ((0, 0), (0, 1), (1, 1)))
    determinant = s11 * s22 - s12**2
    y1, y2 = (sum(r[i] for r in rows) for i in (0, 1))
    a, b = (s22 * y1 - s12 * y2) / determinant, (s11 * y2 - s12 * y1) / determinant
    variance = sum((a * r[0] + b * r[1] - 1) ** 2 for r in rows) / 2
    at = a + b / 16
    leverage = (s22 - 2 * s12 / 16 + s11 / 256) / determinant
    half = 4.302653 * math.sqrt(variance * (leverage + at**2))  # t of 2 degrees of freedom, 97.5 %.
    predicted = law.predict(16)
    assert predicted.epoch_s == pytest.approx(at)
    assert predicted.low_s == pytest.approx(at - half, rel=1e-6)
    assert predicted.high_s == pytest.approx(at + half, rel=1e-6)
    assert law.residual_spread == pytest.approx(math.sqrt(variance))


@pytest.mark.parametrize(
    ("sigma", "kappa", "law"), [(0.05, 0.0, "amdahl"), (0.0, 0.0, "amdahl"), (0.02, 0.004, "usl")]
)
def test_a_band_holds_what_is_measured_as_often_as_it_says(
    sigma: float, kappa: float, law: Law
) -> None:
    """Also with the truth at a bound. 300 studies: 95 % is 285, with a deviation of 4."""
    chance = random.Random(5)
    held = sigma_held = 0
    for _ in range(300):
        times = {n: usl_s(n, 60, sigma, kappa) * chance.gauss(1, 0.02) for n in (1, 2, 4, 8, 16)}
        found = fit_law(law, timings(times))
        predicted = found.predict(32)
        measured_s = usl_s(32, 60, sigma, kappa) * chance.gauss(1, 0.02)
        held += predicted.low_s <= measured_s <= predicted.high_s
        sigma_held += found.sigma.low <= sigma <= found.sigma.high
    assert 270 <= held <= 298
    assert 270 <= sigma_held <= 300


def test_repeats_that_scatter_more_than_the_curve_widen_the_band() -> None:
    times = {n: amdahl_s(n, 60, 0.05) for n in (1, 2, 4, 8)}
    spread = [Timing(n, t, epoch_s_stdev=0.04 * t, runs=4) for n, t in times.items()]
    law = fit_law("amdahl", spread)
    assert law.residual_spread == pytest.approx(0.02)  # 4 % over the root of 4 runs.
    assert law.predict(16).high_s > 1.1 * law.predict(16).epoch_s
    assert fit_law("amdahl", timings(times)).residual_spread < 1e-5


def test_what_lies_within_the_measured_is_not_extrapolated() -> None:
    law = fit_law("amdahl", timings(SERIES["virgo horovod"]))
    extrapolated = {n: law.predict(n).is_extrapolated for n in (1, 2, 4, 6, 32, 33)}
    assert extrapolated == {1: True, 2: True, 4: False, 6: False, 32: False, 33: True}
    assert (law.points, law.fewest, law.most) == (4, 4, 32)


def test_without_scipy_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(CarbonError, match=r"scipy is not installed.*carbon-ledger\[analysis\]"):
        choose_law(timings(SERIES["lumi"]))


def test_numpy_and_scipy_are_loaded_by_a_fit_alone() -> None:
    code = (
        "import sys, carbon, carbon.analysis.scaling_laws; "
        "print([name for name in ('numpy', 'scipy') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
