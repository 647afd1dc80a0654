/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* infer.h: running a model that qatkit made, in a program of your own.
 *
 *     qk_infer_open ("model-int8.safetensors", NULL, &model);
 *     qk_infer_session_new (model, NULL, &session);
 *     qk_infer_run (session, &in, &out, 1);
 *
 * Functions return 0 or a negative errno value, and then qk_error_message ()
 * has the sentence.  The library writes nothing and never ends the program.
 *
 * Threads: a model may be used by any number of threads at once, a session by
 * one at a time.  Sessions of one model share what was packed for a backend.
 * The results are those of "qatkit predict", byte for byte, for any backend of
 * qatkit's own, number of threads and batch; only where a layer was left in
 * float may the order of its sums depend on the batch. */
#ifndef QATKIT_INFER_H
#define QATKIT_INFER_H

#include "dataset.h"
#include "tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

struct qk_infer;
struct qk_infer_session;

/* ---- models ----------------------------------------------------------------
 */

/* How a model is opened.  Begin with
 *     struct qk_infer_open_options o = QK_INFER_OPEN_OPTIONS; */
struct qk_infer_open_options {
  size_t struct_size;
  const char *plugin_dir; /* searched before all others; NULL: none */
  /* A file of somebody unknown is refused where it has more bytes, or where a
   * session would need more bytes to run it.  Its tensors are bounded by its
   * size in any case, its work by what people's networks need.  0: any file,
   * a third of the machine's memory */
  uint64_t max_file, max_memory;
  qk_log_fn log; /* gets warnings, from any thread; NULL: nobody does */
  void *cookie;
};

#define QK_INFER_OPEN_OPTIONS                                                 \
  {                                                                           \
    sizeof (struct qk_infer_open_options), NULL, 0, 0, NULL, NULL             \
  }

/* Read the int8 model in the file PATH.  OPTIONS may be NULL.  *OUT belongs to
 * the caller: qk_infer_close.  -EBADMSG: the file is damaged or not a model. */
QK_PUBLIC int qk_infer_open (const char *path,
                             const struct qk_infer_open_options *options,
                             struct qk_infer **out);

/* The same of the SIZE bytes at DATA, which are not needed afterwards. */
QK_PUBLIC int
qk_infer_open_memory (const void *data, size_t size,
                      const struct qk_infer_open_options *options,
                      struct qk_infer **out);

/* After all of its sessions were freed.  Accepts NULL. */
QK_PUBLIC void qk_infer_close (struct qk_infer *m);

/* An input or output.  spec.dtype is QK_U8, or QK_U16 for more than 8 bits,
 * where the network holds integers, and Q then says what they stand for: x = (integer - q.zero_point) * q.scale.
 * Else it is QK_F32.  spec.category has the names of the elements of an output
 * of scores, where the model knows names and there is one for each element. */
struct qk_infer_tensor {
  struct qk_tensor_spec spec;
  struct qk_qparams q;
};

/* Borrowed from the model; NULL where there is no I-th. */
QK_PUBLIC int qk_infer_inputs (const struct qk_infer *m);
QK_PUBLIC const struct qk_infer_tensor *
qk_infer_input (const struct qk_infer *m, int i);
QK_PUBLIC int qk_infer_outputs (const struct qk_infer *m);
QK_PUBLIC const struct qk_infer_tensor *
qk_infer_output (const struct qk_infer *m, int i);

/* What the data that the model was made with had beside the inputs: labels and
 * the names of their classes.  As above. */
QK_PUBLIC int qk_infer_targets (const struct qk_infer *m);
QK_PUBLIC const struct qk_tensor_spec *
qk_infer_target (const struct qk_infer *m, int i);

/* How samples become inputs, "dataset = imagefolder" and a line KEY = VALUE for
 * each of that dataset's options but names of files.  Borrowed from the model.
 * -ENOENT where the dataset is not installed. */
QK_PUBLIC int qk_infer_preprocessing (struct qk_infer *m, const char **text);

/* ---- sessions --------------------------------------------------------------
 */

/* Begin with
 *     struct qk_infer_options o = QK_INFER_OPTIONS; */
struct qk_infer_options {
  size_t struct_size;
  const char *backend; /* NULL or "auto": the fastest on this machine */
  int threads;         /* of a call of run */
  int64_t batch;       /* the most samples of a call of run */
  /* Memory that run works in, at least what qk_infer_scratch says, aligned to
   * 64 bytes; it belongs to the caller and outlives the session.  NULL: memory
   * of the session's own. */
  void *scratch;
  size_t scratch_size;
};

#define QK_INFER_OPTIONS                                                      \
  {                                                                           \
    sizeof (struct qk_infer_options), NULL, 1, 1, NULL, 0                     \
  }

/* The bytes that a session with these OPTIONS (NULL: as above) works in. */
QK_PUBLIC int qk_infer_scratch (struct qk_infer *m,
                                const struct qk_infer_options *options,
                                size_t *bytes);

/* *OUT belongs to the caller: qk_infer_session_free.  The weights are packed
 * when the first session of these options is made.  All those of one thread, or
 * of a thread for each part of a batch, share them; one whose threads work on a
 * sample together has its own. */
QK_PUBLIC int qk_infer_session_new (struct qk_infer *m,
                                    const struct qk_infer_options *options,
                                    struct qk_infer_session **out);
QK_PUBLIC void
qk_infer_session_free (struct qk_infer_session *s); /* accepts NULL */

/* The backend that "auto" means here.  Borrowed. */
QK_PUBLIC const char *qk_infer_backend (const struct qk_infer_session *s);

/* Samples of an input or output, dense, one after the other; SIZE bytes.  DTYPE:
 * QK_F32; where the network holds bytes also QK_U8, these integers, or QK_I8,
 * the same minus 128; where it holds QK_U16 also that. */
struct qk_infer_buffer {
  enum qk_dtype dtype;
  void *data;
  size_t size;
};

/* Run N samples.  IN has a buffer for each input, which is only read, OUT one
 * for each output, in the model's order.  -EINVAL where a size or dtype does not fit, with what was
 * expected.  Nothing is allocated, except by OpenMP for itself, once in each
 * thread that calls. */
QK_PUBLIC int qk_infer_run (struct qk_infer_session *s,
                            const struct qk_infer_buffer *in,
                            const struct qk_infer_buffer *out, int64_t n);

/* Make inputs of a sample in memory as the evaluation of the model does:
 * SAMPLE has an array for each input, for an image its pixels (H,W,C) as bytes,
 * IN room for one sample of each input, for run.
 * -ENOTSUP where the dataset that the model was made with cannot. */
QK_PUBLIC int qk_infer_preprocess (struct qk_infer_session *s,
                                   const struct qk_sample_array *sample,
                                   const struct qk_infer_buffer *in);

#ifdef __cplusplus
}
#endif
#endif /* QATKIT_INFER_H */
