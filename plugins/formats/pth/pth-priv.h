/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pth-priv.h: a state dict of PyTorch, whatever its bytes come from. */
#ifndef PTH_PRIV_H
#define PTH_PRIV_H

#include <zip.h>

#include "pickle.h"

struct pth_file {
  char *path;
  zip_t *zip;   /* owned; NULL: the form before 1.6 */
  char *prefix; /* of all names in it: "archive/" */
  int fd;       /* owned; -1: an archive */
  bool big;     /* numbers have their largest byte first */
  struct pickle pickle;
  void **data;   /* of each tensor, qk_alloc; NULL until asked for */
  void *storage; /* the one read last, qk_alloc; tensors often share one */
  const char *storage_key; /* borrowed from a tensor */
  uint64_t storage_size;
  uint64_t size;   /* of the file */
  uint64_t budget; /* bytes that may still be read and copied */
};

/* ---- archive.c, legacy.c: what the bytes come from -------------------------
 * Read the pickle of F, whose zip or fd, path and size are set. */
int pth_read_archive (struct pth_file *f);
int pth_read_legacy (struct pth_file *f);
/* The numbers of storage KEY, at most MAX bytes, for qk_free. */
int pth_archive_storage (struct pth_file *f, const char *key, uint64_t max,
                         void **out, uint64_t *size);
int pth_legacy_storage (struct pth_file *f, const char *key, uint64_t max,
                        void **out, uint64_t *size);

/* ---- tensors.c -------------------------------------------------------------*/

/* A slot of struct qk_format_class. */
int pth_entry (void *self, int64_t i, struct qk_format_entry *out);

#endif /* PTH_PRIV_H */
