"""A wider model answers as the narrow one that it starts from, and then learns with all of its width."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from test_train import recipe
from tiny_pack import tiny_config, write_pack
from torch import nn

from faceperc.config import FaceModelConfig
from faceperc.errors import ConfigError
from faceperc.model import FaceModel, Outputs
from faceperc.train import FaceTraining, main
from faceperc.widen import widened

HEADS = tiny_config()["heads"]  # landmarks with `refine`, parsing, and five that read no pixels
QUICK = ["--trainer.limit_val_batches", "0"]
MESH = {"head": "faceperc.heads.mesh.Mesh", "options": {}}  # its points are in another order than its queries


def config(
    times: int = 1,
    pixel_dim: int = 16,
    conv_stem: bool = False,
    heads: dict[str, Any] | None = None,
    decoder: dict[str, Any] | None = None,
    **backbone: Any,
) -> FaceModelConfig:
    """A backbone of ``times`` 64 channels in ``times`` 2 attention heads."""
    options = {"embed_dim": 64 * times, "num_heads": 2 * times, "depth": 2, "drop_path_rate": 0.1}
    values = tiny_config(
        heads=heads or HEADS,
        decoder={"heads": 4 * times, "blocks": 1, "mlp_ratio": 2.0, "pixel_dim": pixel_dim}
        | (decoder or {}),
        backbone={"name": "vit_tiny_patch16_224", "image_size": 64, "blocks": 2, "conv_stem": conv_stem}
        | {"options": options} | backbone,
    )  # fmt: skip
    return FaceModelConfig.from_dict(values)


def trained(of: FaceModelConfig) -> FaceModel:
    """A model in which nothing is at its start: no weight is zero, no statistic of a norm is plain."""
    torch.manual_seed(0)
    model = FaceModel(of).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                assert module.running_mean is not None and module.running_var is not None
                module.running_mean.normal_(std=0.2)
                module.running_var.uniform_(0.5, 2.0)
    return model


def crops() -> torch.Tensor:
    return torch.randint(
        0, 256, (3, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(7)
    )


def answers(model: FaceModel) -> Outputs:
    with torch.inference_mode():
        return model.eval().decode(model(crops()))


@pytest.mark.parametrize("conv_stem", [False, True])
@pytest.mark.parametrize("times", [2, 3])
@pytest.mark.parametrize("pixel_dim", [16, 48])
def test_the_wide_model_answers_as_the_narrow_one(conv_stem: bool, times: int, pixel_dim: int) -> None:
    heads = HEADS | {"mesh": MESH}
    narrow = trained(config(conv_stem=conv_stem, heads=heads))
    before = {name: each.clone() for name, each in narrow.state_dict().items()}
    wide = widened(narrow, config(times, pixel_dim, conv_stem, heads))
    assert wide.backbone.dim == 64 * times and not narrow.training
    assert all(torch.equal(each, before[name]) for name, each in narrow.state_dict().items())
    theirs, ours = answers(narrow), answers(wide)
    assert theirs.keys() == ours.keys() == heads.keys()
    for task, fields in theirs.items():
        for field, value in fields.items():
            torch.testing.assert_close(ours[task][field], value, rtol=1e-4, atol=2e-3)


def test_wider_pixels_alone() -> None:
    narrow = trained(config())
    theirs, ours = answers(narrow), answers(widened(narrow, config(pixel_dim=32)))
    torch.testing.assert_close(ours["parsing"]["scores"], theirs["parsing"]["scores"], rtol=1e-4, atol=1e-4)


def test_it_learns_in_training_mode() -> None:
    """Lightning keeps the mode: a model in evaluation mode would train without drop path."""
    assert all(module.training for module in widened(trained(config()), config(2)).modules())


def test_copies_share_unevenly_and_become_different() -> None:
    wide = widened(trained(config()), config(2, 32))
    reader = wide.backbone.vit.blocks[0].mlp.fc1.weight
    first, second = reader.detach().chunk(2, dim=1)
    assert not torch.allclose(first, second, rtol=0.1)
    channels = {  # of each the two copies, which start with the same values
        "tokens": lambda: wide.backbone(wide.backbone.normalise(crops())).depths[-1].chunk(2, dim=2),
        "pixels": lambda: wide.pixels(*_pixel_input(wide)).chunk(2, dim=1),  # type: ignore[misc]
    }
    wide.eval()
    for copies in channels.values():
        torch.testing.assert_close(*copies(), rtol=1e-3, atol=1e-4)
    optimiser = torch.optim.AdamW(wide.parameters(), lr=1e-3)
    target = torch.linspace(-1, 1, 3)
    for _ in range(2):  # kernels share evenly: what only they read waits for the second step
        raw = wide(crops())
        loss = sum((value.flatten(1).mean(1) - target).square().mean()
                   for fields in raw.values() for value in fields.values())  # fmt: skip
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    for name, copies in channels.items():
        one, other = copies()
        assert (one - other).abs().mean() > 1e-3 * one.abs().mean(), name


def _pixel_input(model: FaceModel) -> tuple[torch.Tensor, torch.Tensor]:
    image = model.backbone.normalise(crops())
    seen = model.backbone(image)
    tokens = model.decoder(seen.depths)[1]
    assert tokens is not None
    return tokens, image


def test_the_same_seed_gives_the_same_model() -> None:
    narrow = trained(config())
    one, again, other = (widened(narrow, config(2), seed).weights_sha256() for seed in (0, 0, 1))
    assert one == again != other


NARROW = config()
OPTIONS = {"embed_dim": 128, "num_heads": 4, "depth": 2}


def test_a_model_that_would_answer_differently_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer of somebody's own, of which `widened` cannot know what it multiplies."""
    monkeypatch.setattr("faceperc.widen.Parsing", nn.Bilinear)
    narrow = trained(NARROW)
    with torch.no_grad():
        narrow.get_submodule("heads.parsing.mlp.2").get_parameter("weight").mul_(20)  # a sure one
    with pytest.raises(ConfigError, match="parsing answers differently"):
        widened(narrow, config(2, 32))


