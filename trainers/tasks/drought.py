"""Drought early warning: soil moisture and runoff of Alpine catchments from their weather.

After EURAC's pilot in interTwin (https://www.intertwin.eu/article/thematic-module-climate-drought)
and F. Kratzert et al., "Towards learning universal, regional, and local hydrological behaviors via
machine learning applied to large-sample datasets", Hydrol. Earth Syst. Sci. 23, 5089-5110, 2019,
https://doi.org/10.5194/hess-23-5089-2019: one LSTM for all catchments, told what sort each is by
attributes that do not change. Here both weather and catchments are synthetic: see `weather` and
`water_balance`. All of it is integer arithmetic, in hundredths of a millimetre and of a degree.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainers.tasks.base import Examples, Size, check, joined
from trainers.tasks.draws import draw

DAYS_PER_YEAR = 365
SPIN_UP_DAYS = DAYS_PER_YEAR
TEST_YEARS = 2
STEPS_PER_DEVIATION = 512
"""Targets are stored in steps of 1/512 standard deviation, from -64 to 64."""

ATTRIBUTES: dict[str, tuple[int, int]] = {
    "capacity": (5_000, 25_000),  # of the soil, 0.01 mm
    "mean_temperature": (-200, 1_400),  # over the year, 0.01 degrees C
    "seasonal_amplitude": (600, 1_200),  # of the temperature, 0.01 K
    "mean_rain": (300, 1_000),  # on a wet day, 0.01 mm
    "wet_after_dry": (150, 350),  # chance of a wet day after a dry one, 1/1000
    "wet_after_wet": (450, 750),  # after a wet one, 1/1000
    "drainage": (20, 200),  # out of the soil in a day, 1/10000 of its water
    "melt": (200, 500),  # of snow in a day and degree above 0, 0.01 mm
}
"""What is known of a catchment, and between which values it is drawn."""

FEATURES = 2 + len(ATTRIBUTES)
"""Of each day: precipitation, 0.01 mm; temperature, 0.01 degrees C; then the attributes."""

FORCING_RANGES = [(0, 1_000), (-1_000, 1_000)]
EVAPORATION = 20
"""Potential evapotranspiration in a day and degree above 0, 0.01 mm: 3 mm at 15 degrees C."""


@dataclass(frozen=True)
class Scale:
    """How large a size is. The last `scored_days` of `window_days` are predicted."""

    model_name: str
    catchments: int
    training_years: int
    window_days: int
    scored_days: int
    width: int


SCALES: dict[Size, Scale] = {
    "small": Scale("drought-lstm-32", 48, 4, 120, 60, width=32),
    "medium": Scale("drought-lstm-128", 128, 8, 240, 90, width=128),
    "large": Scale("drought-lstm-256", 512, 20, 365, 90, width=256),
}
SHA256: dict[Size, str] = {
    "small": "cd106f1ec3b82ab0d72ee855ed09b0d2cabdbaa46e38c5c230190e474fd0fad8",
    "medium": "e445c93b07aaff066b6dd1484a5c32133cb9adedfa137894751e05fe6367eb99",
    "large": "7548e43ee0cd80ec8769acd4972fd03c13cfd306e0da7c20dc298841a169fe8b",
}


class Drought:
    """Tell soil moisture and runoff, as departures from the catchment's mean, of each day.

    They are counted in standard deviations of the catchment's own training years, as drought
    indices are. The test is on two later years of the same catchments.

    An epoch's steps take 0.4, 10 and 400 s of CPU time; `Size` says how it was measured.
    """

    name = "drought"
    metric = "nse"
    higher_is_better = True
    learning_rate = 5e-3
    batch_size = 32
    warm_up_steps = 0

    def __init__(self, size: Size = "small") -> None:
        self.size = size
        self.scale = SCALES[size]
        self.model_name = self.scale.model_name
        training_days = self.scale.training_years * DAYS_PER_YEAR
        windows = (training_days - self.scale.window_days) // self.scale.scored_days + 1
        self.n_training_examples = windows * self.scale.catchments

    def model(self) -> nn.Module:
        """Return an LSTM that reads the whole window, D days: (B, D, 10) -> (B, scored days, 2)."""
        return Forecaster(self.scale.width, self.scale.scored_days)

    def data(self, n_times: int = 1) -> tuple[Examples, Examples]:
        """Return windows of days, (N, D, 10), and soil moisture and runoff, (N, scored days, 2).

        `n_times` as many training examples are those of `n_times` as many catchments.
        """
        first, test = catchments("drought 0", self.scale)
        stored = (first.inputs, first.targets, test.inputs, test.targets)
        check(f"drought {self.size}", SHA256[self.size], *stored)
        others = [catchments(f"drought {i}", self.scale)[0] for i in range(1, n_times)]
        return joined([first, *others]), test

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean squared error in variances: (B, D, 2), (B, D, 2) -> (B,)."""
        return (outputs - targets).square().mean(dim=(1, 2))

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return the loss, and the model efficiency: (B, D, 2), (B, D, 2) -> (B,) each.

        `nse` is 1 - (mean squared error) / (variance), J. E. Nash and J. V. Sutcliffe, "River flow
        forecasting through conceptual models part I", J. Hydrol. 10, 282-290, 1970,
        https://doi.org/10.1016/0022-1694(70)90255-6: 1 at best, 0 for always saying the mean. Mean
        and variance are those of the catchment's training years, so that a window has a value of
        its own and the mean over windows is that over catchments, soil moisture and runoff.
        """
        loss = self.loss(outputs, targets)
        return {"loss": loss, "nse": 1 - loss}


class Forecaster(nn.Module):
    """One LSTM layer and a linear one.

    S. Hochreiter and J. Schmidhuber, "Long Short-Term Memory", Neural Computation 9, 1997,
    https://doi.org/10.1162/neco.1997.9.8.1735. It begins by forgetting little, as in Kratzert et
    al. (2019): a bias of 3 at the forget gate.
    """

    def __init__(self, width: int, scored_days: int) -> None:
        super().__init__()
        self.scored_days = scored_days
        self.lstm = nn.LSTM(FEATURES, width, batch_first=True)
        self.head = nn.Linear(width, 2)
        with torch.no_grad():
            self.lstm.get_parameter("bias_hh_l0")[width : 2 * width] = 3.0

    def forward(self, days: Tensor) -> Tensor:
        """Return what is predicted of the last days: (B, D, 10) -> (B, scored days, 2)."""
        states, _ = self.lstm(days)  # (B, D, width)
        predicted: Tensor = self.head(states[:, -self.scored_days :])  # (B, scored days, 2)
        return predicted


def catchments(label: str, scale: Scale) -> tuple[Examples, Examples]:
    """Return training and test examples of one set of catchments, stored as int16."""
    training_days = scale.training_years * DAYS_PER_YEAR
    days = SPIN_UP_DAYS + training_days + TEST_YEARS * DAYS_PER_YEAR
    attributes = {
        name: low + draw(f"{label} {name}", (scale.catchments,), below=high - low)
        for name, (low, high) in ATTRIBUTES.items()
    }  # (C,) each
    rain, temperature = weather(label, days, attributes)  # (C, T) each
    soil, runoff = water_balance(rain, temperature, attributes)  # (C, T) each

    fixed = [values.unsqueeze(1).expand(-1, days) for values in attributes.values()]
    known = torch.stack([rain, temperature, *fixed], dim=2)[:, SPIN_UP_DAYS:]  # (C, T, 10)
    wanted = torch.stack([soil, runoff], dim=2)[:, SPIN_UP_DAYS:]  # (C, T, 2)
    wanted = standardised(wanted, training_days)
    return (
        windows(known[:, :training_days], wanted[:, :training_days], scale),
        windows(known[:, training_days:], wanted[:, training_days:], scale),
    )


def weather(label: str, days: int, attributes: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return precipitation, 0.01 mm, and temperature, 0.01 degrees C, of each day: (C, T) each.

    Wet days follow wet and dry ones as in a Markov chain, C. W. Richardson, "Stochastic simulation
    of daily precipitation, temperature, and solar radiation", Water Resour. Res. 17, 182-190, 1981,
    https://doi.org/10.1029/WR017i001p00182. How much it rains is skewed, many small amounts and few
    large ones, as a product of three even draws is. Temperature has a season and a memory.
    """
    n = len(attributes["capacity"])
    angle = 2 * torch.pi * torch.arange(days, dtype=torch.float64) / DAYS_PER_YEAR
    season = (-1000 * torch.cos(angle)).round().long()  # (T,), coldest on the first day
    chance = draw(f"{label} wet", (days, n), below=1000)  # (T, C)
    product = draw(f"{label} rain", (days, n, 3), below=256).prod(dim=2)  # (T, C), mean 2**21
    amount = attributes["mean_rain"] * product >> 21  # (T, C)
    change = draw(f"{label} warmer", (days, n, 2), below=500).sum(dim=2) - 499  # (T, C)

    wet = torch.zeros(n, dtype=torch.bool)
    anomaly = torch.zeros(n, dtype=torch.int64)
    rain, anomalies = [], []
    for day in range(days):
        likely = torch.where(wet, attributes["wet_after_wet"], attributes["wet_after_dry"])
        wet = chance[day] < likely
        anomaly = anomaly * 7 // 10 + change[day]
        rain.append(amount[day] * wet)
        anomalies.append(anomaly)
    seasonal = attributes["seasonal_amplitude"].unsqueeze(1) * season // 1000  # (C, T)
    mean = attributes["mean_temperature"].unsqueeze(1)  # (C, 1)
    return torch.stack(rain, dim=1), mean + seasonal + torch.stack(anomalies, dim=1)


