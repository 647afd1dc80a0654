/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* intlist.h: options that are lists of integers, "0,2,-1". */
#ifndef QATKIT_COMMON_INTLIST_H
#define QATKIT_COMMON_INTLIST_H

#include <qatkit/option.h>

/* The integers of OPTION, a QK_OPT_STRING of component WHO.  Returns how many
 * there are, 0 where none is given; *OUT belongs to the caller: free.
 * -EINVAL with the option and its text, -ENOMEM. */
int intlist_new (const char *who, const struct qk_config *cfg,
                 const char *option, int64_t **out);

/* The same into OUT, of room for MOST; -EINVAL where there are more. */
int intlist_read (const char *who, const struct qk_config *cfg,
                  const char *option, int64_t *out, int most);

#endif /* QATKIT_COMMON_INTLIST_H */
