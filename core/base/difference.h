/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* difference.h: what tells two lists of lines apart, in words. */
#ifndef QK_BASE_DIFFERENCE_H
#define QK_BASE_DIFFERENCE_H

#include <stddef.h>

/* Say in OUT (SIZE bytes) what is first different in the lines of B, compared
 * with those of A, which are not the same bytes: "'x' is missing", "'x' is
 * new", "'x' has other contents" (lines of one name, which ends at a tab),
 * "'y' instead of 'x'". */
void qk_difference (const char *a, size_t n_a, const char *b, size_t n_b,
                    char *out, size_t size);

#endif /* QK_BASE_DIFFERENCE_H */
