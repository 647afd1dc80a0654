/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dataset.h: plugins that deliver samples: what a network gets, and what it
 * should make of it. */
#ifndef QATKIT_DATASET_H
#define QATKIT_DATASET_H

#include "plugin.h"
#include "rng.h"
#include "tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

struct qk_dataset_request {
  struct qk_context *ctx; /* for the log */
  const char *split;      /* "train" or "val"; NULL: no samples of its own,
                             only read_file will be used */
  bool augment;           /* random changes, as for training */
  uint64_t seed;          /* of the run; generated datasets use it */
};

#define QK_DATASET_MAX_TENSORS 32 /* inputs or targets */

/* Inputs go into the network, targets to losses and metrics.  Inputs are f32;
 * targets f32, i32 or u8.  A label is a target of dtype i32 and shape (1) with
 * categories; data without labels have no targets.  Names are unique. */
struct qk_dataset_info {
  int64_t count; /* samples */
  int n_inputs, n_targets;
  const struct qk_tensor_spec *input, *target; /* owned by the dataset */
};

/* A sample in memory, or a part of one: an image has the shape (H,W,C).  Without
 * a batch axis. */
struct qk_sample_array {
  enum qk_dtype dtype; /* QK_U8 or QK_F32 */
  struct qk_shape shape;
  const void *data; /* borrowed for the call */
  /* bytes from one element of the first axis, a row of an image, to the next;
   * 0: those that it has */
  size_t stride;
};

/* Uses that a dataset can be the default for: what a network learns from, and
 * samples of any size to measure speed with. */
enum qk_dataset_use { QK_FOR_TRAINING = 1, QK_FOR_TIMING = 2 };

/* Receives the text VALUE of option KEY; both borrowed. */
typedef int (*qk_found_fn) (void *cookie, const char *key, const char *value);

struct qk_dataset_class {
  struct qk_class cls;

  /* *self belongs to the library: close. */
  int (*open) (const struct qk_config *cfg,
               const struct qk_dataset_request *req, void **self);
  void (*close) (void *self); /* accepts NULL */
  /* What OUT points to lives and stays as it is until close; called from several
   * threads at once. */
  int (*info) (void *self, struct qk_dataset_info *out);

  /* Reading happens in several threads, each with a worker of its own
   * (buffers, decoder); self is then only read.
   * (optional; default: worker is NULL) */
  int (*worker_new) (void *self, void **worker);
  void (*worker_free) (void *worker); /* accepts NULL */

  /* Fill sample INDEX: INPUT[i] and TARGET[i] have room for what the specs
   * say, images normalised.  RNG drives augmentation; it depends on seed,
   * epoch and index alone, so that threads do not matter.  -EBADMSG, with a
   * sentence naming the file, for a sample that cannot be decoded: it is
   * skipped and counted; any other error ends the run. */
  int (*read) (void *self, void *worker, int64_t index, struct qk_rng *rng,
               void *const *input, void *const *target);

  /* The inputs of a file of the user's, prepared as for evaluation.
   * (optional; default: predict does not work with this dataset) */
  int (*read_file) (void *self, void *worker, const char *path,
                    void *const *input);

  /* Tell the options that a use of the trained network elsewhere needs and
   * that were found in the training data instead of given: what inputs were
   * normalised with.  They become part of the configuration that models carry.
   * (optional; default: the configuration says everything) */
  int (*found) (void *self, qk_found_fn fn, void *cookie);

  /* Write all samples of the split as files of a common format into DIR, made
   * if its parent exists; the plugin's page says which and how.
   * (optional; default: cannot) */
  int (*export_files) (void *self, const char *dir);

  /* What sample INDEX is called, as users know it, in NAME (SIZE bytes; cut if
   * need be), and a number that changes with what is in it (0: not known; NULL:
   * nobody asks).  A run that is resumed, and the processes of one, compare
   * them.  (optional; default: only the number of samples is compared) */
  int (*describe) (void *self, int64_t index, char *name, size_t size,
                   uint64_t *content);

  /* The inputs of a sample of the user's in memory, prepared as for evaluation:
   * what read_file would make of a file with the same content.  SAMPLE has an
   * array for each input.  -EINVAL, with what was expected, for a shape or
   * dtype that is none of this dataset's.
   * (optional; default: samples come from files only) */
  int (*read_array) (void *self, void *worker,
                     const struct qk_sample_array *sample, void *const *input);

  /* The category of sample INDEX in the first target that has categories,
   * QK_NO_CATEGORY where it is not known, without reading the sample.
   * (optional; default: samples cannot be balanced) */
  int64_t (*category) (void *self, int64_t index);
};

#ifdef __cplusplus
}
#endif
#endif /* QATKIT_DATASET_H */
