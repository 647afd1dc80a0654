/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* blocks.c: the accumulators of one block of output rows. */
#include "config.h"

#include <qatkit/layer.h>

#include "conv/conv-priv.h"

const float *
conv_acc_rows (const struct conv_run *run, const struct conv_thread *th,
               int64_t row0, int64_t rows, float *tmp)
{
  const struct conv_unit u = { .row0 = row0, .rows = rows };
  const int64_t k = run->cv->k;

  if (run->again)
    conv_integer_block (run, th, &u, true, tmp);
  else if (!run->saved->i32_acc)
    return (const float *) run->acc + row0 * k;
  else
    qk_rows_to_float ((const int32_t *) run->acc + row0 * k,
                      (size_t) (rows * k), tmp);
  return tmp;
}

void
conv_block (const struct conv_run *run, const struct conv_thread *th,
            const struct conv_unit *u, float *acc)
{
  run->cv->plan.forward->block (run, th, u, acc);
}
