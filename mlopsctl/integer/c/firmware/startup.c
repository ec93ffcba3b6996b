/* What a Cortex-M runs before main, and how it talks to the machine that emulates it (Arm semihosting, version 2.0). */
#include <stdint.h>

#include "host.h"

extern uint32_t stack_top, data_from, data_start, data_end, bss_start, bss_end;

int main(void);

static void stopped(void)
{
    host_exit(0);
}

void reset(void)
{
    uint32_t *from = &data_from;
    for (uint32_t *to = &data_start; to < &data_end; to++)
        *to = *from++;
    for (uint32_t *to = &bss_start; to < &bss_end; to++)
        *to = 0;
    host_exit(main() == 0);
}

/* The stack, the reset, and every fault of the processor. */
__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    &stack_top, (void *)reset,   (void *)stopped, (void *)stopped, (void *)stopped, (void *)stopped, (void *)stopped, 0, 0, 0,
    0,          (void *)stopped, (void *)stopped, 0,               (void *)stopped, (void *)stopped,
};

static int host(int what, const void *arguments)
{
    register int r0 __asm__("r0") = what;
    register const void *r1 __asm__("r1") = arguments;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

int host_open(const char *name, int length, int mode)
{
    const uintptr_t block[3] = {(uintptr_t)name, (uintptr_t)mode, (uintptr_t)length};
    return host(0x01, block);
}

int host_read(int file, void *to, int length)
{
    const uintptr_t block[3] = {(uintptr_t)file, (uintptr_t)to, (uintptr_t)length};
    return host(0x06, block);
}

int host_write(int file, const void *from, int length)
{
    const uintptr_t block[3] = {(uintptr_t)file, (uintptr_t)from, (uintptr_t)length};
    return host(0x05, block);
}

void host_exit(int well)
{
    /* ADP_Stopped_ApplicationExit, or ADP_Stopped_RunTimeErrorUnknown */
    host(0x18, (const void *)(uintptr_t)(well ? 0x20026 : 0x20023));
    for (;;) {
    }
}

/* The compiler may call these two for a copy. */
void *memcpy(void *to, const void *from, unsigned int length)
{
    for (unsigned int i = 0; i < length; i++)
        ((volatile char *)to)[i] = ((const char *)from)[i];
    return to;
}

void *memset(void *to, int value, unsigned int length)
{
    for (unsigned int i = 0; i < length; i++)
        ((volatile char *)to)[i] = (char)value;
    return to;
}
