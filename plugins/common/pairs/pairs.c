/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pairs.c: outputs and the references they are compared with. */
#include "config.h"

#include "pairs.h"

int
pairs_check_equal (const char *name, const struct qk_tensor_spec *out,
                   int n_out, const struct qk_tensor_spec *ref, int n_ref)
{
  char a[160], b[160];
  int i;

  if (n_out != n_ref || n_out < 1)
    return qk_error (-EINVAL,
                     "%s: %d outputs and %d references, expected as many of "
                     "both",
                     name, n_out, n_ref);
  for (i = 0; i < n_out; i++)
    if (ref[i].dtype != QK_F32
        || !qk_shape_equal (&out[i].shape, &ref[i].shape))
      return qk_error (-EINVAL,
                       "%s: output %s is compared with %s, expected f32 of "
                       "the same shape",
                       name, qk_spec_print (&out[i], a, sizeof a),
                       qk_spec_print (&ref[i], b, sizeof b));
  return 0;
}

/* Whether REF has the dimensions of OUT but the last. */
static bool
one_less (const struct qk_shape *out, const struct qk_shape *ref)
{
  int i;

  for (i = 0; i < out->ndim - 1; i++)
    if (i >= ref->ndim || ref->dims[i] != out->dims[i])
      return false;
  return ref->ndim == out->ndim - 1;
}

int
pairs_check_categories (const char *name, const struct qk_tensor_spec *out,
                        int n_out, const struct qk_tensor_spec *ref, int n_ref)
{
  char a[160], b[160];

  if (n_out != 1 || n_ref != 1)
    return qk_error (-EINVAL,
                     "%s: compares one output with one target, got %d and %d",
                     name, n_out, n_ref);
  if (ref->dtype != QK_I32 || out->shape.ndim < 2
      || !one_less (&out->shape, &ref->shape))
    return qk_error (-EINVAL,
                     "%s: output %s is compared with %s, expected (N,…,C) and "
                     "i32 (N,…)",
                     name, qk_spec_print (out, a, sizeof a),
                     qk_spec_print (ref, b, sizeof b));
  if (ref->categories > 0
      && ref->categories != out->shape.dims[out->shape.ndim - 1])
    return qk_error (-EINVAL,
                     "%s: target %s has %lld categories, output %s has %lld",
                     name, ref->name, (long long) ref->categories, out->name,
                     (long long) out->shape.dims[out->shape.ndim - 1]);
  return 0;
}

int64_t
pairs_rows (const struct qk_tensor *t, int64_t *c)
{
  *c = t->shape.dims[t->shape.ndim - 1];
  return qk_shape_count (&t->shape) / *c;
}
