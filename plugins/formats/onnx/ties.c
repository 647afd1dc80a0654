/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ties.c: scales with which a sum or a product of two grids, or a function of
 * one, has no ties.
 *
 * Where the real result of two integers is half-way between two integers but
 * for rounding errors, the programs that read a file may round it to either:
 * ONNX Runtime's integer kernels, for one, fold zero points and scales into
 * three constants and use fused multiply-adds
 * (onnxruntime/core/mlas/lib/qladd.cpp).  One such pair of integers is enough
 * for outputs that differ far behind it.  Here the scales of the inputs move by
 * a few units in the last place, so that every pair lies clearly on that side
 * of its tie to which numeric.h rounds it.  That fails where one pair is thrice
 * another, both are ties and rounding to even takes them to different sides. */
#include "config.h"

#include <math.h>
#include <string.h>

#include <qatkit/numeric.h>

#include "ties.h"

/* How far a scale may move, in units in the last place. */
#define MOST_STEPS 16
/* Pairs this far from a tie, in steps of the output, stay on their side with
 * any of these scales and any order of operations. */
#define NEAR 1e-3
/* More than rounding errors can be, as a share of the largest result. */
#define CLEAR 0x1p-22
#define MOST_PAIRS 4096

/* A pair of integers, less their zero points, near the tie TIE; UP: it is to
 * be rounded up. */
struct pair {
  int a, b;
  bool up;
  double tie;
};

static double
result (int function, double a, double b)
{
  return function == QK_MUL ? a * b : function == QK_SUB ? a - b : a + b;
}

/* The pairs of OP near a tie, into P; their number, MOST_PAIRS + 1: too many. */
static int
find_pairs (const struct qk_op *op, struct pair *p)
{
  const struct qk_qparams *x = &op->in_q[0], *y = &op->in_q[1];
  const float inverse = 1.0f / op->out_q.scale;
  int n = 0, a, b;

  for (a = x->qmin; a <= x->qmax; a++)
    for (b = y->qmin; b <= y->qmax; b++) {
      const double real
        = result (op->function, (double) x->scale * (a - x->zero_point),
                  (double) y->scale * (b - y->zero_point))
          / op->out_q.scale;
      const double tie = floor (real) + 0.5;
      const int below = op->out_q.zero_point + (int) floor (real);

      if (fabs (real - tie) > NEAR || below < op->lo || below >= op->hi)
        continue;
      if (n == MOST_PAIRS)
        return MOST_PAIRS + 1;
      p[n].a = a - x->zero_point;
      p[n].b = b - y->zero_point;
      p[n].tie = tie;
      p[n++].up = qk_binary_quantized (op->function, a, x, b, y, inverse,
                                       op->out_q.zero_point, op->lo, op->hi)
                  > below;
    }
  return n;
}

/* How far the pair nearest to its tie is from it on the right side; below 0
 * where one is on the wrong side. */
static double
margin (const struct qk_op *op, const struct pair *p, int n, float x, float y)
{
  double least = NEAR;
  int i;

  for (i = 0; i < n; i++) {
    const double real
      = result (op->function, (double) x * p[i].a, (double) y * p[i].b)
        / op->out_q.scale;
    const double off = p[i].up ? real - p[i].tie : p[i].tie - real;

    if (off < least)
      least = off;
  }
  return least;
}

/* The largest result of OP, in steps of its output, in size. */
static double
largest (const struct qk_op *op)
{
  const double a = fabs ((double) op->in_q[0].scale * 255),
               b = fabs ((double) op->in_q[1].scale * 255);

  return result (op->function == QK_MUL ? QK_MUL : QK_ADD, a, b)
         / op->out_q.scale;
}

/* P's result with zero points and scales folded into constants beforehand, as
 * integer kernels do it; FUSED: with fused multiply-adds. */
static float
folded (const struct qk_op *op, const struct pair *p, const float s[2],
        bool fused)
{
  const float za = (float) op->in_q[0].zero_point,
              zb = (float) op->in_q[1].zero_point, so = op->out_q.scale,
              zero = (float) op->out_q.zero_point;
  const float a = (float) p->a + za, b = (float) p->b + zb, x = s[0] / so,
              y = op->function == QK_SUB ? -s[1] / so : s[1] / so;
  float fixed;

  if (op->function == QK_MUL)
    return s[0] * s[1] / so * ((float) p->a * (float) p->b) + zero;
  fixed = zero - (x * za + y * zb);
  return fused ? fmaf (b, y, fmaf (a, x, fixed)) : (a * x + fixed) + b * y;
}

/* P's result between grids: of real numbers, and divided by the scale. */
static float
divided (const struct qk_op *op, const struct pair *p, const float s[2])
{
  const float a = s[0] * (float) p->a, b = s[1] * (float) p->b;

  return qk_function_real (op->function, a, b) / op->out_q.scale
         + (float) op->out_q.zero_point;
}

