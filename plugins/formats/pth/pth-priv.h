/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pth-priv.h: a state dict of PyTorch, whatever its bytes come from. */
#ifndef PTH_PRIV_H
#define PTH_PRIV_H

#include <zip.h>

#include "pickle.h"

struct pth_file {
  char *path;
  zip_t *zip;   /* owned */
  char *prefix; /* of all names in it: "archive/" */
  struct pickle pickle;
  void **data;   /* of each tensor, qk_alloc; NULL until asked for */
  void *storage; /* the one read last, qk_alloc; tensors often share one */
  zip_uint64_t storage_index;
  uint64_t storage_size;
  uint64_t size;   /* of the file */
  uint64_t budget; /* bytes that may still be read and copied */
};

/* Take over ZIP, also on failure, and read its pickle.  SIZE of the whole
 * file bounds what is allocated.  PATH is for messages. */
int pth_read (zip_t *zip, uint64_t size, const char *path,
              struct pth_file **out);
void pth_free (struct pth_file *f); /* accepts NULL */

/* A slot of struct qk_format_class. */
int pth_entry (void *self, int64_t i, struct qk_format_entry *out);

#endif /* PTH_PRIV_H */
