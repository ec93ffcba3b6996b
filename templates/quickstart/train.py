"""Trains a small neural network on handwritten digits and writes model.onnx to the folder that MLOPS_OUT names.

An ordinary script. When mlopsctl runs it, the CSV file holds the training rows only.
"""

import os
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save_model

HIDDEN, EPOCHS, BATCH, RATE, DECAY = 64, 60, 32, 0.002, 1e-4

rng = np.random.default_rng(int(os.environ.get("MLOPS_SEED", "0")))
rows = np.loadtxt("data/digits.csv", delimiter=",", skiprows=1, dtype=np.float32)
scaled, digits = rows[:, :64] / 16, rows[:, 64].astype(int)  # pixel values run from 0 to 16

# Two layers, and what Adam (Kingma & Ba, 2015) remembers of their gradients: moments of first and second order.
w1, b1 = rng.normal(0, 0.18, (64, HIDDEN)), np.zeros(HIDDEN)
w2, b2 = rng.normal(0, 0.18, (HIDDEN, 10)), np.zeros(10)
weights = [w1, b1, w2, b2]
mean, square, step = [0 * w for w in weights], [0 * w for w in weights], 0

for epoch in range(EPOCHS):
    order, losses = rng.permutation(len(scaled)), []
    for batch in np.split(order, range(BATCH, len(order), BATCH)):
        x, y = scaled[batch], digits[batch]
        hidden = np.maximum(x @ w1 + b1, 0)
        scores = np.exp(hidden @ w2 + b2)
        probabilities = scores / scores.sum(axis=1, keepdims=True)
        losses.append(-np.log(probabilities[range(len(y)), y]).mean())
        error = (probabilities - np.eye(10)[y]) / len(y)
        back = (error @ w2.T) * (hidden > 0)
        gradients = [x.T @ back + DECAY * w1, back.sum(0), hidden.T @ error + DECAY * w2, error.sum(0)]
        step += 1
        for w, g, m, s in zip(weights, gradients, mean, square, strict=True):
            m += 0.1 * (g - m)
            s += 0.001 * (g * g - s)
            w -= RATE * (m / (1 - 0.9**step)) / (np.sqrt(s / (1 - 0.999**step)) + 1e-8)
    if epoch % 10 == 9:
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.4f}", flush=True)

# The scaling goes into the first layer, so the model takes the pixels as the data has them.
values = {"w1": w1 / 16, "b1": b1, "w2": w2, "b2": b2}
graph = helper.make_graph(
    [
        helper.make_node("Gemm", ["pixels", "w1", "b1"], ["sums"]),
        helper.make_node("Relu", ["sums"], ["hidden"]),
        helper.make_node("Gemm", ["hidden", "w2", "b2"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
    ],
    "digits",
    [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["N", 64])],
    [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 10])],
    [numpy_helper.from_array(value.astype(np.float32), name) for name, value in values.items()],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
save_model(model, Path(os.environ.get("MLOPS_OUT", ".")) / "model.onnx")
