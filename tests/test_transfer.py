"""A model starts from another one that has fewer, more, or other tasks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_pack import tiny_config

from faceperc.config import FaceModelConfig
from faceperc.errors import ConfigError
from faceperc.head import Features
from faceperc.model import FaceModel
from faceperc.transfer import take_weights

HEADS = tiny_config()["heads"]
MESH = {"head": "faceperc.heads.mesh.Mesh", "options": {}}


def model(seed: int, heads: dict[str, Any], **changes: Any) -> FaceModel:
    torch.manual_seed(seed)
    return FaceModel(FaceModelConfig.from_dict(tiny_config(heads=heads, **changes)))


def answers(of: FaceModel) -> dict[str, dict[str, torch.Tensor]]:
    crops = torch.randint(
        0, 256, (2, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    with torch.inference_mode():
        return of.eval()(crops)


def test_the_same_tasks_in_another_order_answer_the_same() -> None:
    old, new = model(0, HEADS), model(1, dict(reversed(HEADS.items())))
    assert take_weights(new, old) == ()
    before, after = answers(old), answers(new)
    for task, fields in before.items():
        for name, value in fields.items():
            torch.testing.assert_close(after[task][name], value, rtol=1e-4, atol=1e-4)


def test_a_new_task_starts_afresh_and_the_rest_is_taken_over() -> None:
    old, new = model(0, HEADS), model(1, {"mesh": MESH} | HEADS)
    fresh = {name: value.clone() for name, value in new.head("mesh").state_dict().items()}
    queries = new.head("mesh").num_queries
    first = new.decoder.identity[:, :queries].clone()
    assert take_weights(new, old) == ("mesh",)
    assert all(torch.equal(new.head("mesh").state_dict()[name], value) for name, value in fresh.items())
    assert torch.equal(new.decoder.identity[:, :queries], first)
    assert torch.equal(new.decoder.identity[:, queries:], old.decoder.identity)
    assert torch.equal(
        new.head("pose").state_dict()["mlp.0.weight"], old.head("pose").state_dict()["mlp.0.weight"]
    )


def test_a_head_of_another_size_starts_afresh() -> None:
    old = model(0, {task: HEADS[task] for task in ("pose", "gender")})
    six_dims, with_scale = HEADS["pose"], {"head": HEADS["pose"]["head"], "options": {"loss": "laplace"}}
    new = model(1, {"pose": with_scale, "gender": HEADS["gender"]})
    assert take_weights(new, old) == ("pose",)
    back = model(2, {"pose": six_dims, "gender": HEADS["gender"]})
    assert take_weights(back, old) == ()


def test_tasks_that_are_left_out_take_their_queries_along() -> None:
    old, new = model(0, HEADS), model(1, {"gender": HEADS["gender"]})
    assert take_weights(new, old) == ()
    rows = [task for task in old.tasks for _ in range(old.head(task).num_queries)]
    assert torch.equal(new.decoder.identity[0, 0], old.decoder.identity[0, rows.index("gender")])


@pytest.mark.parametrize("size", [32, 96])
def test_crops_of_another_size(size: int) -> None:
    backbone = tiny_config()["backbone"] | {"image_size": size}
    old, new = model(0, HEADS), model(1, HEADS, backbone=backbone)
    assert take_weights(new, old) == ()
    theirs, ours = old.head("landmarks"), new.head("landmarks")
    seen = Features(torch.randn(2, ours.num_queries, old.backbone.dim), None)
    before, after = (head.decode(head(seen)) for head in (theirs, ours))
    for field in ("points", "sigma"):
        torch.testing.assert_close(after[field], before[field] * (size / 64))
    grid = new.backbone.grid
    for part in ("backbone.vit.pos_embed", "decoder.layers.position"):
        there, here = (each.get_parameter(part)[:, -(each.backbone.grid**2) :] for each in (old, new))
        assert here.shape[1] == grid**2
        torch.testing.assert_close(here.mean(1), there.mean(1), rtol=0.1, atol=0.05)
    crops = torch.randint(0, 256, (1, size, size, 3), dtype=torch.uint8)
    new(crops)["landmarks"]["points"].sum().backward()


@pytest.mark.parametrize(
    "changes",
    [{"decoder": {"heads": 4, "blocks": 1, "mlp_ratio": 4.0, "pixel_dim": 16}},
     {"decoder": {"heads": 4, "blocks": 2, "mlp_ratio": 2.0, "pixel_dim": 16}}],
)  # fmt: skip
def test_another_decoder_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="start_from"):
        take_weights(model(1, HEADS, **changes), model(0, HEADS))
