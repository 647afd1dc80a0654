/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* imagespec.c: labelled images as specs. */
#include "config.h"

#include <limits.h>
#include <string.h>

#include "imagespec.h"

void
image_specs_set (struct image_specs *s, int64_t height, int64_t width,
                 int64_t channels, int64_t classes, const char *const *names)
{
  memset (s, 0, sizeof *s);
  s->image.name = "image";
  s->image.dtype = QK_F32;
  s->image.shape = (struct qk_shape){ 4, { 1, height, width, channels } };
  s->label.name = "label";
  s->label.dtype = QK_I32;
  s->label.shape = (struct qk_shape){ 1, { 1 } };
  s->label.categories = classes;
  s->label.category = names;
}

void
image_specs_info (const struct image_specs *s, int64_t count,
                  struct qk_dataset_info *out)
{
  out->count = count;
  out->n_inputs = 1;
  out->input = &s->image;
  out->n_targets = 1;
  out->target = &s->label;
}

int
image_request_read (const char *name, const struct qk_model_request *req,
                    int64_t given, struct image_request *out)
{
  int64_t classes = given;
  char text[160];
  int i;

  if (req->n_inputs != 1)
    return qk_error (-EINVAL,
                     "%s: the data have %d inputs, expected one image", name,
                     req->n_inputs);
  out->image = &req->input[0];
  if (out->image->shape.ndim != 4)
    return qk_error (-EINVAL,
                     "%s: the input is %s, expected an image (1,H,W,C)", name,
                     qk_spec_print (out->image, text, sizeof text));
  for (i = 0; classes == 0 && i < req->n_targets; i++)
    classes = req->target[i].categories;
  if (classes < 1 || classes > INT_MAX)
    return qk_error (-EINVAL,
                     "%s: the data say nothing about classes; set the option "
                     "classes",
                     name);
  out->height = out->image->shape.dims[1];
  out->width = out->image->shape.dims[2];
  out->channels = out->image->shape.dims[3];
  out->classes = (int) classes;
  return 0;
}
