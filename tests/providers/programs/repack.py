"""targets: copies the model; ``shift`` adds a number to its first weights, ``runtime`` names what runs it."""

import json
import os
import shutil
import sys

import onnx
from onnx import numpy_helper

request = json.load(sys.stdin)
params = request["spec"]["params"]
os.mkdir(request["out"] + "/artifact")
source = request["inputs"]["model"][0]["path"] + "/model.onnx"
if params.get("shift"):
    model = onnx.load(source)
    first = model.graph.initializer[0]
    first.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(first) + params["shift"], first.name))
    onnx.save(model, request["out"] + "/artifact/m.onnx")
else:
    shutil.copy(source, request["out"] + "/artifact/m.onnx")
facts = {"runtime": params.get("runtime", "onnxruntime"), "model": "m.onnx", "cells": 12, "mhz": 55.8}
json.dump({"outputs": {"artifact": "artifact"}, "facts": facts}, sys.stdout)
