"""Quantities as text: fitting units, no hidden zeros, unknown said as such."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from carbon import wording


@pytest.mark.parametrize(
    ("energy_kwh", "text"),
    [
        (None, "unknown"),
        (0.0, "0 Wh"),
        (1e-12, "0.00100 µWh"),
        (5e-10, "0.500 µWh"),
        (1.2e-7, "120 µWh"),
        (3e-6, "3 mWh"),
        (0.0009994, "999 mWh"),
        (0.0009996, "1.00 Wh"),
        (0.0012345, "1.23 Wh"),
        (0.05, "50 Wh"),
        (1.0, "1 kWh"),
        (1.5, "1.50 kWh"),
        (9.996, "10.0 kWh"),
        (999.6, "1.00 MWh"),
        (56_789.0, "56.8 MWh"),
        (8.9e6, "8.90 GWh"),
        (float("nan"), "unknown"),
    ],
)
def test_energy_is_written_in_the_unit_that_fits(energy_kwh: float | None, text: str) -> None:
    assert wording.energy(energy_kwh) == text


@pytest.mark.parametrize(
    ("mass_kg", "text"),
    [
        (None, "unknown"),
        (0.0, "0 g"),
        (3.25e-6, "3.25 mg"),
        (0.482, "482 g"),
        (2.5, "2.50 kg"),
        (11_300.0, "11.3 t"),
    ],
)
def test_mass_is_written_in_the_unit_that_fits(mass_kg: float | None, text: str) -> None:
    assert wording.mass(mass_kg) == text


@pytest.mark.parametrize("exponent", range(-12, 7))
@pytest.mark.parametrize("digits", [1.0, 1.005, 4.56, 9.994, 9.999])
def test_a_written_energy_is_never_zero_and_within_half_a_percent(
    exponent: int, digits: float
) -> None:
    energy_kwh = digits * 10.0**exponent
    number, unit = wording.energy(energy_kwh).split(" ")
    sizes = {"µWh": 1e-9, "mWh": 1e-6, "Wh": 1e-3, "kWh": 1.0, "MWh": 1e3, "GWh": 1e6}
    assert float(number.replace(",", "")) * sizes[unit] == pytest.approx(energy_kwh, rel=0.0051)


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [
        (None, "unknown"),
        (0.0, "0 s"),
        (0.0004, "0.400 ms"),
        (0.4, "400 ms"),
        (7.25, "7.2 s"),
        (59.0, "59 s"),
        (59.96, "1 min"),
        (65.4, "1 min 5 s"),
        (3600.0, "1 h"),
        (7384.0, "2 h 3 min"),
        (273_600.0, "3 d 4 h"),
        (100_000_000.0, "1,157 d 9 h"),
    ],
)
def test_duration_is_written_in_its_two_largest_units(duration_s: float | None, text: str) -> None:
    assert wording.duration(duration_s) == text


@pytest.mark.parametrize(
    ("fraction", "text"),
    [
        (None, "unknown"),
        (0.0, "0 %"),
        (0.0001, "under 0.1 %"),
        (0.06, "6 %"),
        (0.064, "6.4 %"),
        (0.0996, "10 %"),
        (0.3, "30 %"),
        (0.992, "99 %"),
        (0.995, "99.5 %"),
        (0.998, "99.8 %"),
        (0.99949, "99.9 %"),
        (0.9996, "over 99.9 %"),
        (1 - 1e-9, "over 99.9 %"),
        (1.0, "100 %"),
        (0.1 + 0.7 + 0.2 - 1e-16, "100 %"),
        (1.2, "120 %"),
        (12.5, "1,250 %"),
    ],
)
def test_percent(fraction: float | None, text: str) -> None:
    assert wording.percent(fraction) == text


@pytest.mark.parametrize(
    ("n", "text"), [(0, "0 runs"), (1, "1 run"), (2, "2 runs"), (1234, "1,234 runs")]
)
def test_a_count_agrees_with_its_noun(n: int, text: str) -> None:
    assert wording.count(n, "run") == text


def test_a_count_takes_an_irregular_plural() -> None:
    assert wording.count(2, "country", "countries") == "2 countries"


@pytest.mark.parametrize(
    ("mean", "stdev", "text"),
    [
        (None, None, "unknown"),
        (0.00513, None, "5.13 Wh"),
        (0.00513, 0.0000086, "5.13 ± 0.0086 Wh"),
        (0.00513, 0.012, "5.13 ± 12 Wh"),
        (2.0, 0.0, "2 ± 0 kWh"),
    ],
)
def test_a_spread_is_in_the_unit_of_its_mean(
    mean: float | None, stdev: float | None, text: str
) -> None:
    assert wording.energy_with_spread(mean, stdev) == text


@pytest.mark.parametrize(
    ("energy_kwh", "relative", "text"),
    [
        (None, 0.05, ""),
        (None, None, ""),
        (1.0, None, "± unknown"),
        (1.0, 0.05, "± 0.050 kWh"),
        (0.000123, 0.3, "± 37 mWh"),
        (0.00123, 0.3, "± 0.37 Wh"),
        (500.0, 0.042, "± 21 kWh"),
        (1.0, 0.0, "± 0 kWh"),
        (0.0, 0.4, "± 0 Wh"),
        (2.0, 30.0, "± 60 kWh"),
    ],
)
def test_a_band_is_in_the_unit_of_its_value(
    energy_kwh: float | None, relative: float | None, text: str
) -> None:
    assert wording.energy_band(energy_kwh, relative) == text
    assert wording.mass_band(energy_kwh, relative) == text.replace("Wh", "g")


def test_a_mass_with_spread() -> None:
    assert wording.mass_with_spread(1.95, 0.098) == "1.95 ± 0.098 kg"
    assert wording.mass_with_spread(1.95, None) == "1.95 kg"
    assert wording.mass_with_spread(None, 0.1) == "unknown"


@pytest.mark.parametrize(
    ("mean_s", "stdev_s", "text"),
    [
        (0.012, 0.001, "12 ± 1.0 ms"),
        (62.1, 0.2, "62.1 ± 0.20 s"),
        (59.7, None, "59.7 s"),
        (900.0, 30.0, "15 ± 0.50 min"),
        (9000.0, None, "2.50 h"),
    ],
)
def test_a_duration_with_spread(mean_s: float, stdev_s: float | None, text: str) -> None:
    assert wording.duration_with_spread(mean_s, stdev_s) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0.0, "0 EUR"), (0.1, "0.10 EUR"), (12.5, "12.50 EUR"), (1234.5, "1,234 EUR")],
)
def test_money_is_written_with_its_currency(amount: float, text: str) -> None:
    assert wording.money(amount, "EUR") == text
    assert wording.money(0.00321, "EUR") == "0.00321 EUR"
    assert wording.money_with_spread(118.472, 2.07, "EUR") == "118.47 ± 2.1 EUR"


def test_a_moment_is_in_utc_whatever_its_zone() -> None:
    moment = datetime(2026, 3, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert wording.moment(moment) == "28 Feb 2026, 23:30 UTC"
    assert wording.moment(moment) == wording.moment(moment.astimezone(UTC))
    assert wording.moment(None) == "unknown"


@pytest.mark.parametrize(
    ("country", "region", "text"),
    [
        ("DEU", None, "Germany"),
        ("USA", "California", "California, United States"),
        ("USA", "california", "California, United States"),
        ("USA", "new york", "New York, United States"),
        ("USA", "ca", "ca, United States"),
        ("FIN", "europe-north1", "europe-north1, Finland"),
        ("FRA", "Île-de-France", "Île-de-France, France"),
        (None, "Somewhere", "Somewhere"),
        (None, None, "an unknown place"),
    ],
)
def test_place(country: str | None, region: str | None, text: str) -> None:
    assert wording.place(country, region) == text


@pytest.mark.parametrize(
    "name",
    [
        "nvml_counter",
        "nvml_power",
        "amdsmi_counter",
        "amdsmi_power",
        "jetson_ina3221",
        "jetson_tegrastats",
        "rapl",
        "rapl_dram",
        "codecarbon_rapl",
        "codecarbon_cpu_load",
        "codecarbon_ram",
    ],
)
def test_a_method_is_told_in_words(name: str) -> None:
    assert wording.method(name) != name
    assert "(" in wording.method(name) or "CodeCarbon" in wording.method(name)


def test_methods_joined_by_plus_are_all_named() -> None:
    text = wording.method("nvml_counter+brand_new_meter")
    assert "energy counter (NVML)" in text
    assert "brand_new_meter" in text
    assert wording.method(None) == "not measured"
