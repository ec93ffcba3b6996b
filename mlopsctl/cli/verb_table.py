"""Every verb: where its function is, and the line that --help shows. A new verb is one line here."""

from __future__ import annotations

# verb -> (module of mlopsctl.cli, function, the line that --help shows)
VERBS: dict[str, tuple[str, str, str]] = {
    "init": ("init", "init", "start a project from a template"),
    "validate": ("validate", "validate", "check manifests without running anything"),
    "plan": ("plan", "plan", "show what apply would do, and why"),
    "apply": ("apply", "apply", "make it so and record every step"),
    "diff": ("diff", "diff", "what changed between two revisions, in ML terms"),
    "status": ("status", "status", "where everything stands"),
    "show": ("show", "show", "one resource in full"),
    "graph": ("graph", "graph", "what depends on what"),
    "logs": ("logs", "logs", "the log of a step or deployment"),
    "import": ("import_", "import_", "take over a model or an endpoint that exists already"),
    "add": ("add", "add", "write the smallest working block into the manifest"),
    "push": ("share", "push", "share the trail and the outputs"),
    "pull": ("share", "pull", "fetch the trail and the outputs"),
    "compile": ("compile", "compile_", "compile a model file for a target, without a project"),
    "sign": ("sign", "sign", "sign a model file or folder"),
    "verify": ("sign", "verify", "verify a signed model file or folder"),
    "serve": ("serve", "serve", "serve a model in the foreground"),
    "predict": ("predict", "predict", "predictions for a file of rows"),
    "approve": ("approve", "approve", "agree to a release of a protected deployment"),
    "halt": ("halt", "halt", "cut a deployment out at once"),
    "resume": ("halt", "resume", "lift a halt or a rollback"),
    "rollback": ("rollback", "rollback", "go back to an earlier artifact and stay there"),
    "pin": ("pin", "pin", "stay on the artifact that runs, whatever the manifest says"),
    "promote": ("pin", "promote", "run the artifact of another deployment and stay on it"),
    "unhold": ("pin", "unhold", "lift a pin, a promotion or a rollback"),
    "destroy": ("destroy", "destroy", "take deployments down"),
    "cancel": ("unlock", "cancel", "end the command that is at work in this clone"),
    "unlock": ("unlock", "unlock", "who holds the lock of this clone, or is changing a deployment; break it"),
    "schema": ("schema", "schema", "the JSON Schema of mlops.yaml"),
    "doctor": ("doctor", "doctor", "is this machine ready, and what is missing"),
    "explain": ("explain", "explain", "the long form of an error code"),
    "completion": ("completion", "completion", "completion for bash, zsh or fish"),
}

# group -> its verbs, in the same form
GROUPS: dict[str, tuple[str, dict[str, tuple[str, str, str]]]] = {
    "data": (
        "datasets: add, ls, verify",
        {
            "add": ("data", "add", "pin a file or folder as a .dvc dataset"),
            "ls": ("data", "ls", "the datasets and their versions"),
            "verify": ("data", "verify", "re-hash datasets against what was attested"),
        },
    ),
    "gate": ("gates: run", {"run": ("gate", "run", "measure one gate now")}),
    "report": (
        "evidence for people: targets",
        {"targets": ("report", "targets", "the targets of a model side by side")},
    ),
    "runs": (
        "training runs: ls, show, compare, tried",
        {
            "ls": ("runs", "ls", "every run, with settings and measurements"),
            "show": ("runs", "show", "one run in full"),
            "compare": ("runs", "compare_runs", "runs side by side"),
            "tried": ("runs", "tried", "was this combination tried?"),
        },
    ),
    "incident": (
        "incidents: open, note, link, close, ls, show, bundle",
        {
            "open": ("incident", "open_", "sign that something is wrong"),
            "note": ("incident", "note", "add a dated note"),
            "link": ("incident", "link", "bind entries, deployments, findings, addresses"),
            "close": ("incident", "close", "close with a conclusion"),
            "ls": ("incident", "ls", "the incidents, newest first"),
            "show": ("incident", "show", "one incident as a timeline"),
            "bundle": ("incident", "bundle", "everything for the post-mortem in one file or folder"),
        },
    ),
    "key": (
        "keys: new, import, show, ls",
        {
            "new": ("key", "new", "make a signing key"),
            "import": ("key", "import_", "sign with a key that you have: OpenSSH, PKCS#11, PEM"),
            "show": ("key", "show", "show a public key"),
            "ls": ("key", "ls", "the keys of this user"),
        },
    ),
    "trust": (
        "who may attest what: show, apply, revoke, rotate",
        {
            "show": ("trust", "show", "the trust policy in force"),
            "apply": ("trust", "apply", "sign the policy of trust.yaml into the trail"),
            "revoke": ("trust_keys", "revoke", "retire a signer's key"),
            "rotate": ("trust_keys", "rotate", "give a signer a new key"),
            "pin": ("trust", "pin", "believe one root entry on this machine"),
            "commitment": ("trust", "commitment", "what stands for an e-mail address in trust.yaml"),
        },
    ),
    "audit": (
        "the trail: log, show, verify, trace, impact, export",
        {
            "log": ("audit_log", "log", "the entries, newest first"),
            "show": ("audit", "show", "one entry in full"),
            "verify": ("audit", "verify", "check every entry, signature and link"),
            "adopt": ("audit_adopt", "adopt", "sign own earlier results with the role that the key has now"),
            "reject": ("audit_reject", "reject", "put a line aside that never was valid"),
            "trace": ("audit_trace", "trace", "from a deployment back to data, code and people"),
            "impact": ("audit_impact", "impact", "from data, code or a key to all that was made with it"),
            "export": ("audit_export", "export", "a bundle or folder that others can verify"),
            "anchor": ("audit_anchor", "anchor", "leave a receipt of the trail outside"),
            "countersign": ("audit_anchor", "countersign", "sign what the trail is with your own key, and keep it"),
        },
    ),
}
