// Feeds rows to the circuit and writes what it answers: bench ROWS ANSWERS BYTES_IN BYTES_OUT
//
// ANSWERS gets, for each row, BYTES_OUT bytes, the label (two bytes, low first), and two cycle counts (four bytes each): from the
// last byte taken to the first one offered, and from the first byte taken to the last one given.
#include "Vcore.h"
#include "verilated.h"
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

static const uint64_t MOST = 1000000000ull;  // cycles without an answer: the circuit hangs

int main(int argc, char **argv) {
    if (argc != 5) return 64;
    FILE *rows = fopen(argv[1], "rb"), *answers = fopen(argv[2], "wb");
    size_t in = strtoul(argv[3], nullptr, 10), out = strtoul(argv[4], nullptr, 10);
    if (!rows || !answers || !in || !out) return 65;
    Vcore core;
    uint64_t cycle = 0;
    auto tick = [&] { core.clk = 1; core.eval(); core.clk = 0; core.eval(); ++cycle; };
    core.clk = 0; core.rst = 1; core.in_valid = 0; core.in_data = 0; core.out_ready = 1;
    core.eval();
    for (int i = 0; i < 8; ++i) tick();
    core.rst = 0;
    core.eval();
    std::vector<uint8_t> row(in);
    while (fread(row.data(), 1, in, rows) == in) {
        uint64_t first = cycle, offered = 0;
        for (size_t i = 0; i < in;) {
            core.in_valid = 1; core.in_data = row[i]; core.eval();
            bool taken = core.in_ready;
            tick();
            if (taken) ++i; else if (cycle - first > MOST) return 1;
        }
        core.in_valid = 0; core.eval();
        uint64_t last = cycle;
        for (size_t i = 0; i < out;) {
            if (core.out_valid) {
                if (!i) offered = cycle;
                fputc(core.out_data, answers);
                if (++i == out) {
                    if (!core.out_last) return 2;
                    uint16_t label = core.out_label;
                    fputc(label & 255, answers); fputc(label >> 8, answers);
                }
            } else if (cycle - last > MOST) return 3;
            tick();
        }
        for (uint32_t count : {uint32_t(offered - last), uint32_t(cycle - first)})
            for (int byte = 0; byte < 4; ++byte) fputc((count >> (8 * byte)) & 255, answers);
    }
    core.final();
    return fclose(answers) ? 4 : 0;
}
