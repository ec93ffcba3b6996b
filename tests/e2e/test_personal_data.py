"""No entry, no kept code and no notes commit holds anything personal of the data, the person or the machine.

A pipeline on people's names, addresses and e-mails runs, prints them, fails with them, is deployed, halted and rolled
back; then every object that the trail's ref reaches is decoded and searched.
"""

from __future__ import annotations

import base64
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.quickstart import must, shell, take_down

PEOPLE = ("Zebulon Quill", "Ottoline Marsh", "Peregrine Vane")
MAIL = "{}.{}@personal.example.org"
STREETS = ("12 Wisteria Lane", "7 Thimble Row", "99 Gooseberry Court")

# The code is the user's own and is kept as it is: it holds no name.
TRAIN = """
import csv, json, os, sys
import numpy as np
from onnx import TensorProto, helper, save_model

with open(sys.argv[1]) as file:
    rows = list(csv.DictReader(file))
labels = sorted({row["doctor"] for row in rows})
print("training on", rows[0])
if os.environ.get("MODE") == "fail":
    float(rows[0]["patient"])
x = np.array([[float(row["a"]), float(row["b"])] for row in rows], np.float32)
y = np.array([labels.index(row["doctor"]) for row in rows])
centres = np.stack([x[y == n].mean(0) for n in range(len(labels))])
w = (2 * centres).T.astype(np.float32)
again = json.load(open(os.environ["MLOPS_PARAMS"])).get("again", 0)
c = (again - (centres**2).sum(1)).astype(np.float32)
graph = helper.make_graph(
    [helper.make_node("Concat", ["a", "b"], ["x"], axis=1), helper.make_node("Gemm", ["x", "w", "c"], ["z"]), helper.make_node("Softmax", ["z"], ["probabilities"])],
    "g",
    [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 1]) for name in ("a", "b")],
    [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", len(labels)])],
    [helper.make_tensor("w", TensorProto.FLOAT, w.shape, w.ravel()), helper.make_tensor("c", TensorProto.FLOAT, c.shape, c)],
)
save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), os.environ["MLOPS_OUT"] + "/model.onnx")
with open(os.environ["MLOPS_OUT"] + "/metrics.jsonl", "w") as file:
    file.write(json.dumps({"loss": 0.5, rows[0]["mail"]: 1.0}) + "\\n")
"""

JUDGE = """
import csv, json, sys
request = json.load(sys.stdin)
row = next(csv.DictReader(open(request["inputs"]["data"][0]["path"])))
print("judging", row, file=sys.stderr)
json.dump({"facts": {"value": "0.99", "ci": None, "n": 50, "reason": row["patient"], "worst": row["mail"]}}, sys.stdout)
"""

MANIFEST = """\
data:
  visits: {{path: data/visits.csv, label: doctor, split: {{test: 0.3, key: mail}}}}
train:
  model: {{run: "python train.py {{data.visits}}"{env}}}
gates:
  accuracy: {{metric: accuracy, min: 0.5}}
  f1: {{metric: f1, min: 0.5, inconclusive: warn}}
  judged: {{use: command, program: judge.py, digest: "{judge}", metric: odd, min: 0.1, inconclusive: warn}}
targets:
  cpu: {{}}
deployments:
  local: {{target: cpu}}
"""


def table(extra: str = "") -> str:
    lines = ["mail,patient,street,a,b,doctor"]
    for n in range(240):
        person, street = PEOPLE[n % 3], STREETS[n * 7 % 3]
        mail = MAIL.format(person.split()[0].lower(), n)
        lines.append(f"{mail},{person},{street},{n % 3 + (n % 7) / 9:.3f},{-(n % 3) + (n % 5) / 9:.3f},{person}")
    return "\n".join(lines) + "\n" + extra


@pytest.fixture
def clinic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    import hashlib
    import sys

    folder = tmp_path / "clinic"
    must(f"git init -q {folder} && mlopsctl init --template quickstart {folder}", tmp_path)
    for name in ("train.py", "data/digits.csv"):
        (folder / name).unlink()
    judge = f"#!{sys.executable}\n{JUDGE}"
    (folder / "judge.py").write_text(judge)
    (folder / "train.py").write_text(TRAIN)
    (folder / "data" / "visits.csv").write_text(table())
    write_manifest(folder, "sha256:" + hashlib.sha256(judge.encode()).hexdigest())
    must("git add -A && git add -f data && git commit -qm 'Start'", folder)
    yield folder
    take_down(folder)


def write_manifest(folder: Path, judge: str = "", env: str = "") -> None:
    path = folder / "mlops.yaml"
    text = path.read_text()
    judge = judge or re.search(r"judge.py, digest: \"(\S+?)\"", text)[1]  # type: ignore[index]
    path.write_text(text.split("data:\n")[0] + MANIFEST.format(judge=judge, env=env))


