/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* reference.c: the formula of conv.h as loops, for all shapes and modes, to read
 * and to compare the other strategies with; never chosen by itself.
 *
 *   acc[n,p,q,k] = sum w[k,r,s,c] (x[n, p sh + r dh - top, q sw + s dw - left, c]
 *                                  - z)
 *   dx[…] += d[n,p,q,k] w[k,r,s,c];  dw[k,r,s,c] += d[n,p,q,k] (x[…] - z)
 *
 * where w are the weight's integers, if it is quantized. */
#include "config.h"

#include <string.h>

#include <qatkit/layer.h>

#include "conv/conv-priv.h"

/* The element of the input under tap (R,S) of output pixel (P,Q) of sample N;
 * -1: outside. */
static int64_t
input_at (const struct qk_conv *cv, int64_t n, int64_t p, int64_t q, int r,
          int s)
{
  const int64_t ih = p * cv->stride_h + r * cv->dil_h - cv->pad_top;
  const int64_t iw = q * cv->stride_w + s * cv->dil_w - cv->pad_left;

  if (ih < 0 || ih >= cv->h || iw < 0 || iw >= cv->w)
    return -1;
  return ((n * cv->h + ih) * cv->w + iw) * cv->c;
}

static double
input (const struct conv_run *run, int64_t i)
{
  const void *x = run->io->in->data;

  return run->u8_in ? (double) ((const uint8_t *) x)[i] - (double) run->z
                    : (double) ((const float *) x)[i];
}

static double
weight (const struct conv_run *run, int64_t i)
{
  return run->io->weight_qz
           ? (double) run->weight.wq[i]
           : (double) ((const float *) run->io->param[0].data)[i];
}

/* Call for output row ROW and channel K: the elements of the input and of the
 * weight that meet. */
typedef double (pair_fn) (const struct conv_run *run, int64_t x, int64_t w,
                          void *with);

static double
for_window (const struct conv_run *run, int64_t row, int64_t k, pair_fn *f,
            void *with)
{
  const struct qk_conv *cv = run->cv;
  const int64_t cg = cv->c / cv->groups, g = k / (cv->k / cv->groups);
  const int64_t n = row / (cv->p * cv->q), p = row / cv->q % cv->p;
  double sum = 0.0;

  for (int r = 0; r < cv->r; r++)
    for (int s = 0; s < cv->s; s++) {
      const int64_t x = input_at (cv, n, p, row % cv->q, r, s);

      for (int64_t c = 0; x >= 0 && c < cg; c++)
        sum += f (run, x + g * cg + c, ((k * cv->r + r) * cv->s + s) * cg + c,
                  with);
    }
  return sum;
}

static double
product (const struct conv_run *run, int64_t x, int64_t w, void *with)
{
  (void) with;
  return input (run, x) * weight (run, w);
}

static void
reference_block (const struct conv_run *run, const struct conv_thread *th,
                 const struct conv_unit *u, float *acc)
{
  const int64_t k = run->cv->k;

  (void) th;
  for (int64_t i = 0; i < u->rows * k; i++) {
    const double sum = for_window (run, u->row0 + i / k, i % k, product, NULL);

    if (run->saved->i32_acc)
      ((int32_t *) (void *) acc)[i] = (int32_t) sum;
    else
      acc[i] = (float) sum;
  }
}

static bool
reference_usable (const struct qk_conv *cv, bool quantized)
{
  (void) cv, (void) quantized;
  return true;
}

const struct conv_forward conv_forward_reference
  = { "reference", reference_usable, NULL, reference_block };

/* What one output element adds to both gradients. */
struct gradients {
  float d, *dx, *dw;
};

static double
add_gradients (const struct conv_run *run, int64_t x, int64_t w, void *with)
{
  const struct gradients *g = with;

  g->dw[w] += g->d * (float) input (run, x);
  if (g->dx)
    g->dx[x] += g->d * (float) weight (run, w);
  return 0.0;
}

static int
reference_pass (const struct conv_backward *bw, float *dw)
{
  const struct conv_run *run = &bw->run;
  const struct qk_conv *cv = run->cv;
  const int64_t x_size = run->n * cv->h * cv->w * cv->c;
  struct conv_thread th;

  memset (dw, 0, (size_t) (cv->k * conv_depth (cv)) * sizeof *dw);
  if (bw->dx)
    memset (bw->dx, 0, (size_t) x_size * sizeof *bw->dx);
  conv_thread_at (run, 0, &th);
  for (int64_t i = 0; i < run->units; i++) {
    struct conv_unit u;
    const float *d;

    conv_unit_at (run, i, &u);
    d = conv_unit_grad (bw, &th, &u);
    for (int64_t j = 0; j < u.rows * cv->k; j++) {
      struct gradients g = { d[j], bw->dx, dw };

      for_window (run, u.row0 + j / cv->k, j % cv->k, add_gradients, &g);
    }
  }
  return 0;
}

const struct conv_back conv_back_reference = { .name = "reference",
                                               .usable = reference_usable,
                                               .one_dw = true,
                                               .pass = reference_pass };
