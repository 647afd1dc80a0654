/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_quant.c: observers, fake-quantizers and quantizers, against PyTorch's
 * numbers bit for bit, and against plugins that misbehave. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include <qatkit/numeric.h>

#include "golden/quant_golden.h"
#include "quant/loops-priv.h"
#include "quant/quantizer-priv.h"
#include "lib/ok.h"
#include "lib/state.h"

#define COUNT(a) ((int) (sizeof (a) / sizeof (a)[0]))

static struct qk_context *ctx;
static int warnings;

static void
count_warning (void *cookie, enum qk_log_level level, const char *message)
{
  (void) cookie;
  (void) message;
  warnings += level == QK_LOG_WARNING;
}

static void
setup (void)
{
  ctx = qk_context_new ();
  ck_assert_ptr_nonnull (ctx);
  warnings = 0;
  qk_context_set_log (ctx, count_warning, NULL, QK_LOG_WARNING);
}

static void
teardown (void)
{
  qk_context_free (ctx);
}

#define FAILS(err, text, call)                                                \
  do {                                                                        \
    ck_assert_int_eq (call, err);                                             \
    ck_assert_msg (strstr (qk_error_message (), text) != NULL,                \
                   "'%s' does not contain '%s'", qk_error_message (), text);  \
  } while (0)

static uint32_t
bits (float f)
{
  uint32_t u;

  memcpy (&u, &f, sizeof u);
  return u;
}

static struct qk_quant_info
info_of (int weight, int qmin, int qmax, int64_t channels)
{
  struct qk_quant_info info = { .name = weight ? "conv.weight" : "conv:out",
                                .weight = weight,
                                .symmetric = weight,
                                .bits = 8,
                                .qmin = qmin,
                                .qmax = qmax,
                                .channels = channels };

  return info;
}

/* A quantizer of the plugins named; OBS or FQ NULL for none. */
static struct qk_quantizer *
quantizer (const struct qk_quant_info *info, const char *obs,
           const char *options, const char *fq)
{
  const struct qk_class *oc = NULL, *fc = NULL;
  struct qk_config *cfg = NULL;
  struct qk_quantizer *qz;

  if (obs != NULL) {
    OK (qk_context_class (ctx, QK_KIND_OBSERVER, obs, &oc));
    OK (qk_config_parse (oc->options, options, "test", &cfg));
  }
  if (fq != NULL)
    OK (qk_context_class (ctx, QK_KIND_FAKEQUANT, fq, &fc));
  OK (qk_quantizer_new (ctx, info, (const struct qk_observer_class *) oc, cfg,
                        (const struct qk_fakequant_class *) fc, NULL, &qz));
  qk_config_free (cfg);
  return qz;
}

/* ---- qk_calculate_qparams ----------------------------------------------*/

START_TEST (test_qparams)
{
  struct qk_qparams q = { 0, 0, 0, 255 };

  OK (qk_calculate_qparams (0.0f, 0.0f, false, &q));
  ck_assert_float_eq (q.scale, 0x1p-23f);
  ck_assert_int_eq (q.zero_point, 0);
  /* the range is widened to include 0 */
  OK (qk_calculate_qparams (1.0f, 25.5f, false, &q));
  ck_assert_float_eq (q.scale, 25.5f / 255.0f);
  ck_assert_int_eq (q.zero_point, 0);
  OK (qk_calculate_qparams (-51.0f, -1.0f, false, &q));
  ck_assert_int_eq (q.zero_point, 255);
  /* unsigned and symmetric: PyTorch's 128 */
  OK (qk_calculate_qparams (-1.0f, 2.0f, true, &q));
  ck_assert_int_eq (q.zero_point, 128);
  ck_assert_float_eq (q.scale, 2.0f / 127.5f);
  q.qmax = 127;
  OK (qk_calculate_qparams (-1.0f, 2.0f, true, &q));
  ck_assert_int_eq (q.zero_point, 63);
  q.qmin = -128;
  q.qmax = 127;
  OK (qk_calculate_qparams (-3.0f, 2.0f, true, &q));
  ck_assert_int_eq (q.zero_point, 0);
  ck_assert_float_eq (q.scale, 3.0f / 127.5f);

  FAILS (-EDOM, "range", qk_calculate_qparams (NAN, 1, false, &q));
  FAILS (-EDOM, "range", qk_calculate_qparams (0, INFINITY, false, &q));
  FAILS (-EDOM, "range", qk_calculate_qparams (2, 1, false, &q));
  FAILS (-EDOM, "wide", qk_calculate_qparams (-3e38f, 3e38f, false, &q));
  q.qmin = 127;
  FAILS (-EINVAL, "qmin", qk_calculate_qparams (0, 1, false, &q));
}
END_TEST

/* ---- observers ----------------------------------------------------------*/

/* Min, max and histogram of an observer, as its state has them. */
static void
observer_state (struct qk_quantizer *qz, const char *name, float *out,
                size_t *count)
{
  struct qk_state_list list = { NULL, 0 };
  struct qk_state_array found;
  struct qk_state st;

  qk_state_start (&st, qk_state_list_save, &list, false);
  OK (qk_quantizer_state (qz, &st));
  OK (state_lookup (&list, name, &found));
  ck_assert_uint_le (found.count, 2048);
  ck_assert_int_eq (found.dtype, QK_F32);
  memcpy (out, found.data, found.count * sizeof (float));
  *count = found.count;
  qk_state_list_clear (&list);
}

