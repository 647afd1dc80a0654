/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_fakequant.c: gradients of lsq and ewgs against their formulas in double,
 * element by element; lsq's first grid against all that it may choose from. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/ok.h"
#include "qatkit/numeric.h"
#include "qatkit/rng.h"
#include "quant/quantizer-priv.h"

/* More than a block of lsq, and no multiple of anything. */
#define N 10007

static struct qk_context *ctx;
static float x[2 * N], dy[2 * N], dx[2 * N];

static void
setup (void)
{
  struct qk_rng rng;

  ctx = qk_context_new ();
  ck_assert_ptr_nonnull (ctx);
  qk_rng_seed (&rng, 1, 2);
  for (int i = 0; i < 2 * N; i++) {
    x[i] = 4.0f * qk_rng_float (&rng) - 1.5f;
    dy[i] = qk_rng_float (&rng) - 0.4f;
  }
}

static void
teardown (void)
{
  qk_context_free (ctx);
}

/* A quantizer of BITS bits of a weight with two channels or of a value. */
static struct qk_quantizer *
unseen (bool weight, int bits, const char *fq, const char *options)
{
  const struct qk_quant_info info
    = { .name = weight ? "conv.weight" : "conv:out",
        .weight = weight,
        .symmetric = weight,
        .bits = bits,
        .qmin = weight ? -(1 << (bits - 1)) : 0,
        .qmax = (1 << (bits - weight)) - 1,
        .channels = weight ? 2 : 1 };
  const struct qk_class *oc, *fc;
  struct qk_config *cfg = NULL, *obs = NULL;
  struct qk_quantizer *qz;

  OK (qk_context_class (ctx, QK_KIND_OBSERVER, "minmax", &oc));
  OK (qk_context_class (ctx, QK_KIND_FAKEQUANT, fq, &fc));
  OK (qk_config_parse (oc->options, "", "test", &obs));
  OK (qk_config_parse (fc->options, options, "test", &cfg));
  OK (qk_quantizer_new (ctx, &info, (const struct qk_observer_class *) oc, obs,
                        (const struct qk_fakequant_class *) fc, cfg, &qz));
  qk_config_free (obs);
  qk_config_free (cfg);
  return qz;
}

/* The same, which has seen x. */
static struct qk_quantizer *
quantizer (bool weight, int bits, const char *fq, const char *options)
{
  struct qk_quantizer *qz = unseen (weight, bits, fq, options);

  qk_quantizer_set_observing (qz, true);
  OK (qk_quantizer_observe (qz, x, 2 * N));
  qk_quantizer_set_observing (qz, false);
  return qz;
}

/* ---- gradients --------------------------------------------------------------*/

struct gradient_case {
  bool weight;
  int bits;
  const char *fq, *options;
  bool offset, plain;
  double ewgs;
};

static const struct gradient_case gradients[] = {
  { false, 8, "lsq", "", false, false, 0 },
  { true, 4, "lsq", "", false, false, 0 },
  { true, 3, "lsq", "gradient=plain", false, true, 0 },
  { false, 2, "lsq", "offset=yes", true, false, 0 },
  { false, 4, "lsq", "offset=yes gradient=plain start=mse", true, true, 0 },
  { false, 4, "lsq", "ewgs=0.3", false, false, 0.3 },
  { true, 2, "lsq", "ewgs=0.7", false, false, 0.7 },
  { true, 3, "ewgs", "", false, false, 0.2 },
  { false, 4, "ewgs", "factor=0.5", false, false, 0.5 },
  { false, 4, "ewgs", "factor=0", false, false, 0 },
};

