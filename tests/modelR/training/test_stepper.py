import pytest
import torch

from cfg.schema import Config, ModelConfig, TrainConfig
from modelR.build import build_model
from modelR.training.stepper import Stepper
from utils.records import Batch, Objects


@pytest.mark.parametrize(("scale", "finite"), [(None, False), (1.0, False), (4096.0, True)])
def test_gradients_that_no_scale_makes_finite_are_bad_steps(scale: float | None, finite: bool) -> None:
    """Of float16 a large scale overflows now and then; the scaler leaves such a step out and halves it."""
    model = build_model(Config(model=ModelConfig(size="nano")), 2)
    stepper = Stepper(model, TrainConfig(amp=False), torch.device("cpu"), 10)
    stepper.train_mode()
    if scale is not None:
        stepper.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    before = [parameter.clone() for parameter in model.parameters()]
    next(model.parameters()).register_hook(lambda gradient: gradient * torch.inf)
    images = torch.rand(1, 3, 64, 64)
    objects = Objects(
        torch.tensor([[[8.0, 8.0], [40.0, 8.0], [40.0, 30.0], [8.0, 30.0]]]),
        torch.zeros(1, dtype=torch.int64),
        torch.ones(1),
        torch.zeros(1, dtype=torch.bool),
        torch.zeros(1, dtype=torch.int64),
    )
    losses = stepper.step([Batch(images, objects, [], torch.zeros(1))])
    assert (losses is not None) == finite
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), before, strict=True))
    assert stepper.scaler.get_scale() == (1.0 if scale is None else scale / 2)
