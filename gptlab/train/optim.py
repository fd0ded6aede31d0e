"""What moves the weights: parameter groups, AdamW, Muon, and the learning rate at every step."""

from __future__ import annotations

import itertools
import math

import torch
from torch import nn

from gptlab.config import TrainConfig
from gptlab.train import cores

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # the quintic of Jordan et al. 2024
NEWTON_SCHULZ_STEPS = 5


class Muon(torch.optim.Optimizer):
    """Steps of a fixed length in every direction of a matrix (Jordan et al. 2024, kellerjordan.github.io/posts/muon), and
    an inner `adamw` for everything that is no such matrix.

    The momentum of each matrix (m, n) is replaced by the nearest (semi-)orthogonal matrix, scaled by 0.2 √max(m, n) so
    that its root mean square is that of AdamW's steps and one learning rate serves both (arXiv:2502.16982); how long it
    remembers is `beta1`, too. Queries, keys and values, though rows of one matrix, are orthogonalised each by themselves, as
    Jordan advises, but scaled as the whole: steps √3 times as long as AdamW's where there are as many of each. Tiny
    Shakespeare's fast recipe is then 0.025 nats lower after 300 steps; scaled as parts, 0.003. Matrices of one shape are
    orthogonalised together, on a processor each core's share of them, and in float32, since bfloat16 is slow there. Holds
    the memory of both kinds in one `state`. A parameter of three dimensions is so many matrices (experts).
    `found_inf`, if set to 1 on the device, leaves everything as it was, as torch's fused optimizers do.
    """

    def __init__(self, matrices: dict[nn.Parameter, list[int]], adamw: torch.optim.AdamW, beta1: float, weight_decay: float):
        """`matrices`: each with the rows of the parts it is made of, which are orthogonalised by themselves."""
        super().__init__(list(matrices), {"lr": 0.0, "beta1": beta1, "weight_decay": weight_decay})
        self.adamw = adamw
        self.found_inf: torch.Tensor | None = None
        self._matrix_group = self.param_groups[0]
        self._parts = matrices
        in_order = sorted(matrices, key=self._shape)
        self._of_one_shape = [list(same) for _, same in itertools.groupby(in_order, key=self._shape)]
        self.param_groups += adamw.param_groups
        self.state = adamw.state

    @torch.no_grad()
    def step(self) -> None:
        if self.found_inf is not None:
            self.adamw.found_inf = self.found_inf
        self.adamw.step()
        for parameter in self._matrix_group["params"]:
            if "momentum" not in self.state[parameter]:
                self.state[parameter]["momentum"] = torch.zeros_like(parameter)
        on_cores = cores.mine() if self._of_one_shape[0][0].device.type == "cpu" else None
        if on_cores is None:
            for parameters in self._of_one_shape:
                self._update(parameters)
        else:  # each core some of every shape
            on_cores.map(self._update, [parameters[core::on_cores.count] for parameters in self._of_one_shape
                                        for core in range(on_cores.count)])

    def _shape(self, matrix: nn.Parameter) -> tuple:
        """What must be the same for matrices to be orthogonalised together."""
        return tuple(matrix.shape), self._parts[matrix]

    @torch.no_grad()
    def _update(self, parameters: list[nn.Parameter]) -> None:
        """Moves matrices of one shape, or none."""
        if not parameters:
            return
        group = self._matrix_group
        keep = 1.0 if self.found_inf is None else 1.0 - self.found_inf
        rate, decay, remembered = group["lr"], group["weight_decay"], group["beta1"]
        momenta = torch.stack([self.state[parameter]["momentum"] for parameter in parameters])  # (n matrices, *shape)
        gradients = torch.stack([parameter.grad for parameter in parameters])
        if self.found_inf is not None:  # a gradient that is no number must not reach the momentum
            gradients = torch.where(self.found_inf > 0, momenta, gradients)
        momenta.lerp_(gradients, 1 - remembered)
        directions = gradients.lerp_(momenta, remembered)  # Nesterov's look ahead
        steps = orthogonalised_in_parts(directions.flatten(0, -3), self._parts[parameters[0]]).view_as(directions)
        steps *= -rate * 0.2 * max(parameters[0].shape[-2:]) ** 0.5 * keep
        for parameter, momentum, change in zip(parameters, momenta, steps):
            self.state[parameter]["momentum"].copy_(momentum)
            parameter.mul_(1 - rate * decay * keep).add_(change)


def orthogonalised_in_parts(matrices: torch.Tensor, rows: list[int]) -> torch.Tensor:
    """(n, rows, columns): as `orthogonalised`, each of the parts with so many `rows` by itself."""
    if len(set(rows)) == 1:
        return orthogonalised(matrices.reshape(-1, rows[0], matrices.size(2))).view_as(matrices)
    return torch.cat([orthogonalised(part) for part in matrices.split(rows, dim=1)], dim=1)


