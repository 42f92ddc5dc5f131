"""The front matter of a card: what the Hub reads of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from faceperc.card.facts import Facts, registered

if TYPE_CHECKING:  # its import takes long
    from huggingface_hub import EvalResult

#: The Hub's task of each kind of output; of the others it has none.
_TASKS = {
    "points": "keypoint-detection",
    "mask": "image-segmentation",
    "classes": "image-classification",
    "probabilities": "image-classification",
}
_METRICS = ("accuracy", "f1", "mae", "nme")
_RESEARCH_NAME = "research-and-non-commercial-use"


def front_matter(facts: Facts) -> str:
    """YAML between two lines of dashes, by ``huggingface_hub.ModelCardData``."""
    from huggingface_hub import ModelCardData

    results = _results(facts)
    licence: dict[str, Any] = (
        {"license": facts.spdx.lower()}
        if facts.spdx
        else {
            "license": "other",
            "license_name": _RESEARCH_NAME if facts.use == "research" else "see-model-card",
        }
    )
    bases = _bases(facts.training.get("started_from", []))
    is_face = facts.metadata.role == "face"
    data = ModelCardData(
        **licence,
        library_name="faceperc",
        pipeline_tag="keypoint-detection" if is_face else "object-detection",
        tags=["faceperc", "onnx", "face", *facts.metadata.tasks, *([] if is_face else ["face-detection"])],
        base_model=bases or None,
        base_model_relation="finetune" if bases else None,
        metrics=sorted({each.metric_type for each in results}) or None,
        model_name=facts.name,
        eval_results=results or None,
    )
    return f"---\n{data.to_yaml()}\n---\n"


def _bases(starts: Sequence[Mapping[str, Any]]) -> list[str]:
    """The repositories on the Hub of the weights that a training started from; of weights that are not there,
    those that they started from themselves."""
    found: list[str] = []
    for start in starts:
        if start["how"] == "teacher":
            continue
        row = registered({start.get("weights_sha256", "")})
        repo = row.repo if row else start.get("repo")
        found += [repo] if repo else _bases(start.get("started_from", []))
    return list(dict.fromkeys(found))


def _results(facts: Facts) -> list[EvalResult]:
    """The main figures of the first file, with their intervals, as the Hub's model-index holds them."""
    from huggingface_hub import EvalResult

    found = []
    for evaluation in facts.evaluations_of("face")[:1]:
        for result in evaluation["results"]:
            kind = facts.metadata.tasks[result["task"]].kind
            name, value = next(iter(result["metrics"].items()))  # the others stand in the card's tables
            if value is not None:
                found.append(
                    EvalResult(
                        task_type=_TASKS.get(kind, "other"),
                        task_name=result["task"],
                        dataset_type=result["source"],
                        dataset_name=result["source"],
                        dataset_config=result["task"],
                        dataset_split=evaluation["split"],
                        metric_type=_metric(name),
                        metric_name=name,
                        metric_value=round(value, 2),
                        metric_args={"faces": result["count"], "interval_95": _rounded(result, name)},
                    )
                )
    for evaluation in facts.evaluations_of("detector")[:1]:
        for each in evaluation["sets"]:
            if (value := each["ap50"]["all"]) is not None:
                found.append(
                    EvalResult(
                        task_type="object-detection",
                        task_name="face detection",
                        dataset_type=each["name"].replace(" ", "-"),
                        dataset_name=each["name"],
                        dataset_split="val",
                        metric_type="ap50",
                        metric_name="AP50 %",
                        metric_value=round(100 * value, 1),
                    )
                )
    return found


def _rounded(result: Mapping[str, Any], name: str) -> list[float] | None:
    limits = result["intervals"].get(name)
    return None if limits is None or None in limits else [round(limit, 2) for limit in limits]


def _metric(name: str) -> str:
    """The short name of a metric, the Hub's own where it has one: ``yaw+pitch MAE deg`` -> ``mae``."""
    words = name.lower().split()
    return next((word for word in words if word in _METRICS), words[0])
