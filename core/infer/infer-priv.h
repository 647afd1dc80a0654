/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* infer-priv.h: models and sessions of qatkit/infer.h, shared by the files of
 * this folder. */
#ifndef QK_INFER_INFER_PRIV_H
#define QK_INFER_INFER_PRIV_H

#include <pthread.h>

#include <qatkit/infer.h>

#include "exec/exec.h"
#include "model/modelfile.h"

/* A model packed for sessions of one kind. */
struct qk_packed {
  struct qk_packed *next;
  char *backend; /* owned */
  int threads;
  int64_t batch;
  struct qk_exec *ex;     /* packed_only */
  struct qk_model *model; /* of a session that shares it with nobody, where
                             nodes of the model are layers; else NULL */
};

struct qk_infer {
  struct qk_context *ctx;
  struct qk_model *model;
  struct qk_infer_tensor *input, *output;
  uint64_t max_memory; /* 0: no limit of the caller's */
  /* Where nodes are layers, each of which serves one thread at a time, every
   * session reads the file again. */
  struct qk_tensorfile *file;
  void *bytes; /* what FILE reads; owned */
  int64_t size;

  pthread_mutex_t lock;     /* guards the rest, and loading */
  struct qk_packed *packed; /* for any number of sessions */
  char *preprocessing;
  bool prepared; /* the dataset was asked for */
  const struct qk_dataset_class *dataset;
  void *dataset_self;
};

struct qk_infer_session {
  struct qk_infer *m;
  struct qk_packed *packed; /* the model's, or (own_packed) the session's */
  bool own_packed;
  struct qk_exec *ex;
  struct qk_exec_port *in, *out;
  /* preprocess.c; NULL until it is asked for */
  void *worker;
  void **plain; /* a sample of each input in float */
};

/* session.c: frees the list or, where NEXT is NULL, the one. */
void qk_packed_free (struct qk_packed *p);

/* preprocess.c */
void qk_infer_close_dataset (struct qk_infer *m);
void qk_infer_close_worker (struct qk_infer_session *s);

/* Fields of the caller's FROM, whose struct_size is SIZE, as this library has
 * them: as many as both know, the rest of TO, which is KNOWN bytes large, stays
 * as it is. */
void qk_infer_take_options (void *to, size_t known, const void *from,
                            size_t size);

/* -EINVAL unless B fits N samples of T, which is the WHAT ("input") of a call. */
int qk_infer_check_buffer (const struct qk_infer_tensor *t, const char *what,
                           const struct qk_infer_buffer *b, int64_t n);

#endif /* QK_INFER_INFER_PRIV_H */
