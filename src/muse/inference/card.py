"""The model card of an exported model: what it is, how good it is, what it is not for.

After Mitchell et al., Model Cards for Model Reporting, 2019: details, training data, metrics with
their spread, intended use and limits.
"""

import muse
from muse.config.export import ExportConfig
from muse.data.rows import rows_per_frame
from muse.inference.onnx_model import INPUTS, OPSET, OUTPUT

SCORES = "train", "devel", "test", "pooled", "over_seeds"
# of the settings of a training, those that a reader looks for; config.yaml has all
SETTINGS = ("loss", "lr", "batch_size", "epochs", "patience", "window", "hop", "missing", "align",
            "folds", "train_share", "precision")  # fmt: skip


def card_of(
    config: ExportConfig,
    result: dict,
    settings: dict,
    models: dict[str, dict],
    onnx: dict[str, str],
    title: str,
) -> dict:
    """The content of card.json.

    Args:
        result: of the archive, see `muse.inference.export`.
        settings: the content of its config.yaml.
        models: file of weights -> what it says of its model, and its number of parameters.
        onnx: ONNX file -> file of weights.
        title: of the task.
    """
    task, files = settings["task"], {n: m for n, m in models.items() if _predicts(n, result)}
    first = next(iter(files.values()))
    return {
        "title": f"{title}: {', '.join(result['targets'])}",
        "licence": config.licence,
        "synthetic": result["synthetic"],
        "muse": muse.__version__,
        "run_id": result["run_id"],
        "task": {
            "name": task["name"],
            "title": title,
            "corpus": task["corpus"],
            "targets": list(result["targets"]),
            "classes": task["classes"],
            "step": task["step"],
        },
        "features": [
            {
                "name": name,
                "columns": columns,
                "rows_per_frame": rows_per_frame(columns),
                "standardised": name in first["standardised"],
                "extracted": result.get("extracted", {}).get(name),
            }
            for name, columns in first["features"].items()
        ],
        "model": result["model"],
        "files": {
            name: {key: about[key] for key in ("targets", "seed", "parameters")}
            for name, about in files.items()
        },
        "settings": {key: settings[key] for key in SETTINGS},
        "seeds": settings["seeds"],
        "metric": result["metric"],
        "scores": {
            target: {key: part[key] for key in SCORES if part.get(key)}
            for target, part in result["targets"].items()
        },
        "data": {"digest": result["data"]["digest"], "partitions": result["data"]["partitions"]},
        "environment": result["environment"],
        "onnx": {"opset": OPSET, "inputs": list(INPUTS), "output": OUTPUT, "files": onnx}
        if onnx
        else None,
        "predictions": config.predictions,
        "limits": _limits(config, result, settings),
    }


def _predicts(name: str, result: dict) -> bool:
    """Whether a file has a model of targets, not the auto-encoder of an indicator."""
    parts = [row for t in result["targets"].values() for row in (t, *t.get("folds", []))]
    return any(name in (row.get("weights"), row.get("without_devel")) for row in parts)


def _limits(config: ExportConfig, result: dict, settings: dict) -> list[str]:
    """What the model must not be taken for, in sentences."""
    title = settings["task"]["title"]
    limits = []
    if result["synthetic"]:
        limits.append(
            "Trained on SYNTHETIC data: it shows that the software works and says nothing about "
            "people."
        )
    if result["debug"]:
        limits.append("Trained to debug: not on all recordings, or chosen on the training data.")
    limits += [
        f"It has learnt from the recordings of {title} alone. Other people, languages, situations, "
        "microphones and cameras may give other scores; evaluate it on data of your own first.",
        "The targets are ratings by observers, or signals derived from them: what a person feels "
        "is not measured. It gives no diagnosis, and is no ground for a decision about a person.",
        "The scores are of a whole partition; those of a single recording may be far lower.",
        "It needs the same features, made by the same tools with the same settings, in the same "
        "columns and at the same frame step.",
    ]
    if any(feature not in result.get("extracted", {}) for feature in result["features"]):
        limits.append(
            "How some of its features were made is not recorded; ask who gives the model away."
        )
    if "retrained" in result:
        limits.append("Trained on train and devel together, so there is no devel score of it.")
    if any("without_devel" in part for part in result["targets"].values()):
        limits.append("Fitted on train and devel together; the devel scores are of train alone.")
    if "folds" in result and not config.predictions:
        limits.append(
            "It is several models, one for each fold, whose outputs are averaged. Which recordings "
            "each held out is left out, so its scores on the training data cannot be repeated."
        )
    return limits
