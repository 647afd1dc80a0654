/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pairs.h: what losses and metrics check of outputs and references. */
#ifndef QK_PAIRS_H
#define QK_PAIRS_H

#include <qatkit/loss.h>

/* As many references as outputs, f32, each of its output's shape. */
int pairs_check_equal (const char *name, const struct qk_tensor_spec *out,
                       int n_out, const struct qk_tensor_spec *ref, int n_ref);

/* One output (N,…,C), f32, and one reference (N,…), i32, that says for each
 * row of C numbers which of them is meant. */
int pairs_check_categories (const char *name, const struct qk_tensor_spec *out,
                            int n_out, const struct qk_tensor_spec *ref,
                            int n_ref);

/* Rows of C numbers in T, and C. */
int64_t pairs_rows (const struct qk_tensor *t, int64_t *c);

#endif /* QK_PAIRS_H */
