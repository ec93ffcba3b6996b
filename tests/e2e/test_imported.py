"""A model that somebody else made: pinned, looked through, and vouched for by a signer or by nobody."""

from __future__ import annotations

import hashlib
import http.server
import json
import shutil
import ssl
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest

from mlopsctl.adapters.keys import Signer, new_key
from mlopsctl.adapters.model_signature import sign_folder
from mlopsctl.audit.dsse import pae
from mlopsctl.canonical import canonical
from mlopsctl.cli.project import open_project
from mlopsctl.errors import ManifestError
from mlopsctl.manifest import load_manifest
from tests.quickstart import must, shell, take_down

HEAD = "apiVersion: mlopsctl/v1\nproject: {name: p}\ntrain:\n  m: "


class Vendor:
    """A project that imports ``vendor/model.onnx``, and the key of whoever published it."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root = root
        project = open_project(root)
        entry = project.trail.latest("train.classifier")
        assert entry is not None
        project.store.checkout(entry.outputs["model"], folder / "published")
        (root / "vendor").mkdir()
        self.model = root / "vendor" / "model.onnx"
        made = onnx.load(folder / "published" / "model.onnx")
        made.doc_string = "as the vendor publishes it"  # other bytes than those that were trained here
        onnx.save(made, self.model)
        self.key = new_key(folder / "vendor.pem")
        self.other = new_key(folder / "other.pem")

    def sign(self, key: Signer | None = None, what: Path | None = None) -> None:
        sign_folder(what or self.model, key or self.key, self.root / "vendor" / "model.onnx.sig")

    def trust(self, **signers: Signer) -> None:
        """Puts a policy in force that names these signers beside the owner."""
        trail = open_project(self.root).trail
        trail.sync()
        policy = trail.ledger.policy_in_force()
        assert policy is not None
        content = json.loads(json.dumps(policy.content))
        for name, signer in signers.items():
            content["signers"][name] = {"key": signer.key, "roles": ["train"]}
        trail.append("trust", facts={"trust": content})
        trail.flush()

    def manifest(self, keys: str = "", deployment: str = "") -> None:
        path = self.root / "mlops.yaml"
        text = path.read_text()
        head, tail = text.split("train:\n")[0], "gates:\n" + text.split("gates:\n")[1].split("deployments:\n")[0]
        own = f"train:\n  classifier: {{import: vendor/model.onnx{', ' if keys else ''}{keys}}}\n"
        path.write_text(head + own + tail + (f"deployments:\n  {deployment}\n" if deployment else ""))
        must("git add -A && git add -f vendor && git commit -qm 'Import a model' --allow-empty", self.root)

    def apply(self) -> str:
        return must("mlopsctl apply -y", self.root)

    def refused(self, code: str) -> str:
        done = shell("mlopsctl apply -y", self.root)
        assert code in done.stdout, done.stdout
        assert done.returncode == 7
        entry = open_project(self.root).trail.latest("train.classifier", ("failure",))
        assert entry is not None and entry.facts["code"] == code
        return done.stdout

    def origin(self) -> Any:
        entry = open_project(self.root).trail.latest("train.classifier")
        assert entry is not None
        return entry.facts["origin"]

    def rows(self) -> dict[str, Any]:
        said = json.loads(must("mlopsctl status --format json 2>/dev/null", self.root))
        return {row["address"]: row for row in said["resources"]}


@pytest.fixture
def vendor(project: Path, tmp_path: Path) -> Iterator[Vendor]:
    yield Vendor(project, tmp_path)
    take_down(project)


def test_signed_by_the_vendor_it_is_measured_compiled_and_deployed(vendor: Vendor, tmp_path: Path) -> None:
    vendor.trust(vendor=vendor.key)
    vendor.sign()
    vendor.manifest("signed_by: [nobody, vendor]", "local: {target: cpu}")
    assert "failed" not in vendor.apply().split("\n")[-2].replace("0 failed", "")
    origin = vendor.origin()
    assert (origin["state"], origin["by"], origin["key"]) == ("verified", "vendor", vendor.key.key_id)
    rows = vendor.rows()
    assert rows["train.classifier"]["origin"] == "verified by vendor"
    assert rows["deployments.local"]["origin"] == {"train.classifier": "verified by vendor"}
    assert rows["gates.scan"]["state"] == rows["gates.accuracy"]["state"] == "passed"
    assert rows["deployments.local"]["state"] == "serving"
    assert "origin: imported, verified by vendor (signature)" in must(
        "mlopsctl audit trace deployments.local", vendor.root
    )
    assert "No changes" in must("mlopsctl plan", vendor.root)


def test_weights_stay_out_of_the_trail(vendor: Vendor) -> None:
    vendor.manifest()
    vendor.apply()
    assert "model.onnx" not in must("git ls-tree -r --name-only refs/notes/mlops", vendor.root)


def test_unsigned_it_runs_here_and_is_called_unverified_everywhere(vendor: Vendor) -> None:
    vendor.manifest("", "local: {target: cpu}")
    assert "unverified: no signed_by:" in must("mlopsctl plan", vendor.root)
    vendor.apply()
    rows = vendor.rows()
    assert rows["train.classifier"]["origin"] == "unverified"
    assert rows["deployments.local"]["origin"] == {"train.classifier": "unverified"}
    said = must("mlopsctl status", vendor.root)
    assert "unverified" in said and "runs train.classifier, imported, unverified" in said
    traced = must("mlopsctl audit trace deployments.local", vendor.root)
    assert "origin: imported, train.classifier unverified" in traced and "origin: imported, unverified" in traced


def test_an_unverified_import_is_barred_from_a_protected_deployment(vendor: Vendor) -> None:
    protected = "local: {target: cpu, approvals: {count: 1}}"
    vendor.manifest("", protected)
    done = shell("mlopsctl apply -y", vendor.root)
    assert "train.classifier unverified (an import without signed_by:)" in done.stdout, done.stdout
    assert open_project(vendor.root).trail.latest("deployments.local") is None
    step = json.loads(must("mlopsctl plan --format json 2>/dev/null", vendor.root))["steps"][-1]
    assert any("unverified" in text for text in step["blocked_by"])
    # With the vendor's word for it nothing but people's agreement is missing.
    vendor.trust(vendor=vendor.key)
    vendor.sign()
    vendor.manifest("signed_by: [vendor]", protected)
    shell("mlopsctl apply -y", vendor.root)
    step = json.loads(must("mlopsctl plan --format json 2>/dev/null", vendor.root))["steps"][-1]
    assert not any("unverified" in text for text in step["blocked_by"])


def test_the_signature_may_lie_elsewhere(vendor: Vendor) -> None:
    vendor.trust(vendor=vendor.key)
    sign_folder(vendor.model, vendor.key, vendor.root / "vendor" / "proof.json")
    vendor.manifest("signed_by: [vendor], signature: vendor/proof.json")
    vendor.apply()
    assert vendor.origin()["by"] == "vendor"


def test_it_says_which_data_it_is_measured_on() -> None:
    text = (
        "data:\n  a: {path: a.csv, label: y}\n  b: {path: b.csv, label: y}\ngates:\n  g: {metric: accuracy, min: 0.5}\n"
    )
    for name in ("a", "b"):
        found = load_manifest(f"{HEAD}{{import: m.onnx, data: {name}}}\n{text}".encode())
        gate = next(want for want in found.resources if str(want.address) == "gates.g")
        assert [str(need.address) for need in gate.needs] == ["train.m", f"data.{name}"]


def signed_by_another_key(vendor: Vendor) -> None:
    vendor.sign(vendor.other)


def changed_after_signing(vendor: Vendor) -> None:
    vendor.sign()
    with vendor.model.open("ab") as file:
        file.write(b"\x52\x03abc")


def signature_of_another_model(vendor: Vendor) -> None:
    other = vendor.root.parent / "another.onnx"
    other.write_bytes(b"another model")
    vendor.sign(what=other)


@pytest.mark.parametrize("wrong", [signed_by_another_key, changed_after_signing, signature_of_another_model])
def test_a_signature_that_does_not_prove_it_is_refused(vendor: Vendor, wrong: Callable[[Vendor], None]) -> None:
    vendor.trust(vendor=vendor.key)
    wrong(vendor)
    vendor.manifest("signed_by: [vendor]")
    vendor.refused("MLO7281")


def test_without_a_signature_or_a_known_signer_it_is_refused(vendor: Vendor) -> None:
    vendor.manifest("signed_by: [vendor]")
    assert "vendor/model.onnx.sig" in vendor.refused("MLO7282")
    vendor.sign()
    vendor.manifest("signed_by: [vendor]")
    vendor.refused("MLO7283")


def test_the_signature_is_checked_again_by_todays_policy_when_it_is_deployed(vendor: Vendor) -> None:
    vendor.trust(vendor=vendor.key)
    vendor.sign()
    vendor.manifest("signed_by: [vendor]")
    vendor.apply()
    vendor.trust(vendor=vendor.other)  # the vendor's key was replaced
    vendor.manifest("signed_by: [vendor]", "local: {target: cpu}")
    done = shell("mlopsctl apply -y", vendor.root)
    assert done.returncode == 7 and "MLO7281" in done.stdout, done.stdout
    assert open_project(vendor.root).trail.latest("deployments.local") is None


def test_another_clone_takes_the_verified_model_over(vendor: Vendor, tmp_path: Path) -> None:
    must(f"git init -q --bare {tmp_path}/hub.git && git remote add origin {tmp_path}/hub.git", vendor.root)
    vendor.trust(vendor=vendor.key)
    vendor.sign()
    manifest = vendor.root / "mlops.yaml"
    vendor.manifest("signed_by: [vendor]")
    manifest.write_text(manifest.read_text() + f"store: {tmp_path}/store\n")
    must("git commit -qam 'A store' && git push -q -u origin main", vendor.root)
    vendor.apply()
    clone = tmp_path / "clone"
    must(f"git clone -q {tmp_path}/hub.git {clone}", tmp_path)
    try:
        path = clone / "mlops.yaml"
        path.write_text(path.read_text() + "deployments:\n  local: {target: cpu}\n")
        must("git commit -qam Deploy", clone)
        assert "1 applied" in must("mlopsctl apply -y", clone)
        assert "verified by vendor" in must("mlopsctl status local", clone)
    finally:
        take_down(clone)


def provenance(
    vendor: Vendor, model: bytes, builder: str = "https://ci.example/vendor", key: Signer | None = None
) -> None:
    """Writes SLSA provenance beside the model."""
    payload = canonical(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": "m.onnx", "digest": {"sha256": hashlib.sha256(model).hexdigest()}}],
            "predicateType": "https://slsa.dev/provenance/v1",
            "predicate": {"buildDefinition": {}, "runDetails": {"builder": {"id": builder}}},
        }
    )
    signature = b64encode((key or vendor.key).sign(pae(payload))).decode()
    envelope = {
        "payload": b64encode(payload).decode(),
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [{"keyid": "", "sig": signature}],
    }
    (vendor.root / "vendor" / "model.intoto.json").write_text(json.dumps(envelope))


KEYS = 'signed_by: [vendor], provenance: vendor/model.intoto.json, builder: "https://ci.example/vendor"'


def test_provenance_by_the_vendors_builder_takes_the_place_of_a_signature(vendor: Vendor) -> None:
    vendor.trust(vendor=vendor.key)
    provenance(vendor, vendor.model.read_bytes())
    vendor.manifest(KEYS, "local: {target: cpu}")
    vendor.apply()
    assert vendor.origin()["how"] == "provenance"
    assert vendor.rows()["deployments.local"]["origin"] == {"train.classifier": "verified by vendor"}


@pytest.mark.parametrize("wrong", ["model", "builder", "key", "form"])
def test_provenance_of_something_else_is_refused(vendor: Vendor, wrong: str) -> None:
    vendor.trust(vendor=vendor.key)
    provenance(
        vendor,
        b"another" if wrong == "model" else vendor.model.read_bytes(),
        builder="https://ci.example/" + ("other" if wrong == "builder" else "vendor"),
        key=vendor.other if wrong == "key" else None,
    )
    if wrong == "form":
        (vendor.root / "vendor" / "model.intoto.json").write_text("{}")
    vendor.manifest(KEYS)
    vendor.refused("MLO7284")


def test_a_path_outside_is_held_to_its_digest(vendor: Vendor, tmp_path: Path) -> None:
    body = vendor.model.read_bytes()
    outside = tmp_path / "outside.onnx"
    outside.write_bytes(body)
    shutil.rmtree(vendor.root / "vendor")
    text = (vendor.root / "mlops.yaml").read_text()
    digest = hashlib.sha256(body).hexdigest()
    manifest = text.replace("{run: python train.py}", f'{{import: "{outside}", digest: "sha256:{digest}"}}')
    (vendor.root / "mlops.yaml").write_text(manifest)
    must("git commit -qam Import", vendor.root)
    vendor.apply()
    assert vendor.origin() == {"state": "unverified", "digest": f"sha256:{digest}", "file": "model.onnx"}
    (vendor.root / "mlops.yaml").write_text(manifest.replace(digest, "0" * 64))
    must("git commit -qam 'Another pin'", vendor.root)
    vendor.refused("MLO7280")


def test_an_opaque_model_takes_its_program_along_and_is_verified_without_it(vendor: Vendor, tmp_path: Path) -> None:
    vendor.trust(vendor=vendor.key)
    folder = vendor.root / "vendor" / "always"
    folder.mkdir()
    (folder / "weights.json").write_text("[3]")
    sign_folder(folder, vendor.key, vendor.root / "vendor" / "always.sig")
    (vendor.root / "ask.py").write_text(
        "import json, sys\nanswer = json.load(open(sys.argv[1] + '/weights.json'))[0]\n"
        "for line in sys.stdin:\n    print(answer, flush=True)\n"
    )
    text = (vendor.root / "mlops.yaml").read_text()
    own = '{import: vendor/always, signed_by: [vendor], predict: "python {model}/ask.py {model}", formats: [json, py]}'
    own = own.replace("{model}/ask.py", "ask.py")
    text = (
        text.replace("{run: python train.py}", own)
        .replace("min: 0.93", "min: 0.01")
        .replace("cpu: {}", "cpu: {use: program}")
    )
    (vendor.root / "mlops.yaml").write_text(text + "deployments:\n  local: {target: cpu}\n")
    must("git add -A && git commit -qm Import", vendor.root)
    vendor.apply()
    assert vendor.origin()["added"] == ["ask.py"]
    assert vendor.rows()["deployments.local"]["origin"] == {"train.classifier": "verified by vendor"}


def test_what_is_no_onnx_model_says_what_it_seems_to_be(vendor: Vendor) -> None:
    vendor.model.write_bytes(b"\x80\x04sklearn")
    vendor.manifest()
    done = shell("mlopsctl apply -y", vendor.root)
    assert done.returncode == 1 and "MLO1233" in done.stdout and "scikit-learn" in done.stdout


def test_an_address_is_fetched_over_https_and_held_to_its_digest(
    vendor: Vendor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = vendor.model.read_bytes()
    site = tmp_path / "site"
    site.mkdir()
    (site / "model.onnx").write_bytes(body)
    sign_folder(site / "model.onnx", vendor.key, site / "model.onnx.sig")
    vendor.trust(vendor=vendor.key)
    with served(site, tmp_path) as url:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "site.pem"))
        text = (vendor.root / "mlops.yaml").read_text()
        digest = hashlib.sha256(body).hexdigest()
        own = f'{{import: "{url}/model.onnx", digest: "sha256:{digest}", signed_by: [vendor]}}'
        (vendor.root / "mlops.yaml").write_text(text.replace("{run: python train.py}", own))
        must("git commit -qam Import", vendor.root)
        vendor.apply()
        assert vendor.origin()["by"] == "vendor"
        (vendor.root / "mlops.yaml").write_text(text.replace("{run: python train.py}", own.replace(digest, "0" * 64)))
        must("git commit -qam 'Another pin'", vendor.root)
        vendor.refused("MLO7280")


class served:
    """A site on loopback with a certificate of its own."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        certificate(scratch / "site.pem", scratch / "site.key")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(scratch / "site.pem", scratch / "site.key")

        class Quiet(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *given: Any) -> None:
                super().__init__(*given, directory=str(folder))

            def log_message(self, *words: Any) -> None:
                """Says nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.thread = threading.Thread(target=self.server.serve_forever)

    def __enter__(self) -> str:
        self.thread.start()
        return f"https://localhost:{self.server.server_port}"

    def __exit__(self, *failure: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def certificate(certificate: Path, key: Path) -> None:
    """A self-signed certificate for localhost."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    key.write_bytes(private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))


@pytest.mark.parametrize(
    ("keys", "code", "said"),
    [
        ('import: "hf://org/name@1"', "MLO3019", "not yet supported"),
        ('import: "http://x.example/m.onnx"', "MLO1231", "http:// is not read"),
        ('import: "https://x.example/m.onnx"', "MLO1231", "not pinned"),
        ("import: ../m.onnx", "MLO1231", "not pinned"),
        ("import: /m.onnx", "MLO1231", "not pinned"),
        ("import: m.onnx, signature: m.sig", "MLO1231", "signed_by"),
        ("import: m.onnx, signed_by: [v], provenance: p.json", "MLO1231", "builder:"),
        ("import: m.onnx, run: python train.py", "MLO3014", "runs no command"),
        ("run: python train.py, signed_by: [v]", "MLO3014", "imported models"),
    ],
)
def test_what_cannot_be_meant_is_said_before_anything_runs(keys: str, code: str, said: str) -> None:
    with pytest.raises(ManifestError) as caught:
        load_manifest(f"{HEAD}{{{keys}}}\n".encode())
    found = caught.value
    assert found.code == code and said in found.message + found.hint
