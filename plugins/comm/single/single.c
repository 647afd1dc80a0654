/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* single.c: one process that trains alone. */
#include <string.h>

#include <qatkit/comm.h>

static int
single_create (const struct qk_config *cfg, void **self, int *rank, int *size)
{
  (void) cfg;
  *self = NULL;
  *rank = 0;
  *size = 1;
  return 0;
}

static void
single_destroy (void *self)
{
  (void) self;
}

/* The sum, minimum or maximum over one process is what it has. */
static int
single_reduce (void *self, enum qk_comm_op op, enum qk_comm_type type,
               void *data, size_t count)
{
  (void) self;
  (void) op;
  (void) type;
  (void) data;
  (void) count;
  return 0;
}

static int
single_gather (void *self, const void *data, size_t bytes, size_t *sizes,
               void *out)
{
  (void) self;
  sizes[0] = bytes;
  if (out != NULL)
    memcpy (out, data, bytes);
  return 0;
}

static const struct qk_comm_class single = {
  .cls = QK_CLASS_DEFAULT (struct qk_comm_class, QK_KIND_COMM, "single",
                           "One process alone", NULL, 1, 0, ""),
  .create = single_create,
  .destroy = single_destroy,
  .reduce = single_reduce,
  .gather = single_gather,
};

QK_PLUGIN ("single", "1.0", "LGPL-2.1-or-later", &single.cls);
