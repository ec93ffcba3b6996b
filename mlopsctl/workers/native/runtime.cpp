// The model as one C function: TVM's kernels called in order on fixed buffers, with the few functions that they need.
// model.inc holds the tables of this model, weights.bin its numbers; both were written beside this file.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

// The interface of TVM's kernels (DLPack's DLTensor, tvm-ffi's TVMFFIAny).
struct DLTensor {
    void *data;
    int32_t device_type, device_id;
    int32_t ndim;
    uint8_t code, bits;
    uint16_t lanes;
    const int64_t *shape;
    const int64_t *strides;
    uint64_t byte_offset;
};
struct Any {
    int32_t type_index;
    uint32_t padding;
    union {
        int64_t v_int64;
        void *v_ptr;
    };
};
typedef int (*Kernel)(void *self, const Any *arguments, int32_t count, Any *result);

enum { WEIGHT, ARENA };
struct Tensor {
    int kind;
    uint64_t offset;
    int ndim;
    const int64_t *shape;
    uint8_t code, bits;
};
struct Step {
    Kernel kernel;
    int first, count;
};
struct Port {
    const char *name, *dtype;
    int tensor;
    uint64_t bytes;
};

#include "model.inc"

__asm__(
    ".section .rodata\n"
    ".balign 256\n"
    ".hidden mlopsctl_weights\n"
    ".global mlopsctl_weights\n"
    "mlopsctl_weights:\n"
    ".incbin \"weights.bin\"\n"
    ".byte 0\n"
    ".previous\n");
extern "C" __attribute__((visibility("hidden"))) const unsigned char mlopsctl_weights[];

static unsigned char arena[ARENA_BYTES] __attribute__((aligned(256)));
static char last_error[1024];

extern "C" {

__attribute__((visibility("hidden"))) void TVMFFIErrorSetRaisedFromCStrParts(const char *kind, const char **parts, int32_t count) {
    size_t at = (size_t)snprintf(last_error, sizeof last_error, "%s: ", kind);
    for (int32_t part = 0; part < count && at < sizeof last_error; ++part)
        if (parts[part]) at += (size_t)snprintf(last_error + at, sizeof last_error - at, "%s", parts[part]);
}

__attribute__((visibility("hidden"))) void TVMFFIErrorSetRaisedFromCStr(const char *kind, const char *text) {
    TVMFFIErrorSetRaisedFromCStrParts(kind, &text, 1);
}

__attribute__((visibility("hidden"))) void *TVMBackendAllocWorkspace(int, int, uint64_t size, int, int) {
    void *found = 0;
    return posix_memalign(&found, 64, size ? (size_t)size : 1) == 0 ? found : 0;
}

__attribute__((visibility("hidden"))) int TVMBackendFreeWorkspace(int, int, void *place) {
    free(place);
    return 0;
}

// One thread: the tasks of a parallel loop run one after another.
struct Group {
    void *sync;
    int32_t tasks;
};
__attribute__((visibility("hidden"))) int TVMBackendParallelLaunch(int (*task)(int, Group *, void *), void *data, int) {
    Group one = {0, 1};
    return task(0, &one, data);
}

__attribute__((visibility("hidden"))) int TVMBackendParallelBarrier(int, Group *) { return 0; }

// Kernels call these through pointers, which TVM's own loader would set.
__attribute__((visibility("hidden"))) void *(*__TVMBackendAllocWorkspace)(int, int, uint64_t, int, int) = TVMBackendAllocWorkspace;
__attribute__((visibility("hidden"))) int (*__TVMBackendFreeWorkspace)(int, int, void *) = TVMBackendFreeWorkspace;
__attribute__((visibility("hidden"))) int (*__TVMBackendParallelLaunch)(int (*)(int, Group *, void *), void *, int) = TVMBackendParallelLaunch;
__attribute__((visibility("hidden"))) int (*__TVMBackendParallelBarrier)(int, Group *) = TVMBackendParallelBarrier;

int mlopsctl_model_batch(void) { return BATCH; }
int mlopsctl_model_inputs(void) { return INPUTS; }
int mlopsctl_model_outputs(void) { return OUTPUTS; }

static const Port *port(int output, int number) {
    if (number < 0 || number >= (output ? OUTPUTS : INPUTS)) return 0;
    return (output ? OUTPUT_PORTS : INPUT_PORTS) + number;
}
const char *mlopsctl_model_name(int output, int number) { return port(output, number) ? port(output, number)->name : 0; }
const char *mlopsctl_model_dtype(int output, int number) { return port(output, number) ? port(output, number)->dtype : 0; }
uint64_t mlopsctl_model_bytes(int output, int number) { return port(output, number) ? port(output, number)->bytes : 0; }
const char *mlopsctl_model_error(void) { return last_error; }

static unsigned char *place(const Tensor &tensor) {
    return (tensor.kind == WEIGHT ? const_cast<unsigned char *>(mlopsctl_weights) : arena) + tensor.offset;
}

int mlopsctl_model_run(const void *const *inputs, void *const *outputs) {
    static const int32_t CPU = 1, TENSOR_POINTER = 7;
    for (int number = 0; number < INPUTS; ++number)
        memcpy(place(TENSORS[INPUT_PORTS[number].tensor]), inputs[number], (size_t)INPUT_PORTS[number].bytes);
    for (unsigned step = 0; step < sizeof STEPS / sizeof *STEPS; ++step) {
        DLTensor tensors[MOST_ARGUMENTS];
        Any arguments[MOST_ARGUMENTS], result = {0, 0, {0}};
        for (int at = 0; at < STEPS[step].count; ++at) {
            const Tensor &tensor = TENSORS[ARGUMENTS[STEPS[step].first + at]];
            tensors[at] = {place(tensor), CPU, 0, tensor.ndim, tensor.code, tensor.bits, 1, tensor.shape, 0, 0};
            arguments[at].type_index = TENSOR_POINTER;
            arguments[at].padding = 0;
            arguments[at].v_int64 = 0;
            arguments[at].v_ptr = tensors + at;
        }
        if (STEPS[step].kernel(0, arguments, STEPS[step].count, &result) != 0) return -1;
    }
    for (int number = 0; number < OUTPUTS; ++number)
        memcpy(outputs[number], place(TENSORS[OUTPUT_PORTS[number].tensor]), (size_t)OUTPUT_PORTS[number].bytes);
    return 0;
}
}
