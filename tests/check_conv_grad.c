/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_conv_grad.c: forward and gradients of conv2d and linear against a
 * naive double-precision reference. */
#include "config.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/conv-rig.h"
#include "lib/effort.h"
#include "lib/ok.h"
#include "quant/quantizer-priv.h"

/* ---- the reference --------------------------------------------------------
 * The reference is a double-precision function that equals the layer to first
 * order at the present values: rounding to a grid is replaced by its value
 * here plus (where the straight-through estimator passes) the change of its
 * argument, clamps by their open or closed state here.  Its finite
 * differences are the gradients the layer must give. */

struct reference {
  struct rig *b;
  struct qk_op op; /* geometry only */
  struct rig_sizes z;
  bool batch, folded;
  double *x, *param[8];
  double *w_base, *w_mask; /* grid value less w k here; 0 or 1 */
  double *y;               /* before the clamp */
  double *open;            /* by output element */
  double *rvar;            /* stored variance before the call */
  double *rmean;
};

static double *
doubles (const float *x, int64_t n)
{
  double *d = malloc ((size_t) n * sizeof *d);

  for (int64_t i = 0; i < n; i++)
    d[i] = x ? (double) x[i] : 0.0;
  return d;
}

static double
reference_k (const struct reference *f, int64_t k)
{
  const int bn = 1 + f->b->bias;

  if (!f->folded)
    return 1.0;
  return f->param[bn + QK_BN_GAMMA][k] / sqrt (f->rvar[k] + 1e-3f);
}

static float
float_k (const struct reference *f, int64_t k)
{
  const int bn = 1 + f->b->bias;

  if (!f->folded)
    return 1.0f;
  return (float) f->param[bn + QK_BN_GAMMA][k]
         / sqrtf ((float) f->rvar[k] + 1e-3f);
}

static void
reference_conv (struct reference *f)
{
  const struct rig_sizes z = f->z;

  for (int64_t i = 0; i < qk_shape_count (&f->b->out_shape); i++) {
    const int64_t k = i % z.k, q = i / z.k % z.q, p = i / z.k / z.q % z.p,
                  n = i / z.k / z.q / z.p;
    const double scale = reference_k (f, k);
    double y = 0.0;

    FOR_WINDOW (&f->op, z, n, p, q, k, xi, wi)
    if (xi >= 0)
      y += f->x[xi]
           * (f->w_base[wi] + f->w_mask[wi] * f->param[0][wi] * scale);
    f->y[i] = y / scale + (f->b->bias ? f->param[1][k] : 0.0);
  }
}

/* Batch-norm of f->y in place. */
static void
reference_norm (struct reference *f)
{
  const int64_t k = f->z.k, n = qk_shape_count (&f->b->out_shape);
  const int bn = 1 + f->b->bias;

  for (int64_t c = 0; c < k; c++) {
    double mean = 0.0, var = 0.0;

    for (int64_t i = c; f->batch && i < n; i += k)
      mean += f->y[i] * (double) k / (double) n;
    for (int64_t i = c; f->batch && i < n; i += k)
      var += (f->y[i] - mean) * (f->y[i] - mean) * (double) k / (double) n;
    if (!f->batch) {
      mean = f->rmean[c];
      var = f->rvar[c];
    }
    for (int64_t i = c; i < n; i += k)
      f->y[i]
        = f->param[bn + QK_BN_GAMMA][c] * (f->y[i] - mean) / sqrt (var + 1e-3f)
          + f->param[bn + QK_BN_BETA][c];
  }
}

static double
reference_loss (struct reference *f)
{
  const float *dout = f->b->dout.data;
  double loss = 0.0;

  reference_conv (f);
  if (f->b->what & BN)
    reference_norm (f);
  for (int64_t i = 0; i < qk_shape_count (&f->b->out_shape); i++)
    loss += f->y[i] * f->open[i] * (double) dout[i];
  return loss;
}

