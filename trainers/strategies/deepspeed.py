"""`deepspeed`: ZeRO, which shards the optimizer's state (stage 1), gradients (2) and weights (3).

S. Rajbhandari et al., "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models",
SC 2020, https://doi.org/10.1109/SC41405.2020.00024; by https://www.deepspeed.ai.
"""

import os
import sys
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from carbon.attribution.topology import Topology
from trainers.strategies.base import FullState, MakeOptimizer, Options
from trainers.strategies.process_group import ProcessGroup

# It would look for accelerators by importing what might drive them, and say what it found.
os.environ.setdefault("DS_ACCELERATOR", "cuda" if torch.cuda.is_available() else "cpu")

import deepspeed
from deepspeed import utils

# Between CPUs it would compile an operation of its own first, which takes minutes and a compiler;
# gloo is what every other strategy uses there.
deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False

# DeepSpeed's own calls, which go on working.
warnings.filterwarnings("ignore", r"`torch\.distributed\.\w+` is deprecated", FutureWarning)

DEFAULT_STAGE = 2


class ZeRO(ProcessGroup):
    """DeepSpeed's engine around a model, with the optimizer that every strategy uses."""

    name = "deepspeed"

    zero_stage: int
    # DeepSpeed has no types.
    _module: Any = None

    def __init__(self, place: Topology, options: Options) -> None:
        super().__init__(place, options)
        self.local_rank = place.local_rank
        self.zero_stage = DEFAULT_STAGE if options.zero_stage is None else options.zero_stage

    def prepare(self, model: nn.Module, make_optimizer: MakeOptimizer) -> nn.Module:
        """Return DeepSpeed's engine, which holds `model`, of 32 bit."""
        # It insists on this, and reads it only to choose among GPUs.
        os.environ.setdefault("LOCAL_RANK", str(self.local_rank))
        engine: nn.Module
        engine, _, _, _ = deepspeed.initialize(
            model=model,
            optimizer=make_optimizer(model.parameters()),
            dist_init_required=False,
            config={
                # Batches are shared out before they come here; it only wants to know.
                "train_micro_batch_size_per_gpu": 1,
                "gradient_accumulation_steps": 1,
                "gradient_clipping": 0.0,
                "steps_per_print": sys.maxsize,
                "zero_optimization": {"stage": self.zero_stage},
                "zero_allow_untested_optimizer": True,
                "zero_force_ds_cpu_optimizer": False,
            },
        )
        self._module = engine
        return engine

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients; DeepSpeed averages, so scale back to the sum."""
        self._module.backward(loss * self.world_size)

    def step(self) -> None:
        """Apply the gradients and clear them."""
        self._module.step()

    def full_state(self) -> FullState | None:
        """Put the state together on every worker, and return it on rank 0."""
        model = self._module.module
        weights = dict(model.named_parameters())
        # ZeRO keeps flat shards; their tensors are those of the weights, and counters are shared.
        shards = [state for state in self._module.optimizer.optimizer.state.values() if state]
        keys = shards[0] if shards else {}
        state: FullState = {
            "weights": {name: _copy(each) for name, each in model.named_buffers()},
            "optimizer": {name: {} for name in weights} if shards else {},
        }
        for name, weight in weights.items():
            state["weights"][name] = _copy(utils.safe_get_full_fp32_param(weight))
            for key, shard in keys.items():
                whole = utils.safe_get_full_optimizer_state(weight, key) if shard.dim() else shard
                state["optimizer"][name][key] = _copy(whole)
        return state if self.rank == 0 else None

    def load_full_state(self, state: FullState) -> None:
        """Keep this worker's shard of `state`."""
        model = self._module.module
        for name, buffer in model.named_buffers():
            buffer.copy_(state["weights"][name])
        self._begin_optimizer(state)
        for name, weight in model.named_parameters():
            whole = state["weights"][name].to(self.device)
            sharded = self.zero_stage == 3
            with deepspeed.zero.GatheredParameters([weight], modifier_rank=0, enabled=sharded):
                weight.data.copy_(whole)
            self._keep(weight, whole, None)
            for key, each in state["optimizer"].get(name, {}).items():
                if each.dim():
                    self._keep(weight, each.to(self.device), key)

    def _begin_optimizer(self, state: FullState) -> None:
        """Make the flat shards of the optimizer's state, which its first step would make."""
        zero = self._module.optimizer
        is_3 = self.zero_stage == 3
        flat = zero.fp32_partitioned_groups_flat if is_3 else zero.single_partition_of_fp32_groups
        of_one: dict[str, Tensor] = next(iter(state["optimizer"].values()), {})
        for part in flat if of_one else ():
            zero.optimizer.state[part] = {
                key: torch.zeros_like(part) if each.dim() else each.clone()
                for key, each in of_one.items()
            }
        if of_one and not is_3:
            zero._lazy_init_hp_params_optimizer_state()

    def _keep(self, weight: nn.Parameter, whole: Tensor, key: str | None) -> None:
        """Put this worker's part of the weight, or of its optimizer's state `key`, in its place."""
        if self.zero_stage < 3 and key is None:
            utils.safe_set_full_fp32_param(weight, whole)
        elif self.zero_stage < 3:
            utils.safe_set_full_optimizer_state(weight, whole, key)
        else:
            # Every worker has as many numbers, the last one some that belong to no weight.
            size = utils.safe_get_local_fp32_param(weight).numel()
            padded = whole.new_zeros(size * self.world_size)
            padded[: whole.numel()] = whole.flatten()
            part = padded.narrow(0, size * self.rank, size)
            if key is None:
                utils.safe_set_local_fp32_param(weight, part)
            else:
                utils.safe_set_local_optimizer_state(weight, part, key)

    def let_go(self) -> None:
        """Take DeepSpeed's hooks off the weights, and make it forget its groups."""
        if self._module is not None:
            weights = list(self._module.module.parameters())
            zero = self._module.optimizer
            self._module.destroy()
            # Hooks within autograd's graph keep these, and these the groups.
            for holder in (*weights, getattr(zero, "parameter_offload", zero), zero, self._module):
                vars(holder).clear()
        deepspeed.comm.comm.cdb = None
        deepspeed.utils.groups._release_process_group_references()


def _copy(value: Tensor) -> Tensor:
    return value.detach().to("cpu", copy=True)
