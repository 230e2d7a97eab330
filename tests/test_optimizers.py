"""How weights move: Muon beside a singular value decomposition and PyTorch's own, Adam, and the schedule."""

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Generator, Tensor, nn

from vaebench.device import Workers
from vaebench.models.classifier import build_classifier
from vaebench.models.vae import build_vae
from vaebench.training.optimizers import WARM_UP, WEIGHT_DECAY, Muon, OptimizerName, Update, orthogonalize

RATE = 4e-3
# What five iterations make of every singular value above 1/500 of the matrix's norm.
LOW, HIGH = 0.68, 1.21

# The kernels between several channels, as matrices: of the VAE's encoder and decoder, and of the classifier.
SHAPES = [(64, 32 * 9), (64, 64 * 9), (128, 64 * 9), (3, 3), (2, 18)]


def random_matrix(rows: int, columns: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, columns, generator=Generator().manual_seed(seed), dtype=torch.float64)


def alone(matrix: Tensor) -> Tensor:
    """Orthogonalise a stack of one."""
    return orthogonalize(matrix[None]).squeeze(0)


def set_gradients(model: nn.Module, seed: int) -> None:
    """Draw every gradient, far from zero, and let it lie in memory as the weights do."""
    generator = Generator().manual_seed(seed)
    for parameter in model.parameters():
        drawn = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
        parameter.grad = torch.empty_like(parameter).copy_(drawn + drawn.sign())


def copies(model: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


# Orthogonal matrices.


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_singular_vectors_stay_and_singular_values_come_near_one(rows: int, columns: int) -> None:
    left, values, right = torch.linalg.svd(random_matrix(rows, columns), full_matrices=False)
    matrix = left * values @ right
    found = left.T @ alone(matrix) @ right.T
    near_one = found.diagonal()
    torch.testing.assert_close(found, near_one.diag(), rtol=0, atol=1e-9)  # no others
    assert values.min() > values.norm() / 500
    assert LOW < near_one.min() <= near_one.max() < HIGH
    torch.testing.assert_close(alone(matrix) @ right.T @ near_one.reciprocal().diag(), left)


def test_unequal_singular_values_come_near_one_too() -> None:
    left, _, right = torch.linalg.svd(random_matrix(40, 60), full_matrices=False)
    values = torch.logspace(0, -2.3, 40, dtype=torch.float64)  # down to 1/200
    found = (left.T @ alone(left * values @ right) @ right.T).diagonal()
    assert LOW < found.min() <= found.max() < HIGH


def test_each_singular_value_goes_through_five_polynomials() -> None:
    # Jordan et al., Muon, 2024: x ↦ 3.4445·x − 4.7750·x³ + 2.0315·x⁵.
    left, values, right = torch.linalg.svd(random_matrix(10, 30), full_matrices=False)
    values[-1] = 1e-4
    expected = []
    for share in (values / values.norm()).tolist():
        value = share
        for _ in range(5):
            value = 3.4445 * value - 4.7750 * value**3 + 2.0315 * value**5
        expected.append(value)
    found = (left.T @ alone(left * values @ right) @ right.T).diagonal()
    assert found.tolist() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("shape", [(1, 1), (64, 288)])
def test_zeros_stay_zeros(shape: tuple[int, int]) -> None:
    assert torch.equal(alone(torch.zeros(shape)), torch.zeros(shape))


@pytest.mark.parametrize("factor", [1e-5, 0.3, 1e6])
def test_scale_does_not_matter(factor: float) -> None:
    matrix = random_matrix(64, 288)
    torch.testing.assert_close(alone(factor * matrix), alone(matrix), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(alone(-matrix), -alone(matrix))


def test_in_single_precision_it_is_the_same_but_for_rounding() -> None:
    matrix = random_matrix(64, 576)
    found = alone(matrix.float())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), alone(matrix), rtol=1e-4, atol=1e-5)


def test_small_singular_values_survive_single_precision() -> None:
    left, _, right = torch.linalg.svd(random_matrix(64, 576), full_matrices=False)
    values = torch.logspace(0, -2.3, 64, dtype=torch.float64)
    matrix = left * values @ right
    found = (left.T @ alone(matrix.float()).double() @ right.T).diagonal()
    expected = (left.T @ alone(matrix) @ right.T).diagonal()
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0)
    assert LOW * 0.98 < found.min() <= found.max() < HIGH * 1.02


