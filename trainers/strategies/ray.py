"""`ray-ddp`: the same strategy as without the prefix, in workers of Ray Train.

P. Moritz et al., "Ray: A Distributed Framework for Emerging AI Applications", OSDI 2018,
https://www.usenix.org/conference/osdi18/presentation/moritz; https://docs.ray.io/en/latest/train.
"""

import torch.distributed as dist
from ray.train import torch as ray_torch

from carbon.attribution.topology import Topology
from carbon.errors import UsageError
from trainers.strategies.base import Options
from trainers.strategies.ddp import DataParallel
from trainers.strategies.process_group import ProcessGroup


class OfRay(ProcessGroup):
    """Ray Train makes the process group before the workers begin, and ends it after them."""

    def __init__(self, place: Topology, options: Options) -> None:
        if not dist.is_initialized():
            raise UsageError(
                f"strategy {self.name!r} is for workers that Ray Train started; start it without "
                f"a launcher: `python -m trainers.train --strategy {self.name} --workers 2 ...`"
            )
        super().__init__(place, options)
        self.device = ray_torch.get_device()  # Which of the node's GPUs it gave this worker.

    def _meet(self) -> None:
        if dist.get_backend() != self.backend:
            raise UsageError(
                f"strategy {self.name!r} needs {self.backend} between its workers, and Ray Train "
                f"was told {dist.get_backend()}"
            )

    def _part(self) -> None:
        """Leave the group to Ray."""


class RayDataParallel(OfRay, DataParallel):
    """`ddp` in workers of Ray Train."""

    name = "ray-ddp"  # type: ignore[assignment]
