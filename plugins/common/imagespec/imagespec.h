/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* imagespec.h: images with a label as datasets declare them, and as
 * classification networks ask for them. */
#ifndef QK_IMAGESPEC_H
#define QK_IMAGESPEC_H

#include <qatkit/dataset.h>
#include <qatkit/model.h>

/* The specs of a dataset of labelled images; lives as long as they do. */
struct image_specs {
  struct qk_tensor_spec image, label;
};

/* Images (H,W,C) and a label of CLASSES classes with NAMES (borrowed; may be
 * NULL).  For open: info may be called from several threads. */
void image_specs_set (struct image_specs *s, int64_t height, int64_t width,
                      int64_t channels, int64_t classes,
                      const char *const *names);
/* COUNT samples of them into OUT. */
void image_specs_info (const struct image_specs *s, int64_t count,
                       struct qk_dataset_info *out);

/* What a classification network needs to know. */
struct image_request {
  const struct qk_tensor_spec *image;
  int64_t height, width, channels;
  int classes;
};

/* Read REQ for the model NAME; GIVEN: the number of classes of its own option,
 * 0: that of the first target with categories.  -EINVAL where there is not one
 * image, or no number of classes. */
int image_request_read (const char *name, const struct qk_model_request *req,
                        int64_t given, struct image_request *out);

#endif /* QK_IMAGESPEC_H */
