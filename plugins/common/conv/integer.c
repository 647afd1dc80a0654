/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* integer.c: accumulators as products of bytes, where input and weight are
 * quantized: exact, and two to four times as fast as those of floats. */
#include "config.h"

#include <string.h>

#include <qatkit/layer.h>

#include "conv/conv-priv.h"
#include "int8gemm/product.h"

/* The input of a unit as rows of *ld bytes. */
static const uint8_t *
byte_input (const struct conv_run *run, const struct conv_thread *th,
            const struct conv_unit *u, int64_t *ld)
{
  const struct qk_conv *cv = run->cv;
  const int64_t depth = cv->r * cv->s * cv->c;
  uint8_t *col = (uint8_t *) (void *) th->col;
  const uint8_t *x;

  *ld = qk_product_depth (depth);
  if (run->kind == CONV_GENERAL) {
    conv_im2col_bytes (run, u, *ld, col);
    return col;
  }
  x = (const uint8_t *) run->io->in->data + u->row0 * depth;
  if (*ld == depth)
    return x;
  for (int64_t i = 0; i < u->rows; i++)
    memcpy (col + i * *ld, x + i * depth, (size_t) depth);
  return col;
}

void
conv_integer_block (const struct conv_run *run, const struct conv_thread *th,
                    const struct conv_unit *u, bool to_float, float *acc)
{
  const struct qk_conv *cv = run->cv;
  const int64_t depth = conv_depth (cv), kg = cv->k / cv->groups;
  const size_t size = conv_pack_size (cv);
  int64_t ld;
  const uint8_t *a = byte_input (run, th, u, &ld);

  for (int g = 0; g < cv->groups; g++)
    qk_product (&cv->plan.kernels, u->rows, kg, depth, a + g * depth, ld,
                (const char *) run->weight.pack + (size_t) g * size, to_float,
                acc + g * kg, cv->k);
}

static void
integer_block (const struct conv_run *run, const struct conv_thread *th,
               const struct conv_unit *u, float *acc)
{
  conv_integer_block (run, th, u, !run->saved->i32_acc, acc);
}

static bool
integer_usable (const struct qk_conv *cv, bool quantized)
{
  return quantized && conv_kind (cv) != CONV_DEPTHWISE
         && cv->plan.kernels.level > QK_CPU_PORTABLE;
}

const struct conv_forward conv_forward_integer
  = { "integer", integer_usable, NULL, integer_block };
