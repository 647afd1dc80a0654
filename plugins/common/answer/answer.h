/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* answer.h: what the last layer of a network is to give, by the targets of the
 * data. */
#ifndef QK_ANSWER_H
#define QK_ANSWER_H

#include <qatkit/model.h>

struct answer {
  const char *name; /* of the output: "logits", or the target's */
  int64_t numbers;
};

/* GIVEN numbers, else the categories or numbers of the first target; MODEL
 * begins errors. */
int answer_find (const char *model, int64_t given,
                 const struct qk_model_request *req, struct answer *out);

#endif /* QK_ANSWER_H */
