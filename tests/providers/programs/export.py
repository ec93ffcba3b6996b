"""train: writes a model of two classes whose scores are x and a bias from the request."""

import json
import os
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

request = json.load(sys.stdin)
with open(request["inputs"]["data"][0]["path"]) as file:
    rows = len(file.readlines()) - 1
weights = np.array([[0.0, 0.0], [0.0, 1.0]], np.float32)
bias = np.array([request["spec"]["params"]["bias"], 0.0], np.float32)
graph = helper.make_graph(
    [helper.make_node("Gemm", ["features", "w", "b"], ["scores"])],
    "g",
    [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 2])],
    [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 2])],
    [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")],
)
os.mkdir(request["out"] + "/model")
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
onnx.save(model, request["out"] + "/model/model.onnx")
json.dump({"outputs": {"model": "model"}, "facts": {"rows": rows}}, sys.stdout)