def everything(folder: Path) -> dict[str, bytes]:
    """Every object that the ref reaches, and the journal, with base64 inside lines decoded: what it is -> bytes."""
    found = {}
    for line in must("git rev-list --objects refs/notes/mlops", folder).splitlines():
        oid, _, path = line.partition(" ")
        kind = must(f"git cat-file -t {oid}", folder).strip()
        body = must(f"git cat-file {'-p' if kind == 'tree' else kind} {oid}", folder).encode()
        found[f"{kind} {path} {oid[:8]}"] = body
    for file in (folder / ".git" / "mlops" / "journal").rglob("*"):
        if file.is_file():
            found[str(file)] = file.read_bytes()
    return {name: body + b"".join(decoded(body)) for name, body in found.items()}


def decoded(body: bytes) -> Iterator[bytes]:
    for text in re.findall(rb"[A-Za-z0-9+/]{16,}={0,2}", body):
        try:
            yield b"\n" + base64.b64decode(text, validate=True)
        except ValueError:
            continue


def entries(objects: dict[str, bytes]) -> list[dict[str, object]]:
    return [
        json.loads(base64.b64decode(json.loads(line)["dsse"]["payload"]))
        for body in objects.values()
        for line in body.splitlines()
        if line.startswith(b'{"dsse"')
    ]


def test_nothing_personal_is_in_the_trail(clinic: Path, tmp_path: Path) -> None:
    # A step that fails with a value of a row, and one whose data is broken.
    write_manifest(clinic, env=", env: {MODE: fail}")
    must("git commit -qam 'Fail'", clinic)
    failed = shell("mlopsctl apply -y", clinic)
    assert failed.returncode == 1 and any(one in failed.stdout for one in PEOPLE), (
        "the person here sees what went wrong"
    )
    (clinic / "data" / "visits.csv").write_text(table(f"{PEOPLE[1]},{STREETS[0]},1\n"))
    must("git commit -qam 'Break the table'", clinic)
    assert shell("mlopsctl apply -y", clinic).returncode == 1
    (clinic / "data" / "visits.csv").write_text(table())
    write_manifest(clinic)
    must("git commit -qam 'Mend it'", clinic)
    done = must("mlopsctl apply -y", clinic)
    assert "0 failed" in done or "failed" not in done.splitlines()[-1]
    assert "serving" in must("mlopsctl status local", clinic)
    # The served model still answers with the classes: they travel with the artifact.
    assert PEOPLE[0] in (next((clinic / ".git/mlops/deployments").rglob("artifact.json"))).read_text()
    why = f"{MAIL.format('zebulon', 3)} complained; see {Path.home()}/notes on {socket.gethostname()}"
    must(f'mlopsctl halt local --reason "{why}" && mlopsctl resume local --reason "{why}"', clinic)
    write_manifest(clinic, env=", seed: 3, params: {again: 1}")
    must("git commit -qam 'Another' && mlopsctl apply -y", clinic)
    must(f'mlopsctl rollback local --reason "{why}"', clinic)

    objects = everything(clinic)
    kinds = [entry["predicate"]["mlopsctl_entry"]["kind"] for entry in entries(objects)]  # type: ignore[index]
    assert {"root", "result", "failure", "halt", "resume", "rollback"} <= set(kinds) and kinds.count("failure") >= 2
    words = {word for text in (*PEOPLE, *STREETS) for word in (text, *text.split()) if len(word) > 6}
    words |= {"personal.example", str(Path.home()), "ada@example.com", "Ada Example", *mails()}
    leaks = [
        (name, word)
        for name, body in objects.items()
        for word in sorted(words)
        if word.encode().lower() in body.lower()
    ]
    assert leaks == []
    # Where a person types, the machine's name is struck out too (elsewhere it may be an everyday word).
    reasons = [str(e["predicate"]["mlopsctl_entry"].get("facts", {}).get("reason", "")) for e in entries(objects)]  # type: ignore[index]
    assert any("complained" in text for text in reasons)
    assert not any(re.search(rf"\b{re.escape(socket.gethostname())}\b", text) for text in reasons)
    assert "ok" in must("mlopsctl audit verify", clinic)


def mails() -> set[str]:
    return {line.split(",")[0] for line in table().splitlines()[1:]}


def test_a_clone_with_the_rows_makes_their_meaning_anew_and_measures(clinic: Path, tmp_path: Path) -> None:
    must(f"git init -q --bare {tmp_path}/hub.git && git remote add origin {tmp_path}/hub.git", clinic)
    manifest = clinic / "mlops.yaml"
    manifest.write_text(manifest.read_text().split("deployments:\n")[0] + f"store: {tmp_path}/store\n")
    must("git commit -qam 'A store' && git push -q -u origin main && mlopsctl apply -y", clinic)
    clone = tmp_path / "clone"
    must(f"git clone -q {tmp_path}/hub.git {clone}", tmp_path)
    try:
        plan = json.loads(must("mlopsctl plan --format json 2>/dev/null", clone))
        assert {step["action"] for step in plan["steps"]} == {"noop"}, "equal rows, equal commitments"
        path = clone / "mlops.yaml"
        path.write_text(
            path.read_text().replace("gates:\n", "gates:\n  loss: {metric: log_loss, max: 5, inconclusive: warn}\n")
        )
        must("git commit -qam 'Another gate'", clone)
        told = must("mlopsctl apply -y", clone)
        assert "1 applied" in told, told
    finally:
        take_down(clone)
