/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* layer-cases.c: shapes and options every layer is tested with. */
#include "config.h"

#include <string.h>

#include "lib/layer-cases.h"

#define BATCH QK_PASS_BATCH_STATS
#define IMAGE(n, h, w, c)                                                     \
  {                                                                           \
    4, { n, h, w, c }                                                         \
  }
#define VECTOR(n, c)                                                          \
  {                                                                           \
    2, { n, c }                                                               \
  }

const struct layer_case layer_cases[] = {
  { .layer = "conv2d",
    .options = "out=4 kernel=3 padding=1 bias=yes",
    .n_in = 1,
    .in = { IMAGE (2, 4, 5, 3) } },
  { .layer = "conv2d",
    .options = "out=6 kernel=3 stride=2 groups=2 bias=no",
    .n_in = 1,
    .in = { IMAGE (2, 6, 5, 4) } },
  { .layer = "conv2d",
    .options = "out=5 kernel=3 padding=2 dilation=2 groups=5 bias=yes",
    .n_in = 1,
    .in = { IMAGE (2, 5, 4, 5) } },
  { .layer = "conv2d",
    .options = "out=5 kernel=1 bias=no",
    .n_in = 1,
    .in = { IMAGE (2, 3, 4, 7) } },
  { .layer = "conv2d",
    .options = "out=4 kernel=3 padding=1 bias=no",
    .absorb = "batchnorm2d",
    .flags = BATCH,
    .n_in = 1,
    .in = { IMAGE (2, 4, 3, 3) } },
  { .layer = "conv2d",
    .options = "out=4 kernel=3 stride=2 padding=1 groups=4",
    .absorb = "batchnorm2d",
    .n_in = 1,
    .in = { IMAGE (2, 4, 4, 4) } },
  { .layer = "conv2d",
    .options = "out=4 kernel=1 bias=no",
    .absorb = "batchnorm2d relu6",
    .flags = BATCH,
    .kinks = 0.4,
    .n_in = 1,
    .in = { IMAGE (2, 3, 3, 3) } },
  { .layer = "conv2d",
    .options = "out=4 kernel=3 padding=1 bias=yes",
    .absorb = "relu",
    .kinks = 0.4,
    .n_in = 1,
    .in = { IMAGE (2, 3, 3, 2) } },
  { .layer = "conv2d",
    .options = "out=4 kernel_h=1 kernel_w=5 stride_w=2 padding_left=1 "
               "padding_right=3",
    .n_in = 1,
    .in = { IMAGE (2, 1, 11, 3) } },
  { .layer = "conv2d",
    .options = "out=4 kernel_h=2 kernel_w=3 stride_h=2 dilation_w=2 groups=2 "
               "padding=1 padding_top=0 padding_right=2 bias=no",
    .n_in = 1,
    .in = { IMAGE (2, 5, 4, 4) } },
  { .layer = "linear",
    .options = "out=5",
    .n_in = 1,
    .in = { VECTOR (3, 7) } },
  { .layer = "linear",
    .options = "out=5 bias=no",
    .n_in = 1,
    .in = { { 3, { 2, 4, 7 } } } },
  { .layer = "linear",
    .options = "out=3",
    .n_in = 1,
    .in = { { 5, { 2, 3, 1, 2, 5 } } } },
  { .layer = "linear",
    .options = "out=4",
    .absorb = "relu",
    .kinks = 0.4,
    .n_in = 1,
    .in = { VECTOR (3, 5) } },
  { .layer = "batchnorm2d",
    .flags = BATCH,
    .n_in = 1,
    .in = { IMAGE (3, 3, 2, 5) } },
  { .layer = "batchnorm2d",
    .options = "eps=0.01 momentum=0.5",
    .flags = BATCH,
    .n_in = 1,
    .in = { VECTOR (7, 3) } },
  { .layer = "batchnorm2d", .n_in = 1, .in = { IMAGE (2, 3, 2, 5) } },
  { .layer = "relu",
    .values = VALUES_SPREAD,
    .n_in = 1,
    .in = { IMAGE (2, 3, 3, 3) } },
  { .layer = "relu6",
    .values = VALUES_SPREAD,
    .n_in = 1,
    .in = { IMAGE (2, 3, 3, 4) } },
  { .layer = "add",
    .n_in = 2,
    .in = { IMAGE (2, 2, 3, 3), IMAGE (2, 2, 3, 3) } },
  { .layer = "add",
    .absorb = "relu",
    .values = VALUES_SPREAD,
    .n_in = 2,
    .in = { IMAGE (2, 3, 3, 3), IMAGE (2, 3, 3, 3) } },
  { .layer = "add",
    .absorb = "relu6",
    .values = VALUES_SPREAD,
    .n_in = 2,
    .in = { VECTOR (5, 7), VECTOR (5, 7) } },
  { .layer = "add", .n_in = 2, .in = { IMAGE (2, 2, 3, 3), VECTOR (2, 3) } },
  { .layer = "sub",
    .n_in = 2,
    .in = { IMAGE (2, 2, 3, 3), IMAGE (2, 2, 3, 3) } },
  { .layer = "sub",
    .absorb = "relu",
    .values = VALUES_SPREAD,
    .kinks = 0.1,
    .n_in = 2,
    .in = { IMAGE (2, 1, 3, 1), IMAGE (2, 3, 1, 4) } },
  { .layer = "mul",
    .n_in = 2,
    .in = { IMAGE (2, 2, 3, 3), IMAGE (2, 2, 3, 3) } },
  { .layer = "mul",
    .n_in = 2,
    .in = { IMAGE (2, 1, 1, 5), IMAGE (2, 3, 2, 5) } },
  { .layer = "mul", .n_in = 2, .in = { IMAGE (2, 3, 2, 1), VECTOR (2, 5) } },
  { .layer = "mul",
    .absorb = "relu6",
    .kinks = 0.2,
    .n_in = 2,
    .in = { IMAGE (2, 3, 2, 2), IMAGE (2, 3, 2, 2) } },
  { .layer = "concat",
    .n_in = 3,
    .in = { IMAGE (2, 2, 3, 1), IMAGE (2, 2, 3, 4), IMAGE (2, 2, 3, 2) } },
  { .layer = "concat", .n_in = 2, .in = { VECTOR (3, 4), VECTOR (3, 2) } },
  { .layer = "maxpool2d",
    .options = "kernel=2",
    .values = VALUES_SPREAD,
    .n_in = 1,
    .in = { IMAGE (1, 5, 4, 3) } },
  { .layer = "maxpool2d",
    .options = "kernel=3 stride=2 padding=1",
    .values = VALUES_SPREAD,
    .n_in = 1,
    .in = { IMAGE (1, 5, 6, 2) } },
  { .layer = "maxpool2d",
    .options = "kernel=2 stride=1 padding=1 dilation=2",
    .values = VALUES_SPREAD,
    .n_in = 1,
    .in = { IMAGE (1, 4, 5, 3) } },
  { .layer = "maxpool2d",
    .options = "kernel=3 stride=2 ceil=yes",
    .values = VALUES_SPREAD,
    .n_in = 1,
    .in = { IMAGE (1, 4, 6, 2) } },
  { .layer = "maxpool2d",
    .options = "kernel_h=3 kernel_w=2 stride_h=1 stride_w=2 dilation_h=1 "
               "dilation_w=2 padding_top=2 padding_left=1 padding_bottom=0 "
               "padding_right=1 ceil=yes",
    .values = VALUES_SPREAD,
    .n_in = 1,
    .in = { IMAGE (1, 4, 6, 2) } },
  { .layer = "avgpool2d",
    .options = "kernel=3 stride=2 padding=1 ceil=yes",
    .n_in = 1,
    .in = { IMAGE (1, 4, 6, 2) } },
  { .layer = "avgpool2d",
    .options = "kernel=2 stride=1",
    .n_in = 1,
    .in = { IMAGE (2, 4, 3, 3) } },
  { .layer = "avgpool2d",
    .options = "kernel=3 stride=2 padding=1",
    .n_in = 1,
    .in = { IMAGE (2, 5, 4, 3) } },
  { .layer = "avgpool2d",
    .options = "kernel=3 stride=2 padding=1 count_pad=no",
    .n_in = 1,
    .in = { IMAGE (2, 5, 4, 3) } },
  { .layer = "avgpool2d",
    .options = "kernel_h=1 kernel_w=4 stride_w=3 padding_left=1 "
               "padding_right=2 ceil=yes",
    .n_in = 1,
    .in = { IMAGE (2, 3, 9, 3) } },
  { .layer = "avgpool2d",
    .options = "kernel_h=3 kernel_w=2 stride_h=2 stride_w=1 padding_top=2 "
               "padding_right=1 count_pad=no",
    .n_in = 1,
    .in = { IMAGE (2, 4, 5, 3) } },
  { .layer = "hardswish",
    .values = VALUES_SPREAD,
    .n_in = 1,
    .in = { IMAGE (2, 3, 4, 3) } },
  { .layer = "hardsigmoid",
    .values = VALUES_SPREAD,
    .n_in = 1,
    .in = { IMAGE (2, 3, 4, 3) } },
  { .layer = "sigmoid",
    .values = VALUES_SPREAD,
    .n_in = 1,
    .in = { IMAGE (2, 3, 4, 3) } },
  { .layer = "silu",
    .values = VALUES_SPREAD,
    .n_in = 1,
    .in = { IMAGE (2, 3, 4, 3) } },
  { .layer = "tanh",
    .values = VALUES_SPREAD,
    .n_in = 1,
    .in = { IMAGE (2, 3, 4, 3) } },
  { .layer = "gelu",
    .values = VALUES_SPREAD,
    .n_in = 1,
    .in = { IMAGE (2, 3, 4, 3) } },
  { .layer = "gelu",
    .options = "approximate=tanh",
    .values = VALUES_SPREAD,
    .n_in = 1,
    .in = { IMAGE (2, 3, 4, 3) } },
  { .layer = "elu",
    .options = "alpha=0.7",
    .values = VALUES_SPREAD,
    .n_in = 1,
    .in = { IMAGE (2, 3, 4, 3) } },
  { .layer = "leaky_relu",
    .options = "negative_slope=0.2",
    .values = VALUES_SPREAD,
    .n_in = 1,
    .in = { IMAGE (2, 3, 4, 3) } },
  { .layer = "global_avgpool", .n_in = 1, .in = { IMAGE (2, 3, 4, 5) } },
  { .layer = "concat",
    .options = "axis=1",
    .n_in = 3,
    .in = { IMAGE (2, 2, 3, 4), IMAGE (2, 1, 3, 4), IMAGE (2, 3, 3, 4) } },
  { .layer = "concat",
    .options = "axis=2",
    .n_in = 2,
    .in = { IMAGE (2, 2, 3, 4), IMAGE (2, 2, 1, 4) } },
  { .layer = "permute",
    .options = "axes=0,3,1,2",
    .n_in = 1,
    .in = { IMAGE (2, 3, 4, 5) } },
  { .layer = "permute",
    .options = "axes=0,2,1,3",
    .n_in = 1,
    .in = { IMAGE (2, 3, 4, 5) } },
  { .layer = "permute",
    .options = "axes=0,1,2,4,3",
    .n_in = 1,
    .in = { { 5, { 2, 2, 3, 2, 7 } } } },
  { .layer = "permute",
    .options = "axes=0,7,5,1,2,6,4,3",
    .n_in = 1,
    .in = { { 8, { 2, 2, 1, 3, 2, 2, 1, 3 } } } },
  { .layer = "permute",
    .options = "axes=0,1,2",
    .n_in = 1,
    .in = { { 3, { 2, 3, 5 } } } },
  { .layer = "reshape",
    .options = "shape=4,-1",
    .n_in = 1,
    .in = { IMAGE (2, 2, 3, 4) } },
  { .layer = "reshape",
    .options = "shape=2,1,1,3,2,1,2",
    .n_in = 1,
    .in = { VECTOR (2, 24) } },
  { .layer = "slice",
    .options = "starts=1,0,-3 ends=9223372036854775807,-1,2 steps=2,1,1",
    .n_in = 1,
    .in = { IMAGE (2, 5, 4, 4) } },
  { .layer = "slice",
    .options = "starts=-1,3 ends=-9223372036854775808,0 steps=-1,-2",
    .n_in = 1,
    .in = { { 3, { 2, 4, 5 } } } },
  { .layer = "slice",
    .options = "starts=0,1 ends=100,4",
    .n_in = 1,
    .in = { { 3, { 2, 3, 6 } } } },
  { .layer = "gather",
    .options = "axis=2 indices=3,-1,1,1,-1,0 fill=0.7",
    .n_in = 1,
    .in = { IMAGE (2, 2, 4, 3) } },
  { .layer = "gather",
    .options = "axis=2 indices=2,2,0,1",
    .n_in = 1,
    .in = { { 3, { 2, 3, 3 } } } },
  { .layer = "pad",
    .options = "before=1,0,2 after=0,2,1 value=-1.3",
    .n_in = 1,
    .in = { IMAGE (2, 2, 3, 4) } },
  { .layer = "pad",
    .options = "before=2,5,0 after=3,-1,0 mode=reflect",
    .n_in = 1,
    .in = { IMAGE (2, 4, 3, 2) } },
  { .layer = "pad",
    .options = "before=1,2,1 after=2,0,0 mode=edge",
    .n_in = 1,
    .in = { IMAGE (2, 3, 2, 2) } },
  { .layer = "pad",
    .options = "before=-1,4 after=5,1 mode=wrap",
    .n_in = 1,
    .in = { { 3, { 2, 3, 3 } } } },
  { .layer = "tile",
    .options = "repeats=2,1,3",
    .n_in = 1,
    .in = { IMAGE (2, 2, 3, 2) } },
  { .layer = "tile",
    .options = "repeats=3",
    .n_in = 1,
    .in = { VECTOR (2, 5) } },
  { .layer = "expand",
    .options = "shape=3,1,4",
    .n_in = 1,
    .in = { IMAGE (2, 1, 2, 4) } },
  { .layer = "expand",
    .options = "shape=-1,3,6",
    .n_in = 1,
    .in = { IMAGE (2, 2, 3, 1) } },
  { .layer = "depth_to_space",
    .options = "block=2",
    .n_in = 1,
    .in = { IMAGE (2, 2, 3, 8) } },
  { .layer = "depth_to_space",
    .options = "block=3 mode=crd",
    .n_in = 1,
    .in = { IMAGE (2, 2, 1, 18) } },
  { .layer = "space_to_depth",
    .options = "block=2",
    .n_in = 1,
    .in = { IMAGE (2, 4, 2, 3) } },
  { .layer = "space_to_depth",
    .options = "block=2 mode=crd",
    .n_in = 1,
    .in = { IMAGE (2, 2, 4, 3) } },
  { .layer = "flatten", .n_in = 1, .in = { IMAGE (2, 2, 3, 4) } },
  { .layer = "dropout",
    .options = "p=0.3",
    .n_in = 1,
    .in = { IMAGE (2, 3, 3, 5) } },
};

