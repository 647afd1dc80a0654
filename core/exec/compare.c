/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* compare.c: a value of a prepared network against the same of the int8 one. */
#include "config.h"

#include <string.h>

#include <qatkit/numeric.h>

#include "exec/exec.h"

int64_t
qk_values_differing (const struct qk_tensor *fake,
                     const struct qk_tensor *int8, int64_t *bytes)
{
  const int64_t count = qk_shape_count (&fake->shape);
  const unsigned char *a = fake->data, *b = int8->data;
  int64_t i, n = 0;

  *bytes = count * (int64_t) qk_dtype_size (int8->dtype);
  if (int8->dtype == QK_U16) { /* real numbers in the other */
    const uint16_t *q = int8->data;
    const float *x = fake->data;

    for (i = 0; i < count; i++)
      n += 2
           * (x[i] != qk_dequantize (q[i], int8->q.scale, int8->q.zero_point));
    return n;
  }
  if (memcmp (a, b, (size_t) *bytes) == 0)
    return 0;
  for (i = 0; i < *bytes; i++)
    n += a[i] != b[i];
  return n;
}