/* lower knows the window; on grids made up where there are none. */
static void
reference_geometry (struct reference *f)
{
  struct qk_layer_io io = f->b->io;
  struct qk_tensor in = f->b->in, out = f->b->out;
  struct rig tmp = *f->b;

  in.dtype = QK_U8;
  in.q = out.q = (struct qk_qparams){ 0.02f, 10, 0, 255 };
  tmp.io.in = &in;
  tmp.io.out = &out;
  if (!tmp.io.weight_qz)
    tmp.io.weight_qz = rig_quantizer (
      f->b, true, f->b->out_shape.dims[f->b->out_shape.ndim - 1]);
  tmp.in.q = in.q;
  tmp.out.q = out.q;
  rig_checked (tmp.cls->lower (tmp.self, &tmp.io, &f->op));
  if (!io.weight_qz)
    qk_quantizer_free (tmp.io.weight_qz);
  qk_free ((void *) f->op.weight);
  qk_free ((void *) f->op.bias);
  qk_free ((void *) f->op.multiplier);
  qk_free ((void *) f->op.weight_scale);
}

/* Before forward: forward may move the running statistics. */
static void
reference_open (struct reference *f, struct rig *b, bool batch)
{
  const int64_t nw = qk_shape_count (&b->param[0].shape);

  memset (f, 0, sizeof *f);
  f->b = b;
  f->batch = batch;
  f->folded = b->io.weight_qz && b->what & BN;
  reference_geometry (f);
  f->z = rig_sizes_of (b, &f->op);
  f->x = doubles (NULL, qk_shape_count (&b->in_shape));
  for (int64_t i = 0; i < qk_shape_count (&b->in_shape); i++)
    f->x[i] = b->in.q.scale > 0
                ? (double) (rig_in_integer (b, i) - b->in.q.zero_point)
                    * (double) b->in.q.scale
                : (double) ((float *) b->in.data)[i];
  for (int i = 0; i < b->io.n_params; i++)
    f->param[i]
      = doubles (b->param[i].data, qk_shape_count (&b->param[i].shape));
  f->w_base = doubles (NULL, nw);
  f->w_mask = doubles (NULL, nw);
  f->y = doubles (NULL, qk_shape_count (&b->out_shape));
  f->open = doubles (NULL, qk_shape_count (&b->out_shape));
  for (int64_t i = 0; i < nw; i++)
    f->w_mask[i] = 1.0;
  if (b->what & BN) {
    f->rmean = doubles (b->param[1 + b->bias + QK_BN_MEAN].data, f->z.k);
    f->rvar = doubles (b->param[1 + b->bias + QK_BN_VAR].data, f->z.k);
  }
}

/* After forward, when the grids are known. */
static void
reference_grids (struct reference *f)
{
  struct rig *b = f->b;
  const int64_t nw = qk_shape_count (&b->param[0].shape), per = nw / f->z.k;
  float *dout = b->dout.data;
  const struct qk_qparams *g
    = b->io.weight_qz ? qk_quantizer_qparams (b->io.weight_qz) : NULL;

  for (int64_t i = 0; g && i < nw; i++) {
    const struct qk_qparams *q = g + (b->what & PER_TENSOR ? 0 : i / per);
    const double wk = f->param[0][i] * reference_k (f, i / per);
    /* the extreme weight lies on a tie, so float arithmetic decides */
    const float x = (float) f->param[0][i] * float_k (f, i / per);
    const int32_t n = qk_quantize (x, 1.0f / q->scale, 0, -128, 127);

    f->w_mask[i] = (double) qk_ste_mask (x, 1.0f / q->scale, 0, -128, 127);
    f->w_base[i] = (double) n * (double) q->scale - f->w_mask[i] * wk;
  }
  reference_loss (f);
  for (int64_t i = 0; i < qk_shape_count (&b->out_shape); i++) {
    const double y = f->y[i];
    const double glo = !b->io.out_qz
                         ? -INFINITY
                         : (b->out.q.qmin - b->out.q.zero_point - 0.5)
                             * (double) b->out.q.scale;
    const double ghi = !b->io.out_qz
                         ? INFINITY
                         : (b->out.q.qmax - b->out.q.zero_point + 0.5)
                             * (double) b->out.q.scale;

    f->open[i] = y > b->lo && y < b->hi && y > glo && y < ghi;
    /* too near an edge to say on which side float is */
    if (fabs (y - (double) b->lo) < 2e-3 || fabs (y - (double) b->hi) < 2e-3
        || fabs (y - glo) < 2e-3 || fabs (y - ghi) < 2e-3)
      dout[i] = 0.0f;
  }
}