const int n_layer_cases = sizeof layer_cases / sizeof layer_cases[0];

struct harness_spec
layer_case_spec (const struct layer_case *c, int64_t n, int threads)
{
  struct harness_spec s = { .layer = c->layer,
                            .options = c->options,
                            .absorb = c->absorb,
                            .flags = c->flags | QK_PASS_TRAIN,
                            .threads = threads,
                            .n_in = c->n_in };

  for (int i = 0; i < c->n_in; i++) {
    s.in[i] = c->in[i];
    if (n > 0)
      s.in[i].dims[0] = n;
    s.dtype[i] = QK_F32;
  }
  return s;
}

/* A permutation of evenly spaced numbers; see VALUES_SPREAD. */
static void
spread (const struct qk_tensor *t, struct qk_rng *rng, float gap, float shift)
{
  const int64_t n = qk_shape_count (&t->shape);
  float *x = t->data;

  for (int64_t i = 0; i < n; i++)
    x[i] = (float) (i % 71 - 35) * gap + shift;
  for (int64_t i = n - 1; i > 0; i--) {
    const int64_t k = (int64_t) qk_rng_below (rng, (uint64_t) i + 1);
    const float v = x[i];

    x[i] = x[k];
    x[k] = v;
  }
}

void
layer_case_fill (const struct layer_case *c, struct harness *h, uint64_t seed)
{
  struct qk_rng rng;

  qk_rng_seed (&rng, seed, 2);
  for (int i = 0; i < h->io.n_in; i++)
    if (c->values == VALUES_SPREAD)
      spread (&h->in[i], &rng, i == 0 ? 0.2f : 0.4f, i == 0 ? 0.1f : 0.0f);
    else
      harness_fill (&h->in[i], &rng, -2.0f, 2.0f);
  for (int i = 0; i < h->n_params; i++)
    if (strcmp (h->spec[i].name, "running_var") == 0)
      harness_fill (&h->param[i], &rng, 0.5f, 2.0f);
    else if (h->spec[i].init == QK_INIT_ONE)
      harness_fill (&h->param[i], &rng, 0.5f, 1.5f);
    else
      harness_fill (&h->param[i], &rng, -0.7f, 0.7f);
  harness_fill (&h->dout, &rng, -1.0f, 1.0f);
}
