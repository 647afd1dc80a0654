/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* safetensors-priv.h: what the parts of the safetensors plugin share. */
#ifndef SAFETENSORS_PRIV_H
#define SAFETENSORS_PRIV_H

#include <jansson.h>
#include <qatkit/format.h>

/* Most dimensions a tensor on disk may have; struct qk_shape holds
 * QK_MAX_DIMS of them, entries with more can be listed but not read. */
#define ST_MAX_DIMS 8

/* A header larger than this is refused.  JSON grows in memory; together with
 * the limits on tensors and list lengths this bounds what a stranger's file
 * can make the program allocate. */
#define ST_MAX_HEADER ((uint64_t) 16 << 20)
#define ST_MAX_TENSORS 100000

/* How the data of an entry become a tensor. */
enum st_conversion {
  ST_DIRECT,     /* the bytes are the numbers */
  ST_HALF,       /* IEEE binary16 to float */
  ST_BFLOAT,     /* upper half of a float, to float */
  ST_UNSUPPORTED /* known, but nothing here computes with it */
};

struct st_dtype {
  const char *name; /* as the file says it: "F32" */
  unsigned size;    /* bytes of one element on disk */
  enum qk_dtype dtype;
  enum st_conversion conversion;
};

struct st_tensor {
  const char *name; /* owned by st_file.root */
  const struct st_dtype *dtype;
  int ndim;
  int64_t dims[ST_MAX_DIMS];
  int64_t count;       /* elements */
  uint64_t begin, end; /* bytes, relative to st_file.data */
  void *converted;     /* qk_alloc, made when first asked for; or NULL */
};

struct st_file {
  char *path;
  void *map; /* NULL when the bytes belong to someone else */
  size_t map_size;
  const unsigned char *data; /* what follows the header */
  uint64_t data_size;
  json_t *root; /* the parsed header; owns names and metadata */
  int64_t n;
  struct st_tensor *tensor; /* in the order of their data */
};

/* The dtype called NAME in files; NULL if there is none. */
const struct st_dtype *st_dtype_by_name (const char *name);
/* The one written for DTYPE; NULL if there is none. */
const struct st_dtype *st_dtype_of (enum qk_dtype dtype);
/* Whether this machine stores numbers as the format does. */
bool st_little_endian (void);
/* Copy COUNT elements of SIZE bytes, each with its bytes reversed. */
void st_swap (void *to, const void *from, size_t count, size_t size);
/* Whether text is free of control characters, which could play tricks on the
 * terminal an error is shown on. */
bool st_printable (const char *text);

/* Check SIZE BYTES completely and make *OUT, which borrows BYTES until
 * st_free.  PATH is for messages.  -EBADMSG for anything wrong with them. */
int st_parse (const void *bytes, size_t size, const char *path,
              struct st_file **out);
void st_free (struct st_file *f); /* accepts NULL; unmaps f->map */

/* The slots of struct qk_format_class that only need a parsed file. */
int st_entry (void *self, int64_t i, struct qk_format_entry *out);
const char *st_metadata (void *self, const char *key);

int st_write (const struct qk_config *cfg, int fd,
              const struct qk_format_entry *entries, int64_t n,
              const struct qk_format_meta *meta, int n_meta);

#endif /* SAFETENSORS_PRIV_H */
