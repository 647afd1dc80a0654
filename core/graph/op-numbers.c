/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* op-numbers.c: what an int8 operation's arrays may hold, which is checked
 * once, when a network is read or made. */
#include "config.h"

#include <math.h>
#include <stdlib.h>

#include "graph/op-priv.h"

/* No input within its range may overflow an int32 accumulator.  Inputs of more
 * than 8 bits are multiplied byte by byte, and so WIDEST is that of a byte. */
static int
check_accumulator (const struct qk_op *op, int64_t widest, const int32_t *bias)
{
  const int64_t per = qk_op_weight_count (op) / op->out_channels;

  for (int64_t k = 0; k < op->out_channels; k++) {
    int64_t sum = 0;

    for (int64_t i = 0; i < per; i++)
      sum += abs (op->weight[k * per + i]);
    sum = sum * widest + (bias != NULL ? llabs ((int64_t) bias[k]) : 0);
    if (sum > INT32_MAX)
      return qk_error (-ERANGE,
                       "%s: output channel %lld could overflow its 32-bit "
                       "accumulator",
                       qk_op_named (op), (long long) k);
    if (!isfinite (op->multiplier[k]) || op->multiplier[k] <= 0)
      return qk_error (-EDOM,
                       "%s: multiplier of channel %lld is %g, expected a "
                       "positive number",
                       qk_op_named (op), (long long) k,
                       (double) op->multiplier[k]);
  }
  return 0;
}

int
qk_op_numbers_weighted (const struct qk_op *op)
{
  const struct qk_qparams *q = &op->in_q[0];
  const int64_t above = q->qmax - q->zero_point;
  const int64_t widest = q->zero_point > above ? q->zero_point : above;

  if (op->bias == NULL || op->weight_scale == NULL)
    return qk_error (-EINVAL, "%s: no %s given", qk_op_named (op),
                     op->bias == NULL ? "bias" : "scale of the weight");
  for (int64_t i = 0; i < op->weight_scales; i++)
    if (!isfinite (op->weight_scale[i]) || op->weight_scale[i] <= 0)
      return qk_error (-EDOM,
                       "%s: scale %lld of the weight is %g, expected a "
                       "positive number",
                       qk_op_named (op), (long long) i,
                       (double) op->weight_scale[i]);
  if (qk_grid_is_wide (q))
    return check_accumulator (op, QK_U8_MAX, NULL);
  return check_accumulator (op, widest, op->bias);
}

int
qk_op_numbers_dynamic (const struct qk_op *op)
{
  if (op->lo != 0 || op->hi < 3)
    return qk_error (-EINVAL,
                     "%s: integers of %d to %d, expected 0 to 3 up to 0 to "
                     "255",
                     qk_op_named (op), (int) op->lo, (int) op->hi);
  for (int64_t k = 0; k < op->out_channels; k++)
    if (!isfinite (op->real_bias[k]))
      return qk_error (-EDOM, "%s: bias of channel %lld is %g",
                       qk_op_named (op), (long long) k,
                       (double) op->real_bias[k]);
  return check_accumulator (op, op->hi, NULL);
}

/* Sums are exact in float: see qk_mean_quantized. */
int
qk_op_numbers_pool (const struct qk_op *op)
{
  const int64_t most = ((1 << 24) - 1) / 255;

  if ((int64_t) op->kernel_h * op->kernel_w > most)
    return qk_error (-EINVAL,
                     "%s: an average over %d x %d elements, at most %lld "
                     "are exact",
                     qk_op_named (op), op->kernel_h, op->kernel_w,
                     (long long) most);
  return 0;
}

int
qk_op_numbers_prelu (const struct qk_op *op)
{
  for (int64_t k = 0; k < op->out_channels; k++)
    if (!isfinite (op->multiplier[k]))
      return qk_error (-EDOM,
                       "%s: multiplier of channel %lld is %g, expected a "
                       "finite number",
                       qk_op_named (op), (long long) k,
                       (double) op->multiplier[k]);
  return 0;
}

int
qk_op_numbers_table (const struct qk_op *op)
{
  for (int i = 0; i < 256; i++)
    if (op->table[i] < op->lo || op->table[i] > op->hi)
      return qk_error (
        -EINVAL, "%s: entry %d of the table is %d, expected %d to %d",
        qk_op_named (op), i, op->table[i], (int) op->lo, (int) op->hi);
  return 0;
}

int
qk_op_numbers_resize (const struct qk_op *op)
{
  for (int64_t i = 0; i < op->places; i++)
    if (!isfinite (op->share[i]))
      return qk_error (-EDOM, "%s: share %lld is %g", qk_op_named (op),
                       (long long) i, (double) op->share[i]);
  return 0;
}

/* A number that must be above 0, or with ZERO at least that. */
static int
check_number (const struct qk_op *op, const char *what, float x, bool zero)
{
  if (isfinite (x) && (x > 0 || (zero && x == 0)))
    return 0;
  return qk_error (-EDOM, "%s: %s is %g, expected a %s number",
                   qk_op_named (op), what, (double) x,
                   zero ? "non-negative" : "positive");
}

int
qk_op_numbers_matmul (const struct qk_op *op)
{
  const int r = check_number (op, "the factor", op->factor, false);

  if (r < 0)
    return r;
  return check_number (op, "the multiplier",
                       qk_product_multiplier (op->in_q[0].scale,
                                              op->in_q[1].scale, op->factor,
                                              op->out_q.scale),
                       false);
}

int
qk_op_numbers_norm (const struct qk_op *op)
{
  for (int64_t i = 0; i < op->in_channels; i++)
    if (!isfinite (op->gamma[i]) || !isfinite (op->beta[i]))
      return qk_error (-EDOM, "%s: gamma and beta of channel %lld are %g, %g",
                       qk_op_named (op), (long long) i, (double) op->gamma[i],
                       (double) op->beta[i]);
  return check_number (op, "eps", op->eps, false);
}

int
qk_op_numbers_lrn (const struct qk_op *op)
{
  int r = check_number (op, "alpha", op->alpha, true);

  if (r == 0)
    r = check_number (op, "the power", op->power, true);
  return r < 0 ? r : check_number (op, "the offset", op->offset, false);
}
