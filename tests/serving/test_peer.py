"""An independent client of the Open Inference Protocol asks our server."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from .conftest import Deployed, artifact


def test_tritons_client(deployed: Deployed, tmp_path: Path) -> None:
    digest = deployed.release(artifact(tmp_path / "a", slope=2.0))
    deployed.use(digest)
    deployed.start()
    version = digest.partition(":")[2][:12]
    with InferenceServerClient(deployed.url.removeprefix("http://").removesuffix("/v2")) as client:
        assert client.is_server_live() and client.is_server_ready()
        assert client.is_model_ready("classifier") and client.is_model_ready("classifier", version)
        assert client.get_server_metadata()["name"] == "mlopsctl"
        metadata = client.get_model_metadata("classifier", version)
        assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]
        rows = np.array([[1, 2], [3, 4]], dtype=np.float32)
        given = InferInput("x", list(rows.shape), "FP32")
        given.set_data_from_numpy(rows, binary_data=False)
        wanted = [InferRequestedOutput("y", binary_data=False)]
        answer = client.infer("classifier", [given], model_version=version, request_id="7", outputs=wanted)
        assert answer.as_numpy("y").tolist() == [[6.0], [14.0]]
        assert answer.get_response()["id"] == "7"
        given.set_data_from_numpy(rows, binary_data=True)
        with pytest.raises(InferenceServerException, match="binary tensor data extension is not supported"):
            client.infer("classifier", [given], outputs=wanted)
