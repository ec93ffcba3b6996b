// The few messages of onnx.proto that a linear model needs, written as protobuf wire format.
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

inline std::string varint(uint64_t value) {
    std::string text;
    for (; value > 127; value >>= 7) text += char(value | 128);
    return text + char(value);
}
inline std::string number(int field, uint64_t value) { return varint(field << 3) + varint(value); }
inline std::string bytes(int field, const std::string& body) { return varint(field << 3 | 2) + varint(body.size()) + body; }

inline std::string tensor(const std::string& name, std::vector<int> dims, const std::vector<float>& values) {
    std::string body, raw(values.size() * 4, 0);
    memcpy(&raw[0], values.data(), raw.size());
    for (int dim : dims) body += number(1, dim);
    return body + number(2, 1) + bytes(8, name) + bytes(9, raw);
}
inline std::string node(const std::string& op, std::vector<std::string> inputs, const std::string& output) {
    std::string body;
    for (auto& input : inputs) body += bytes(1, input);
    return body + bytes(2, output) + bytes(4, op);
}
inline std::string port(const std::string& name, int columns) {
    std::string shape = bytes(1, bytes(2, "N")) + bytes(1, number(1, columns));
    return bytes(1, name) + bytes(2, bytes(1, number(1, 1) + bytes(2, shape)));
}
