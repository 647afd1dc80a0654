/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* split.h: which samples are held out for evaluation where the data have no
 * part for it: by the sample's name or number alone, so that a sample stays in
 * its split when others come and go. */
#ifndef QK_SPLIT_H
#define QK_SPLIT_H

#include <qatkit/base.h>

/* Whether the sample of KEY, its number or split_key (its name), belongs to
 * the SHARE (0..1) of all samples that is held out. */
bool split_held_out (uint64_t key, double share);
uint64_t split_key (const char *name);

/* The split that NAME is for the dataset WHO: 0 train, 1 val; -1 none at all;
 * -EINVAL for any other. */
int split_parse (const char *name, const char *who);

#endif /* QK_SPLIT_H */
