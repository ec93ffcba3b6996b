"""``apply``: asks unless told not to, does what a saved plan says and no other, records each step."""

from __future__ import annotations

import json
from pathlib import Path

from mlopsctl.render.plan import read_selection
from mlopsctl.types import Selection
from tests.quickstart import must, shell

EDIT = "echo '# another line' >> train.py && git commit -qam edit"


def test_without_a_person_it_wants_a_plan_or_yes(project: Path) -> None:
    must(EDIT, project)
    done = shell("mlopsctl apply", project)
    assert done.returncode == 64 and "mlopsctl apply -y" in done.stdout
    assert "update" in must("mlopsctl plan", project), "nothing was changed"


def test_nothing_to_do_needs_no_answer(project: Path) -> None:
    assert "0 applied" in must("mlopsctl apply", project)


def test_a_saved_plan_is_applied_without_asking_and_only_while_it_holds(project: Path) -> None:
    must(f"{EDIT} && mlopsctl plan -o next.plan", project)
    must("echo '# and one more' >> train.py && git commit -qam more", project)
    stale = shell("mlopsctl apply next.plan", project)
    assert stale.returncode == 6 and "MLO6002" in stale.stdout and "mlopsctl plan -o next.plan" in stale.stdout
    must("git reset -q --hard HEAD~1", project)
    before = must("mlopsctl audit log -n -1", project).count("\n")
    assert " applied" in must("mlopsctl apply next.plan", project)
    assert must("mlopsctl audit log -n -1", project).count("\n") > before
    assert "No changes" in must("mlopsctl plan", project)


def test_what_is_no_plan_is_refused(project: Path) -> None:
    (project / "x.plan").write_text("{}")
    (project / "deep.plan").write_text("[" * 100_000)
    for name in ("x.plan", "deep.plan", "none.plan"):
        done = shell(f"mlopsctl apply {name}", project)
        assert done.returncode == 64 and "MLO6402" in done.stdout


def test_a_saved_plan_that_hides_a_step_is_refused(project: Path) -> None:
    """Whoever reads the file before it is applied reads what will be done."""
    must(f"{EDIT} && mlopsctl plan -o next.plan", project)
    whole = json.loads((project / "next.plan").read_text())
    for name, value in (("action", "noop"), ("made_from", "sha256:" + "0" * 64), ("address", "train.other")):
        edited = json.loads(json.dumps(whole))
        next(step for step in edited["steps"] if step["address"] == "train.classifier")[name] = value
        (project / "edited.plan").write_text(json.dumps(edited))
        done = shell("mlopsctl apply edited.plan", project)
        assert done.returncode == 64 and "MLO6402" in done.stdout and "edited" in done.stdout
    assert "1 to update" in must("mlopsctl plan --target train.classifier", project), "nothing was done"


def test_the_hint_to_save_a_plan_never_names_a_file_that_is_there(project: Path) -> None:
    done = shell("mlopsctl apply mlops.yaml", project)
    assert done.returncode == 64 and "mlopsctl plan -o release.plan" in done.stdout
    assert "-o mlops.yaml" not in done.stdout


def test_what_is_made_anew_supersedes(project: Path) -> None:
    said = must("mlopsctl apply -y --replace gates.accuracy", project)
    assert "1 applied" in said
    assert must("mlopsctl show gates.accuracy --history", project).count("result") == 2
    assert "No changes" in must("mlopsctl plan", project)


def test_a_saved_plan_that_makes_anew_is_applied_once(project: Path) -> None:
    """A job that is started again must not train again because of it."""
    must("mlopsctl plan --replace gates.accuracy -o next.plan && mlopsctl apply next.plan", project)
    done = shell("mlopsctl apply next.plan", project)
    assert done.returncode == 6 and "MLO6002" in done.stdout
    assert must("mlopsctl show gates.accuracy --history", project).count("result") == 2


def test_a_saved_plan_is_not_changed_by_further_options(project: Path) -> None:
    must("mlopsctl plan -o next.plan --replace gates.accuracy", project)
    done = shell("mlopsctl apply next.plan --replace gates.scan", project)
    assert done.returncode == 64 and "MLO6003" in done.stdout


def test_a_saved_plan_keeps_all_that_it_was_asked(project: Path) -> None:
    must("mlopsctl plan --refresh --replace 'gates.*' -o next.plan", project)
    assert read_selection(json.loads((project / "next.plan").read_text())["selection"]) == Selection(
        replaced=("gates.*",), refresh=True
    )
    assert "2 applied" in must("mlopsctl apply next.plan", project)
