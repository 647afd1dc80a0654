/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tensorfile.h: a file of named tensors, whatever format it has. */
#ifndef QK_IO_TENSORFILE_H
#define QK_IO_TENSORFILE_H

#include "qatkit/context.h"
#include "qatkit/format.h"
#include "qatkit/layer.h"

/* The format of files whose name has no ending, and of our own files. */
#define QK_FORMAT_DEFAULT "safetensors"

struct qk_tensorfile;

/* The format plugin called NAME; with NAME NULL the one that claims the
 * ending of PATH, or the default when PATH has no ending. */
int qk_format_find (struct qk_context *ctx, const char *path, const char *name,
                    const struct qk_format_class **out);

/* Open PATH in FORMAT; NULL: in the one that knows what the file begins with,
 * or as for qk_format_find.  *out is to be freed with
 * qk_tensorfile_close.  -EBADMSG: the file is damaged. */
int qk_tensorfile_open (struct qk_context *ctx, const char *path,
                        const char *format, struct qk_tensorfile **out);
/* The same of SIZE bytes, borrowed until close, in the format of our own files;
 * NAME stands for the path. */
int qk_tensorfile_open_memory (struct qk_context *ctx, const char *name,
                               const void *data, size_t size,
                               struct qk_tensorfile **out);
void qk_tensorfile_close (struct qk_tensorfile *f); /* accepts NULL */

/* All borrowed until close. */
const char *qk_tensorfile_path (const struct qk_tensorfile *f);
int64_t qk_tensorfile_count (const struct qk_tensorfile *f);
const char *qk_tensorfile_name (const struct qk_tensorfile *f, int64_t i);
/* NULL if there is no such key. */
const char *qk_tensorfile_metadata (const struct qk_tensorfile *f,
                                    const char *key);

/* Number of the tensor NAME; -ENOENT (without a sentence) if there is none. */
int64_t qk_tensorfile_find (const struct qk_tensorfile *f, const char *name);

/* Tensor I as the format plugin delivers it: borrowed, read only, perhaps
 * not aligned. */
int qk_tensorfile_entry (const struct qk_tensorfile *f, int64_t i,
                         struct qk_format_entry *out);

/* Whether a tensor of shape HAVE in a file is what shape WANT asks for: the same,
 * or a vector with axes of one element behind it, as ONNX files have the factors
 * of channels. */
bool qk_tensorfile_fits (const struct qk_shape *want,
                         const struct qk_shape *have);

/* Copy tensor I into DST, whose shape (ours) must fit that of the file after
 * the change of LAYOUT.  The dtypes must be equal; f64 is also rounded to
 * f32 where DST is that. */
int qk_tensorfile_read (const struct qk_tensorfile *f, int64_t i,
                        const struct qk_tensor *dst,
                        enum qk_param_layout layout);

/* The shape a tensor of shape OURS has in a file. */
int qk_layout_file_shape (enum qk_param_layout layout,
                          const struct qk_shape *ours,
                          struct qk_shape *theirs);
/* Copy elements of SIZE bytes between our layout and the file's.  OURS is
 * the shape of the one in our layout. */
void qk_layout_from_file (enum qk_param_layout layout,
                          const struct qk_shape *ours, size_t size,
                          const void *from, void *to);
void qk_layout_to_file (enum qk_param_layout layout,
                        const struct qk_shape *ours, size_t size,
                        const void *from, void *to);

/* Write PATH atomically: after a failure an old file of that name is still
 * there, unchanged.  Tensors are written as they are. */
int qk_tensorfile_write (struct qk_context *ctx, const char *path,
                         const char *format,
                         const struct qk_format_entry *entries, int64_t n,
                         const struct qk_format_meta *meta, int n_meta);

#endif /* QK_IO_TENSORFILE_H */