START_TEST (test_observer_golden)
{
  const struct golden_observer *g = &golden_observers[_i];
  struct qk_quant_info info
    = info_of (g->weight, g->qmin, g->qmax, g->channels);
  struct qk_quantizer *qz;
  float min[2048], max[8];
  size_t count;

  info.symmetric = g->symmetric;
  qz = quantizer (&info, g->name, g->options, "affine");
  qk_quantizer_set_observing (qz, true);
  for (int b = 0; b < g->batches; b++) {
    const size_t n = g->batch[b].n;
    float *x = malloc (n * sizeof *x);

    golden_fill (x, n, (uint32_t) (100 * _i + b), g->batch[b].scale,
                 g->batch[b].offset);
    OK (qk_quantizer_observe (qz, x, n));
    free (x);
    if (g->histogram != NULL) {
      uint32_t h = 2166136261u;

      observer_state (qz, "observer.histogram", min, &count);
      ck_assert_uint_eq (count, 2048);
      for (size_t i = 0; i < count; i++)
        h = (h ^ bits (min[i])) * 16777619u;
      ck_assert_msg (h == g->histogram[b], "%s %s, batch %d: histogram",
                     g->name, g->options, b);
    }
    if (strcmp (g->name, "fixed") == 0)
      OK (qk_quantizer_range (qz, min, max));
    else {
      observer_state (qz, "observer.min_val", min, &count);
      observer_state (qz, "observer.max_val", max, &count);
      ck_assert_uint_eq (count, (size_t) g->channels);
    }
    for (int c = 0; c < g->channels; c++) {
      const struct qk_qparams *q = &qk_quantizer_qparams (qz)[c];
      const int k = b * g->channels + c;

      ck_assert_msg (bits (min[c]) == g->min[k] && bits (max[c]) == g->max[k],
                     "%s %s, batch %d, channel %d: range %a..%a", g->name,
                     g->options, b, c, (double) min[c], (double) max[c]);
      ck_assert_msg (
        bits (q->scale) == g->scale[k] && q->zero_point == g->zero_point[k],
        "%s %s, batch %d, channel %d: scale %a (%08x, not %08x), "
        "zero_point %d (not %d)",
        g->name, g->options, b, c, (double) q->scale, bits (q->scale),
        g->scale[k], (int) q->zero_point, (int) g->zero_point[k]);
    }
  }
  qk_quantizer_free (qz);
}
END_TEST

/* Ranges alone must give what the tensors give. */
START_TEST (test_observe_range)
{
  const char *const names[] = { "minmax", "moving_average_minmax" };
  struct qk_quant_info info = info_of (1, -128, 127, 5);
  struct qk_quantizer *a = quantizer (&info, names[_i], "", "affine");
  struct qk_quantizer *b = quantizer (&info, names[_i], "", NULL);
  float x[5 * 33], min[5], max[5];

  ck_assert (qk_quantizer_wants_range (a));
  qk_quantizer_set_observing (a, true);
  qk_quantizer_set_observing (b, true);
  for (uint32_t k = 0; k < 4; k++) {
    golden_fill (x, 5 * 33, k, 1.0f + 0.1f * (float) k, 0.1f);
    OK (qk_quantizer_observe (a, x, 5 * 33));
    for (size_t c = 0; c < 5; c++)
      OK (qk_range_find (x + 33 * c, 33, &min[c], &max[c]));
    OK (qk_quantizer_observe_range (b, min, max));
    ck_assert_mem_eq (qk_quantizer_qparams (a), qk_quantizer_qparams (b),
                      5 * sizeof (struct qk_qparams));
  }
  qk_quantizer_free (a);
  qk_quantizer_free (b);
}
END_TEST

START_TEST (test_not_observing)
{
  struct qk_quant_info info = info_of (0, 0, 255, 1);
  struct qk_quantizer *qz = quantizer (&info, "minmax", "", "affine");
  const float x[4] = { -1, 0, 1, 2 }, bad[1] = { NAN };
  uint8_t q[4];

  ck_assert (!qk_quantizer_observing (qz));
  OK (qk_quantizer_observe (qz, x, 4));
  OK (qk_quantizer_observe (qz, bad, 1)); /* not even looked at */
  ck_assert (!qk_quantizer_has_range (qz));
  ck_assert_float_eq (qk_quantizer_qparams (qz)->scale, 1.0f);
  ck_assert_int_eq (warnings, 0);
  OK (qk_quantizer_refresh (qz));
  OK (qk_quantizer_refresh (qz));
  ck_assert_int_eq (warnings, 1);
  OK (qk_quantizer_forward_u8 (qz, x, 4, q));
  ck_assert_int_eq (q[3], 2);

  qk_quantizer_set_observing (qz, true);
  OK (qk_quantizer_observe (qz, x, 0)); /* an empty batch is no batch */
  ck_assert (!qk_quantizer_has_range (qz));
  OK (qk_quantizer_observe (qz, x, 4));
  ck_assert_float_eq (qk_quantizer_qparams (qz)->scale, 3.0f / 255.0f);
  qk_quantizer_set_observing (qz, false);
  qk_quantizer_free (qz);
}
END_TEST

START_TEST (test_collect)
{
  struct qk_quant_info info = info_of (0, 0, 255, 1);
  struct qk_quantizer *qz = quantizer (&info, "histogram", "", "affine");
  float x[1000];

  qk_quantizer_set_observing (qz, true);
  golden_fill (x, 1000, 3, 1.0f, 0.0f);
  OK (qk_quantizer_collect (qz, x, 1000));
  ck_assert_float_eq (qk_quantizer_qparams (qz)->scale, 1.0f);
  OK (qk_quantizer_refresh (qz));
  ck_assert_float_lt (qk_quantizer_qparams (qz)->scale, 0.02f);
  qk_quantizer_free (qz);
}
END_TEST

