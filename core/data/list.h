/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* list.h: what a dataset consists of, as lines of text to compare. */
#ifndef QK_DATA_LIST_H
#define QK_DATA_LIST_H

#include "qatkit/dataset.h"

/* The categories of the targets, the samples by name and their number, a line
 * each, in *OUT (for free), *SIZE bytes.  With CONTENTS the lines of up to 5000
 * samples, evenly chosen, also tell of what is in them. */
int qk_samples_list (const struct qk_dataset_class *cls, void *self,
                     const struct qk_dataset_info *info, bool contents,
                     char **out, size_t *size);

#endif /* QK_DATA_LIST_H */
