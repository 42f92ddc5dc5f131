"""FaceModel: any timm ViT, saving and loading, clear errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from tiny_pack import tiny_config

from faceperc.config import FaceModelConfig
from faceperc.errors import ConfigError, FacepercError, ModelError
from faceperc.model import FaceModel
from faceperc.runtime import OnnxModel
from faceperc.transfer import subset, take_weights
from faceperc.zoo import find_model, find_weights

ROOT = Path(__file__).parents[1]
NETWORKS = sorted(ROOT.glob("configs/model/*.yaml"))


def crops(count: int, size: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8)


BACKBONES = {
    "tiny test network": {"name": "test_vit", "image_size": 64, "blocks": 2},
    "convolutional stem": {
        "name": "vit_tiny_patch16_224",
        "image_size": 64,
        "blocks": 3,
        "conv_stem": True,
        "options": {"depth": 3},
    },
    "8 px patches": {"name": "test_vit", "image_size": 32, "blocks": 1, "options": {"patch_size": 8}},
    "registers and RoPE": {"name": "test_vit3", "image_size": 48, "blocks": 2},
    "14 px patches (EVA)": {
        "name": "eva02_tiny_patch14_224",
        "image_size": 56,
        "blocks": 2,
        "options": {"depth": 2},
    },
}


@pytest.mark.parametrize("backbone", BACKBONES)
def test_any_timm_vit(backbone: str) -> None:
    config = FaceModelConfig.from_dict(tiny_config(backbone=BACKBONES[backbone]))
    size = config.backbone.image_size
    model = FaceModel(config).eval()
    with torch.inference_mode():
        outputs = model.decode(model(crops(2, size)))
    assert tuple(outputs) == tuple(config.heads)
    assert outputs["landmarks"]["points"].shape == (2, 68, 2)
    assert outputs["parsing"]["scores"].shape == (2, 11, size // 2, size // 2)


@pytest.mark.parametrize("path", NETWORKS, ids=lambda path: path.stem)
def test_the_networks_of_the_repository(path: Path) -> None:
    config = FaceModelConfig.from_dict(yaml.safe_load(path.read_text()))
    config.backbone.pretrained = False  # timm's weights lie on the Hub
    model = FaceModel(config).eval()
    with torch.inference_mode():
        outputs = model.decode(model(crops(1, model.config.backbone.image_size)))
    assert path.stem.startswith(model.config.name.removeprefix("faceperc-").partition("-")[0])
    assert {"landmarks", "pose", "parsing", "expression", "age", "gender", "attributes"} <= set(outputs)


@pytest.mark.parametrize("tasks", [None, ["pose", "gender"]])
def test_every_parameter_learns(tasks: list[str] | None) -> None:
    """Also where no head is dense: DDP refuses parameters without a gradient."""
    config = tiny_config(backbone=BACKBONES["convolutional stem"])
    config["heads"] = {task: config["heads"][task] for task in tasks or config["heads"]}
    model = FaceModel(FaceModelConfig.from_dict(config))
    raw = model(crops(2, 64))
    sum(value.float().square().mean() for fields in raw.values() for value in fields.values()).backward()
    idle = [
        name for name, p in model.named_parameters() if p.grad is None and "backbone.vit.norm" not in name
    ]
    assert idle == []


def test_batch_of_one_equals_batch_of_many() -> None:
    model = FaceModel(FaceModelConfig.from_dict(tiny_config())).eval()
    pixels = crops(4, 64)
    with torch.inference_mode():
        together, alone = model.decode(model(pixels)), model.decode(model(pixels[2:3]))
    for task, fields in together.items():
        for field, value in fields.items():
            torch.testing.assert_close(value[2:3], alone[task][field], rtol=1e-4, atol=1e-4)


def test_saved_and_loaded_models_answer_the_same(tmp_path: Path) -> None:
    model = FaceModel(FaceModelConfig.from_dict(tiny_config())).eval()
    loaded = FaceModel.load(model.save(tmp_path / "model"))
    assert loaded.weights_sha256() == model.weights_sha256()
    assert loaded.config == model.config
    pixels = crops(2, 64)
    with torch.inference_mode():
        for task, fields in model(pixels).items():
            for field, value in fields.items():
                assert torch.equal(value, loaded(pixels)[task][field])
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]


def test_the_weights_to_start_from_are_those_of_the_shipped_file() -> None:
    model = FaceModel.load(find_weights("faceperc-nano"))
    assert model.weights_sha256() == OnnxModel(find_model("faceperc-nano")).metadata.weights_sha256


def test_order_of_the_tasks_changes_no_answer() -> None:
    """``subset`` gives every task its own weights and queries; attention knows no order."""
    model = FaceModel(FaceModelConfig.from_dict(tiny_config())).eval()
    other = subset(model, model.tasks[::-1])
    assert other.tasks == model.tasks[::-1] and not other.training
    pixels = crops(2, 64)
    with torch.inference_mode():
        answers, others = model(pixels), other(pixels)
    for task, fields in answers.items():
        for field, value in fields.items():
            torch.testing.assert_close(others[task][field], value, rtol=1e-4, atol=1e-4)


def test_subset_has_only_what_its_tasks_need() -> None:
    model = FaceModel(FaceModelConfig.from_dict(tiny_config())).eval()
    part = subset(model, ["pose", "gender"])
    names, weights = set(part.state_dict()), model.state_dict()
    assert names < set(weights)
    assert not [name for name in names if name.startswith(("pixels", "heads.parsing", "heads.landmarks"))]
    assert part.decoder.identity.shape[1] == 1 + 1
    for name, value in part.state_dict().items():
        assert name == "decoder.identity" or torch.equal(value, weights[name])
    # and back: a model with a dense head starts from one without
    whole = FaceModel(model.config)
    assert set(take_weights(whole, part)) == set(model.tasks) - {"pose", "gender"}
    assert torch.equal(whole.state_dict()["heads.pose.mlp.0.weight"], weights["heads.pose.mlp.0.weight"])


def test_damaged_models_are_refused(tmp_path: Path) -> None:
    folder = FaceModel(FaceModelConfig.from_dict(tiny_config())).save(tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    weights.pop("heads.pose.mlp.0.weight")
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(ModelError, match=r"heads\.pose\.mlp"):
        FaceModel.load(folder)
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ModelError, match="not a saved faceperc model"):
        FaceModel.load(folder)
    with pytest.raises(ModelError, match="nowhere"):
        FaceModel.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "change",
    [
        "null", "[" * 100_000, {"backbone": {"name": None}},
        {"backbone": {"name": "test_vit", "image_size": -1}},
        {"backbone": {"name": "test_vit", "options": None}}, {"decoder": {"heads": None}},
        {"heads": {"pose": {"head": None}}},
    ],
    ids=lambda change: str(change)[:30],
)  # fmt: skip
def test_a_configuration_that_cannot_be_is_our_error(tmp_path: Path, change: Any) -> None:
    folder = FaceModel(FaceModelConfig.from_dict(tiny_config())).save(tmp_path / "model")
    text = change if isinstance(change, str) else json.dumps(tiny_config(**change))
    (folder / "config.json").write_text(text)
    with pytest.raises(
        FacepercError, match=r"config\.json|not a saved faceperc model|heads\.|backbone|decoder"
    ):
        FaceModel.load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backbon": {}}, r"model\.backbon:.*'backbone'"),
        ({"backbone": {"name": "test_vit", "image_sise": 64}}, r"backbone\.image_sise.*image_size"),
        ({"backbone": {"name": "vit_of_nobody", "image_size": 64}}, "vit_of_nobody"),
        ({"backbone": {"name": "hf-hub:somebody/else", "image_size": 64}}, "not allowed"),
        ({"backbone": {"name": "test_vit", "options": {"checkpoint_path": "x.bin"}}}, "checkpoint_path"),
        ({"decoder": {"heads": 7}}, r"decoder\.heads"),
        ({"backbone": {"name": "resnet18", "image_size": 64}}, "resnet18"),
        ({"backbone": {"name": "test_vit", "image_size": 60}}, "60"),
        ({"backbone": {"name": "test_vit", "image_size": 64, "blocks": 99}}, "blocks"),
        ({"heads": {}}, "heads"),
        ({"heads": {"pose": {"head": "faceperc.heads.pose.Nose"}}}, r"heads\.pose\.head.*Nose"),
        ({"heads": {"pose": {"head": "pathlib.Path"}}}, "is not a Head"),
        ({"heads": {"pose": {"head": "antigravity.Fly"}}}, "import antigravity first"),
        ({"heads": {"pose": {"head": "faceperc.heads.pose.Pose", "options": {"wait": 1}}}}, "weight"),
    ],
)
def test_wrong_configurations_name_the_key(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FaceModel(FaceModelConfig.from_dict(json.loads(json.dumps(tiny_config(**change)))))