/* NaN and infinity anywhere in a batch, at sizes around the lanes. */
START_TEST (test_nan)
{
  const char *const names[]
    = { "minmax", "moving_average_minmax", "histogram" };
  struct qk_quant_info info = info_of (0, 0, 255, 1);
  struct qk_quantizer *qz = quantizer (&info, names[_i], "", "affine");
  float x[100], min, max;
  char text[80];

  qk_quantizer_set_observing (qz, true);
  snprintf (text, sizeof text, "observer '%s' of 'conv:out' saw NaN",
            names[_i]);
  for (size_t n = 1; n <= 100; n += n < 40 ? 1 : 13)
    for (size_t i = 0; i < n; i++) {
      golden_fill (x, n, 1, 1.0f, 0.0f);
      x[i] = NAN;
      FAILS (-EDOM, text, qk_quantizer_observe (qz, x, n));
      x[i] = i % 2 ? INFINITY : -INFINITY;
      FAILS (-EDOM, "saw infinity", qk_quantizer_observe (qz, x, n));
    }
  ck_assert (!qk_quantizer_has_range (qz));
  if (qk_quantizer_wants_range (qz)) {
    min = NAN;
    max = 1.0f;
    FAILS (-EDOM, text, qk_quantizer_observe_range (qz, &min, &max));
    min = -INFINITY;
    FAILS (-EDOM, "infinity", qk_quantizer_observe_range (qz, &min, &max));
  } else
    FAILS (-ENOTSUP, "histogram", qk_quantizer_observe_range (qz, x, x));
  qk_quantizer_free (qz);
}
END_TEST

START_TEST (test_histogram_special)
{
  const struct qk_class *cls;
  struct qk_quant_info info = info_of (0, 0, 255, 1);
  struct qk_quantizer *qz = quantizer (&info, "histogram", "", "affine");
  struct qk_config *cfg;
  float x[3000], h[2048], min, max;
  double sum = 0.0;
  size_t count;

  /* all the same */
  for (int i = 0; i < 3000; i++)
    x[i] = 5.1f;
  qk_quantizer_set_observing (qz, true);
  OK (qk_quantizer_observe (qz, x, 3000));
  OK (qk_quantizer_range (qz, &min, &max));
  ck_assert_float_eq (min, 5.1f);
  ck_assert_float_eq (max, 5.1f);
  ck_assert_float_eq (qk_quantizer_qparams (qz)->scale, 5.1f / 255.0f);

  /* the range grows beyond any grid that could be stored */
  x[0] = nextafterf (5.1f, 6.0f);
  OK (qk_quantizer_observe (qz, x, 3000));
  golden_fill (x, 3000, 1, 1e9f, 0.0f);
  OK (qk_quantizer_observe (qz, x, 3000));
  observer_state (qz, "observer.histogram", h, &count);
  for (size_t i = 0; i < count; i++)
    sum += (double) h[i];
  ck_assert_double_eq_tol (sum, 6000.0, 0.01);
  x[0] = -3e38f;
  x[1] = 3e38f;
  FAILS (-EDOM, "observer 'histogram' of 'conv:out'",
         qk_quantizer_observe (qz, x, 3000));
  qk_quantizer_free (qz);

  info = info_of (1, -128, 127, 8);
  OK (qk_context_class (ctx, QK_KIND_OBSERVER, "histogram", &cls));
  OK (qk_config_parse (cls->options, "", "test", &cfg));
  FAILS (-EINVAL, "per tensor",
         qk_quantizer_new (ctx, &info, (const struct qk_observer_class *) cls,
                           cfg, NULL, NULL, &qz));
  qk_config_free (cfg);
}
END_TEST

/* Counting in threads changes nothing. */
START_TEST (test_histogram_threads)
{
#ifdef _OPENMP
  const size_t n = 300001;
  struct qk_quant_info info = info_of (0, 0, 255, 1);
  /* valgrind is run with one thread, for it takes libgomp's for leaks */
  const int many
    = getenv ("OMP_NUM_THREADS") == NULL ? 3 : omp_get_max_threads ();
  float *x = malloc (n * sizeof *x), h[2][2048];
  size_t count;

  for (int t = 0; t < 2; t++) {
    struct qk_quantizer *qz = quantizer (&info, "histogram", "", "affine");

    omp_set_num_threads (t ? many : 1);
    qk_quantizer_set_observing (qz, true);
    for (uint32_t b = 0; b < 3; b++) {
      golden_fill (x, n, b, 1.0f + (float) b, 0.2f);
      OK (qk_quantizer_observe (qz, x, n));
    }
    observer_state (qz, "observer.histogram", h[t], &count);
    qk_quantizer_free (qz);
  }
  ck_assert_mem_eq (h[0], h[1], sizeof h[0]);
  free (x);
#endif
}
END_TEST

/* ---- fake-quantizers ----------------------------------------------------*/

/* A fake-quantizer of the test's own: the grids it is told. */
static struct qk_qparams fixed_grid[8];
static int fixed_channels;

static int
fixed_create (const struct qk_config *cfg, const struct qk_quant_info *info,
              void **self)
{
  (void) cfg;
  fixed_channels = (int) info->channels;
  *self = NULL;
  return 0;
}

