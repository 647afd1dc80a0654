/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bench_conv.c: time of a QAT step of the convolutions of MobileNetV2, layer
 * by layer.  Usage: bench_conv [SAMPLES [SIZE [THREADS]]] */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "qatkit/qatkit.h"
#include "quant/quantizer-priv.h"

/* An observer that keeps the last range, one pair of floats a channel. */
struct last {
  int64_t channels;
  float *min, *max;
};

static int
last_create (const struct qk_config *cfg, const struct qk_quant_info *info,
             void **self)
{
  struct last *l = malloc (sizeof *l);

  (void) cfg;
  l->channels = info->channels;
  l->min = calloc ((size_t) l->channels, sizeof (float));
  l->max = calloc ((size_t) l->channels, sizeof (float));
  *self = l;
  return 0;
}

static void
last_destroy (void *self)
{
  struct last *l = self;

  if (l) {
    free (l->min);
    free (l->max);
  }
  free (l);
}

static int
last_update_range (void *self, const float *min, const float *max)
{
  struct last *l = self;

  memcpy (l->min, min, (size_t) l->channels * sizeof *min);
  memcpy (l->max, max, (size_t) l->channels * sizeof *max);
  return 0;
}

static int
last_range (void *self, float *min, float *max)
{
  struct last *l = self;

  memcpy (min, l->min, (size_t) l->channels * sizeof *min);
  memcpy (max, l->max, (size_t) l->channels * sizeof *max);
  return 0;
}

static const struct qk_observer_class last = {
  .cls = QK_CLASS (struct qk_observer_class, QK_KIND_OBSERVER, "last", "bench",
                   NULL),
  .create = last_create,
  .destroy = last_destroy,
  .update_range = last_update_range,
  .range = last_range,
};

struct total {
  double wall[3], cpu[3]; /* forward, backward, frozen forward */
  int64_t macs;
};

static double
seconds (clockid_t id)
{
  struct timespec t;

  clock_gettime (id, &t);
  return (double) t.tv_sec + 1e-9 * (double) t.tv_nsec;
}

static void
die_if (int ret)
{
  if (ret >= 0)
    return;
  fprintf (stderr, "bench_conv: %s\n", qk_error_message ());
  exit (EXIT_FAILURE);
}

static struct qk_quantizer *
quantizer (struct qk_context *ctx, bool weight, int64_t channels)
{
  const struct qk_quant_info info = { .name = "x",
                                      .weight = weight,
                                      .symmetric = weight,
                                      .bits = 8,
                                      .qmin = weight ? -128 : 0,
                                      .qmax = weight ? 127 : 127,
                                      .channels = channels };
  struct qk_quantizer *qz;

  die_if (qk_quantizer_new (ctx, &info, &last, NULL, NULL, NULL, &qz));
  qk_quantizer_set_observing (qz, true);
  return qz;
}

static void
random_floats (struct qk_tensor *t, float lo, float hi)
{
  struct qk_rng rng;

  qk_rng_seed (&rng, 1, 1);
  for (int64_t i = 0; i < qk_shape_count (&t->shape); i++)
    ((float *) t->data)[i] = lo + (hi - lo) * qk_rng_float (&rng);
}

/* Run WHAT (0 forward, 1 backward, 2 frozen forward); the best of 3. */
static void
measure (const struct qk_layer_class *cls, void *self, struct qk_layer_io *io,
         int what, struct total *line)
{
  line->wall[what] = line->cpu[what] = 1e9;
  io->flags = QK_PASS_TRAIN | (what == 2 ? 0 : QK_PASS_BATCH_STATS);
  for (int i = 0; i < 3; i++) {
    const double w = seconds (CLOCK_MONOTONIC);
    const double c = seconds (CLOCK_PROCESS_CPUTIME_ID);
    double d;

    die_if (what == 1 ? cls->backward (self, io) : cls->forward (self, io));
    d = seconds (CLOCK_MONOTONIC) - w;
    line->wall[what] = d < line->wall[what] ? d : line->wall[what];
    d = seconds (CLOCK_PROCESS_CPUTIME_ID) - c;
    line->cpu[what] = d < line->cpu[what] ? d : line->cpu[what];
  }
}

