/* Runs the model on every row of rows.bin: floats to whole numbers, the model, its answer. Written to answers.bin a row:
   what quantise made, what run made, what answer said (one byte), and the instructions of run (four bytes). */
#include <stdint.h>

#include "host.h"
#include "model.h"

#define JOINED(a, b) a##b
#define NAMED(a, b) JOINED(a, b)
#define OF(name) NAMED(PREFIX, name)

/* SysTick counts the processor's clock down from 2^24; the emulator is told to let one instruction last one nanosecond. */
#define CONTROL (*(volatile uint32_t *)0xe000e010)
#define RELOAD (*(volatile uint32_t *)0xe000e014)
#define CURRENT (*(volatile uint32_t *)0xe000e018)
#define MOST 0xffffffu

static float row[FEATURES];
static OF(_input) input[FEATURES];
static OF(_output) output[RESULTS];

int main(void)
{
    int from = host_open("rows.bin", 8, HOST_READ), to = host_open("answers.bin", 11, HOST_WRITE);
    if (from < 0 || to < 0)
        return 1;
    RELOAD = MOST;
    CURRENT = 0;
    CONTROL = 5; /* on, the processor's clock */
    while (host_read(from, row, sizeof row) == 0) {
        if (OF(_quantise)(row, input) != 0)
            return 2;
        uint32_t before = CURRENT;
        OF(_run)(input, output);
        uint32_t ticks = (before - CURRENT) & MOST;
        uint8_t answer = (uint8_t)OF(_answer)(output);
        if (CONTROL & 0x10000u)
            ticks = 0xffffffffu; /* it came to zero: more than it can count */
        CURRENT = 0;
        if (host_write(to, input, sizeof input) || host_write(to, output, sizeof output) || host_write(to, &answer, 1)
            || host_write(to, &ticks, 4))
            return 3;
    }
    return 0;
}
