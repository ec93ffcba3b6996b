/* The operations of a model in whole numbers, in C99: nothing is allocated, no library is called.

   Sums are int32_t, which no sum of the model can leave. What is shifted right may be negative: the compiler must keep the
   sign, as gcc, clang, armcc and IAR do. */
#ifndef MODEL_KERNELS_H
#define MODEL_KERNELS_H

#include <stdint.h>

/* From a sum to the next tensor: clamp(half_even(sum * multiplier / 2^shift) + zero_point, low, high). One multiplier and
   shift for all channels (each = 0), or one for each channel (each = 1). */
typedef struct {
    const uint16_t *multiplier;
    const uint8_t *shift;
    int each;
    int16_t zero_point, low, high;
} Requant;

/* A window that moves over an image of [channels][height][width]; the result is [channels][out_height][out_width]. */
typedef struct {
    int channels, height, width, out_height, out_width;
    int kernel_height, kernel_width, stride_y, stride_x, top, left;
} Window;

/* product / 2^shift to the nearest whole number, halves to the even one; shift >= 1. */
static inline int64_t half_even(int64_t product, int shift)
{
    return (product + (((int64_t)1 << (shift - 1)) - 1) + ((product >> shift) & 1)) >> shift;
}

static inline int8_t clamped(int64_t value, const Requant *by)
{
    value += by->zero_point;
    return (int8_t)(value < by->low ? by->low : value > by->high ? by->high : value);
}

static inline int8_t requantised(int32_t sum, const Requant *by, int channel)
{
    int at = by->each ? channel : 0;
    return clamped(half_even((int64_t)sum * by->multiplier[at], by->shift[at]), by);
}

static inline void linear(const int8_t *x, int8_t *y, const int8_t *weight, const int32_t *bias, int inputs, int outputs,
                          const Requant *by)
{
    for (int o = 0; o < outputs; o++) {
        int32_t sum = bias[o];
        for (int i = 0; i < inputs; i++)
            sum += (int32_t)*weight++ * x[i];
        y[o] = requantised(sum, by, o);
    }
}

static inline void conv2d(const int8_t *x, int8_t *y, const int8_t *weight, const int32_t *bias, const Window *w,
                          int outputs, int groups, int pad, const Requant *by)
{
    int channels = w->channels / groups, each = outputs / groups, area = w->kernel_height * w->kernel_width;
    for (int o = 0; o < outputs; o++) {
        const int8_t *image = x + (o / each) * channels * w->height * w->width;
        for (int oy = 0; oy < w->out_height; oy++) {
            for (int ox = 0; ox < w->out_width; ox++) {
                const int8_t *k = weight + o * channels * area;
                int32_t sum = bias[o];
                for (int c = 0; c < channels; c++) {
                    for (int ky = 0; ky < w->kernel_height; ky++) {
                        int iy = oy * w->stride_y + ky - w->top, row = (c * w->height + iy) * w->width;
                        for (int kx = 0; kx < w->kernel_width; kx++) {
                            int ix = ox * w->stride_x + kx - w->left;
                            int inside = iy >= 0 && iy < w->height && ix >= 0 && ix < w->width;
                            sum += (int32_t)*k++ * (inside ? image[row + ix] : pad);
                        }
                    }
                }
                *y++ = requantised(sum, by, o);
            }
        }
    }
}

/* The largest number of each window; what lies over the edge does not count. */
static inline void max_pool(const int8_t *x, int8_t *y, const Window *w, int bias, const Requant *by)
{
    for (int c = 0; c < w->channels; c++) {
        for (int oy = 0; oy < w->out_height; oy++) {
            for (int ox = 0; ox < w->out_width; ox++) {
                int32_t most = -128;
                for (int ky = 0; ky < w->kernel_height; ky++) {
                    int iy = oy * w->stride_y + ky - w->top;
                    for (int kx = 0; kx < w->kernel_width; kx++) {
                        int ix = ox * w->stride_x + kx - w->left;
                        if (iy >= 0 && iy < w->height && ix >= 0 && ix < w->width) {
                            int8_t value = x[(c * w->height + iy) * w->width + ix];
                            most = value > most ? value : most;
                        }
                    }
                }
                *y++ = requantised(most + bias, by, 0);
            }
        }
    }
}

/* The sum of each window; the multiplier divides by its size. Over the edge lies pad, which counts. */
static inline void average_pool(const int8_t *x, int8_t *y, const Window *w, int32_t bias, int pad, const Requant *by)
{
    for (int c = 0; c < w->channels; c++) {
        for (int oy = 0; oy < w->out_height; oy++) {
            for (int ox = 0; ox < w->out_width; ox++) {
                int32_t sum = bias;
                for (int ky = 0; ky < w->kernel_height; ky++) {
                    int iy = oy * w->stride_y + ky - w->top;
                    for (int kx = 0; kx < w->kernel_width; kx++) {
                        int ix = ox * w->stride_x + kx - w->left;
                        int inside = iy >= 0 && iy < w->height && ix >= 0 && ix < w->width;
                        sum += inside ? x[(c * w->height + iy) * w->width + ix] : pad;
                    }
                }
                *y++ = requantised(sum, by, 0);
            }
        }
    }
}

static inline void rescale(const int8_t *x, int8_t *y, int count, int bias, const Requant *by)
{
    for (int i = 0; i < count; i++)
        y[i] = requantised(x[i] + bias, by, 0);
}

static inline void add(const int8_t *a, const int8_t *b, int8_t *y, int count, int32_t by_a, int32_t by_b, int32_t bias,
                       const Requant *by)
{
    for (int i = 0; i < count; i++)
        y[i] = clamped(half_even((int64_t)a[i] * by_a + (int64_t)b[i] * by_b + bias, by->shift[0]), by);
}

/* The nearest whole number to x, halves to the even one, at most 2^16 either way; x is a number. */
static inline int32_t nearest(float x)
{
    if (x >= 65536.0f)
        return 65536;
    if (x <= -65536.0f)
        return -65536;
    int32_t below = (int32_t)x;
    if ((float)below > x)
        below--;
    float rest = x - (float)below;
    return below + (rest > 0.5f || (rest == 0.5f && (below & 1)));
}

#endif
