"""Every verb that prints JSON has a published schema, and a test that holds its output to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from mlopsctl.cli.verbs import root
from mlopsctl.types import Address
from tests.cli.contract import SCHEMAS, follows
from tests.quickstart import must, shell

# What the verb prints with --format json -> its schemas. A schema is held by follows("NAME", …) in some test.
SCHEMAS_OF: dict[str, tuple[str, ...]] = {
    "validate": ("validate",),
    "plan": ("plan",),
    "apply": ("apply",),
    "diff": ("diff",),
    "status": ("status",),
    "show": ("show", "show-resolved", "show-history"),
    "graph": ("graph",),
    "report targets": ("report-targets",),
    "compile": ("report-targets",),
    "push": ("push",),
    "pull": ("pull",),
    "doctor": ("doctor",),
    "data ls": ("data-ls",),
    "data verify": ("data-verify",),
    "gate run": ("gate",),
    "runs ls": ("runs",),
    "runs show": ("run",),
    "runs compare": ("runs-compare",),
    "runs tried": ("runs",),
    "incident open": ("incident-event",),
    "incident note": ("incident-event",),
    "incident link": ("incident-event",),
    "incident close": ("incident-event",),
    "incident ls": ("incidents",),
    "incident show": ("incident",),
    "key show": ("key-show",),
    "key ls": ("key-ls",),
    "trust show": ("trust-show",),
    "audit log": ("audit-log",),
    "audit show": ("audit-show",),
    "audit verify": ("audit-verify",),
    "audit reject": ("audit-reject",),
    "audit trace": ("audit-trace",),
    "audit impact": ("audit-impact", "audit-impact-lift"),
    "audit anchor": ("audit-anchor",),
}

# Rows of a model's outputs, whose columns are the model's own.
NO_DOCUMENT = {"predict"}
# Of no single verb: the manifest itself, and what --write json=FILE holds after an early failure.
NO_VERB = {"mlops", "report"}


def verbs(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from verbs(command, f"{prefix}{name} ")
        else:
            yield prefix + name, command


def with_json() -> set[str]:
    """Every verb whose ``--format`` says that it writes JSON."""
    return {
        name
        for name, command in verbs(root())
        for option in command.params
        if isinstance(option, click.Option) and "--format" in option.opts and "json" in (option.help or "")
    }


def test_every_verb_that_prints_json_has_a_schema() -> None:
    assert with_json() - NO_DOCUMENT == set(SCHEMAS_OF)


def test_every_schema_belongs_to_a_verb_and_is_held_by_a_test() -> None:
    published = {path.name.removesuffix(".schema.json") for path in SCHEMAS.glob("*.schema.json")}
    assert published - NO_VERB == {name for names in SCHEMAS_OF.values() for name in names}
    tests = "\n".join(path.read_text(encoding="utf-8") for path in Path(__file__).parents[1].rglob("test_*.py"))
    held = set(re.findall(r"""(?:follows|document)\(\s*"([a-z-]+)",""", tests)) | {name for name, _ in MORE}
    assert published - {"mlops"} - held == set()


MORE = [
    ("show", "show train.classifier"),
    ("show", "show gates.accuracy"),
    ("show-resolved", "show"),
    ("show-resolved", "show targets.cpu --resolved"),
    ("show-history", "show gates.accuracy --history"),
    ("data-ls", "data ls"),
    ("data-verify", "data verify"),
    ("trust-show", "trust show"),
    ("validate", "validate"),
    ("runs", "runs ls"),
]


@pytest.mark.parametrize(("schema", "words"), MORE)
def test_what_a_verb_prints_is_as_published(project: Path, schema: str, words: str) -> None:
    follows(schema, must(f"mlopsctl {words} --format json 2>/dev/null", project))


def test_an_entry_and_this_machine(project: Path) -> None:
    (entry, *_) = must(
        "git notes --ref mlops list >/dev/null; mlopsctl audit log --kind result | head -1", project
    ).split()
    follows("audit-show", must(f"mlopsctl audit show {entry} --format json", project))
    follows("doctor", shell("mlopsctl doctor --format json 2>/dev/null", project).stdout)


def test_what_was_changed_or_never_pinned_is_a_state_of_the_data(project: Path) -> None:
    must("echo '1,2' >> data/digits.csv", project)
    found = follows("data-verify", shell("mlopsctl data verify --format json 2>/dev/null", project).stdout)
    assert found["ok"] is False
    pending = follows("data-ls", must("mlopsctl data ls --format json", project))["datasets"]
    assert [one["state"] for one in pending] == ["pending"]


def test_push_and_pull(project: Path, tmp_path: Path) -> None:
    must(f"git init -q --bare {tmp_path}/origin.git && git remote add origin {tmp_path}/origin.git", project)
    must("git push -q origin main", project)
    assert follows("push", must("mlopsctl push --format json 2>/dev/null", project))["entries"] > 0
    assert follows("pull", must("mlopsctl pull --format json 2>/dev/null", project))["refused"] == []


def test_a_withdrawal_that_ends(project: Path) -> None:
    line = 'mlopsctl audit impact data.digits --quarantine --reason "consent ended" --format json'
    ended = follows("audit-impact", must(line, project))["quarantine"]
    follows("audit-impact-lift", must(f'mlopsctl audit impact --lift {ended} --reason "back" --format json', project))


def test_a_rejected_line(project: Path) -> None:
    note = must("git notes --ref mlops list | head -1 | cut -d' ' -f2", project).strip()
    must(f"git notes --ref mlops append -m garbage {note}", project)
    found = follows("audit-verify", shell("mlopsctl audit verify --format json 2>/dev/null", project).stdout)
    (bad,) = (one["entry"] for one in found["findings"])
    rejected = must(f"mlopsctl audit reject {bad} --reason 'by hand' --format json 2>/dev/null", project)
    assert follows("audit-reject", rejected)["rejected"]["entry"] == bad


ADDRESSES = ["data.a", "gates.a[eu]", "deployments.p[EU]", "gates.a[eu.west,2]", "train.a_b-c"]
NONE = ["data.A", "models.a", "data.", "data.a[", "data.a[]", "data.a[x/y]", "data.a b"]


@pytest.mark.parametrize("text", ADDRESSES + NONE)
def test_a_schema_takes_the_addresses_that_there_are(text: str) -> None:
    patterns = {
        match[1].replace("\\\\", "\\")
        for path in SCHEMAS.glob("*.schema.json")
        for match in re.finditer(r'"pattern": "(\^\(data\|train[^"]*)"', path.read_text(encoding="utf-8"))
    }
    assert {re.search(pattern, text) is not None for pattern in patterns} == {text in ADDRESSES}
    if text in ADDRESSES:
        assert str(Address.parse(text)) == text
