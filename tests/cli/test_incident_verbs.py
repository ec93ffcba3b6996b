"""The verbs of ``incident``: signed as it happens, told in order, bundled so that the lines verify."""

from __future__ import annotations

import base64
import json
import subprocess
import zipfile
from pathlib import Path

import pytest

from mlopsctl.adapters.keys import new_key
from mlopsctl.audit.dsse import pae
from mlopsctl.audit.entry import read_line
from mlopsctl.types import Entry
from tests.audit.clone import Clone, Notes, forged, run
from tests.audit.pipeline import made
from tests.cli.contract import follows
from tests.cli.test_forward import MANIFEST, Said, clone, entries, say

__all__ = ["clone", "entries", "say"]  # fixtures


@pytest.fixture
def incident(say: Said, clone: Clone, entries: dict[str, Entry]) -> str:
    say(
        "incident",
        "open",
        "wrong sevens",
        "--deployment",
        "local",
        "--severity",
        "high",
        "--began",
        "2026-11-25T09:30Z",
    )
    return clone.trail.tips()[0]


def test_opening_signs_what_runs_and_what_verify_finds(clone: Clone, entries: dict[str, Entry], incident: str) -> None:
    entry = clone.trail.find(incident)
    assert (entry.kind, entry.address) == ("incident", "deployments.local")
    assert entry.facts["live"]["entry"] == entries["live"].id
    assert entry.facts["began"] == "2026-11-25T09:30:00Z" and entry.facts["severity"] == "high"
    assert entry.facts["verify"]["ok"] is True and entry.facts["verify"]["findings"] == []


def test_findings_of_a_broken_trail_are_on_record(
    say: Said, clone: Clone, entries: dict[str, Entry], tmp_path: Path
) -> None:
    stranger = new_key(tmp_path / "keys" / "eve.pem")
    bad = clone.replace(entries["scan"].id, forged(clone.line(entries["scan"].id), stranger, status="failed"))
    say("incident", "open", "somebody was here", "--deployment", "deployments.local")
    verify = clone.trail.entries(kinds=("incident",))[0].facts["verify"]
    assert verify["ok"] is False and any(bad in one and one.startswith("MLO70") for one in verify["findings"])


def test_the_story_is_told_in_order_of_time(say: Said, clone: Clone, entries: dict[str, Entry], incident: str) -> None:
    clone.trail.append("halt", address="deployments.local", facts={"reason": "cut out", "location": "here"})
    say("incident", "note", incident[:12], "error rate rose", "--when", "2020-01-01 10:00")
    say("incident", "link", incident[:12], entries["train"].id[:12], "local", "MLO7011", "https://tracker.example/R-1")
    say("incident", "close", incident[:12], "--conclusion", "mislabelled rows")
    clone.trail.append("resume", address="deployments.local", facts={"lifts": ["halt"]})
    said = say.document("incident", "incident", "show", incident)
    # What was noted late stands where it happened; what came after the end is no part of it.
    assert [one["what"] for one in said["timeline"]] == [
        "note",
        "made",
        "deployed",
        "opened",
        "halted",
        "linked",
        "closed",
    ]
    assert said["timeline"][0]["at"] == "2020-01-01T10:00:00Z" != said["timeline"][0]["signed_at"]
    assert said["links"] == {
        "entries": [entries["train"].id], "deployments": ["deployments.local"], "findings": ["MLO7011"],
        "urls": ["https://tracker.example/R-1"],
    }  # fmt: skip
    assert said["conclusion"] == "mislabelled rows" and said["verify"]["closed"]["ok"]
    text = say("incident", "show", incident[:12])
    assert "mislabelled rows" in text and "halted        cut out" in text
    (row,) = follows("incidents", say("incident", "ls", "--format", "json"))["incidents"]
    assert row["id"] == incident and row["closed_by"] == "owner"
    assert say("incident", "ls", "--open") == "" and "no open incidents" in say.err


def test_what_happened_to_another_deployment_is_no_part_of_it(say: Said, clone: Clone, incident: str) -> None:
    made(clone, "deployments.other", artifact="artifact")
    whats = {one["address"] for one in say.document("incident", "incident", "show", incident)["timeline"]}
    assert whats == {"deployments.local"}
    say("incident", "link", incident, "other")
    whats = {one["address"] for one in say.document("incident", "incident", "show", incident)["timeline"]}
    assert whats == {"deployments.local", "deployments.other"}


def test_withdrawals_meanwhile_belong_to_it(say: Said, incident: str) -> None:
    say("audit", "impact", "data.rows", "--quarantine", "--reason", "poisoned")
    timeline = say.document("incident", "incident", "show", incident)["timeline"]
    assert [(one["what"], one["text"]) for one in timeline][-1] == ("withdrawn", "poisoned")


def test_a_bundle_holds_the_lines_and_the_keys_that_they_verify_with(
    say: Said, clone: Clone, entries: dict[str, Entry], incident: str, tmp_path: Path
) -> None:
    out = tmp_path / "post" / "mortem"
    noted = say.document("incident-event", "incident", "note", incident, "a | b `c` <script>")
    assert noted["incident"] == incident
    say("incident", "bundle", incident[:12], "-o", str(out))
    assert follows("incident", (out / "incident.json").read_text())["id"] == incident
    page = (out / "incident.md").read_text()
    assert "# wrong sevens" in page and "train.model" in page and "<script>" not in page and "a | b" not in page
    named = {one["id"] for one in json.loads((out / "entries.json").read_text())}
    lines = (out / "entries.jsonl").read_bytes().splitlines()
    assert {read_line(line).id for line in lines} == named
    assert {entries[name].id for name in ("data", "train", "gate", "scan", "target", "live")} | {incident} <= named
    (key,) = (out / "keys").iterdir()
    for number, line in enumerate(lines):
        record = read_line(line)
        message, signature = tmp_path / f"{number}.bin", tmp_path / f"{number}.sig"
        message.write_bytes(pae(record.payload))
        signature.write_bytes(record.signatures[0][1])
        # Nobody of ours is asked: openssl checks what the page describes.
        checked = ["openssl", "dgst", "-sha256", "-verify", str(key), "-signature", str(signature), str(message)]
        assert subprocess.run(checked, capture_output=True, check=False).stdout.strip() == b"Verified OK"
    payload = base64.b64decode(json.loads(lines[-1])["dsse"]["payload"])
    head = b"DSSEv1 28 application/vnd.in-toto+json %d " % len(payload)
    assert pae(payload) == head + payload