def water_balance(
    rain: Tensor, temperature: Tensor, attributes: dict[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """Return soil moisture and runoff of each day, 0.01 mm: (C, T), (C, T) -> (C, T) each.

    The bucket of S. Manabe, "Climate and the ocean circulation: I. The atmospheric circulation and
    the hydrology of the Earth's surface", Mon. Weather Rev. 97, 739-774, 1969,
    https://doi.org/10.1175/1520-0493(1969)097<0739:CATOC>2.3.CO;2: it evaporates what the air takes
    up, less in proportion below three quarters of its capacity, and what it cannot hold runs off.
    With it, snow that melts by degree-days and a slow drainage, as in the HBV model of
    S. Bergström, SMHI Report RHO 7, 1976.
    """
    capacity, melt_factor = attributes["capacity"], attributes["melt"]
    moist = capacity * 3 // 4
    snow, soil = torch.zeros_like(capacity), moist
    moisture, runoffs = [], []
    for fallen, degrees in zip(rain.unbind(dim=1), temperature.unbind(dim=1), strict=True):
        warmth = degrees.clamp(min=0)
        snow = snow + fallen * (degrees < 0)
        melted = torch.minimum(snow, melt_factor * warmth // 100)
        snow = snow - melted
        evaporated = EVAPORATION * warmth // 100 * torch.minimum(soil, moist) // moist
        soil = soil + fallen * (degrees >= 0) + melted - torch.minimum(evaporated, soil)
        drained = attributes["drainage"] * soil // 10_000
        excess = (soil - drained - capacity).clamp(min=0)
        soil = soil - drained - excess
        moisture.append(soil)
        runoffs.append(drained + excess)
    return torch.stack(moisture, dim=1), torch.stack(runoffs, dim=1)


def standardised(values: Tensor, training_days: int) -> Tensor:
    """Return departures from the training days' mean, in 1/512 of their standard deviation.

    (C, T, 2), int64 -> (C, T, 2), int64; exact, as IEEE 754 defines the root to the last bit.
    """
    training = values[:, :training_days]  # (C, T', 2)
    mean = training.sum(dim=1, keepdim=True) // training_days  # (C, 1, 2)
    variance = (training - mean).square().sum(dim=1, keepdim=True) // training_days
    deviation = variance.double().sqrt().long()  # (C, 1, 2)
    return (values - mean) * STEPS_PER_DEVIATION // deviation


def windows(known: Tensor, wanted: Tensor, scale: Scale) -> Examples:
    """Return each window of days, so that every day but the first ones is scored in one of them.

    (C, T, 10), (C, T, 2) -> N examples of (D, 10) and (scored days, 2).
    """
    hidden_days = scale.window_days - scale.scored_days
    inputs = known.unfold(1, scale.window_days, scale.scored_days)  # (C, n, 10, D)
    targets = wanted[:, hidden_days:].unfold(1, scale.scored_days, scale.scored_days)
    return Examples(
        inputs.flatten(0, 1).transpose(1, 2).to(torch.int16).contiguous(),
        targets.flatten(0, 1).transpose(1, 2).to(torch.int16).contiguous(),
        make=in_units,
    )


def in_units(known: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Return what was stored: weather and attributes about 0 to 1, targets in deviations."""
    ranges = [*FORCING_RANGES, *ATTRIBUTES.values()]
    low = torch.tensor([low for low, _ in ranges], device=known.device)
    width = torch.tensor([high - low for low, high in ranges], device=known.device)
    return (known - low) / width.float(), wanted.float() / STEPS_PER_DEVIATION
