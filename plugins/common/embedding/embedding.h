/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* embedding.h: vectors that stand for samples, near each other where their
 * labels are equal. */
#ifndef QK_EMBEDDING_H
#define QK_EMBEDDING_H

#include <qatkit/loss.h>

/* One output (N,D), f32, and one label (N), i32; -1: the sample does not
 * count. */
int embedding_check (const char *name, const struct qk_tensor_spec *out,
                     int n_out, const struct qk_tensor_spec *ref, int n_ref);

/* The N rows of D numbers X in double, each, where UNIT, divided by its length,
 * which is in LENGTH[i] (at least 1e-12, as in PyTorch's normalize).  -EDOM
 * where one is not finite.  *ROWS is to be freed. */
int embedding_rows (const char *name, const float *x, int64_t n, int64_t d,
                    bool unit, double **rows, double **length);

/* G, a gradient by rows that embedding_rows has divided, becomes one by the
 * numbers themselves, times SCALE, in DX. */
void embedding_back (const double *g, const double *rows, const double *length,
                     bool unit, int64_t n, int64_t d, double scale, float *dx);

#endif /* QK_EMBEDDING_H */