static void
assert_gradient (struct reference *f, double *at, int64_t n, const float *got,
                 double factor, const char *what)
{
  const double h = 1e-4;
  const int64_t step = n / effort (40, 3) + 1; /* a sample of large tensors */
  double scale = 1e-3;

  for (int64_t i = 0; i < n; i++)
    scale = fmax (scale, fabs ((double) got[i]));
  for (int64_t i = 0; i < n; i += step) {
    const double x = at[i];
    double up, want;

    at[i] = x + h;
    up = reference_loss (f);
    at[i] = x - h;
    want = factor * (up - reference_loss (f)) / (2.0 * h);
    at[i] = x;
    ck_assert_msg (fabs ((double) got[i] - want) < 2e-5 * scale + 1e-5,
                   "%s[%lld]: expected %g, got %g", what, (long long) i, want,
                   (double) got[i]);
  }
}

static void
reference_close (struct reference *f)
{
  free (f->x);
  for (int i = 0; i < 8; i++)
    free (f->param[i]);
  free (f->w_base);
  free (f->w_mask);
  free (f->y);
  free (f->open);
  free (f->rvar);
  free (f->rmean);
}

/* ---- tests --------------------------------------------------------------*/

static void
assert_outputs (struct reference *f)
{
  struct rig *b = f->b;

  for (int64_t i = 0; i < qk_shape_count (&b->out_shape); i++) {
    const double y = fmin (fmax (f->y[i], b->lo), b->hi);
    const double tolerance
      = b->io.out_qz ? 0.502 * (double) b->out.q.scale + 3e-4
                     : (b->io.weight_qz && b->in.q.scale > 0 ? 2e-4 : 1e-5)
                         * (1.0 + fabs (y));
    const double got = (double) rig_out_real (b, i);

    HOLDS (fabs (got - y) < tolerance, "output %lld: expected %g, got %g",
           (long long) i, y, got);
  }
}

static void
assert_running (struct reference *f)
{
  struct rig *b = f->b;
  const int64_t n = qk_shape_count (&b->out_shape), k = f->z.k;
  const float *mean = b->param[1 + b->bias + QK_BN_MEAN].data;
  const float *var = b->param[1 + b->bias + QK_BN_VAR].data;

  reference_conv (f);
  for (int64_t c = 0; c < k; c++) {
    const double m = (double) (n / k);
    double mu = 0.0, v = 0.0;

    for (int64_t i = c; i < n; i += k)
      mu += f->y[i] / m;
    for (int64_t i = c; i < n; i += k)
      v += (f->y[i] - mu) * (f->y[i] - mu) / (m - 1.0);
    ck_assert_double_eq_tol ((double) mean[c], 0.9 * f->rmean[c] + 0.1 * mu,
                             1e-5);
    ck_assert_double_eq_tol ((double) var[c], 0.9 * f->rvar[c] + 0.1 * v,
                             1e-5 * (1.0 + v));
  }
}

/* Forward and all gradients of one case against the reference. */
static void
check_gradients (const struct rig_given *g, int what, bool quantized,
                 bool batch, int threads)
{
  struct rig b;
  struct reference f;
  const unsigned flags
    = QK_PASS_TRAIN | (batch ? (unsigned) QK_PASS_BATCH_STATS : 0);
  const bool bn = what & BN;

  rig_open (&b, g, what, threads, true, quantized, 7);
  if (quantized)
    rig_observing (&b, true, true);
  reference_open (&f, &b, batch);
  rig_forward (&b, flags);
  reference_grids (&f);
  reference_loss (&f);
  assert_outputs (&f);
  if (bn && batch)
    assert_running (&f);
  rig_checked (b.cls->backward (b.self, &b.io));
  assert_gradient (&f, f.x, qk_shape_count (&b.in_shape), b.din.data,
                   what & TWICE ? 2 : 1, "input");
  for (int i = 0; i < b.io.n_params; i++) {
    const int which = i - 1 - b.bias;

    if (bn && (which >= QK_BN_MEAN || (which == QK_BN_GAMMA && what & TWICE)))
      continue;
    assert_gradient (&f, f.param[i], qk_shape_count (&b.param[i].shape),
                     b.dparam[i].data,
                     !(what & TWICE) ? 1
                     : i == 0        ? 4
                                     : 2,
                     "parameter");
  }
  reference_close (&f);
  rig_close (&b);
}