static int
fixed_qparams (void *self, const struct qk_fq_params *p, const float *min,
               const float *max, struct qk_qparams *out)
{
  (void) self;
  (void) p;
  (void) min;
  (void) max;
  for (int c = 0; c < fixed_channels; c++)
    out[c] = fixed_grid[c];
  return 0;
}

static int
doubled_transform (void *self, const float *x, size_t n, float *y)
{
  (void) self;
  for (size_t i = 0; i < n; i++)
    y[i] = 2.0f * x[i];
  return 0;
}

static const struct qk_fakequant_class fixed = {
  .cls = QK_CLASS (struct qk_fakequant_class, QK_KIND_FAKEQUANT, "fixed",
                   "Grids given by the test", NULL),
  .create = fixed_create,
  .qparams = fixed_qparams,
};

static const struct qk_fakequant_class doubled = {
  .cls = QK_CLASS (struct qk_fakequant_class, QK_KIND_FAKEQUANT, "doubled",
                   "Twice the number", NULL),
  .create = fixed_create,
  .transform = doubled_transform,
};

/* PyTorch's FixedQParamsFakeQuantize is the same call with a grid from its
 * arguments: the plugin "fixed", told G's grid, gives the bytes Q for X. */
static void
check_fixed_plugin (const struct golden_fakequant *g,
                    const struct qk_quant_info *info, const float *x, size_t n,
                    const void *q)
{
  const struct qk_class *cls;
  struct qk_config *cfg;
  struct qk_quantizer *qz;
  char text[80];
  uint8_t got[256];

  snprintf (text, sizeof text, "scale=%.9g zero_point=%d",
            (double) g->scale[0], (int) g->zero_point[0]);
  OK (qk_context_class (ctx, QK_KIND_FAKEQUANT, "fixed", &cls));
  OK (qk_config_parse (cls->options, text, "test", &cfg));
  OK (qk_quantizer_new (ctx, info, NULL, NULL,
                        (const struct qk_fakequant_class *) cls, cfg, &qz));
  ck_assert_float_eq (qk_quantizer_qparams (qz)->scale, g->scale[0]);
  ck_assert_int_eq (qk_quantizer_qparams (qz)->zero_point, g->zero_point[0]);
  if (g->weight)
    OK (qk_quantizer_forward_i8 (qz, x, n, (int8_t *) got));
  else
    OK (qk_quantizer_forward_u8 (qz, x, n, got));
  ck_assert_mem_eq (got, q, n);
  qk_quantizer_free (qz);
  qk_config_free (cfg);
}

START_TEST (test_fakequant_golden)
{
  const struct golden_fakequant *g = &golden_fakequants[_i];
  struct qk_quant_info info
    = info_of (g->weight, g->qmin, g->qmax, g->channels);
  const size_t n = (size_t) (g->channels * g->per_channel);
  float x[256], dy[256], dx[256];
  uint8_t u[256];
  int8_t s[256];
  struct qk_quantizer *qz;

  info.per_channel = g->per_channel;
  golden_fill (x, n, g->seed, g->fill, 0.0f);
  golden_fill (dy, n, g->seed + 1, 1.0f, 0.0f);
  for (int c = 0; c < g->channels; c++) {
    fixed_grid[c].scale = g->scale[c];
    fixed_grid[c].zero_point = g->zero_point[c];
    fixed_grid[c].qmin = g->qmin;
    fixed_grid[c].qmax = g->qmax;
    for (int i = 0; i < g->ties; i++)
      x[c * g->per_channel + i]
        = (float) (i - g->ties / 2) * (g->scale[c] * 0.5f);
  }
  OK (qk_quantizer_new (ctx, &info, NULL, NULL, &fixed, NULL, &qz));
  OK (qk_quantizer_refresh (qz));
  if (g->weight)
    OK (qk_quantizer_forward_i8 (qz, x, n, s));
  else
    OK (qk_quantizer_forward_u8 (qz, x, n, u));
  ck_assert (qk_quantizer_is_ste (qz));
  OK (qk_quantizer_backward (qz, x, dy, dx, n));
  for (size_t i = 0; i < n; i++) {
    const struct qk_qparams *q = &fixed_grid[i / (size_t) g->per_channel];
    const float inv = 1.0f / q->scale;
    const int k = g->weight ? s[i] : u[i];
    const float y = qk_dequantize (k, q->scale, q->zero_point);
    const float mask
      = qk_ste_mask (x[i], inv, q->zero_point, q->qmin, q->qmax);

    /* + 0: PyTorch's 0 has the sign of x */
    ck_assert_msg (bits (y + 0.0f) == g->y[i]
                     || (y == 0.0f && g->y[i] == 0x80000000u),
                   "y[%zu]: %a is not %08x", i, (double) y, g->y[i]);
    ck_assert_msg (bits (dx[i] + 0.0f) == g->dx[i], "dx[%zu]: %a is not %08x",
                   i, (double) dx[i], g->dx[i]);
    ck_assert_float_eq (dx[i], mask != 0.0f ? dy[i] : 0.0f);
    ck_assert_int_eq (
      k, qk_quantize (x[i], inv, q->zero_point, q->qmin, q->qmax));
  }
  OK (qk_quantizer_backward (qz, x, dy, dy, n)); /* in place */
  ck_assert_mem_eq (dy, dx, n * sizeof (float));
  qk_quantizer_free (qz);
  if (g->channels == 1)
    check_fixed_plugin (g, &info, x, n, g->weight ? (void *) s : u);
}
END_TEST

/* The vector loops give the bytes of numeric.h: sizes around the lanes and
 * blocks, extremes, NaN. */
