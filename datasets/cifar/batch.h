/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* batch.h: the files of CIFAR for Python, as torchvision downloads them. */
#ifndef CIFAR_BATCH_H
#define CIFAR_BATCH_H

#include "textfile/textfile.h"

/* A file of images is a pickled dictionary: an array "data" of IMAGE bytes for
 * each image, and a list of labels under KEY. */
struct batch {
  const uint8_t *pixels; /* within the bytes that were read */
  int64_t count;
  uint8_t *label; /* owned: free; 255 for what is no byte */
};

/* SIZE BYTES of the file PATH; nothing of them is trusted or run.  -EBADMSG for
 * what is no such file. */
int batch_read (const uint8_t *bytes, size_t size, const char *path,
                const char *key, size_t image, struct batch *out);
/* The list of texts under KEY.  OUT is to be cleared, also after an error. */
int batch_names (const uint8_t *bytes, size_t size, const char *path,
                 const char *key, struct text_lines *out);

#endif /* CIFAR_BATCH_H */
