/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* format.h: plugins that read and write files of named tensors, and write
 * whole networks for other programs. */
#ifndef QATKIT_FORMAT_H
#define QATKIT_FORMAT_H

#include "network.h"
#include "plugin.h"
#include "tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One named tensor.  When read, name and data belong to the open file and
 * data may not be aligned: copy it out. */
struct qk_format_entry {
  const char *name;
  struct qk_tensor tensor;
};

/* One pair of text metadata. */
struct qk_format_meta {
  const char *key;
  const char *value;
};

/* Takes a whole file, NAME in the folder that is written; COOKIE is the one
 * passed beside it.  0, or a negative errno value with a sentence. */
typedef int qk_format_put (void *cookie, const char *name, const void *data,
                           size_t size);

/* Takes what a node of a network needs, pairs such as "flash=12 arena=34";
 * NODE is its name, NULL for the whole network. */
typedef void qk_format_fact (void *cookie, const char *node, const char *text);

struct qk_format_class {
  struct qk_class cls;

  /* File name endings, NULL-terminated: ".safetensors". */
  const char *const *suffixes;

  /* Open and check the whole structure; the file is untrusted.  CFG is
   * borrowed and lives until close.  *self belongs to the library: close.
   * -EBADMSG for a damaged file. */
  int (*open) (const struct qk_config *cfg, const char *path, void **self);
  void (*close) (void *self); /* accepts NULL */
  int64_t (*count) (void *self);
  /* Entry I (0 <= I < count); borrowed, lives until close. */
  int (*entry) (void *self, int64_t i, struct qk_format_entry *out);
  /* Value of a metadata key; NULL if there is none.  Borrowed.  "option TENSOR"
   * is asked for each tensor that becomes a parameter: "KEY=VALUE" where its
   * numbers belong to a layer with that option, and are wrong for others. */
  const char *(*metadata) (void *self, const char *key);

  /* Write a file through FD (positioned at 0, to be filled from the start;
   * the library fsyncs, renames and closes it).
   * (optional; default: read only) */
  int (*write) (const struct qk_config *cfg, int fd,
                const struct qk_format_entry *entries, int64_t n,
                const struct qk_format_meta *meta, int n_meta);

  /* Write a network that another program can run, through FD as above.
   * -ENOTSUP, naming the node, for one the format cannot express.
   * (optional; default: the format holds tensors only) */
  int (*write_network) (const struct qk_config *cfg, int fd,
                        const struct qk_network *net);

  /* Whether a file that begins with these N bytes (up to 4096) is of this
   * format.  Files are read in the format that knows them, whatever they are
   * called.
   * (optional; default: only the ending tells) */
  bool (*recognize) (const void *head, size_t n);

  /* The same as open for the SIZE bytes at DATA, borrowed until close; NAME is
   * for messages.  (optional; default: files only) */
  int (*open_memory) (const struct qk_config *cfg, const void *data,
                      size_t size, const char *name, void **self);

  /* Write a network as files of a folder: hand each to PUT, after all of them
   * are complete.  -ENOTSUP as write_network.  Of a format that has
   * write_network, too, these are the files beside the network: its test
   * vectors.  A name may have a folder, as in "test_data_set_0/input_0.pb".
   * (optional; default: a network is no folder of files) */
  int (*write_files) (const struct qk_config *cfg,
                      const struct qk_network *net, qk_format_put *put,
                      void *cookie);

  /* Say what each node of a network, and the whole, would need if it were
   * written; nothing is.  -ENOTSUP as write_network.
   * (optional; default: nothing is said) */
  int (*facts) (const struct qk_config *cfg, const struct qk_network *net,
                qk_format_fact *say, void *cookie);

  /* Whether the three above can have values of more than 8 bits; the library
   * refuses a network that has some where they cannot.
   * (optional; default: false) */
  bool wide;
};

/* What a file that begins with these N bytes (4096 tell enough) is instead of
 * the one that was meant, and what to do, as "a web page: …"; NULL: nothing
 * known.  Static text. */
QK_PUBLIC const char *qk_foreign (const void *head, size_t n);

#ifdef __cplusplus
}
#endif
#endif /* QATKIT_FORMAT_H */