START_TEST (test_forward_bytes)
{
  const size_t n = 200003;
  const float odd[] = { NAN,    INFINITY, -INFINITY, 3e38f, -3e38f,
                        1e-40f, 2.5f,     -2.5f,     0.0f,  -0.0f };
  float *x = malloc (n * sizeof *x);
  uint8_t *u = malloc (n);
  int8_t *s = malloc (n);
  const struct qk_qparams qu = { 0.017f, 131, 3, 201 };
  const struct qk_qparams qs = { 0.011f, 0, -77, 90 };

  golden_fill (x, n, 9, 3.0f, 0.2f);
  memcpy (x + 100, odd, sizeof odd);
  for (size_t m = 0; m <= n - 90; m = m < 70 ? m + 1 : m * 9 / 2 + 1) {
    int wrong = 0;

    memset (u, 0xaa, n);
    memset (s, 0x55, n);
    qk_loop_quantize_u8 (x + 90, m, &qu, u);
    qk_loop_quantize_i8 (x + 90, m, &qs, s);
    for (size_t i = 0; i < m; i++) {
      const float v = x[90 + i];

      wrong += u[i] != qk_quantize (v, 1.0f / qu.scale, 131, 3, 201);
      wrong += s[i] != qk_quantize (v, 1.0f / qs.scale, 0, -77, 90);
    }
    for (size_t i = m; i < m + 90; i++)
      wrong += u[i] != 0xaa || s[i] != 0x55;
    ck_assert_msg (wrong == 0, "%d wrong bytes of %zu", wrong, m);
  }
  free (x);
  free (u);
  free (s);
}
END_TEST

START_TEST (test_bad_grids)
{
  const struct {
    int weight;
    struct qk_qparams q;
    const char *text;
  } bad[] = {
    { 0, { NAN, 0, 0, 255 }, "scale" },
    { 0, { INFINITY, 0, 0, 255 }, "scale" },
    { 0, { 0.0f, 0, 0, 255 }, "scale" },
    { 0, { -0.1f, 0, 0, 255 }, "scale" },
    { 0, { 1e-44f, 0, 0, 255 }, "too small" },
    { 0, { 0.1f, 256, 0, 255 }, "zero_point 256" },
    { 0, { 0.1f, -1, 0, 255 }, "zero_point -1" },
    { 0, { 0.1f, 0, 0, 256 }, "0..256" },
    { 0, { 0.1f, 0, -1, 255 }, "-1..255" },
    { 0, { 0.1f, 9, 9, 9 }, "9..9" },
    { 1, { 0.1f, 1, -128, 127 }, "must be 0, got 1" },
  };
  struct qk_quant_info info = info_of (bad[_i].weight, 0, 255, 1);
  struct qk_quantizer *qz;

  ck_assert_int_lt (_i, COUNT (bad));
  if (info.weight) {
    info.qmin = -128;
    info.qmax = 127;
  }
  /* it needs no batch, so it is refused at once … */
  fixed_grid[0] = bad[_i].q;
  FAILS (-EDOM, bad[_i].text,
         qk_quantizer_new (ctx, &info, NULL, NULL, &fixed, NULL, &qz));
  /* … and later */
  fixed_grid[0] = (struct qk_qparams){ 1.0f, 0, info.qmin, info.qmax };
  OK (qk_quantizer_new (ctx, &info, NULL, NULL, &fixed, NULL, &qz));
  fixed_grid[0] = bad[_i].q;
  FAILS (-EDOM, bad[_i].text, qk_quantizer_refresh (qz));
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "'fixed' of 'conv"));
  ck_assert_float_eq (qk_quantizer_qparams (qz)->scale, 1.0f); /* unharmed */
  qk_quantizer_free (qz);
}
END_TEST

START_TEST (test_transform)
{
  struct qk_quant_info info = info_of (1, -128, 127, 2);
  const struct qk_class *cls;
  const float x[6] = { 1, -1, 0.25f, 2, 4, -8 };
  float dx[6];
  int8_t q[6];
  struct qk_quantizer *qz;

  OK (qk_context_class (ctx, QK_KIND_OBSERVER, "minmax", &cls));
  OK (qk_quantizer_new (ctx, &info, (const struct qk_observer_class *) cls,
                        NULL, &doubled, NULL, &qz));
  ck_assert (!qk_quantizer_wants_range (qz));
  ck_assert (!qk_quantizer_is_ste (qz));
  qk_quantizer_set_observing (qz, true);
  OK (qk_quantizer_observe (qz, x, 6));
  /* the observer sees what is put on the grid */
  ck_assert_float_eq (qk_quantizer_qparams (qz)[0].scale, 2.0f / 127.5f);
  ck_assert_float_eq (qk_quantizer_qparams (qz)[1].scale, 16.0f / 127.5f);
  OK (qk_quantizer_forward_i8 (qz, x, 6, q));
  OK (qk_quantizer_backward (qz, x, x, dx, 6));
  for (int i = 0; i < 6; i++) {
    const float inv = 1.0f / qk_quantizer_qparams (qz)[i / 3].scale;

    ck_assert_int_eq (q[i], qk_quantize (2.0f * x[i], inv, 0, -128, 127));
    ck_assert_float_eq (dx[i],
                        qk_ste_mask (2.0f * x[i], inv, 0, -128, 127) * x[i]);
  }
  FAILS (-EINVAL, "conv.weight", qk_quantizer_observe (qz, x, 5));
  FAILS (-EINVAL, "weight", qk_quantizer_forward_u8 (qz, x, 6, NULL));
  qk_quantizer_free (qz);
  info = info_of (0, 0, 255, 1);
  FAILS (-EINVAL, "weights only",
         qk_quantizer_new (ctx, &info, NULL, NULL, &doubled, NULL, &qz));
}
END_TEST

