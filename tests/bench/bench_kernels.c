/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bench_kernels.c: speed of the fbgemm backend on the layers of MobileNetV2
 * and ResNet-50 (224 x 224), class by class: best of several runs, GMAC/s.
 *
 * usage: bench_kernels [BATCH [RUNS]]
 * QATKIT_CPU caps the CPU level; QATKIT_THREADS=N runs only with N threads;
 * QATKIT_BITS=8 gives inputs 8 bits where the level prefers 7;
 * QATKIT_LAYERS=1 prints every layer. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <qatkit/context.h>
#include <qatkit/backend.h>
#include <qatkit/rng.h>

enum layer_class { FIRST, POINTWISE, DEPTHWISE, SPATIAL, ADD, OTHER, CLASSES };
static const char *const class_name[CLASSES]
  = { "first layer", "1x1", "depthwise", "3x3", "add", "pool, linear" };

struct layer {
  enum qk_op_kind kind;
  enum layer_class cls;
  int c, k, size, window, stride, groups;
  int times; /* how often the network has it */
};

/* Expand, depthwise and project of one inverted residual. */
#define BOTTLENECK(c, t, k, size, s, n)                                        \
  { QK_OP_CONV2D, POINTWISE, c, (c) * (t), size, 1, 1, 1, n }, { QK_OP_CONV2D, \
                                                                 DEPTHWISE,    \
                                                                 (c) * (t),    \
                                                                 (c) * (t),    \
                                                                 size,         \
                                                                 3,            \
                                                                 s,            \
                                                                 (c) * (t),    \
                                                                 n },          \
  {                                                                            \
    QK_OP_CONV2D, POINTWISE, (c) * (t), k, (size) / (s), 1, 1, 1, n            \
  }

static const struct layer mobilenet_v2[] = {
  { QK_OP_CONV2D, FIRST, 3, 32, 224, 3, 2, 1, 1 },
  { QK_OP_CONV2D, DEPTHWISE, 32, 32, 112, 3, 1, 32, 1 },
  { QK_OP_CONV2D, POINTWISE, 32, 16, 112, 1, 1, 1, 1 },
  BOTTLENECK (16, 6, 24, 112, 2, 1),
  BOTTLENECK (24, 6, 24, 56, 1, 1),
  BOTTLENECK (24, 6, 32, 56, 2, 1),
  BOTTLENECK (32, 6, 32, 28, 1, 2),
  BOTTLENECK (32, 6, 64, 28, 2, 1),
  BOTTLENECK (64, 6, 64, 14, 1, 3),
  BOTTLENECK (64, 6, 96, 14, 1, 1),
  BOTTLENECK (96, 6, 96, 14, 1, 2),
  BOTTLENECK (96, 6, 160, 14, 2, 1),
  BOTTLENECK (160, 6, 160, 7, 1, 2),
  BOTTLENECK (160, 6, 320, 7, 1, 1),
  { QK_OP_CONV2D, POINTWISE, 320, 1280, 7, 1, 1, 1, 1 },
  { QK_OP_BINARY, ADD, 24, 24, 56, 1, 1, 1, 1 },
  { QK_OP_BINARY, ADD, 32, 32, 28, 1, 1, 1, 2 },
  { QK_OP_BINARY, ADD, 64, 64, 14, 1, 1, 1, 3 },
  { QK_OP_BINARY, ADD, 96, 96, 14, 1, 1, 1, 2 },
  { QK_OP_BINARY, ADD, 160, 160, 7, 1, 1, 1, 2 },
  { QK_OP_AVGPOOL2D, OTHER, 1280, 1280, 7, 7, 7, 1, 1 },
  { QK_OP_LINEAR, OTHER, 1280, 1000, 1, 1, 1, 1, 1 },
};

/* A stage of ResNet-50: the first block's input has C0 channels and SIZE0. */
#define STAGE(c0, size0, c, size, n)                                            \
  { QK_OP_CONV2D, POINTWISE, c0, c, size0, 1, 1, 1, 1 },                        \
    { QK_OP_CONV2D, SPATIAL, c, c, size0, 3, (size0) / (size), 1, 1 },          \
    { QK_OP_CONV2D, POINTWISE, c0, 4 * (c), size0, 1, (size0) / (size), 1, 1 }, \
    { QK_OP_CONV2D, POINTWISE, 4 * (c), c, size, 1, 1, 1, (n) -1 },             \
    { QK_OP_CONV2D, SPATIAL, c, c, size, 3, 1, 1, (n) -1 },                     \
    { QK_OP_CONV2D, POINTWISE, c, 4 * (c), size, 1, 1, 1, n },                  \
  {                                                                             \
    QK_OP_BINARY, ADD, 4 * (c), 4 * (c), size, 1, 1, 1, n                       \
  }