START_TEST (gradients_float)
{
  const struct rig_given *g = &rig_givens[_i];

  check_gradients (g, 0, false, false, 1);
  check_gradients (g, RELU, false, false, 2);
  check_gradients (g, BN, false, true, 2);
  check_gradients (g, BN | RELU6, false, true, 3);
  check_gradients (g, BN, false, false, 2);
  check_gradients (g, BN | RELU, false, false, 1);
}
END_TEST

START_TEST (gradients_quantized)
{
  const struct rig_given *g = &rig_givens[_i];

  check_gradients (g, 0, true, false, 1);
  check_gradients (g, RELU, true, false, 2);
  check_gradients (g, BN, true, true, 2);
  check_gradients (g, BN | RELU6, true, true, 1);
  check_gradients (g, BN | RELU | PER_TENSOR, true, true, 2);
  check_gradients (g, BN | BY_TENSOR, true, true, 2);
  check_gradients (g, BN | RELU, true, false, 2);
  check_gradients (g, BN | RELU6 | TWICE, true, true, 2);
  check_gradients (g, TWICE | PER_TENSOR, true, false, 2);
}
END_TEST

/* Only some of input, weight and output are quantized. */
START_TEST (gradients_mixed)
{
  static const int mixes[] = { FLOAT_IN,
                               FLOAT_WEIGHT,
                               FLOAT_OUT,
                               FLOAT_IN | FLOAT_OUT,
                               FLOAT_WEIGHT | FLOAT_OUT,
                               FLOAT_IN | FLOAT_WEIGHT };
  const struct rig_given *g = &rig_givens[_i];

  for (size_t i = 0; i < sizeof mixes / sizeof *mixes; i++) {
    check_gradients (g, mixes[i], true, false, 2);
    check_gradients (g, mixes[i] | BN | RELU6, true, true, 2);
    check_gradients (g, mixes[i] | BN, true, false, 1);
  }
}
END_TEST

/* Input, output, or both have 16 bits. */
START_TEST (gradients_16_bits)
{
  static const int which[]
    = { IN16, OUT16, IN16 | OUT16, IN16 | FLOAT_OUT, FLOAT_IN | OUT16 };
  const struct rig_given *g = &rig_givens[_i];

  for (size_t i = 0; i < sizeof which / sizeof *which; i++) {
    check_gradients (g, which[i], true, false, 2);
    check_gradients (g, which[i] | BN | RELU6, true, true, 2);
    check_gradients (g, which[i] | BN | PER_TENSOR, true, false, 1);
    if (!(which[i] & FLOAT_OUT))
      check_gradients (g, which[i] | BN | RELU6 | TWICE, true, true, 2);
  }
}
END_TEST

START_TEST (gradients_wide)
{
  check_gradients (&rig_wide[_i], LARGE, true, false, 2);
  check_gradients (&rig_wide[_i], LARGE | IN16 | OUT16, true, false, 2);
}
END_TEST

START_TEST (gradients_large)
{
  check_gradients (&rig_large[_i], BN | RELU, _i % 2, true, 2);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("conv gradients");
  TCase *t = tcase_create ("conv gradients");
  SRunner *r;
  int failed;

  tcase_add_loop_test (t, gradients_float, 0, RIG_GIVENS);
  tcase_add_loop_test (t, gradients_quantized, 0, RIG_GIVENS);
  tcase_add_loop_test (t, gradients_mixed, 0, RIG_GIVENS);
  tcase_add_loop_test (t, gradients_16_bits, 0, RIG_GIVENS);
  tcase_add_loop_test (t, gradients_wide, 0, RIG_WIDE);
  tcase_add_loop_test (t, gradients_large, 0, RIG_LARGE);
  tcase_set_timeout (t, 300);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_ENV);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