@pytest.mark.parametrize(
    ("wide", "reason"),
    [
        (
            config(options=OPTIONS | {"embed_dim": 96, "num_heads": 3}, decoder={"heads": 6}),
            "96 wide, no multiple of 64",
        ),
        (config(2, pixel_dim=24), "wide, no multiple of "),
        (config(2, decoder={"heads": 4}), "decoder.heads must be 8 for a backbone 128 wide, not 4"),
        (config(options=OPTIONS | {"num_heads": 2}, decoder={"heads": 8}), "num_heads must be 4"),
        (config(options=OPTIONS | {"depth": 3}, decoder={"heads": 8}), "one of the models has backbone.vit"),
        (config(2, decoder={"blocks": 2}), "decoder.blocks is 1 in the model to widen; here it is 2"),
        (config(2, heads={"pose": HEADS["pose"]}), "heads is .*landmarks"),
        (config(2, heads=dict(reversed(HEADS.items()))), "order of the tasks"),
        (config(2, heads=HEADS | {"landmarks": {"head": HEADS["landmarks"]["head"], "options": {}}}),
         "one of the models has heads.landmarks.evidence"),
        (config(2, image_size=96), "backbone.image_size is 64"),
        (config(2, conv_stem=True), "backbone.conv_stem"),
        (config(2, pretrained=True), "backbone.pretrained"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(wide: FaceModelConfig, reason: str) -> None:
    with pytest.raises(ConfigError, match=f"widen_from: .*{reason}"):
        widened(trained(NARROW), wide)


def test_training_starts_from_a_narrower_model_and_records_what_that_learned_from(tmp_path: Path) -> None:
    heads = dict(sorted(HEADS.items()))  # the recipe's file is sorted
    folder = trained(config(heads=heads)).save(tmp_path / "narrow")
    (folder / "training.json").write_text(json.dumps({"data": [{"name": "elsewhere", "licence": "CC0"}]}))
    values = dataclasses.asdict(config(2, heads=heads))
    path = recipe(tmp_path, write_pack(tmp_path / "pack"), **values)
    started = FaceTraining(FaceModelConfig.from_dict(values), widen_from=str(folder))
    torch.testing.assert_close(
        answers(started.model)["pose"]["matrix"], answers(FaceModel.load(folder))["pose"]["matrix"],
        rtol=1e-3, atol=1e-4,
    )  # fmt: skip
    assert main([str(path), "--model.widen_from", str(folder), "--data.epoch_size", "16", *QUICK]) == 0
    assert FaceModel.load(tmp_path / "run/model").backbone.dim == 128
    sources = json.loads((tmp_path / "run/model/training.json").read_text())["data"]
    assert {"name": "elsewhere", "licence": "CC0"} in sources
    assert {"w300", "fer2013"} <= {each["name"] for each in sources}