static const struct layer resnet50[] = {
  { QK_OP_CONV2D, FIRST, 3, 64, 224, 7, 2, 1, 1 },
  { QK_OP_MAXPOOL2D, OTHER, 64, 64, 112, 3, 2, 1, 1 },
  STAGE (64, 56, 64, 56, 3),
  STAGE (256, 56, 128, 28, 4),
  STAGE (512, 28, 256, 14, 6),
  STAGE (1024, 14, 512, 7, 3),
  { QK_OP_AVGPOOL2D, OTHER, 2048, 2048, 7, 7, 7, 1, 1 },
  { QK_OP_LINEAR, OTHER, 2048, 1000, 1, 1, 1, 1, 1 },
};

static double
now (void)
{
  struct timespec t;

  clock_gettime (CLOCK_MONOTONIC, &t);
  return (double) t.tv_sec + 1e-9 * (double) t.tv_nsec;
}

/* An operation with random data; arrays are the caller's: qk_free. */
struct bench {
  struct qk_op op;
  struct qk_shape in[2], out;
  int8_t *weight;
  int32_t *bias;
  float *multiplier;
  uint8_t *x[2], *y;
};

static void
check (int r)
{
  if (r < 0) {
    fprintf (stderr, "bench_kernels: %s\n", qk_error_message ());
    exit (1);
  }
}

static void *
alloc (int64_t size)
{
  void *p = qk_alloc ((size_t) size);

  if (p == NULL) {
    fprintf (stderr, "bench_kernels: out of memory\n");
    exit (1);
  }
  return p;
}

static void
fill (struct bench *b, int bits)
{
  const int64_t per = b->op.kind == QK_OP_CONV2D
                        ? (int64_t) b->op.kernel_h * b->op.kernel_w
                            * b->op.in_channels / b->op.groups
                        : b->op.in_channels;
  const int64_t k = b->op.out_channels;
  struct qk_rng r;

  qk_rng_seed (&r, 1, 0);
  b->weight = alloc (k * per);
  b->bias = alloc (k * 4);
  b->multiplier = alloc (k * 4);
  for (int64_t i = 0; i < k * per; i++) {
    const double w = qk_rng_normal (&r) * 30;

    b->weight[i] = (int8_t) (w < -127 ? -127 : w > 127 ? 127 : w);
  }
  for (int64_t i = 0; i < k; i++) {
    b->bias[i] = (int32_t) qk_rng_below (&r, 2000) - 1000;
    b->multiplier[i] = 0.02f / (float) per;
  }
  b->op.weight = b->weight;
  b->op.bias = b->bias;
  b->op.multiplier = b->multiplier;
  for (int i = 0; i < b->op.n_in; i++) {
    const int64_t n = qk_shape_count (&b->in[i]);

    b->x[i] = alloc (n);
    for (int64_t j = 0; j < n; j++)
      b->x[i][j] = (uint8_t) qk_rng_below (&r, 1ull << bits);
  }
  b->y = alloc (qk_shape_count (&b->out));
}

static void
make (struct bench *b, const struct layer *l, int batch, int bits)
{
  const int pad = l->kind == QK_OP_AVGPOOL2D ? 0 : l->window / 2;
  const int q = (l->size + 2 * pad - l->window) / l->stride + 1;
  const struct qk_qparams grid = { 0.05f, 10, 0, (1 << bits) - 1 };

  memset (b, 0, sizeof *b);
  b->op = (struct qk_op){
    .struct_size = sizeof (struct qk_op),
    .kind = l->kind,
    .name = class_name[l->cls],
    .n_in = l->kind == QK_OP_BINARY ? 2 : 1,
    .in_q = { grid, grid },
    .out_q = grid,
    .lo = 0,
    .hi = grid.qmax,
    .kernel_h = l->window,
    .kernel_w = l->window,
    .stride_h = l->stride,
    .stride_w = l->stride,
    .pad_top = pad,
    .pad_left = pad,
    .pad_bottom = pad,
    .pad_right = pad,
    .dilation_h = 1,
    .dilation_w = 1,
    .groups = l->groups,
    .in_channels = l->c,
    .out_channels = l->k,
  };
  b->in[0] = b->in[1]
    = (struct qk_shape){ 4, { batch, l->size, l->size, l->c } };
  b->out = (struct qk_shape){ 4, { batch, q, q, l->k } };
  fill (b, bits);
}

