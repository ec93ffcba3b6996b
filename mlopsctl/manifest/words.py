"""Words that people write into a manifest and that are no keys: other tools' habits, and keys that come later.

Loaded only when a manifest holds an unknown word.
"""

from __future__ import annotations

from collections.abc import Mapping

# Keys the manifest's design names and this version neither reads nor enforces; never silently ignored.
LATER_KEYS: Mapping[str, tuple[str, ...]] = {
    "": (),
    "project": ("risk", "documents", "labels"),
    "data": (
        "url",
        "contract",
        "subject",
        "protected",
        "classification",
        "region",
        "license",
        "origin",
        "retention",
        "columns",
        "partition",
        "from",
        "import",
        "consent",
        "split.time",
        "split.train",
        "split.stratify",
    ),
    "train": (
        "search",
        "output",
        "threshold",
        "max_age",
        "budget.cost",
        "resources.tpu",
    ),
    "gates": (
        "budget.cost",
        "slices",
        "min_rows",
        "by",
        "rules",
        "forbid",
        "max_share",
        "noise",
        "score",
        "waive",
        "across",
        "allow",
        "metric=demographic_parity_difference",
        "metric=equalized_odds_difference",
        "metric=membership_auc",
        "metric=latency_p50",
        "metric=latency_p95",
        "metric=latency_p99",
        "metric=size",
        "metric=psi",
        "metric=ks",
        "metric=auc_pr",
        "metric=precision",
        "metric=recall",
        "metric=mape",
        "metric=brier",
    ),
    "targets": (
        "budget.cost",
        "device",
        "arch",
        "quantize",
        "max_accuracy_drop",
        "fallback",
        "arch=arm64",
        "arch=aarch64",
        "arch=armv7",
        "arch=riscv64",
        "arch=wasm32",
        "arch=sm_90",
    ),
    "deployments": (
        "region",
        "strategy",
        "halt",
        "protect",
        "consumers",
        "log",
        "monitor",
        "limits",
    ),
}

LATER_USES: Mapping[str, tuple[str, ...]] = {
    "data": (),
    "train": ("docker", "ray", "kubernetes"),
    "gates": ("behaviour", "importance", "robustness", "contract", "fairness"),
    "targets": ("auto", "openvino", "tensorrt", "vela", "c"),
    "deployments": ("docker", "oci", "s3", "kubernetes", "edge", "library", "batch", "stream", "compose", "systemd"),
}