/* The sums of channel C from the formulas; checks dx. */
static void
by_hand (const struct gradient_case *t, const struct qk_qparams *q,
         const float *cx, const float *cdy, const float *cdx, int n,
         double *by_scale, double *by_offset)
{
  *by_scale = *by_offset = 0;
  for (int i = 0; i < n; i++) {
    const float v = cx[i] * (1.0f / q->scale);
    const double r = nearbyint ((double) v), k = r + q->zero_point;
    const double g = (double) cdy[i], d = (double) v - r;
    const bool below = k<q->qmin, above = k> q->qmax;
    const double end = below ? q->qmin : q->qmax;
    const double want
      = below || above ? 0 : g * (1 + t->ewgs * (g < 0 ? -d : d));

    ck_assert_msg (fabs ((double) cdx[i] - want) <= 2e-7 * fabs (g),
                   "element %d: dx is %.9g, expected %.9g", i, (double) cdx[i],
                   want);
    *by_scale
      += g * (below || above ? end - (t->offset ? 0 : q->zero_point) : -d);
    *by_offset += below || above ? g : 0;
  }
}

START_TEST (test_gradients)
{
  const struct gradient_case *t = &gradients[_i];
  struct qk_quantizer *qz = quantizer (t->weight, t->bits, t->fq, t->options);
  const struct qk_qparams *q = qk_quantizer_qparams (qz);
  const int channels = t->weight ? 2 : 1, n = 2 * N / channels;
  struct qk_quantizer_param p[QK_FQ_MAX_PARAMS];
  const int n_params = qk_quantizer_params (qz, p);
  const int zero_point = t->offset ? q->qmin : q->zero_point;
  const double above = q->qmax - zero_point, below = zero_point - q->qmin;
  const double g
    = t->plain ? 1
               : 1 / sqrt (n * (above > below || t->weight ? above : below));
  int clipped = 0;

  ck_assert_int_eq (n_params, strcmp (t->fq, "lsq") != 0 ? 0
                              : t->offset                ? 2
                                                         : 1);
  for (int i = 0; n_params > 0 && i < channels; i++)
    p[0].value[i] = 1.6f / (float) (q[i].qmax - q[i].zero_point); /* clips */
  OK (qk_quantizer_refresh (qz));
  memcpy (dx, dy, sizeof dx); /* in place */
  OK (qk_quantizer_backward (qz, x, dx, dx, 2 * N));
  for (int c = 0; c < channels; c++) {
    double scale, offset;

    by_hand (t, &q[c], x + c * n, dy + c * n, dx + c * n, n, &scale, &offset);
    for (int i = 0; i < n; i++)
      clipped += dx[c * n + i] == 0;
    if (n_params > 0)
      ck_assert_msg (fabs ((double) p[0].grad[c] - g * scale)
                       <= 1e-4 * fabs (g * scale) + 1e-5 * g * n,
                     "channel %d: by the scale %.9g, expected %.9g", c,
                     (double) p[0].grad[c], g * scale);
    if (t->offset)
      ck_assert_msg (fabs ((double) p[1].grad[0] - g * offset)
                       <= 1e-4 * fabs (g * offset) + 1e-6 * g * n,
                     "by the offset %.9g, expected %.9g",
                     (double) p[1].grad[0], g * offset);
  }
  if (n_params > 0)
    ck_assert_int_gt (clipped, 0);
  qk_quantizer_free (qz);
}
END_TEST

/* ---- first grids ------------------------------------------------------------*/

static double
squared_error (const float *cx, int n, const struct qk_qparams *q)
{
  double sum = 0;

  for (int i = 0; i < n; i++) {
    const int32_t k
      = qk_quantize (cx[i], 1.0f / q->scale, q->zero_point, q->qmin, q->qmax);
    const double d
      = (double) (cx[i] - qk_dequantize (k, q->scale, q->zero_point));

    sum += d * d;
  }
  return sum;
}

/* Of all fractions of the range none has a smaller error; and it is better than
 * the mean's. */