/* 16 bits: the formula with other ends, in real numbers. */
START_TEST (test_wide)
{
  struct qk_quant_info info = info_of (0, 0, 65535, 1);
  const float x[] = { -1.0f, 0.0f, 0.3f, 1.9999f, 2.0f };
  struct qk_quantizer *qz;
  struct qk_qparams q;
  float y[5];

  info.bits = 16;
  qz = quantizer (&info, "minmax", "", NULL);
  qk_quantizer_set_observing (qz, true);
  OK (qk_quantizer_observe (qz, x, 5));
  q = *qk_quantizer_qparams (qz);
  ck_assert_float_eq (q.scale, 3.0f / 65535.0f);
  ck_assert_int_eq (q.zero_point, 21845);
  OK (qk_quantizer_forward_f32 (qz, x, 5, y));
  for (int i = 0; i < 5; i++) {
    const int32_t k
      = qk_quantize (x[i], 1.0f / q.scale, q.zero_point, 0, 65535);

    ck_assert (y[i] == qk_dequantize (k, q.scale, q.zero_point));
    /* the integer is what the real number is put on the grid as */
    ck_assert_int_eq (
      qk_quantize (y[i], 1.0f / q.scale, q.zero_point, 0, 65535), k);
  }
  FAILS (-EINVAL, "16 bits",
         qk_quantizer_forward_u8 (qz, x, 5, (uint8_t *) y));
  qk_quantizer_free (qz);
}
END_TEST

START_TEST (test_bad_info)
{
  struct qk_quantizer *qz;
  struct qk_quant_info info = info_of (0, 0, 255, 1);

  info.bits = 9;
  FAILS (-EINVAL, "bits",
         qk_quantizer_new (ctx, &info, NULL, NULL, NULL, NULL, &qz));
  info.bits = 17;
  info.qmax = 65535;
  FAILS (-EINVAL, "2 to 16",
         qk_quantizer_new (ctx, &info, NULL, NULL, NULL, NULL, &qz));
  info = info_of (1, -128, 127, 1);
  info.bits = 9;
  FAILS (-EINVAL, "2 to 8",
         qk_quantizer_new (ctx, &info, NULL, NULL, NULL, NULL, &qz));
  info = info_of (0, 0, 255, 2);
  FAILS (-EINVAL, "2 ranges",
         qk_quantizer_new (ctx, &info, NULL, NULL, NULL, NULL, &qz));
  info = info_of (0, -128, 127, 1);
  FAILS (-EINVAL, "-128..127",
         qk_quantizer_new (ctx, &info, NULL, NULL, NULL, NULL, &qz));
  info = info_of (1, -128, 127, 1);
  info.symmetric = false;
  FAILS (-EINVAL, "symmetric",
         qk_quantizer_new (ctx, &info, NULL, NULL, NULL, NULL, &qz));
}
END_TEST

/* ---- learned step size --------------------------------------------------*/

START_TEST (test_lsq)
{
  const struct golden_lsq *g = &golden_lsqs[_i];
  struct qk_quant_info info = info_of (1, g->qmin, g->qmax, 1);
  struct qk_quantizer *qz = quantizer (&info, "minmax", "", "lsq");
  struct qk_quantizer_param p[QK_FQ_MAX_PARAMS];
  const size_t n = (size_t) g->n;
  const double factor = 1.0 / sqrt ((double) g->n * g->qmax);
  float x[500], dy[500], dx[500];
  double mean = 0.0;

  golden_fill (x, n, g->seed, g->fill, 0.0f);
  golden_fill (dy, n, g->seed + 1, 1.0f, 0.0f);
  for (size_t i = 0; i < n; i++)
    mean += fabs ((double) x[i]) / (double) n;
  ck_assert (!qk_quantizer_wants_range (qz)); /* first batch not yet seen */
  qk_quantizer_set_observing (qz, true);
  OK (qk_quantizer_observe (qz, x, n));
  ck_assert (qk_quantizer_wants_range (qz));
  ck_assert (!qk_quantizer_is_ste (qz));
  ck_assert_int_eq (qk_quantizer_params (qz, p), 1);
  ck_assert_str_eq (p[0].name, "scale");
  ck_assert_uint_eq (p[0].count, 1);
  ck_assert_float_eq_tol (p[0].value[0], 2 * mean / sqrt (g->qmax), 1e-6);
  ck_assert_float_eq (qk_quantizer_qparams (qz)->scale, p[0].value[0]);

  p[0].value[0] = g->scale;
  OK (qk_quantizer_refresh (qz));
  ck_assert_float_eq (qk_quantizer_qparams (qz)->scale, g->scale);
  for (int k = 1; k <= 2; k++) { /* gradients add up */
    OK (qk_quantizer_backward (qz, x, dy, dx, n));
    ck_assert_double_eq_tol (p[0].grad[0], k * factor * (double) g->dscale,
                             1e-4 * fabs (factor * (double) g->dscale));
  }
  p[0].value[0] = -3.0f; /* kept positive */
  OK (qk_quantizer_refresh (qz));
  ck_assert_float_gt (qk_quantizer_qparams (qz)->scale, 0.0f);
  p[0].value[0] = NAN;
  FAILS (-EDOM, "'lsq' of 'conv.weight'", qk_quantizer_refresh (qz));
  qk_quantizer_free (qz);
}
END_TEST

