/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* state-priv.h: the visitor behind qk_state_add. */
#ifndef QK_QUANT_STATE_PRIV_H
#define QK_QUANT_STATE_PRIV_H

#include "qatkit/plugin.h"
#include "qatkit/tensor.h"

#define QK_STATE_NAME_MAX 256

/* Gets every array once, with its full name ("features.0.0.weight." …
 * "observer.min_val"); borrowed for the call.  When loading it fills DATA. */
typedef int (*qk_state_fn) (void *cookie, const char *name,
                            enum qk_dtype dtype, void *data, size_t count);

/* Lives on the stack of whoever saves or loads. */
struct qk_state {
  qk_state_fn fn;
  void *cookie;
  bool loading; /* fn fills the arrays instead of reading them */
  size_t prefix_len;
  char prefix[QK_STATE_NAME_MAX];
};

void qk_state_start (struct qk_state *st, qk_state_fn fn, void *cookie,
                     bool loading);

/* Names added from now on are preceded by PREFIX ("observer."), after the
 * prefixes already pushed.  *MARK receives what qk_state_pop wants. */
int qk_state_push (struct qk_state *st, const char *prefix, size_t *mark);
void qk_state_pop (struct qk_state *st, size_t mark);

#endif /* QK_QUANT_STATE_PRIV_H */
