/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* NAME.c: samples from a table of numbers in a file, one sample a line, numbers
 * apart by commas or blanks: first the inputs, last the targets.  Lines that
 * begin with no number (a title, a comment, nothing) are left out.
 *
 *   [data]
 *   dataset = ./NAME.so
 *   file = samples.csv
 *   targets = 2 */
#define _POSIX_C_SOURCE 200809L /* getline */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qatkit/dataset.h>

#define MAX_COLUMNS 4096

struct NAME {
  float *row; /* samples of this split, inputs and targets of each */
  int64_t count;
  int64_t columns, targets; /* of a sample */
  float noise;
  struct qk_tensor_spec input, target;
};

/* A default of NULL makes an option required. */
static const struct qk_option NAME_options[]
  = { { "file", QK_OPT_PATH, NULL, 0, 0, NULL, "File with the numbers" },
      { "targets", QK_OPT_INT, "1", 1, MAX_COLUMNS - 1, NULL,
        "Numbers at the end of a line that are targets" },
      { "val_share", QK_OPT_FLOAT, "0.2", 0.001, 0.999, NULL,
        "Share of the lines, evenly spread, that is evaluated on" },
      { "noise", QK_OPT_FLOAT, "0", 0, 1e6, NULL,
        "Standard deviation of random numbers that are added to the inputs "
        "of training samples" },
      { NULL, QK_OPT_INT, NULL, 0, 0, NULL, NULL } };

static void
NAME_close (void *self)
{
  struct NAME *d = self;

  if (d != NULL)
    free (d->row);
  free (d);
}

/* The numbers of LINE; returns how many. */
static int64_t
NAME_parse (char *line, float *x)
{
  int64_t n = 0;
  char *end;

  for (; n < MAX_COLUMNS; line = end + strspn (end, ", \t")) {
    x[n] = strtof (line, &end);
    if (end == line)
      break;
    n++;
  }
  return n;
}

/* Append the sample X. */
static int
NAME_add (struct NAME *d, const float *x)
{
  const size_t n = (size_t) (d->columns + d->targets);
  float *grown = d->row;

  if ((d->count & (d->count - 1)) == 0) /* 0 and powers of two */
    grown = realloc (d->row, (d->count > 0 ? 2 * (size_t) d->count : 1) * n
                               * sizeof *grown);
  if (grown == NULL)
    return qk_oom ("NAME");
  d->row = grown;
  memcpy (d->row + (size_t) d->count * n, x, n * sizeof *x);
  d->count++;
  return 0;
}

/* Read the lines of F that belong to the split. */
static int
NAME_load (struct NAME *d, FILE *f, const char *path, double share, bool val)
{
  static const char two[] = "at least one input and the targets";
  float x[MAX_COLUMNS];
  int64_t samples = 0;
  char *line = NULL;
  size_t size = 0;
  int number, r = 0;

  for (number = 1; r == 0 && getline (&line, &size, f) >= 0; number++) {
    const int64_t n = NAME_parse (line, x);

    if (n == 0)
      continue;
    if (d->columns == 0)
      d->columns = n - d->targets;
    if (d->columns <= 0 || n != d->columns + d->targets)
      r = qk_error (-EINVAL, "NAME: %s:%d: %lld numbers, expected %s", path,
                    number, (long long) n,
                    d->columns <= 0 ? two : "as many as in the first line");
    else if (((int64_t) ((double) (samples + 1) * share)
              > (int64_t) ((double) samples * share))
             == val)
      r = NAME_add (d, x);
    samples++;
  }
  free (line);
  if (r == 0 && d->count == 0)
    r = qk_error (-EINVAL, "NAME: %s has no samples for this split", path);
  return r;
}

/* Once for each split: "train", "val", or NULL where only files of the user's
 * will be read.  Open and check everything here, so that read can hardly
 * fail. */