START_TEST (test_lsq_activation)
{
  struct qk_quant_info info = info_of (0, 0, 255, 1);
  struct qk_quantizer *qz = quantizer (&info, "minmax", "", "lsq");
  const float x[4] = { -1, 0, 1, 3 };

  qk_quantizer_set_observing (qz, true);
  OK (qk_quantizer_observe (qz, x, 4));
  ck_assert_int_eq (qk_quantizer_qparams (qz)->zero_point, 64);
  ck_assert_float_eq_tol (qk_quantizer_qparams (qz)->scale,
                          2 * 1.25f / sqrtf (191), 1e-6f);
  qk_quantizer_free (qz);
}
END_TEST

/* ---- state
 * ----------------------------------------------------------------*/

START_TEST (test_state)
{
  const struct {
    int weight;
    int64_t channels;
    const char *obs, *fq;
  } kinds[] = {
    { 0, 1, "minmax", "affine" },
    { 0, 1, "histogram", "affine" },
    { 0, 1, "moving_average_minmax", "lsq" },
    { 1, 4, "moving_average_minmax", "affine" },
    { 1, 4, "minmax", "lsq" },
  };
  struct qk_quant_info info
    = info_of (kinds[_i].weight, kinds[_i].weight ? -128 : 0,
               kinds[_i].weight ? 127 : 255, kinds[_i].channels);
  const size_t size = (size_t) info.channels * sizeof (struct qk_qparams);
  struct qk_quantizer *a = quantizer (&info, kinds[_i].obs, "", kinds[_i].fq);
  struct qk_quantizer *b = quantizer (&info, kinds[_i].obs, "", kinds[_i].fq);
  struct qk_state_list list = { NULL, 0 };
  struct qk_state_source source = { state_lookup, &list };
  struct qk_state st;
  float x[400];

  qk_quantizer_set_observing (a, true);
  golden_fill (x, 400, 1, 1.0f, 0.3f);
  OK (qk_quantizer_observe (a, x, 400));
  qk_state_start (&st, qk_state_list_save, &list, false);
  OK (qk_quantizer_state (a, &st));
  qk_state_start (&st, qk_state_source_load, &source, true);
  OK (qk_quantizer_state (b, &st));
  ck_assert_mem_eq (qk_quantizer_qparams (a), qk_quantizer_qparams (b), size);

  /* both go on alike */
  qk_quantizer_set_observing (b, true);
  golden_fill (x, 400, 2, 2.0f, 0.0f);
  OK (qk_quantizer_observe (a, x, 400));
  OK (qk_quantizer_observe (b, x, 400));
  ck_assert_mem_eq (qk_quantizer_qparams (a), qk_quantizer_qparams (b), size);

  /* a state from a damaged file */
  for (size_t k = 0; k < list.n; k++)
    if (strcmp (list.array[k].name, "observer.min_val") == 0
        || strcmp (list.array[k].name, "fakequant.scale") == 0)
      *(float *) list.array[k].data = NAN;
  ck_assert_int_eq (qk_quantizer_state (b, &st), -EDOM);
  ck_assert_mem_eq (qk_quantizer_qparams (a), qk_quantizer_qparams (b), size);
  qk_state_list_clear (&list);
  qk_quantizer_free (a);
  qk_quantizer_free (b);
}
END_TEST

/* An observer of the last batch that keeps no state. */
struct forgetful {
  bool seen;
  float min, max;
};

static int
forgetful_create (const struct qk_config *cfg,
                  const struct qk_quant_info *info, void **self)
{
  (void) cfg;
  (void) info;
  *self = qk_alloc (sizeof (struct forgetful));
  return *self != NULL ? 0 : -ENOMEM;
}

static int
forgetful_update_range (void *self, const float *min, const float *max)
{
  *(struct forgetful *) self = (struct forgetful){ true, *min, *max };
  return 0;
}

static int
forgetful_range (void *self, float *min, float *max)
{
  const struct forgetful *f = self;

  *min = f->min;
  *max = f->max;
  return f->seen ? 0 : -ENODATA;
}

static const struct qk_observer_class forgetful = {
  .cls = QK_CLASS (struct qk_observer_class, QK_KIND_OBSERVER, "forgetful",
                   "Range of the last batch", NULL),
  .create = forgetful_create,
  .destroy = qk_free,
  .update_range = forgetful_update_range,
  .range = forgetful_range,
};

/* An observer whose instances the library makes. */
struct made {
  const struct qk_quant_info *info;
  int first;
  char end[];
};
static int made_destroyed;

static int
made_create (const struct qk_config *cfg, const struct qk_quant_info *info,
             void **self)
{
  struct made *m = *self;

  (void) cfg;
  ck_assert_int_eq (m->first, 0);
  for (int64_t i = 0; i < 3 * m->info->channels; i++)
    ck_assert_int_eq (m->end[i], 0);
  memset (m->end, 1, 3 * (size_t) m->info->channels);
  m->first = 1;
  return info->bits == 2 ? qk_error (-EINVAL, "too few bits") : 0;
}

static void
made_destroy (void *self)
{
  ck_assert_int_eq (((struct made *) self)->first, 1);
  made_destroyed++;
}

static int
made_range (void *self, float *min, float *max)
{
  const struct made *m = self;

  for (int64_t c = 0; c < m->info->channels; c++) {
    min[c] = -1.0f;
    max[c] = 1.0f;
  }
  return 0;
}

