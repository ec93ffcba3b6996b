// Softmax regression on two columns and two classes, written as model.onnx.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include "onnx_writer.h"

int main() {
    std::ifstream file(getenv("MLOPS_DATA_ROWS"));
    std::string line;
    std::getline(file, line);
    std::vector<float> w(4, 0), b(2, 0);
    std::vector<std::vector<float>> rows;
    while (std::getline(file, line)) {
        float x, y, label;
        if (sscanf(line.c_str(), "%f,%f,%f", &x, &y, &label) == 3) rows.push_back({x, y, label});
    }
    for (int epoch = 0; epoch < 2000; epoch++)
        for (auto& row : rows) {
            float scores[2] = {row[0] * w[0] + row[1] * w[2] + b[0], row[0] * w[1] + row[1] * w[3] + b[1]};
            float first = 1 / (1 + std::exp(scores[1] - scores[0]));
            float errors[2] = {first - (row[2] == 0), (1 - first) - (row[2] == 1)};
            for (int k = 0; k < 2; k++) {
                w[k] -= 0.05f * errors[k] * row[0];
                w[2 + k] -= 0.05f * errors[k] * row[1];
                b[k] -= 0.05f * errors[k];
            }
        }
    std::string graph = bytes(1, node("Gemm", {"x", "w", "b"}, "scores")) + bytes(1, node("Softmax", {"scores"}, "p")) +
                        bytes(2, "linear") + bytes(5, tensor("w", {2, 2}, w)) + bytes(5, tensor("b", {2}, b)) +
                        bytes(11, port("x", 2)) + bytes(12, port("p", 2));
    std::string model = number(1, 8) + bytes(7, graph) + bytes(8, bytes(1, "") + number(2, 17));
    std::ofstream(std::string(getenv("MLOPS_OUT")) + "/model.onnx", std::ios::binary) << model;
    printf("%zu rows\n", rows.size());
}
