// predict MODEL.so [--binary]: rows from the standard input, answers to the standard output.
// Text: one row a line, all numbers of all inputs in order, split by commas or spaces; answers likewise.
// --binary: one row after another, the bytes of each input in order; answers likewise.
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <string>
#include <vector>

struct Port {
    std::string dtype;
    size_t row;  // bytes of one row
    std::vector<unsigned char> data;
};
static struct {
    int (*batch)(void);
    int (*inputs)(void);
    int (*outputs)(void);
    const char *(*dtype)(int, int);
    uint64_t (*bytes)(int, int);
    int (*run)(const void *const *, void *const *);
    const char *(*error)(void);
} model;

[[noreturn]] static void stop(const std::string &why) {
    fprintf(stderr, "predict: %s\n", why.c_str());
    exit(1);
}

template <typename Function>
static void find(void *library, const char *name, Function &function) {
    function = reinterpret_cast<Function>(dlsym(library, (std::string("mlopsctl_model_") + name).c_str()));
    if (!function) stop(std::string("the library has no ") + name);
}

static size_t width(const std::string &dtype) {
    if (dtype == "bool") return 1;
    size_t at = dtype.find_first_of("0123456789");
    return at == std::string::npos ? 1 : (size_t)atoi(dtype.c_str() + at) / 8;
}

template <typename Number>
static void put(unsigned char *to, Number number) {
    memcpy(to, &number, sizeof number);
}

static void parse(const std::string &dtype, const char *word, char **end, unsigned char *to) {
    if (dtype == "float32") put(to, strtof(word, end));
    else if (dtype == "float64") put(to, strtod(word, end));
    else if (dtype == "int64") put(to, (int64_t)strtoll(word, end, 10));
    else if (dtype == "int32") put(to, (int32_t)strtoll(word, end, 10));
    else if (dtype == "int16") put(to, (int16_t)strtoll(word, end, 10));
    else if (dtype == "int8") put(to, (int8_t)strtoll(word, end, 10));
    else if (dtype == "uint8" || dtype == "bool") put(to, (uint8_t)strtoll(word, end, 10));
    else stop("rows of " + dtype + " are read with --binary only");
}

template <typename Number>
static Number get(const unsigned char *from) {
    Number number;
    memcpy(&number, from, sizeof number);
    return number;
}

static void print(const std::string &dtype, const unsigned char *from) {
    if (dtype == "float32") printf("%.9g", (double)get<float>(from));
    else if (dtype == "float64") printf("%.17g", get<double>(from));
    else if (dtype == "int64") printf("%lld", (long long)get<int64_t>(from));
    else if (dtype == "int32") printf("%d", (int)get<int32_t>(from));
    else if (dtype == "int16") printf("%d", (int)get<int16_t>(from));
    else if (dtype == "int8") printf("%d", (int)get<int8_t>(from));
    else if (dtype == "uint8" || dtype == "bool") printf("%d", (int)*from);
    else stop("answers of " + dtype + " are written with --binary only");
}

static bool read_text(std::vector<Port> &ports, size_t row) {
    static char *line = 0;
    static size_t room = 0;
    do {
        if (getline(&line, &room, stdin) < 0) return false;
    } while (line[strspn(line, " \t\r\n")] == 0);
    char *word = line;
    for (Port &port : ports)
        for (size_t at = 0; at < port.row; at += width(port.dtype)) {
            char *end = word;
            word += strspn(word, ", \t");
            parse(port.dtype, word, &end, port.data.data() + row * port.row + at);
            if (end == word) stop("a row has too few numbers, or something else than numbers");
            word = end;
        }
    if (word[strspn(word, ", \t\r\n")] != 0) stop("a row has too many numbers");
    return true;
}

static bool read_binary(std::vector<Port> &ports, size_t row) {
    bool first = true;
    for (Port &port : ports) {
        size_t found = fread(port.data.data() + row * port.row, 1, port.row, stdin);
        if (found == 0 && first) return false;
        if (found != port.row) stop("the last row is cut off");
        first = false;
    }
    return true;
}

static void answer(std::vector<Port> &ports, size_t row, bool binary) {
    bool first = true;
    for (Port &port : ports) {
        const unsigned char *from = port.data.data() + row * port.row;
        if (binary) {
            if (fwrite(from, 1, port.row, stdout) != port.row) stop("cannot write");
            continue;
        }
        for (size_t at = 0; at < port.row; at += width(port.dtype)) {
            if (!first) putchar(',');
            print(port.dtype, from + at);
            first = false;
        }
    }
    if (!binary) putchar('\n');
}

static std::vector<Port> ports(int output, int count, size_t batch) {
    std::vector<Port> found;
    for (int number = 0; number < count; ++number) {
        size_t bytes = (size_t)model.bytes(output, number);
        found.push_back({model.dtype(output, number), bytes / batch, std::vector<unsigned char>(bytes)});
    }
    return found;
}

int main(int count, char **words) {
    if (count < 2) stop("usage: predict MODEL.so [--binary] < rows > answers");
    bool binary = count > 2 && !strcmp(words[2], "--binary");
    void *library = dlopen(words[1], RTLD_NOW | RTLD_LOCAL);
    if (!library) stop(dlerror());
    find(library, "batch", model.batch);
    find(library, "inputs", model.inputs);
    find(library, "outputs", model.outputs);
    find(library, "dtype", model.dtype);
    find(library, "bytes", model.bytes);
    find(library, "run", model.run);
    find(library, "error", model.error);
    size_t batch = (size_t)model.batch();
    std::vector<Port> in = ports(0, model.inputs(), batch), out = ports(1, model.outputs(), batch);
    std::vector<const void *> given;
    std::vector<void *> found;
    for (Port &port : in) given.push_back(port.data.data());
    for (Port &port : out) found.push_back(port.data.data());
    for (bool more = true; more;) {
        size_t rows = 0;
        while (rows < batch && (more = binary ? read_binary(in, rows) : read_text(in, rows))) ++rows;
        if (rows == 0) break;
        // The last call is filled up with copies of its last row, whose answers are thrown away.
        for (Port &port : in)
            for (size_t row = rows; row < batch; ++row)
                memcpy(port.data.data() + row * port.row, port.data.data() + (rows - 1) * port.row, port.row);
        if (model.run(given.data(), found.data()) != 0) stop(model.error());
        for (size_t row = 0; row < rows; ++row) answer(out, row, binary);
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