START_TEST (test_start)
{
  const bool weight = _i == 0;
  struct qk_quantizer *mse = quantizer (weight, 3, "lsq", "start=mse");
  struct qk_quantizer *mean = quantizer (weight, 3, "lsq", "start=mean");
  const int channels = weight ? 2 : 1, n = 2 * N / channels;

  for (int c = 0; c < channels; c++) {
    const struct qk_qparams got = qk_quantizer_qparams (mse)[c];
    const double e = squared_error (x + c * n, n, &got);
    float min = 0, max = 0;

    ck_assert (
      e < squared_error (x + c * n, n, &qk_quantizer_qparams (mean)[c]));
    for (int i = 0; i < n; i++) {
      min = fminf (min, x[c * n + i]);
      max = fmaxf (max, x[c * n + i]);
    }
    for (int f = 1; f <= 64; f++) {
      struct qk_qparams q = { 1, 0, got.qmin, got.qmax };

      OK (qk_calculate_qparams ((float) f / 64 * min, (float) f / 64 * max,
                                weight, &q));
      ck_assert (e <= squared_error (x + c * n, n, &q) * (1 + 1e-9));
    }
  }
  qk_quantizer_free (mse);
  qk_quantizer_free (mean);
}
END_TEST

/* Grids that are given are those in force, whoever learns them. */
START_TEST (test_given)
{
  static const struct {
    const char *fq, *options;
  } how[] = {
    { "affine", "" }, { "ewgs", "" }, { "lsq", "" }, { "lsq", "offset=yes" }
  };
  const bool weight = _i % 2 == 0;
  struct qk_quantizer *qz
    = unseen (weight, 4, how[_i / 2].fq, how[_i / 2].options);
  const struct qk_qparams *got = qk_quantizer_qparams (qz);
  struct qk_qparams given[2] = { got[0], got[0] };

  given[0].scale = 0.3f;
  given[1].scale = 0.01f;
  given[0].zero_point = weight ? 0 : 5;
  OK (qk_quantizer_start (qz, given));
  for (int c = 0; c <= weight; c++) {
    ck_assert_float_eq_tol (got[c].scale, given[c].scale, 1e-7f);
    ck_assert_int_eq (got[c].zero_point, given[c].zero_point);
  }
  qk_quantizer_free (qz);
  /* a search that was asked for is made */
  qz = unseen (weight, 4, "lsq", "start=mse");
  OK (qk_quantizer_start (qz, given));
  qk_quantizer_set_observing (qz, true);
  OK (qk_quantizer_observe (qz, x, 2 * N));
  ck_assert_float_ne (qk_quantizer_qparams (qz)->scale, given[0].scale);
  qk_quantizer_free (qz);
}
END_TEST

/* ---- other bits ------------------------------------------------------------*/

/* Change QZ, of class FQ with OPTIONS, to BITS. */
static int
set_bits (struct qk_quantizer *qz, int bits, const char *fq,
          const char *options)
{
  struct qk_quant_info info = *qk_quantizer_info (qz);
  const struct qk_class *oc, *fc;
  struct qk_config *cfg = NULL, *obs = NULL;
  int r;

  info.bits = bits;
  info.qmin = info.weight ? -(1 << (bits - 1)) : 0;
  info.qmax = (1 << (bits - info.weight)) - 1;
  OK (qk_context_class (ctx, QK_KIND_OBSERVER, "minmax", &oc));
  OK (qk_context_class (ctx, QK_KIND_FAKEQUANT, fq, &fc));
  OK (qk_config_parse (oc->options, "", "test", &obs));
  OK (qk_config_parse (fc->options, options, "test", &cfg));
  r = qk_quantizer_set_bits (qz, &info, obs, cfg);
  qk_config_free (obs);
  qk_config_free (cfg);
  return r;
}

struct change_case {
  bool weight;
  const char *fq, *options;
  /* of scales, from 8 bits to 3; 0: as from the range */
  double factor;
};

static const struct change_case changes[] = {
  { true, "affine", "", 0 },
  { false, "affine", "", 0 },
  { true, "ewgs", "", 0 },
  { true, "lsq", "start=mse", 255.0 / 7 },
  { false, "lsq", "start=mse", 255.0 / 7 },
  { false, "lsq", "start=mse offset=yes", 255.0 / 7 },
  { true, "lsq", "", 6.506407098647712 /* sqrt (127 / 3) */ },
  { false, "pact", "", 127.0 / 3 },
};

