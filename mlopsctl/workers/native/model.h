/* The model in model.so as C functions. Link with model.so, or load it with dlopen as predict does.
 * One call computes mlopsctl_model_batch() rows. Calls use one set of buffers: one thread at a time. */
#ifndef MLOPSCTL_MODEL_H
#define MLOPSCTL_MODEL_H
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

int mlopsctl_model_batch(void);
int mlopsctl_model_inputs(void);  /* how many */
int mlopsctl_model_outputs(void);

/* Of input (output = 0) or output (output = 1) NUMBER: its name, its numpy dtype, its bytes in one call. */
const char *mlopsctl_model_name(int output, int number);
const char *mlopsctl_model_dtype(int output, int number);
uint64_t mlopsctl_model_bytes(int output, int number);

/* One array for each input and output, rows first, in the machine's byte order. 0, or -1: see mlopsctl_model_error. */
int mlopsctl_model_run(const void *const *inputs, void *const *outputs);
const char *mlopsctl_model_error(void);

#ifdef __cplusplus
}
#endif
#endif