def test_directions_that_a_matrix_has_not_stay_out() -> None:
    # As where channels are dead: rank 5 of 64.
    left, values, right = torch.linalg.svd(random_matrix(64, 576), full_matrices=False)
    values[5:] = 0
    found = left.T @ alone((left * values @ right).float()).double() @ right.T
    assert LOW < found.diagonal()[:5].min() <= found.diagonal()[:5].max() < HIGH
    assert found[5:].norm() < 1e-3


def test_matrices_of_a_stack_do_not_meet() -> None:
    matrices = [random_matrix(8, 20, seed=seed) * 10.0**seed for seed in range(3)]
    stack = torch.stack([*matrices, torch.zeros(8, 20, dtype=torch.float64)])
    before = stack.clone()
    *found, nothing = orthogonalize(stack)
    for matrix, result in zip(matrices, found, strict=True):
        torch.testing.assert_close(result, alone(matrix), rtol=1e-12, atol=1e-12)
    assert torch.equal(nothing, torch.zeros(8, 20, dtype=torch.float64))
    assert torch.equal(stack, before)


# Muon.


@pytest.mark.parametrize("shape", [(64, 32, 3, 3), (64, 64, 3, 3), (5, 7, 3, 3), (2, 8, 1, 1)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_muon_is_pytorchs_on_the_flat_kernel(
    shape: tuple[int, int, int, int], layout: torch.memory_format
) -> None:
    generator = Generator().manual_seed(0)
    start = torch.randn(shape, generator=generator)
    kernel = nn.Parameter(start.clone(memory_format=layout))
    matrix = nn.Parameter(start.flatten(1).clone())
    own = Muon([kernel], RATE)
    pytorchs = torch.optim.Muon(
        [matrix],
        lr=RATE,
        weight_decay=0,
        momentum=0.95,
        nesterov=True,
        adjust_lr_fn="match_rms_adamw",
    )
    for _ in range(6):
        gradient = torch.randn(shape, generator=generator) + start  # turns, but not about
        kernel.grad = gradient.clone(memory_format=layout)
        matrix.grad = gradient.flatten(1)
        before, other_before = kernel.detach().flatten(1).clone(), matrix.detach().clone()
        own.step()
        pytorchs.step()
        step, other = kernel.detach().flatten(1) - before, matrix.detach() - other_before
        assert (step - other).norm() < 0.05 * other.norm()  # PyTorch's multiplies in bfloat16
    moved = kernel.detach() - start
    assert (moved.flatten(1) - (matrix.detach() - start.flatten(1))).norm() < 0.05 * moved.norm()
    assert kernel.is_contiguous(memory_format=layout)


def test_first_step_of_muon_is_against_the_gradient_and_as_large_as_adams() -> None:
    # An orthogonal 64×576 matrix has the norm 8, its elements a root mean square of 1/24: 0.2 of a rate.
    kernel = nn.Parameter(torch.zeros(64, 64, 3, 3))
    kernel.grad = torch.randn(kernel.shape, generator=Generator().manual_seed(0))
    Muon([kernel], RATE).step()
    left, _, right = torch.linalg.svd(kernel.grad.flatten(1), full_matrices=False)
    directions = (left.T @ kernel.detach().flatten(1) @ right.T).diagonal()
    size = 0.2 * RATE * math.sqrt(576)
    assert LOW * size < -directions.max() <= -directions.min() < HIGH * size
    root_mean_square = kernel.detach().square().mean().sqrt()
    assert LOW * 0.2 * RATE < root_mean_square < HIGH * 0.2 * RATE


def test_muon_remembers_gradients() -> None:
    kernel = nn.Parameter(torch.zeros(4, 4, 3, 3))
    optimizer = Muon([kernel], RATE)
    kernel.grad = torch.randn(kernel.shape, generator=Generator().manual_seed(0))
    optimizer.step()
    before = kernel.detach().clone()
    kernel.grad = torch.zeros_like(kernel)
    optimizer.step()
    assert (kernel.detach() - before).norm() > 0.1 * before.norm()


def test_kernels_of_one_shape_move_as_each_alone() -> None:
    generator = Generator().manual_seed(0)
    starts = torch.randn(3, 6, 4, 3, 3, generator=generator, dtype=torch.float64)
    together, apart = ([nn.Parameter(start.clone()) for start in starts] for _ in range(2))
    optimizers = [Muon(together, RATE), *(Muon([kernel], RATE) for kernel in apart)]
    for _ in range(3):
        for kernel, other in zip(together, apart, strict=True):
            kernel.grad = torch.randn(kernel.shape, generator=generator, dtype=torch.float64)
            other.grad = kernel.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for kernel, other, start in zip(together, apart, starts, strict=True):
        assert not torch.equal(kernel, start)
        torch.testing.assert_close(kernel, other, rtol=1e-10, atol=1e-12)


def test_step_leaves_the_gradients() -> None:
    kernel = nn.Parameter(torch.zeros(4, 4, 3, 3))
    kernel.grad = torch.randn(kernel.shape, generator=Generator().manual_seed(0))
    before = kernel.grad.clone()
    optimizer = Muon([kernel], RATE)
    for _ in range(2):
        optimizer.step()
    assert torch.equal(kernel.grad, before)


def test_kernel_without_gradients_stays() -> None:
    kernel = nn.Parameter(torch.randn(4, 4, 3, 3, generator=Generator().manual_seed(0)))
    before = kernel.detach().clone()
    kernel.grad = torch.zeros_like(kernel)
    Muon([kernel], RATE).step()
    assert torch.equal(kernel, before)


# Adam.


def test_adam_is_pytorchs_own(workers: Workers) -> None:
    own, plain = build_vae(2, seed=0), build_vae(2, seed=0)
    update = Update(own, "adam", RATE, steps=100, workers=workers)
    optimizer = torch.optim.Adam(plain.parameters(), lr=RATE, fused=True)
    for step in range(4):
        for model in (own, plain):
            set_gradients(model, seed=step)
        update()
        optimizer.step()
    for weight, expected in zip(own.parameters(), plain.parameters(), strict=True):
        assert torch.equal(weight, expected)


def test_adam_goes_on_at_its_rate(workers: Workers) -> None:
    rates = list(measured_rates("adam", 30, workers))
    assert rates == pytest.approx([RATE] * 30, rel=1e-9)


# The schedule.


def measured_rates(name: OptimizerName, steps: int, workers: Workers) -> Iterator[float]:
    """What each step moves a weight by under a gradient that is always 1: Adam's learning rate."""
    model = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        model.weight.zero_()
    update = Update(model, name, RATE, steps, workers)
    for _ in range(steps):
        model.weight.grad = torch.ones(1, 1, dtype=torch.float64)
        before = model.weight.item()
        update()
        decay = WEIGHT_DECAY if name == "muon" else 0
        # AdamW takes rate · decay · weight besides; Adam's epsilon is a hundred-millionth of the gradient.
        yield (before - model.weight.item()) / (1 + decay * before) * (1 + 1e-8)


@pytest.mark.parametrize("steps", [40, 200, 2350])
def test_rate_rises_to_its_peak_and_falls_to_almost_nothing(workers: Workers, steps: int) -> None:
    rates = list(measured_rates("muon", steps, workers))
    top = rates.index(max(rates))
    assert abs(top - WARM_UP * steps) <= 2
    assert 0.75 * RATE < rates[top] <= RATE * (1 + 1e-6)
    assert rates[0] < RATE / 10
    assert 0 < rates[-1] < 2 * RATE / steps
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


@pytest.mark.parametrize("steps", range(1, 31))
def test_training_may_have_any_number_of_steps(workers: Workers, steps: int) -> None:
    rates = list(measured_rates("muon", steps, workers))
    assert len(rates) == steps
    assert all(0 < rate <= RATE * (1 + 1e-6) for rate in rates)
    assert steps < 4 or rates[-1] < max(rates) / 2


def test_kernels_are_on_the_same_schedule(workers: Workers) -> None:
    steps = 50
    convolution = nn.Conv2d(4, 4, 3, dtype=torch.float64)
    assert convolution.bias is not None
    update = Update(convolution, "muon", RATE, steps, workers)
    gradient = random_matrix(4, 36).view(4, 4, 3, 3)
    expected = list(measured_rates("muon", steps, workers))
    sizes = []
    for _ in range(steps):
        convolution.weight.grad, convolution.bias.grad = gradient.clone(), torch.zeros_like(convolution.bias)
        before = convolution.weight.detach().clone()
        update()
        sizes.append(float((convolution.weight.detach() - before).norm()))
    # The gradient does not turn, and so neither does its momentum: steps differ by their rates alone.
    assert [size / sizes[0] for size in sizes] == pytest.approx(
        [rate / expected[0] for rate in expected], rel=1e-6
    )


# What is moved by what.


@pytest.fixture(params=["vae", "classifier"])
def model(request: pytest.FixtureRequest) -> nn.Module:
    return build_vae(2, seed=0) if request.param == "vae" else build_classifier(seed=0)


def test_kernels_between_channels_go_to_muon_and_all_else_to_adamw(
    model: nn.Module, workers: Workers
) -> None:
    before = copies(model)
    set_gradients(model, seed=0)
    Update(model, "muon", RATE, steps=200, workers=workers)()
    rate = next(measured_rates("muon", 200, workers))
    by_muon = set()
    for (name, weight), start in zip(model.named_parameters(), before, strict=True):
        assert weight.grad is not None
        moved = weight.detach() - start
        if weight.ndim == 4 and min(weight.shape[:2]) > 1:
            by_muon.add(name)
            expected = -alone(weight.grad.flatten(1)).view_as(weight)
            expected *= rate * 0.2 * math.sqrt(max(weight.flatten(1).shape))
        else:
            # The first step of Adam is of the rate's size everywhere; and it is made once.
            expected = -rate * (weight.grad.sign() + WEIGHT_DECAY * start)
        assert float(moved.norm()) > 0, name
        torch.testing.assert_close(moved, expected, rtol=1e-3, atol=1e-7, msg=name)
    kernels = {
        name for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    }
    from_or_to_images = {"encoder.0.0", "decoder.2.6", "layers.0"}
    assert by_muon == {f"{name}.weight" for name in kernels - from_or_to_images}
    assert len(by_muon) == (6 if hasattr(model, "decoder") else 3)


@pytest.mark.usefixtures("global_rng_untouched")
@pytest.mark.parametrize("name", ["adam", "muon"])
def test_number_of_workers_changes_no_bit(
    model: nn.Module, crews: list[Workers], name: OptimizerName
) -> None:
    start = copies(model)
    results = set()
    for workers in crews:
        with torch.no_grad():
            for parameter, weight in zip(model.parameters(), start, strict=True):
                parameter.copy_(weight)
        update = Update(model, name, RATE, steps=3, workers=workers)
        for step in range(3):
            set_gradients(model, seed=step)
            update()
        results.add(b"".join(weight.contiguous().numpy().tobytes() for weight in copies(model)))
    assert len(results) == 1


@pytest.mark.parametrize("name", ["adam", "muon"])
def test_weights_stay_where_they_lie_in_memory(
    model: nn.Module, workers: Workers, name: OptimizerName
) -> None:
    # The models of the gradients' slots share them.
    places = [(parameter.data_ptr(), parameter.stride()) for parameter in model.parameters()]
    update = Update(model, name, RATE, steps=2, workers=workers)
    for step in range(2):
        set_gradients(model, seed=step)
        update()
    assert [(parameter.data_ptr(), parameter.stride()) for parameter in model.parameters()] == places


def test_accelerator_takes_the_same_steps(model: nn.Module, workers: Workers) -> None:
    start = copies(model)
    results = []
    for crew in (workers, Workers(torch.device("meta"))):  # stands for a device that is not the CPU
        with torch.no_grad():
            for parameter, weight in zip(model.parameters(), start, strict=True):
                parameter.copy_(weight)
        set_gradients(model, seed=0)
        Update(model, "muon", RATE, steps=5, workers=crew)()
        results.append(copies(model))
    for weight, other in zip(*results, strict=True):
        assert torch.equal(weight, other)
