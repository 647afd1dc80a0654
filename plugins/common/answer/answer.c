/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* answer.c: what the last layer of a network is to give. */
#include "config.h"

#include <limits.h>

#include "answer.h"

int
answer_find (const char *model, int64_t given,
             const struct qk_model_request *req, struct answer *out)
{
  char text[160];

  *out = (struct answer){ "logits", given };
  for (int i = 0; out->numbers == 0 && i < req->n_targets; i++) {
    const struct qk_tensor_spec *t = &req->target[i];

    if (t->categories > 0)
      *out = (struct answer){ "logits", t->categories };
    else if (t->dtype == QK_F32 && t->shape.ndim == 2)
      *out = (struct answer){ t->name, t->shape.dims[1] };
    else
      return qk_error (-EINVAL,
                       "%s: target %s is neither a category nor numbers "
                       "(1,C) in f32; set the option outputs",
                       model, qk_spec_print (t, text, sizeof text));
  }
  if (out->numbers < 1 || out->numbers > INT_MAX)
    return qk_error (-EINVAL,
                     "%s: the data have no targets that say how many outputs "
                     "there are; set the option outputs",
                     model);
  return 0;
}