/* Whether all these ways round the N pairs as numeric.h does. */
static bool
all_agree (const struct qk_op *op, const struct pair *p, int n,
           const float s[2])
{
  int i, way;

  for (i = 0; i < n; i++)
    for (way = 0; way < 3; way++) {
      const double v = (double) (way < 2 ? folded (op, &p[i], s, way == 1)
                                         : divided (op, &p[i], s));

      if ((rint (v) - op->out_q.zero_point > p[i].tie) != p[i].up)
        return false;
    }
  return true;
}

/* S, I units in the last place further. */
static float
moved (float s, int i)
{
  return s + (float) i * (nextafterf (s, INFINITY) - s);
}

enum onnx_ties
onnx_scales_off_ties (const struct qk_op *op, float scale[2])
{
  struct pair pairs[MOST_PAIRS];
  const float x = op->in_q[0].scale, y = op->in_q[1].scale;
  double best;
  int n, i, j;

  scale[0] = x;
  scale[1] = y;
  if (op->kind != QK_OP_BINARY || !(op->out_q.scale > 0) || !(x > 0)
      || !(y > 0)
      || (op->function != QK_ADD && op->function != QK_SUB
          && op->function != QK_MUL))
    return ONNX_NO_TIES;
  n = find_pairs (op, pairs);
  if (n > MOST_PAIRS)
    return ONNX_TIES_STAY;
  if ((best = margin (op, pairs, n, x, y)) >= CLEAR * largest (op))
    return ONNX_NO_TIES;
  for (i = -MOST_STEPS; i <= MOST_STEPS; i++)
    for (j = -MOST_STEPS; j <= MOST_STEPS; j++) {
      const double m = margin (op, pairs, n, moved (x, i), moved (y, j));

      if (m > best) {
        best = m;
        scale[0] = moved (x, i);
        scale[1] = moved (y, j);
      }
    }
  return all_agree (op, pairs, n, scale) ? ONNX_NO_TIES : ONNX_TIES_STAY;
}

/* ---- functions of one tensor --------------------------------------------- */

static double
sigmoid (double x)
{
  return 1 / (1 + exp (-x));
}

static double
silu (double x)
{
  return x * sigmoid (x);
}

static double
gelu (double x)
{
  return x / 2 * (1 + erf (x * 0.70710678118654752440));
}

static double
mish (double x)
{
  return x * tanh (log1p (exp (x)));
}

typedef double (*real_function) (double x);

/* Those that programs compute with errors of their own. */
static real_function
function_of (const char *layer)
{
  static const struct {
    const char *layer;
    real_function real;
  } all[] = { { "sigmoid", sigmoid }, { "silu", silu }, { "gelu", gelu },
              { "mish", mish },       { "tanh", tanh }, { "erf", erf },
              { "exp", exp },         { "log", log },   { "sin", sin },
              { "cos", cos },         { "sqrt", sqrt } };

  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
    if (strcmp (layer, all[i].layer) == 0)
      return all[i].real;
  return NULL;
}

/* margin of the table of OP, of which REAL is the function. */
static double
table_margin (const struct qk_op *op, real_function real, float scale)
{
  const struct qk_qparams *x = &op->in_q[0], *y = &op->out_q;
  double least = NEAR;
  int q;

  for (q = x->qmin; q <= x->qmax; q++) {
    const double v = real ((double) scale * (q - x->zero_point)) / y->scale;
    const int step = op->table[q] - y->zero_point;

    if (op->table[q] > op->lo && v - (step - 0.5) < least)
      least = v - (step - 0.5);
    if (op->table[q] < op->hi && step + 0.5 - v < least)
      least = step + 0.5 - v;
  }
  return least;
}

/* What functions may be wrong by, in steps of the output. */
#define CLEAR_OF_FUNCTIONS 1e-4

float
onnx_table_scale_off_ties (const struct qk_op *op, const char *layer)
{
  const real_function real = function_of (layer);
  const float x = op->in_q[0].scale;
  float found = x;
  double best, m;
  int i;

  if (op->kind != QK_OP_TABLE || real == NULL || !(op->out_q.scale > 0)
      || !(x > 0) || (best = table_margin (op, real, x)) < -CLEAR_OF_FUNCTIONS)
    return x;
  for (i = 1; i <= 4 * MOST_STEPS && best < CLEAR_OF_FUNCTIONS; i++) {
    if ((m = table_margin (op, real, moved (x, i))) > best) {
      best = m;
      found = moved (x, i);
    }
    if ((m = table_margin (op, real, moved (x, -i))) > best) {
      best = m;
      found = moved (x, -i);
    }
  }
  return found;
}