static void
bench_layer (struct qk_context *ctx, const char *options, struct qk_shape in,
             bool clamp, bool first, int threads, struct qk_shape *out,
             struct total *line)
{
  const struct qk_class *c;
  const struct qk_layer_class *cls;
  struct qk_config *cfg;
  struct qk_param_spec spec[8];
  struct qk_layer_traits next
    = { .role = QK_ROLE_BATCHNORM, .eps = 1e-5f, .momentum = 0.1f };
  struct qk_layer_traits traits = { 0 };
  struct qk_layer_setup s = { 0 };
  struct qk_tensor x = { 0 }, y = { 0 }, dy = { 0 }, dx = { 0 };
  struct qk_tensor param[8] = { 0 }, dparam[8] = { 0 };
  struct qk_layer_io io = { 0 };
  void *self;
  int n;

  die_if (qk_context_class (ctx, QK_KIND_LAYER, "conv2d", &c));
  cls = (const struct qk_layer_class *) c;
  die_if (qk_config_parse (c->options, options, "bench", &cfg));
  die_if (cls->create (cfg, &self));
  qk_config_free (cfg);
  die_if (cls->infer (self, &in, 1, out));
  cls->describe (self, &traits);
  n = cls->params (self, spec);
  die_if (cls->absorb (self, &next));
  next = (struct qk_layer_traits){ .role = QK_ROLE_CLAMP, .hi = 6.0f };
  if (clamp)
    die_if (cls->absorb (self, &next));
  for (int i = n; i < n + QK_BN_PARAMS; i++)
    spec[i].shape = (struct qk_shape){ 1, { out->dims[3] } };
  n += QK_BN_PARAMS;
  for (int i = 0; i < n; i++) {
    const size_t size = 4 * (size_t) qk_shape_count (&spec[i].shape);

    param[i] = (struct qk_tensor){
      QK_F32, spec[i].shape, qk_alloc (size), { 0, 0, 0, 0 }
    };
    dparam[i] = param[i];
    dparam[i].data = qk_alloc (size);
    random_floats (&param[i], i ? 0.5f : -0.3f, i ? 1.5f : 0.3f);
  }
  s = (struct qk_layer_setup){ .in = &in,
                               .out = out,
                               .n_in = 1,
                               .threads = threads,
                               .train = true,
                               .quantized_in = true,
                               .quantized_out = true,
                               .quantized_weight = true };
  die_if (cls->setup (self, &s));
  x = (struct qk_tensor){
    QK_U8, in, qk_alloc ((size_t) qk_shape_count (&in)), { 0.02f, 3, 0, 127 }
  };
  for (int64_t i = 0; i < qk_shape_count (&in); i++)
    ((uint8_t *) x.data)[i] = (uint8_t) (i * 7 % 128);
  y = (struct qk_tensor){
    QK_U8, *out, qk_alloc ((size_t) qk_shape_count (out)), { 0, 0, 0, 0 }
  };
  dy = (struct qk_tensor){
    QK_F32, *out, qk_alloc (4 * (size_t) qk_shape_count (out)), { 0, 0, 0, 0 }
  };
  random_floats (&dy, -1.0f, 1.0f);
  dx = (struct qk_tensor){ .dtype = QK_F32, .shape = in };
  if (!first)
    dx.data = qk_alloc (4 * (size_t) qk_shape_count (&in));
  io = (struct qk_layer_io){ .threads = threads,
                             .n_in = 1,
                             .in = &x,
                             .out = &y,
                             .n_params = n,
                             .param = param,
                             .weight_qz = quantizer (ctx, true, out->dims[3]),
                             .out_qz = quantizer (ctx, false, 1),
                             .saved = qk_alloc (s.saved),
                             .workspace = qk_alloc (s.workspace),
                             .dout = &dy,
                             .din = &dx,
                             .dparam = dparam,
                             .prepared = qk_alloc (s.prepared) };
  line->macs = in.dims[0] * traits.macs;
  measure (cls, self, &io, 0, line);
  measure (cls, self, &io, 1, line);
  qk_quantizer_set_observing (io.weight_qz, false);
  qk_quantizer_set_observing (io.out_qz, false);
  measure (cls, self, &io, 2, line);