/* What was learned and seen stays, parameters where they are, the optimizer has
 * their addresses; the grid is that of the new bits.  Nothing is observed in
 * between. */
START_TEST (test_change)
{
  const struct change_case *t = &changes[_i];
  struct qk_quantizer *qz = quantizer (t->weight, 8, t->fq, t->options);
  struct qk_quantizer *fresh = quantizer (t->weight, 3, t->fq, t->options);
  struct qk_quantizer_param p[QK_FQ_MAX_PARAMS], q[QK_FQ_MAX_PARAMS];
  const int n = qk_quantizer_params (qz, p), channels = t->weight ? 2 : 1;
  struct qk_qparams was[2], now[2];
  float learned = 0;

  for (int c = 0; n > 0 && c < channels; c++) /* something has been learned */
    p[0].value[c] *= 1.25f;
  if (n > 1)
    p[1].value[0] -= 0.01f;
  OK (qk_quantizer_refresh (qz));
  memcpy (was, qk_quantizer_qparams (qz), sizeof *was * (size_t) channels);
  if (n > 0)
    learned = p[n - 1].value[0];
  OK (set_bits (qz, 3, t->fq, t->options));
  ck_assert_int_eq (qk_quantizer_info (qz)->bits, 3);
  ck_assert_int_eq (qk_quantizer_params (qz, q), n);
  for (int i = 0; i < n; i++)
    ck_assert (q[i].value == p[i].value && q[i].grad == p[i].grad);
  memcpy (now, qk_quantizer_qparams (qz), sizeof *now * (size_t) channels);
  for (int c = 0; c < channels; c++) {
    const struct qk_qparams *f = &qk_quantizer_qparams (fresh)[c];
    const double below = (double) (was[c].zero_point - was[c].qmin);
    const double share = below / (double) (was[c].qmax - was[c].qmin);

    ck_assert_int_eq (now[c].qmin, f->qmin);
    ck_assert_int_eq (now[c].qmax, f->qmax);
    if (t->factor > 0)
      ck_assert_double_eq_tol ((double) now[c].scale,
                               t->factor * (double) was[c].scale,
                               1e-5 * (double) now[c].scale);
    else
      ck_assert_mem_eq (&now[c], f, sizeof *f);
    /* the same place within the range, to half a step */
    if (!t->weight)
      ck_assert_double_eq_tol ((double) (now[c].zero_point - now[c].qmin)
                                 / (double) (now[c].qmax - now[c].qmin),
                               share, 0.5 / 7 + 1e-6);
  }
  if (strcmp (t->fq, "pact") == 0 || n > 1) /* a level, an offset */
    ck_assert_float_eq_tol (p[n - 1].value[0], learned, 1e-6f);
  qk_quantizer_free (fresh);
  qk_quantizer_free (qz);
}
END_TEST

/* One that has seen nothing begins with the new bits; a grid that is given
 * stays; a fixed scale is for one number of bits. */
