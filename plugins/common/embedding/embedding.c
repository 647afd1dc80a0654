/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <math.h>
#include <stdlib.h>

#include "embedding.h"

int
embedding_check (const char *name, const struct qk_tensor_spec *out, int n_out,
                 const struct qk_tensor_spec *ref, int n_ref)
{
  char text[120];

  if (n_out != 1 || n_ref != 1)
    return qk_error (-EINVAL,
                     "%s: %d outputs and %d references, expected one each",
                     name, n_out, n_ref);
  if (out->dtype != QK_F32 || out->shape.ndim != 2)
    return qk_error (-EINVAL, "%s: output %s, expected (N,D) of f32", name,
                     qk_spec_print (out, text, sizeof text));
  if (ref->dtype != QK_I32 || ref->shape.ndim != 1)
    return qk_error (-EINVAL, "%s: reference %s, expected labels (N) of i32",
                     name, qk_spec_print (ref, text, sizeof text));
  return 0;
}

int
embedding_rows (const char *name, const float *x, int64_t n, int64_t d,
                bool unit, double **rows, double **length)
{
  *rows = malloc ((size_t) (n * d + 1) * sizeof **rows);
  *length = malloc ((size_t) (n + 1) * sizeof **length);
  if (*rows == NULL || *length == NULL) {
    free (*rows);
    free (*length);
    return qk_oom ("%s", name);
  }
  for (int64_t i = 0; i < n; i++) {
    double *e = *rows + i * d, sum = 0;

    for (int64_t k = 0; k < d; k++) {
      e[k] = (double) x[i * d + k];
      sum += e[k] * e[k];
    }
    if (!isfinite (sum)) {
      free (*rows);
      free (*length);
      return qk_error (-EDOM, "%s: the output of sample %lld is not finite",
                       name, (long long) i);
    }
    (*length)[i] = unit ? fmax (sqrt (sum), 1e-12) : 1;
    for (int64_t k = 0; k < d; k++)
      e[k] /= (*length)[i];
  }
  return 0;
}

void
embedding_back (const double *g, const double *rows, const double *length,
                bool unit, int64_t n, int64_t d, double scale, float *dx)
{
  for (int64_t i = 0; i < n; i++) {
    double along = 0;

    for (int64_t k = 0; unit && k < d; k++)
      along += g[i * d + k] * rows[i * d + k];
    for (int64_t k = 0; k < d; k++)
      dx[i * d + k] = (float) (scale * (g[i * d + k] - along * rows[i * d + k])
                               / length[i]);
  }
}