  for (int i = 0; i < n; i++) {
    qk_free (param[i].data);
    qk_free (dparam[i].data);
  }
  qk_free (x.data);
  qk_free (y.data);
  qk_free (dy.data);
  qk_free (dx.data);
  qk_free (io.saved);
  qk_free (io.prepared);
  qk_free (io.workspace);
  qk_quantizer_free (io.weight_qz);
  qk_quantizer_free (io.out_qz);
  cls->destroy (self);
}

struct run {
  struct qk_context *ctx;
  int threads;
  struct qk_shape at;
  struct total sum;
};

static void
step (struct run *r, int out, int kernel, int stride, int groups, bool clamp)
{
  struct total t = { 0 };
  struct qk_shape next;
  char options[128], shape[64];

  snprintf (options, sizeof options,
            "out=%d kernel=%d stride=%d padding=%d groups=%d bias=no", out,
            kernel, stride, kernel / 2, groups);
  bench_layer (r->ctx, options, r->at, clamp, r->sum.macs == 0, r->threads,
               &next, &t);
  printf ("%-20s -> %4d k%d s%d %-4s",
          qk_shape_print (&r->at, shape, sizeof shape), out, kernel, stride,
          groups > 1 ? "dw" : "");
  for (int i = 0; i < 3; i++) {
    printf ("  %7.2f (%7.2f)", 1e3 * t.wall[i], 1e3 * t.cpu[i]);
    r->sum.wall[i] += t.wall[i];
    r->sum.cpu[i] += t.cpu[i];
  }
  printf ("  %6.1f GMAC/s\n",
          3e-9 * (double) t.macs / (t.wall[0] + t.wall[1]));
  r->sum.macs += t.macs;
  r->at = next;
}

int
main (int argc, char **argv)
{
  static const int rows[][4]
    = { { 1, 16, 1, 1 }, { 6, 24, 2, 2 },  { 6, 32, 3, 2 }, { 6, 64, 4, 2 },
        { 6, 96, 3, 1 }, { 6, 160, 3, 2 }, { 6, 320, 1, 1 } };
  const int n = argc > 1 ? atoi (argv[1]) : 30;
  const int size = argc > 2 ? atoi (argv[2]) : 160;
  struct run r = { .threads = argc > 3 ? atoi (argv[3]) : 2,
                   .at = { 4, { n, size, size, 3 } } };

  r.ctx = qk_context_new ();
  printf ("ms wall (ms cpu) of forward, backward, frozen forward\n");
  step (&r, 32, 3, 2, 1, true);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    for (int j = 0; j < rows[i][2]; j++) {
      const int c = (int) r.at.dims[3], hidden = c * rows[i][0];

      if (hidden != c)
        step (&r, hidden, 1, 1, 1, true);
      step (&r, hidden, 3, j ? 1 : rows[i][3], hidden, true);
      step (&r, rows[i][1], 1, 1, 1, false);
    }
  step (&r, 1280, 1, 1, 1, true);
  printf ("total ms:");
  for (int i = 0; i < 3; i++)
    printf ("  %.1f (%.1f)", 1e3 * r.sum.wall[i], 1e3 * r.sum.cpu[i]);
  printf ("; forward + backward %.1f ms, %.1f GMAC\n",
          1e3 * (r.sum.wall[0] + r.sum.wall[1]), 3e-9 * (double) r.sum.macs);
  qk_context_free (r.ctx);
  return 0;
}
