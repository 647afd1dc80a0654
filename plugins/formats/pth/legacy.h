/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* legacy.h: where things lie in a file of torch.save before PyTorch 1.6. */
#ifndef PTH_LEGACY_H
#define PTH_LEGACY_H

#include "pickle.h"

/* Whether the N bytes at the beginning of a file are of that form. */
bool legacy_begins (const void *head, size_t n);

/* Read the pickles in HEAD, the first N bytes of a file of SIZE, as
 * pickle_read does, and set the places of all storages, which lie in the
 * file: "at" of the others is 0. */
int legacy_layout (const void *head, size_t n, uint64_t size, const char *path,
                   struct pickle *out);

#endif /* PTH_LEGACY_H */