def test_the_same_trail_gives_the_same_bundle(say: Said, incident: str, tmp_path: Path) -> None:
    for name in ("a.zip", "b.zip"):
        say("incident", "bundle", incident, "-o", str(tmp_path / name))
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.testzip() is None
        assert {"incident.md", "incident.json", "entries.json", "entries.jsonl"} < {*archive.namelist()}


def test_a_line_whose_signature_was_swapped_is_not_bundled(
    say: Said, clone: Clone, entries: dict[str, Entry], incident: str, tmp_path: Path
) -> None:
    whole = clone.line(entries["live"].id)
    outer = json.loads(whole)
    outer["dsse"]["signatures"][0]["sig"] = json.loads(clone.line(entries["scan"].id))["dsse"]["signatures"][0]["sig"]
    bad = json.dumps(outer, separators=(",", ":"), sort_keys=True).encode()

    def hang_it_before(notes: Notes) -> None:
        next(lines for lines in notes.values() if whole in lines).insert(0, bad)

    clone.tamper(hang_it_before)
    say("incident", "bundle", incident, "-o", str(tmp_path / "out"))
    lines = (tmp_path / "out" / "entries.jsonl").read_bytes().splitlines()
    assert whole in lines and bad not in lines


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("open", "x", "--deployment", "nowhere"), 1, "MLO7266"),
        (("open", " ", "--deployment", "local"), 1, "MLO7252"),
        (("open", "x" * 4001, "--deployment", "local"), 1, "MLO7270"),
        (("open", "x", "--deployment", "local", "--severity", "awful"), 64, "MLO7267"),
        (("open", "x", "--deployment", "local", "--began", "yesterday"), 64, "MLO7271"),
        (("open", "x"), 64, "--deployment"),
        (("note", "0000", "x"), 1, "MLO7264"),
        (("note", "ID", "x", "--when", "2026-13-01"), 64, "MLO7271"),
        (("link", "ID", "https://ada:secret@tracker.example/"), 1, "MLO7265"),
        (("link", "ID", "ftp://tracker.example/"), 1, "MLO7265"),
        (("link", "ID", "0000000"), 1, "MLO7104"),
        (("link", "ID", "nowhere"), 1, "MLO7266"),
        (("note", "ID", "ghp_" + "a" * 36), 7, "MLO7120"),
        (("show", ""), 1, "MLO7264"),
    ],
)
def test_a_slip_signs_nothing(
    say: Said, clone: Clone, incident: str, words: tuple[str, ...], code: int, told: str
) -> None:
    before = clone.trail.tips()
    say("incident", *(incident if word == "ID" else word for word in words), code=code)
    assert told in say.err and clone.trail.tips() == before


def test_it_is_closed_once_and_noted_after(say: Said, incident: str) -> None:
    say("incident", "close", incident, "--conclusion", "done")
    say("incident", "close", incident, "--conclusion", "again", code=1)
    assert "MLO7268" in say.err
    say("incident", "note", incident, "what came to light later")
    assert "later" in say("incident", "show", incident)


def test_nothing_is_replaced_by_a_bundle(say: Said, incident: str, tmp_path: Path) -> None:
    say("incident", "bundle", incident, "-o", str(tmp_path), code=64)
    assert "MLO7269" in say.err


def test_an_address_of_a_person_is_warned_of(say: Said, incident: str) -> None:
    say("incident", "note", incident, "called by bob@example.com")
    assert "bob@example.com" in say.err and "cannot forget" in say.err
    say("incident", "note", incident, "at 10@12 and user@host nothing is meant")
    assert "warning" not in say.err


def test_it_takes_the_role_of_whoever_halts(
    say: Said, clone: Clone, entries: dict[str, Entry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = new_key(tmp_path / "keys" / "bob.pem")
    trail = clone.trail
    trust = trail.entries(kinds=("root",))[0].facts["trust"]
    monkeypatch.setenv("MLOPS_KEY", str(bob.path))
    say("incident", "open", "x", "--deployment", "local", code=7)
    assert "MLO7105" in say.err
    signers = {**trust["signers"], "bob": {"key": bob.key, "roles": ["halt"]}}
    trail.append("trust", facts={"trust": {**trust, "signers": signers}})
    trail.flush()
    say("incident", "open", "x", "--deployment", "local")
    assert clone.trail.entries(kinds=("incident",))[0].signer == "bob"


def test_in_a_clone_of_the_trail_alone(
    say: Said, clone: Clone, incident: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert clone.log in MANIFEST.format(log=clone.log)
    run(tmp_path, "clone", "-q", "--mirror", str(clone.folder), "mirror.git")
    monkeypatch.chdir(tmp_path / "mirror.git")
    run(tmp_path / "mirror.git", "remote", "remove", "origin")
    say("incident", "note", incident, "seen from the mirror")
    say("incident", "bundle", incident, "-o", str(tmp_path / "out.zip"))
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert "seen from the mirror" in archive.read("incident.md").decode()
