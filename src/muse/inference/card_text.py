"""The model card as text, for people."""

from typing import Any

from muse.scoring import metric_title
from muse.terminal import format_interval, format_spread


def markdown(card: dict) -> str:
    """The card as text, MODEL_CARD.md."""
    mark = " (SYNTHETIC data)" if card["synthetic"] else ""
    parts = [
        f"# {_cell(card['title'])}{mark}",
        f"Licence: {_cell(card['licence'])}\n\n"
        f"A model of muse {card['muse']}, run {card['run_id']}. It is data: weights are "
        "safetensors, settings YAML and JSON. Use it with",
        "    muse predict model=FILE.zip data.root=data out=predictions",
        "## What it predicts",
        _prediction(card),
        "## Scores",
        _scores(card),
        "## Features",
        _features(card),
        "## Model and training",
        _table([["setting", "value"], *_settings(card)]),
        "## Training data",
        f"Digest `{card['data']['digest']}`, by which `muse evaluate` knows the same data again. "
        "The recordings themselves are not in this file.",
    ]
    if card["onnx"]:
        parts += ["## ONNX", _onnx(card)]
    parts += ["## Limits", "\n".join(f"- {_cell(text)}" for text in card["limits"])]
    return "\n\n".join(parts) + "\n"


def _prediction(card: dict) -> str:
    task = card["task"]
    what = "a value for each frame"
    if task["classes"]:
        counts = task["classes"]
        each = [counts[t] if isinstance(counts, dict) else counts for t in task["targets"]]
        what = f"one of {' and '.join(map(str, dict.fromkeys(each)))} classes for each segment"
    return (
        f"{_cell(task['title'])} (corpus {_cell(task['corpus'])}): {_list(task['targets'])}, "
        f"{what}. A frame is {task['step']:g} s."
    )


def _scores(card: dict) -> str:
    """A table: target and partition, score, interval, recordings; then the spread over seeds."""
    metric = card["metric"]
    rows = [["target", "partition", metric_title(metric), "95 % interval", "recordings"]]
    spreads = []
    for target, parts in card["scores"].items():
        for partition, found in parts.items():
            if partition != "over_seeds":
                rows.append([target, partition, f"{found[metric]:.4f}",
                             format_interval(found), str(found["recordings"])])  # fmt: skip
        devel = parts.get("over_seeds", {}).get("devel")
        if devel and devel["deviation"] is not None:
            spreads.append(
                f"{_cell(target)}: mean of {len(card['seeds'])} seeds on devel "
                f"{format_spread(devel)}."
            )
    text = (
        "The model is the one of its seeds and epochs that was best on devel; the test score is of "
        "the same weights. Intervals are bootstraps over recordings."
    )
    if card["settings"]["folds"]:
        text = "Each recording is scored by a model that has not seen it (cross-validation)."
    return "\n\n".join([_table(rows), *spreads, text])


def _features(card: dict) -> str:
    rows = [["feature set", "columns", "standardised on train", "made by"]]
    for feature in card["features"]:
        made = feature["extracted"]
        tool = "not recorded"
        if made:
            tool = f"{_plain(made['tool'])}; {_plain(made['settings'])}"
        yes = "yes, by the mean and deviation in the weights" if feature["standardised"] else "no"
        rows.append([feature["name"], str(len(feature["columns"])), yes, tool])
    return f"{_table(rows)}\n\nThe names of the columns, in their order, are in `card.json`."


def _settings(card: dict) -> list[list[str]]:
    model = {key: value for key, value in card["model"].items() if key != "_target_"}
    sizes = sorted({about["parameters"] for about in card["files"].values()})
    rows = [
        ["model", str(card["model"]["_target_"])],
        *([f"model.{key}", str(value)] for key, value in model.items()),
        ["parameters", " and ".join(map(str, sizes))],
        *([key, str(value)] for key, value in card["settings"].items() if value is not None),
        ["seeds", ", ".join(map(str, card["seeds"]))],
        *([name, str(value)] for name, value in card["environment"].items() if value),
    ]
    return [[name, text] for name, text in rows if text]


def _onnx(card: dict) -> str:
    onnx, names = card["onnx"], [feature["name"] for feature in card["features"]]
    width = sum(len(feature["columns"]) for feature in card["features"])
    rows = [["file", "of", "outputs, in order"]]
    rows += [[f, w, ", ".join(card["files"][w]["targets"])] for f, w in onnx["files"].items()]
    several = "\n\nA prediction is the mean of the outputs of the folds' files."
    logits = " The outputs are logits, of a segment those at its last frame." * bool(
        card["task"]["classes"]
    )
    return (
        f"{_table(rows)}\n\n"
        f"- input `features`: (batch, frames, {width}) float32, the columns of {_list(names)} side "
        "by side, as they are in the package: they are standardised inside. A missing value is "
        "NaN.\n"
        "- input `lengths`: (batch,) int64, frames of each sequence; the largest is `frames`. A "
        f"sequence is a {'segment' if card['task']['classes'] else 'whole recording'}.\n"
        f"- output `outputs`: (batch, frames, outputs) float32, 0 past each length.{logits}\n\n"
        f"Opset {onnx['opset']}; compared with the model in onnxruntime when it was written, to "
        f"within 1e-5.{several if card['settings']['folds'] else ''}"
    )


def _table(rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def _plain(value: Any) -> str:
    """Nested settings in one line."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(part)}" for key, part in value.items())
    return str(value)


def _list(names: list[str]) -> str:
    return ", ".join(map(_cell, names))


def _cell(text: str) -> str:
    """Text that is no markup: names come from files."""
    line = " ".join(str(text).split())
    return line.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
