// What CUDA's text needs so that a C++ compiler takes it: see driver.cpp.
#pragma once
#include <algorithm>
#include <cmath>
#define __global__
#define __device__
#define __shared__ static __attribute__((aligned(64)))
#define alignas(...)
#define __launch_bounds__(...)
struct dim3 {
    unsigned x, y, z;
};
struct float2 {
    float x, y;
};
struct float4 {
    float x, y, z, w;
};
struct int2 {
    int x, y;
};
struct int4 {
    int x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
using std::max;
using std::min;
inline float __expf(float x) { return std::exp(x); }
extern dim3 threadIdx, blockIdx;
void __syncthreads();
float exchange(float value, int lane);
int lane_of_thread();
inline unsigned __activemask() { return ~0u; }
template <typename Value>
Value __shfl_down_sync(unsigned, Value value, int offset, int) {
    return exchange(value, lane_of_thread() + offset);
}
template <typename Value>
Value __shfl_sync(unsigned, Value value, int lane, int) {
    return exchange(value, lane);
}
