"""`ray-deepspeed`: DeepSpeed's ZeRO in workers of Ray Train."""

from trainers.strategies.deepspeed import ZeRO
from trainers.strategies.ray import OfRay


class RayZeRO(OfRay, ZeRO):
    """`deepspeed` in workers of Ray Train."""

    name = "ray-deepspeed"  # type: ignore[assignment]