def orthogonalised(matrices: torch.Tensor) -> torch.Tensor:
    """(n, rows, columns): each matrix with its singular values moved to about 1, by Newton–Schulz iterations.

    An iteration multiplies X by q(G) = a + bG + cG² of its own Gram matrix G = XXᵀ, whose next is then q G q. In float32
    and for a long X, the short matrices alone are therefore iterated, and X is multiplied once at the end: half the
    operations at most. In bfloat16 that would lose too many digits.
    """
    a, b, c = NEWTON_SCHULZ
    tall = matrices.size(1) > matrices.size(2)
    x = matrices.mT if tall else matrices  # the short side makes the small products
    x = x.bfloat16() if x.is_cuda else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    gram = x @ x.mT
    if x.dtype == torch.float32 and x.size(2) >= 2 * x.size(1):
        identity = torch.eye(x.size(1), device=x.device)
        for step in range(NEWTON_SCHULZ_STEPS):
            gram = q @ gram @ q if step else gram
            q = torch.baddbmm(gram, gram, gram, beta=b, alpha=c).add_(identity, alpha=a)
            factor = factor @ q if step else q
        x = factor @ x
    else:
        for step in range(NEWTON_SCHULZ_STEPS):
            gram = x @ x.mT if step else gram
            x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrices.dtype)


def build_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """The optimizer of `config.optimizer`, which decays matrices only: embeddings yes, biases and gains of norms no, as nanoGPT.

    AdamW (arXiv:1711.05101) is fused: one call for a whole update; on a CPU too, where it is several times faster than the
    loop. Muon takes the matrices inside the blocks.
    """
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}  # a tied table appears once
    inner = {name for name, p in parameters.items() if p.dim() >= 2 and name.startswith("blocks.")}
    for_muon = inner if config.optimizer == "muon" else set()
    matrices = [p for name, p in parameters.items() if p.dim() >= 2 and name not in for_muon]
    others = [p for p in parameters.values() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]], lr=config.max_learning_rate,
                                  betas=(config.beta1, config.beta2), fused=True)
    if for_muon:
        matrices = {parameters[name]: _parts(model, name) for name in sorted(for_muon)}
        optimizer = Muon(matrices, optimizer, config.beta1, config.weight_decay)
    assert sum(p.numel() for group in optimizer.param_groups for p in group["params"]) == sum(
        p.numel() for p in parameters.values())
    return optimizer


def _parts(model: nn.Module, name: str) -> list[int]:
    """How many rows each of the matrices has that the parameter `name` is made of: queries, keys, values; else all rows."""
    module = model.get_submodule(name.rpartition(".qkv.")[0]) if ".qkv." in name else None
    return [model.get_parameter(name).size(-2)] if module is None else [heads * module.D for heads in (module.H, module.K, module.K)]


def learning_rate(step: int, total_steps: int | None, config: TrainConfig) -> float:
    """The learning rate of the update after `step` updates.

    It rises in a line over `warmup_steps`, then falls to `min_learning_rate`, reached at `total_steps`: along half a
    cosine, a line, only over the last fifth (wsd, arXiv:2404.06395), or not at all. While the end is not known
    (`total_steps` None) it does not fall.
    """
    high, low, warmup = config.max_learning_rate, config.min_learning_rate, config.warmup_steps
    if step < warmup:
        return high * (step + 1) / (warmup + 1)
    if config.schedule == "constant" or total_steps is None:
        return high
    if step >= total_steps:
        return low
    begin = max(warmup, total_steps - total_steps / 5) if config.schedule == "wsd" else warmup
    progress = max(0.0, (step - begin) / (total_steps - begin))
    if config.schedule == "cosine":
        progress = 0.5 * (1.0 - math.cos(math.pi * progress))
    return high + (low - high) * progress


def step_unless(skip: torch.Tensor, optimizer: torch.optim.Optimizer) -> None:
    """An update of the weights, unless `skip` (a scalar on their device) is 1: then all stays as it was.

    The fused kernels read the flag on the device, so nobody waits. Apple's ignore it, so there the host looks.
    """
    if skip.device.type == "mps":
        if skip.item() == 0:
            optimizer.step()
        return
    optimizer.found_inf = skip  # the protocol between torch's GradScaler and its fused optimizers
    optimizer.step()


def state_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The optimizer's memory as {"<parameter>.exp_avg": tensor, …}; the tensors themselves, not copies."""
    return {f"{name}.{key}": tensor for name, parameter in model.named_parameters()
            for key, tensor in optimizer.state.get(parameter, {}).items()}


def load_state_tensors(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """Put back what `state_tensors` gave, onto the parameters' device. Raises ValueError where names or shapes differ."""
    parameters = dict(model.named_parameters())
    optimizer.state.clear()
    for name, tensor in tensors.items():
        parameter, key = parameters.get(name.rpartition(".")[0]), name.rpartition(".")[2]
        if parameter is None or (key != "step" and tensor.shape != parameter.shape):
            raise ValueError(f"The saved optimizer state does not belong to this model ({name}, {tuple(tensor.shape)}): "
                             "resume with the settings the run was started with.")
        optimizer.state[parameter][key] = tensor.detach().clone().to(parameter.device)