START_TEST (test_library_makes_instance)
{
  struct qk_observer_class made = {
    .cls = QK_CLASS (struct qk_observer_class, QK_KIND_OBSERVER, "made",
                     "Made by the library", NULL),
    .self_size = sizeof (struct made),
    .channel_size = 3,
    .create = made_create,
    .destroy = made_destroy,
    .update_range = forgetful_update_range,
    .range = made_range,
  };
  struct qk_quant_info info = info_of (1, -128, 127, 5);
  struct qk_quantizer *qz;

  OK (qk_quantizer_new (ctx, &info, &made, NULL, NULL, NULL, &qz));
  info.channels = 0; /* the instance has the library's own */
  ck_assert_float_eq (qk_quantizer_qparams (qz)[4].scale, 2.0f / 255.0f);
  ck_assert_int_eq (made_destroyed, 0);
  qk_quantizer_free (qz);
  ck_assert_int_eq (made_destroyed, 1);

  info = info_of (1, -2, 1, 5);
  info.bits = 2;
  FAILS (-EINVAL, "observer 'made' of 'conv.weight': too few bits",
         qk_quantizer_new (ctx, &info, &made, NULL, NULL, NULL, &qz));
  ck_assert_int_eq (made_destroyed, 2);
  made.create = NULL;
  made.destroy = NULL;
  OK (qk_quantizer_new (ctx, &info, &made, NULL, NULL, NULL, &qz));
  qk_quantizer_free (qz);
  made.channel_size = SIZE_MAX / 4;
  FAILS (-ENOEXEC, "impossible",
         qk_quantizer_new (ctx, &info, &made, NULL, NULL, NULL, &qz));
}
END_TEST

/* A checkpoint is the network that was trained, state or no state. */
START_TEST (test_observer_without_state)
{
  struct qk_quant_info info = info_of (0, 0, 255, 1);
  const float x[3] = { -1.0f, 0.0f, 3.0f }, y[3] = { 0.0f, 1.0f, 0.5f };
  struct qk_state_list list = { NULL, 0 };
  struct qk_state_source source = { state_lookup, &list };
  struct qk_quantizer *qz[2];
  struct qk_state st;
  float min, max;

  for (int i = 0; i < 2; i++) {
    OK (qk_quantizer_new (ctx, &info, &forgetful, NULL, NULL, NULL, &qz[i]));
    qk_quantizer_set_observing (qz[i], true);
  }
  /* saved before anything was seen: nothing is known */
  qk_state_start (&st, qk_state_list_save, &list, false);
  OK (qk_quantizer_state (qz[0], &st));
  qk_state_start (&st, qk_state_source_load, &source, true);
  OK (qk_quantizer_state (qz[1], &st));
  ck_assert (!qk_quantizer_has_range (qz[1]));
  qk_state_list_clear (&list);

  OK (qk_quantizer_observe (qz[0], x, 3));
  qk_state_start (&st, qk_state_list_save, &list, false);
  OK (qk_quantizer_state (qz[0], &st));
  qk_state_start (&st, qk_state_source_load, &source, true);
  OK (qk_quantizer_state (qz[1], &st));
  OK (qk_quantizer_range (qz[1], &min, &max));
  ck_assert_float_eq (min, -1.0f);
  ck_assert_float_eq (max, 3.0f);
  OK (qk_quantizer_refresh (qz[1])); /* it lasts */
  ck_assert_mem_eq (qk_quantizer_qparams (qz[0]), qk_quantizer_qparams (qz[1]),
                    sizeof (struct qk_qparams));

  /* a damaged file */
  for (size_t k = 0; k < list.n; k++)
    if (strcmp (list.array[k].name, "observer.range") == 0)
      ((float *) list.array[k].data)[1] = NAN;
  FAILS (-EDOM, "'conv:out'", qk_quantizer_state (qz[1], &st));

  /* until it sees for itself */
  OK (qk_quantizer_observe (qz[1], y, 3));
  OK (qk_quantizer_range (qz[1], &min, &max));
  ck_assert_float_eq (min, 0.0f);
  ck_assert_float_eq (max, 1.0f);
  qk_state_list_clear (&list);
  qk_quantizer_free (qz[0]);
  qk_quantizer_free (qz[1]);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("quant");
  TCase *tc = tcase_create ("quant");
  SRunner *runner;
  int failed;

  tcase_add_checked_fixture (tc, setup, teardown);
  tcase_add_test (tc, test_qparams);
  tcase_add_loop_test (tc, test_observer_golden, 0, COUNT (golden_observers));
  tcase_add_loop_test (tc, test_observe_range, 0, 2);
  tcase_add_test (tc, test_not_observing);
  tcase_add_test (tc, test_collect);
  tcase_add_loop_test (tc, test_nan, 0, 3);
  tcase_add_test (tc, test_histogram_special);
  tcase_add_test (tc, test_histogram_threads);
  tcase_add_loop_test (tc, test_fakequant_golden, 0,
                       COUNT (golden_fakequants));
  tcase_add_test (tc, test_forward_bytes);
  tcase_add_loop_test (tc, test_bad_grids, 0, 11);
  tcase_add_test (tc, test_transform);
  tcase_add_test (tc, test_wide);
  tcase_add_test (tc, test_bad_info);
  tcase_add_loop_test (tc, test_lsq, 0, COUNT (golden_lsqs));
  tcase_add_test (tc, test_lsq_activation);
  tcase_add_loop_test (tc, test_state, 0, 5);
  tcase_add_test (tc, test_observer_without_state);
  tcase_add_test (tc, test_library_makes_instance);
  suite_add_tcase (suite, tc);
  runner = srunner_create (suite);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed ? 1 : 0;
}
