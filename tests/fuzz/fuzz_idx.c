/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz_idx.c: any bytes as the images of the dataset idx, and as the labels of
 * good ones. */
#include "config.h"

#include <sys/mman.h>
#include <unistd.h>

#include "qatkit/dataset.h"
#include "replay.h"

static const uint8_t images[]
  = { 0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2, 3, 4 };
static const uint8_t labels[] = { 0, 0, 8, 1, 0, 0, 0, 2, 1, 12 };

#define MOST 4096 /* elements of an image to look at */

/* of the dataset, which is compiled in */
const struct qk_plugin *qk_plugin_v1 (void);

/* Open IMAGES and LABELS as the dataset and read samples. */
static void
open_both (const struct qk_dataset_class *ds, int image_fd, int label_fd)
{
  const struct qk_dataset_request req = { NULL, "train", true, 1 };
  struct qk_dataset_info info;
  struct qk_config *cfg;
  static float image[MOST];
  int32_t label;
  void *self, *const input[] = { image }, *const target[] = { &label };
  char text[160];
  int64_t i;

  snprintf (text, sizeof text,
            "train_images=/proc/self/fd/%d train_labels=/proc/self/fd/%d "
            "pad=1 flip=yes",
            image_fd, label_fd);
  if (qk_config_parse (ds->cls.options, text, "fuzz", &cfg) < 0)
    abort ();
  if (ds->open (cfg, &req, &self) == 0) {
    if (ds->info (self, &info) < 0)
      abort ();
    for (i = 0; i < info.count && i < 4
                && qk_shape_count (&info.input->shape) <= MOST;
         i++) {
      struct qk_rng rng;

      qk_rng_seed (&rng, 1, (uint64_t) i);
      ds->read (self, NULL, i, &rng, input, target);
    }
    ds->close (self);
  }
  qk_config_free (cfg);
}

static int
file_of (const void *data, size_t size)
{
  const int fd = memfd_create ("fuzz", MFD_CLOEXEC);

  if (fd < 0 || write (fd, data, size) != (ssize_t) size)
    abort ();
  return fd;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  const struct qk_dataset_class *ds
    = (const struct qk_dataset_class *) qk_plugin_v1 ()->classes[0];
  const int fd = file_of (data, size);
  const int i = file_of (images, sizeof images);
  const int l = file_of (labels, sizeof labels);

  open_both (ds, fd, l);
  open_both (ds, i, fd);
  close (fd);
  close (i);
  close (l);
  return 0;
}

#ifndef QK_FUZZING
int
main (int argc, char **argv)
{
  return replay_main (argc, argv, "idx");
}
#endif