static void
clear (struct bench *b)
{
  qk_free (b->weight);
  qk_free (b->bias);
  qk_free (b->multiplier);
  qk_free (b->x[0]);
  qk_free (b->x[1]);
  qk_free (b->y);
}

/* Best seconds of RUNS runs of a layer. */
static double
time_layer (const struct qk_backend_class *cls, void *self, struct bench *b,
            int runs)
{
  const void *in[2] = { b->x[0], b->x[1] };
  double best = 1e9;
  void *kernel, *scratch;
  size_t size;

  check (cls->prepare (self, &b->op, b->in, &b->out, &kernel, &size));
  scratch = alloc ((int64_t) size + 64);
  for (int i = 0; i < runs; i++) {
    const double start = now ();
    double spent;

    cls->run (self, kernel, b->in[0].dims[0], in, b->y, scratch);
    spent = now () - start;
    best = spent < best ? spent : best;
  }
  qk_free (scratch);
  cls->release (self, kernel);
  return best;
}

static void
time_network (const struct qk_backend_class *cls, const char *name,
              const struct layer *layers, size_t count, int batch, int runs,
              int threads)
{
  double seconds[CLASSES] = { 0 }, macs[CLASSES] = { 0 };
  double all_seconds = 0, all_macs = 0;
  struct qk_backend_caps caps;
  void *self;

  check (cls->probe (&caps));
  if (getenv ("QATKIT_BITS") != NULL)
    caps.activation_bits = atoi (getenv ("QATKIT_BITS")) == 7 ? 7 : 8;
  check (cls->create (NULL, threads, &self));
  for (size_t i = 0; i < count; i++) {
    const struct layer *l = &layers[i];
    struct bench b;
    double s, m;

    make (&b, l, batch, caps.activation_bits);
    s = l->times * time_layer (cls, self, &b, runs);
    m = (double) l->times * batch * (double) qk_op_macs (&b.op, b.in, &b.out);
    seconds[l->cls] += s;
    macs[l->cls] += m;
    all_seconds += s;
    all_macs += m;
    if (getenv ("QATKIT_LAYERS") != NULL)
      printf ("    %d x %-12s %4d -> %4d at %3d, %dx%d stride %d: %8.3f ms "
              "%6.1f GMAC/s\n",
              l->times, class_name[l->cls], l->c, l->k, l->size, l->window,
              l->window, l->stride, s * 1e3, m / s * 1e-9);
    clear (&b);
  }
  cls->destroy (self);
  printf ("%s at %s, %d bits, batch %d, %d threads: %.3f ms, %.1f GMAC/s\n",
          name, caps.cpu_level, caps.activation_bits, batch, threads,
          all_seconds * 1e3, all_macs / all_seconds * 1e-9);
  for (int c = 0; c < CLASSES; c++)
    if (seconds[c] > 0)
      printf ("  %-12s %8.3f ms %6.1f GMAC/s\n", class_name[c],
              seconds[c] * 1e3, macs[c] / seconds[c] * 1e-9);
}

int
main (int argc, char **argv)
{
  const int batch = argc > 1 ? atoi (argv[1]) : 1;
  const int runs = argc > 2 ? atoi (argv[2]) : 20;
  const char *only = getenv ("QATKIT_THREADS");
  struct qk_context *ctx = qk_context_new ();
  const struct qk_class *cls;

  if (ctx == NULL || batch < 1 || runs < 1) {
    fprintf (stderr, "usage: bench_kernels [BATCH [RUNS]]\n");
    return 2;
  }
  check (qk_context_class (ctx, QK_KIND_BACKEND, "fbgemm", &cls));
  for (int threads = 1; threads <= 2; threads++) {
    if (only != NULL && atoi (only) != threads)
      continue;
    time_network ((const struct qk_backend_class *) cls, "mobilenet_v2",
                  mobilenet_v2, sizeof mobilenet_v2 / sizeof mobilenet_v2[0],
                  batch, runs, threads);
    time_network ((const struct qk_backend_class *) cls, "resnet50", resnet50,
                  sizeof resnet50 / sizeof resnet50[0], batch, runs, threads);
  }
  qk_context_free (ctx);
  return 0;
}