# (section or "*", key) -> (what is wrong, how it is spelt here)
INSTINCTS: Mapping[tuple[str, str], tuple[str, str]] = {
    ("", "stages"): (
        "there are no stages",
        "a command that makes a model goes under 'train:', derived data under 'data:'",
    ),
    ("", "pipeline"): (
        "there is no pipeline",
        "the order follows from what refers to what; write 'data:', 'train:', …",
    ),
    ("", "jobs"): ("there are no jobs", "a command that makes a model goes under 'train:'"),
    ("", "models"): ("there is no section 'models'", "a model is what a 'train:' entry yields"),
    ("", "model"): ("there is no section 'model'", "a model is what a 'train:' entry yields"),
    ("", "metrics"): (
        "figures are measured, not read",
        "write a gate: gates: {accuracy: {metric: accuracy, min: 0.9}}",
    ),
    ("", "environments"): (
        "there are no environments",
        "write one deployment each: deployments: {staging: …, production: …}, or one with each: {env: [staging, production]}",
    ),
    ("", "environment"): (
        "there are no environments",
        "write one deployment each: deployments: {staging: …, production: …}, or one with each: {env: [staging, production]}",
    ),
    ("", "schedule"): ("mlopsctl does not schedule", "run 'mlopsctl apply -y' from cron or CI"),
    ("", "trust"): (
        "trust does not stand in the manifest",
        "write it into trust.yaml, so that code owners can guard it",
    ),
    ("", "version"): ("the version of the grammar is 'apiVersion'", "write apiVersion: mlopsctl/v1"),
    ("", "name"): ("the name belongs to the project", "write project: {name: …}"),
    ("", "dataset"): ("the section is called 'data'", "write data: {NAME: {path: …}}"),
    ("", "datasets"): ("the section is called 'data'", "write data: {NAME: {path: …}}"),
    ("data", "validation"): (
        "rows to choose by are a share of the split, or a dataset of their own",
        "write split: {test: 0.2, val: 0.1}, or validation: DATASET at the training step",
    ),
    ("train", "epochs"): (
        "settings of the script are its own",
        "write params: {epochs: …} and {params.epochs} in 'run:'",
    ),
    ("train", "lr"): ("settings of the script are its own", "write params: {lr: …} and {params.lr} in 'run:'"),
    ("train", "batch_size"): ("settings of the script are its own", "write params: {batch_size: …}"),
    ("train", "learning_rate"): ("settings of the script are its own", "write params: {learning_rate: …}"),
    ("train", "wdir"): ("the folder of the commands is called 'cwd'", "write cwd: instead of wdir:"),
    ("train", "workdir"): ("the folder of the commands is called 'cwd'", "write cwd: instead of workdir:"),
    ("train", "script"): ("a script is run by a command", "write run: python train.py"),
    ("train", "run"): ("this step runs no command of its own", "remove import: (or use:), or remove run:"),
    ("train", "signed_by"): ("it is about imported models", "write import: SOURCE instead of run:"),
    ("train", "image"): ("no container runs a training step yet", "remove 'image:'"),
    ("train", "model"): ("the entry itself is the model", "remove 'model:' or rename the entry"),
    ("*", "cmd"): ("the command is called 'run'", "write run: instead of cmd:"),
    ("*", "command"): ("the command is called 'run'", "write run: instead of command:"),
    ("*", "deps"): (
        "dependencies are found",
        "name data with 'data:' and code with 'code:'; the rest follows from references",
    ),
    ("*", "depends_on"): (
        "dependencies follow from references",
        "remove 'depends_on:'; name the data or model that is used",
    ),
    ("*", "outs"): ("outputs are found", "remove 'outs:'; the command writes into {out}"),
    ("*", "outputs"): ("outputs are found", "remove 'outputs:'; the command writes into {out}"),
    ("*", "schedule"): ("mlopsctl does not schedule", "run 'mlopsctl apply -y' from cron or CI"),
    ("*", "matrix"): ("there is no matrix", "write each: {NAME: [values]} and {each.NAME}"),
    ("*", "metrics"): (
        "figures are measured, not read",
        "write a gate: gates: {accuracy: {metric: accuracy, min: 0.9}}",
    ),
    ("*", "environments"): (
        "there are no environments",
        "write one deployment each: deployments: {staging: …, production: …}, or one with each: {env: [staging, production]}",
    ),
    ("gates", "threshold"): ("a bar is 'min' or 'max'", "write min: 0.9"),
    ("gates", "type"): ("the provider is chosen by 'use'", "write use: …"),
    ("targets", "type"): ("the provider is chosen by 'use'", "write use: …"),
    ("deployments", "type"): ("the provider is chosen by 'use'", "write use: …"),
    ("deployments", "port"): ("the one coordinate is 'to'", 'write to: "127.0.0.1:8080"'),
    ("deployments", "url"): ("the one coordinate is 'to'", 'write to: "127.0.0.1:8080"'),
    ("deployments", "model_path"): ("a deployment takes what a target made", "write target: NAME"),
}


def explain(section: str, path: str, later: tuple[str, ...] = ()) -> tuple[str, str, str] | None:
    """(code, message, hint) for an unknown key of a section ("" is the top level), or None for a mere misspelling."""
    key = path.rpartition(".")[2]
    if "=" in path:
        if path not in LATER_KEYS.get(section, ()):
            return None
        return "MLO3019", f"'{path.replace('=', ': ')}' is not yet supported", "`mlopsctl schema` lists what is"
    instinct = INSTINCTS.get((section, key)) or (INSTINCTS.get(("*", key)) if section else None)
    if instinct and key == path:
        return "MLO3014", f"'{key}' is no key here: {instinct[0]}", instinct[1]
    if path in LATER_KEYS.get(section, ()) or path in later:
        return "MLO3019", f"'{key}' is not yet supported", f"remove '{key}:'; nothing in this version would act on it"
    return None