static int
NAME_open (const struct qk_config *cfg, const struct qk_dataset_request *req,
           void **self)
{
  const char *path = qk_config_string (cfg, "file");
  const bool val = req->split == NULL || strcmp (req->split, "val") == 0;
  struct NAME *d = calloc (1, sizeof *d);
  FILE *f;
  int r;

  if (d == NULL)
    return qk_oom ("NAME");
  d->targets = qk_config_int (cfg, "targets");
  d->noise = req->augment ? (float) qk_config_float (cfg, "noise") : 0.0f;
  f = fopen (path, "r");
  if (f == NULL) {
    r = -errno;
    qk_error (r, "NAME: cannot open %s: %s", path, strerror (-r));
  } else {
    r = NAME_load (d, f, path, qk_config_float (cfg, "val_share"), val);
    fclose (f);
  }
  if (r < 0) {
    NAME_close (d);
    return r;
  }
  d->input.name = "columns";
  d->input.dtype = QK_F32;
  d->input.shape.ndim = 2;
  d->input.shape.dims[0] = 1; /* one sample */
  d->input.shape.dims[1] = d->columns;
  d->target = d->input;
  d->target.name = "values";
  d->target.shape.dims[1] = d->targets;
  *self = d;
  return 0;
}

/* After open: how many samples there are and what they are like.  The specs
 * belong to self.  A class label would be a target of dtype QK_I32 and shape
 * (1) with categories and perhaps their names. */
static int
NAME_info (void *self, struct qk_dataset_info *out)
{
  struct NAME *d = self;

  out->count = d->count;
  out->n_inputs = out->n_targets = 1;
  out->input = &d->input;
  out->target = &d->target;
  return 0;
}

/* Sample INDEX, into memory as large as the specs say.  Called from several
 * threads at once, so self is only read; buffers would go into a worker, one
 * for each thread (slots worker_new and worker_free).  All randomness comes
 * from RNG, which depends on seed, epoch and index alone.  -EBADMSG means that
 * this sample is damaged: it is skipped and counted. */
static int
NAME_read (void *self, void *worker, int64_t index, struct qk_rng *rng,
           void *const *input, void *const *target)
{
  const struct NAME *d = self;
  const float *row = d->row + index * (d->columns + d->targets);
  float *x = input[0];

  (void) worker;
  memcpy (x, row, (size_t) d->columns * sizeof *x);
  memcpy (target[0], row + d->columns, (size_t) d->targets * sizeof *x);
  for (int64_t i = 0; d->noise > 0 && i < d->columns; i++)
    x[i] += d->noise * (float) qk_rng_normal (rng);
  return 0;
}

/* For "qatkit predict": the inputs of a file of the user's, here of its first
 * line of numbers.  (optional) */
static int
NAME_read_file (void *self, void *worker, const char *path, void *const *input)
{
  const struct NAME *d = self;
  float x[MAX_COLUMNS];
  FILE *f = fopen (path, "r");
  char *line = NULL;
  size_t size = 0;
  int64_t n = 0;

  (void) worker;
  if (f == NULL)
    return qk_error (-errno, "NAME: cannot open %s: %s", path,
                     strerror (errno));
  while (n == 0 && getline (&line, &size, f) >= 0)
    n = NAME_parse (line, x);
  fclose (f);
  free (line);
  if (n < d->columns)
    return qk_error (-EBADMSG, "NAME: %s has %lld numbers, expected %lld",
                     path, (long long) n, (long long) d->columns);
  memcpy (input[0], x, (size_t) d->columns * sizeof *x);
  return 0;
}

static const struct qk_dataset_class NAME_class = {
  .cls = QK_CLASS (struct qk_dataset_class, QK_KIND_DATASET, "NAME",
                   "Samples from a table of numbers", NAME_options),
  .open = NAME_open,
  .close = NAME_close,
  .info = NAME_info,
  .read = NAME_read,
  .read_file = NAME_read_file,
};

QK_PLUGIN ("NAME", "1.0", "LGPL-2.1-or-later", &NAME_class.cls);