START_TEST (test_change_early)
{
  const struct qk_quant_info info
    = { .name = "conv:out", .bits = 8, .qmax = 255, .channels = 1 };
  const struct qk_class *oc, *fc;
  struct qk_config *cfg, *obs;
  struct qk_quantizer *qz;

  OK (qk_context_class (ctx, QK_KIND_OBSERVER, "minmax", &oc));
  OK (qk_context_class (ctx, QK_KIND_FAKEQUANT, "lsq", &fc));
  OK (qk_config_parse (oc->options, "", "test", &obs));
  OK (qk_config_parse (fc->options, "", "test", &cfg));
  OK (qk_quantizer_new (ctx, &info, (const struct qk_observer_class *) oc, obs,
                        (const struct qk_fakequant_class *) fc, cfg, &qz));
  OK (set_bits (qz, 4, "lsq", ""));
  ck_assert_int_eq (qk_quantizer_qparams (qz)->qmax, 15);
  qk_quantizer_set_observing (qz, true);
  OK (qk_quantizer_observe (qz, x, 2 * N));
  ck_assert_int_gt (qk_quantizer_qparams (qz)->zero_point, 0);
  OK (qk_quantizer_fix (qz, &(struct qk_qparams){ 0.5f, 3, 0, 15 }));
  OK (set_bits (qz, 3, "lsq", ""));
  ck_assert_int_eq (qk_quantizer_qparams (qz)->qmax, 15);
  qk_quantizer_free (qz);
  qk_config_free (obs);
  qk_config_free (cfg);
  qz = quantizer (true, 8, "fixed", "scale=0.1");
  ck_assert_int_eq (set_bits (qz, 4, "fixed", "scale=0.1"), -EINVAL);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "'conv.weight'"));
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "4 bits after 8"));
  qk_quantizer_free (qz);
}
END_TEST

/* The zero point follows the learned offset, within the grid. */
START_TEST (test_offset)
{
  struct qk_quantizer *qz = quantizer (false, 4, "lsq", "offset=yes");
  struct qk_quantizer_param p[QK_FQ_MAX_PARAMS];
  const struct qk_qparams *q = qk_quantizer_qparams (qz);

  ck_assert_int_eq (qk_quantizer_params (qz, p), 2);
  ck_assert_str_eq (p[1].name, "offset");
  ck_assert_float_eq_tol (p[1].value[0], -(float) q->zero_point * q->scale,
                          1e-6f);
  for (int i = -3; i < 20; i++) {
    p[0].value[0] = 0.25f;
    p[1].value[0] = -0.25f * (float) i - 0.1f;
    OK (qk_quantizer_refresh (qz));
    ck_assert_int_eq (q->zero_point, i < 0 ? 0 : i > 15 ? 15 : i);
  }
  p[1].value[0] = NAN;
  ck_assert_int_eq (qk_quantizer_refresh (qz), -EDOM);
  qk_quantizer_free (qz);
}
END_TEST

/* Scales times a factor: of weights, and through the state. */
START_TEST (test_rescale)
{
  struct qk_quantizer *qz = quantizer (true, 4, "lsq", "");
  struct qk_quantizer *value = quantizer (false, 4, "lsq", "");
  const float factor[2] = { 0.5f, 3 }, none[2] = { 1, 0 };
  float was[2];

  for (int c = 0; c < 2; c++)
    was[c] = qk_quantizer_qparams (qz)[c].scale;
  OK (qk_quantizer_rescale (qz, factor));
  OK (qk_quantizer_rescale (qz, factor));
  OK (qk_quantizer_refresh (qz));
  ck_assert_float_eq (qk_quantizer_qparams (qz)[0].scale, was[0] * 0.25f);
  ck_assert_float_eq (qk_quantizer_qparams (qz)[1].scale, was[1] * 9);
  ck_assert_int_eq (qk_quantizer_rescale (qz, none), -EDOM);
  was[0] = qk_quantizer_qparams (value)->scale;
  OK (qk_quantizer_rescale (value, factor));
  ck_assert_float_eq (qk_quantizer_qparams (value)->scale, was[0]);
  qk_quantizer_free (qz);
  qk_quantizer_free (value);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("fakequant");
  TCase *t = tcase_create ("all");
  SRunner *r;
  int failed;

  tcase_add_checked_fixture (t, setup, teardown);
  tcase_add_loop_test (t, test_gradients, 0,
                       (int) (sizeof gradients / sizeof *gradients));
  tcase_add_loop_test (t, test_start, 0, 2);
  tcase_add_loop_test (t, test_given, 0, 8);
  tcase_add_test (t, test_offset);
  tcase_add_test (t, test_rescale);
  tcase_add_loop_test (t, test_change, 0,
                       (int) (sizeof changes / sizeof *changes));
  tcase_add_test (t, test_change_early);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_NORMAL);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
