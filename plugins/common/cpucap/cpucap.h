/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cpucap.h: the cap on CPU levels that $QATKIT_CPU sets, for backends. */
#ifndef CPUCAP_H
#define CPUCAP_H

/* The highest level allowed: an index into NAMES, a backend's COUNT levels in
 * ascending order.  COUNT - 1 where the variable is unset, empty, or names a
 * level of another architecture's backend; -EINVAL if no backend knows it. */
int cpucap (const char *const *names, int count);

#endif /* CPUCAP_H */
