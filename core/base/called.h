/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* called.h: calls into plugins, which may fail without saying why. */
#ifndef QK_BASE_CALLED_H
#define QK_BASE_CALLED_H

#include "qatkit/plugin.h"

/* Forget the sentence of an error that was dealt with. */
void qk_error_clear (void);
/* ERR; where that is an error that no sentence explains since qk_error_clear,
 * one that names the slot. */
int qk_error_blame (int err, const char *kind, const char *name,
                    const char *slot);

/* The result of EXPR, a call of SLOT of the class CLS (a struct qk_class), of
 * which an error has a sentence of its own, not a stale one. */
#define QK_CALLED(cls, slot, expr)                                            \
  (qk_error_clear (),                                                         \
   qk_error_blame ((expr), qk_kind_name ((cls)->kind), (cls)->name, slot))

#endif /* QK_BASE_CALLED_H */
