// A stand-in for libcuda: the kernels' CUDA text, compiled for the processor, launched as a GPU would launch it. Each thread of
// a block is a fiber; barriers and exchanges inside a warp switch between them. Blocks run one after another.
#include <ucontext.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "cuda.h"

dim3 threadIdx, blockIdx;

#include "kernels.cu"

namespace {
enum State { READY, AT_BLOCK, AT_WARP, DONE };
struct Fiber {
    ucontext_t context;
    std::vector<char> stack;
    dim3 place;
    State state;
    float slot;
};
std::vector<Fiber> fibers;
ucontext_t scheduler;
size_t current;
struct Launch {
    void (*call)(void **);
    void **arguments;
} launch;

template <typename... Arguments, size_t... Numbers>
void spread(void (*kernel)(Arguments...), void **given, std::index_sequence<Numbers...>) {
    kernel(*static_cast<Arguments *>(given[Numbers])...);
}
template <typename... Arguments>
void apply(void (*kernel)(Arguments...), void **given) {
    spread(kernel, given, std::index_sequence_for<Arguments...>());
}

void pause(State state) {
    size_t self = current;
    fibers[self].state = state;
    swapcontext(&fibers[self].context, &scheduler);
}
void body() {
    launch.call(launch.arguments);
    fibers[current].state = DONE;
}

bool release(size_t first, size_t last, State state) {
    // A warp goes on once its other threads wait for the whole block; a block, once all of it waits.
    bool any = false;
    for (size_t at = first; at < last; ++at) {
        if (fibers[at].state == READY) return false;
        if (state == AT_BLOCK && fibers[at].state == AT_WARP) return false;
        any |= fibers[at].state == state;
    }
    for (size_t at = first; at < last; ++at)
        if (fibers[at].state == state) fibers[at].state = READY;
    return any;
}

void block(dim3 size) {
    fibers.resize(size.x * size.y * size.z);
    for (size_t at = 0; at < fibers.size(); ++at) {
        Fiber &fiber = fibers[at];
        fiber.stack.resize(1 << 16);
        fiber.place = {unsigned(at % size.x), unsigned(at / size.x % size.y), unsigned(at / size.x / size.y)};
        fiber.state = READY;
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.data();
        fiber.context.uc_stack.ss_size = fiber.stack.size();
        fiber.context.uc_link = &scheduler;
        makecontext(&fiber.context, body, 0);
    }
    for (bool going = true; going;) {
        going = false;
        for (current = 0; current < fibers.size(); ++current)
            if (fibers[current].state == READY) {
                threadIdx = fibers[current].place;
                swapcontext(&scheduler, &fibers[current].context);
                going = true;
            }
        for (size_t first = 0; first < fibers.size(); first += 32)
            going |= release(first, std::min(first + 32, fibers.size()), AT_WARP);
        if (!going) going = release(0, fibers.size(), AT_BLOCK);
    }
}

std::map<std::string, void (*)(void **)> kernels = {
#define KERNEL(name) {#name, [](void **given) { apply(&name, given); }},
#include "table.inc"
};
}  // namespace

void __syncthreads() {
    dim3 mine = threadIdx;
    pause(AT_BLOCK);
    threadIdx = mine;
}
int lane_of_thread() { return int(current % 32); }
float exchange(float value, int lane) {
    dim3 mine = threadIdx;
    size_t self = current;
    fibers[self].slot = value;
    pause(AT_WARP);
    threadIdx = mine;
    size_t other = self / 32 * 32 + size_t(lane);
    float found = lane < 32 && other < fibers.size() ? fibers[other].slot : value;
    pause(AT_WARP);  // nobody writes its slot again before all have read
    threadIdx = mine;
    return found;
}

extern "C" {
int cuInit(unsigned) { return 0; }
int cuDeviceGet(int *device, int) { return *device = 0; }
int cuDeviceGetName(char *name, int size, int) { return snprintf(name, size, "stand-in") < 0; }
int cuDeviceGetAttribute(int *value, int which, int) {
    *value = which == 75 ? 9 : 0;
    return 0;
}
int cuDevicePrimaryCtxRetain(void **context, int) {
    *context = 0;
    return 0;
}
int cuCtxSetCurrent(void *) { return 0; }
int cuCtxSynchronize() { return 0; }
int cuModuleLoadData(void **module, const void *) {
    *module = 0;
    return 0;
}
int cuModuleGetFunction(void **function, void *, const char *name) {
    if (!kernels.count(name)) return 500;
    *function = reinterpret_cast<void *>(kernels[name]);
    return 0;
}
int cuGetErrorString(int code, const char **text) {
    *text = code == 500 ? "named symbol not found" : "wrong";
    return 0;
}
int cuMemAlloc_v2(uint64_t *place, size_t size) {
    void *found = aligned_alloc(256, (size + 255) / 256 * 256);
    memset(found, 0xff, size);  // what no kernel wrote is no number
    *place = reinterpret_cast<uint64_t>(found);
    return 0;
}
int cuMemcpyHtoD_v2(uint64_t place, const void *from, size_t size) {
    memcpy(reinterpret_cast<void *>(place), from, size);
    return 0;
}
int cuMemcpyDtoH_v2(void *to, uint64_t place, size_t size) {
    memcpy(to, reinterpret_cast<void *>(place), size);
    return 0;
}
int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned,
                   void *, void **arguments, void **) {
    launch = {reinterpret_cast<void (*)(void **)>(function), arguments};
    for (unsigned z = 0; z < gz; ++z)
        for (unsigned y = 0; y < gy; ++y)
            for (unsigned x = 0; x < gx; ++x) {
                blockIdx = {x, y, z};
                block({bx, by, bz});
            }
    return 0;
}
}
