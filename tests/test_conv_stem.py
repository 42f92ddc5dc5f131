"""Convolutions in the stem and between the tokens: a trained model can grow them; they learn and export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_pack import tiny_config

from faceperc.backbone import Backbone
from faceperc.config import FaceModelConfig
from faceperc.conv_stem import TokenConv
from faceperc.errors import ConfigError
from faceperc.export.onnx import export_onnx
from faceperc.mae import AutoencoderConfig, MaskedAutoencoder
from faceperc.model import FaceModel, Outputs, labelled_rows, masked_losses, read_backbone
from faceperc.runtime import OnnxModel
from faceperc.transfer import take_backbone, take_weights
from faceperc.widen import widened

PLAIN: dict[str, Any] = {
    "name": "vit_tiny_patch16_224",
    "image_size": 64,
    "blocks": 2,
    "conv_stem": True,
    "options": {"depth": 2, "embed_dim": 64, "num_heads": 2},
}
STEM: dict[str, Any] = {"stem_blocks": [1, 2, 0]}
TOKENS: dict[str, Any] = {"token_convs": True}


def network(**changes: Any) -> FaceModelConfig:
    return FaceModelConfig.from_dict(tiny_config(backbone=PLAIN | changes))


def trained(config: FaceModelConfig) -> FaceModel:
    """A model in which nothing is zero any more, in evaluation mode."""
    torch.manual_seed(0)
    model = FaceModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def crops(count: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.randint(0, 256, (count, 64, 64, 3), dtype=torch.uint8, generator=generator)


def answers(model: FaceModel) -> Outputs:
    with torch.inference_mode():
        return model.eval().decode(model(crops()))


@pytest.mark.parametrize("added", [STEM, TOKENS, STEM | TOKENS], ids=["stem", "tokens", "both"])
def test_a_grown_model_answers_as_before_and_then_learns(added: dict[str, Any]) -> None:
    before = trained(network())
    grown = FaceModel(network(**added))
    assert take_weights(grown, before) == ()
    for task, fields in answers(before).items():
        for field, value in fields.items():
            torch.testing.assert_close(answers(grown)[task][field], value, rtol=1e-4, atol=1e-4)
    optimiser = torch.optim.SGD(grown.parameters(), lr=0.1)
    new = [name for name, _ in grown.named_parameters() if name not in before.state_dict()]
    start = {name: each.detach().clone() for name, each in grown.named_parameters()}
    for _ in range(2):  # what lies before a zero learns from the second step on
        optimiser.zero_grad()
        raw = grown.train()(crops())
        sum(value.float().square().mean() for fields in raw.values() for value in fields.values()).backward()
        optimiser.step()
    assert new and all(not torch.equal(start[name], grown.get_parameter(name)) for name in new)


def test_other_layers_may_not_be_missing() -> None:
    with pytest.raises(ConfigError, match="weights lack"):
        take_weights(FaceModel(network()), trained(network(conv_stem=False)))


def test_pixels_read_the_early_features() -> None:
    model = trained(network(**STEM))
    assert model.pixels is not None and model.pixels.early is not None
    with_early = answers(model)["parsing"]["scores"]
    torch.nn.init.zeros_(model.pixels.early.weight)
    assert not torch.allclose(with_early, answers(model)["parsing"]["scores"])
    plain = trained(network()).pixels
    assert plain is not None and plain.early is None


def test_a_token_hears_its_neighbours_only_and_class_tokens_nothing() -> None:
    conv = TokenConv(4)
    torch.nn.init.ones_(conv.conv.weight)
    tokens = torch.zeros(1, 1 + 5 * 5, 4)
    tokens[0, 1 + 12] = 1.0  # the middle of the grid
    heard = conv(tokens)[0]
    assert (heard[0] == 0).all()
    grid = heard[1:].unflatten(0, (5, 5))
    assert (grid[1:4, 1:4] == 1).all() and grid.sum() == 9 * 4


@pytest.mark.parametrize("added", [STEM, STEM | TOKENS], ids=["stem", "both"])
def test_it_exports(added: dict[str, Any], tmp_path: Path) -> None:
    model = trained(network(**added))
    export_onnx(model, tmp_path / "model.onnx")
    exported = OnnxModel(tmp_path / "model.onnx")
    arrays = exported.run({exported.metadata.input: crops().numpy()})
    for task, fields in answers(model).items():
        for field, value in fields.items():
            array = torch.from_numpy(arrays[exported.metadata.tasks[task].fields[field].output])
            torch.testing.assert_close(array, value, rtol=1e-3, atol=2e-3)


def test_it_can_be_widened() -> None:
    narrow = trained(network(**STEM, **TOKENS))
    options = {"depth": 2, "embed_dim": 128, "num_heads": 4}
    wide = network(**STEM, **TOKENS, options=options)
    wide.decoder.heads *= 2
    theirs, ours = answers(narrow), answers(widened(narrow, wide))
    torch.testing.assert_close(
        ours["landmarks"]["points"], theirs["landmarks"]["points"], rtol=1e-4, atol=2e-3
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stem_blocks": [1, 2]}, "3 numbers"),
        ({"stem_blocks": [1, 2, -1]}, "3 numbers"),
        ({"stem_blocks": [1, 1, 1], "conv_stem": False}, "conv_stem to true"),
        ({"token_convs": True, "conv_stem": False, "pretrained": True}, "token_convs"),
        ({"token_convs": True, "conv_stem": False, "name": "eva02_tiny_patch14_224"}, "cannot create"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Backbone(network(**changes).backbone)


@pytest.mark.parametrize("added", [STEM, TOKENS], ids=["stem", "tokens"])
def test_masked_pretraining_leaves_out_what_sees_beyond_a_patch(
    added: dict[str, Any], tmp_path: Path
) -> None:
    folder = MaskedAutoencoder(network(**added), AutoencoderConfig()).save(tmp_path)
    plain, grown = FaceModel(network()), FaceModel(network(**added)).eval()
    weights = read_backbone(folder)
    take_backbone(plain.backbone, weights)
    take_backbone(grown.backbone, weights)
    images = plain.backbone.normalise(crops())
    with torch.no_grad():
        expected, found = (each.eval().backbone(images).depths[-1] for each in (plain, grown))
    torch.testing.assert_close(found, expected)
    with pytest.raises(ConfigError, match="has no vit"):
        take_backbone(plain.backbone, grown.backbone.state_dict())


def test_heads_that_work_for_labelled_samples_alone_give_the_same_losses() -> None:
    model = trained(network(**STEM))
    whole = model(crops(6))
    generator = torch.Generator().manual_seed(1)
    valid = {task: (torch.rand(6, generator=generator) > 0.5).float() for task in model.tasks}
    valid["age"].zero_()  # nobody's age is known
    rows = labelled_rows(valid)
    part = model.forward_rows(crops(6), rows)
    assert rows["age"].tolist() == [0]
    for task, fields in part.items():
        for field, value in fields.items():
            torch.testing.assert_close(value, whole[task][field][rows[task]], rtol=1e-4, atol=1e-4)
    age = {"value": torch.full((6,), 30.0)}
    losses = [
        masked_losses(model, raw, {"age": targets}, valid)["age"]
        for raw, targets, valid in (
            (whole, age, {"age": valid["age"]}),
            (part, {"value": age["value"][rows["age"]]}, {"age": valid["age"][rows["age"]]}),
        )
    ]
    assert losses[0] == losses[1] == 0
    losses[1].backward()
    assert all(each.grad is not None for each in model.head("age").parameters())
