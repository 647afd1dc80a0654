/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* range.h: a range per channel, what observers of ranges have in common. */
#ifndef QK_COMMON_RANGE_H
#define QK_COMMON_RANGE_H

#include <qatkit/observer.h>

/* An observer's state, PyTorch's min_val and max_val: +infinity and
 * -infinity until something was seen. */
struct range {
  size_t channels;
  float *min, *max; /* channels of them */
};

/* Arrays for what INFO describes; free with range_clear.  On failure R holds
 * nothing. */
int range_init (struct range *r, const struct qk_quant_info *info);
void range_clear (struct range *r);

bool range_seen (const struct range *r);

/* The slots range and state of an observer. */
int range_get (const struct range *r, float *min, float *max);
int range_state (struct range *r, struct qk_state *st);

/* Widen R to hold MIN and MAX, channels of them. */
void range_widen (struct range *r, const float *min, const float *max);

#endif /* QK_COMMON_RANGE_H */
