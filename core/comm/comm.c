/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* comm.c: the processes that train together, as the library uses them. */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <qatkit/tensor.h>

#include "base/called.h"
#include "base/difference.h"
#include "comm/comm.h"

/* Arrays of fewer floats travel together in buckets of that many. */
#define BUCKET 65536

/* An array waiting in a bucket. */
struct piece {
  float *data;
  size_t count;
};

struct bucket {
  struct bucket *next;
  float *sum; /* BUCKET floats */
  size_t used;
  struct piece *piece;
  int n, room;
};

struct qk_comm {
  const struct qk_comm_class *cls;
  void *self;
  int rank, size;
  struct bucket *open;    /* being filled, NULL: none */
  struct bucket *started; /* on their way */
};

/* An error of the plugin or of this process among several. */
static int
blame (const struct qk_comm *c, int err)
{
  return qk_error_prefix (
    err, "comm '%s', process %d of %d: ", c->cls->cls.name, c->rank, c->size);
}

int
qk_comm_open (const struct qk_comm_class *cls, const struct qk_config *cfg,
              struct qk_comm **out)
{
  struct qk_comm *c = calloc (1, sizeof *c);
  int r;

  if (c == NULL)
    return qk_oom ("comm");
  c->cls = cls;
  if ((r = QK_CALLED (&cls->cls, "create",
                      cls->create (cfg, &c->self, &c->rank, &c->size)))
      < 0) {
    free (c);
    return qk_error_prefix (r, "comm '%s': ", cls->cls.name);
  }
  if (c->size < 1 || c->rank < 0 || c->rank >= c->size) {
    r = qk_error (-ENOEXEC,
                  "comm '%s' says this is process %d of %d, "
                  "expected 0 to one less",
                  cls->cls.name, c->rank, c->size);
    qk_comm_close (c);
    return r;
  }
  *out = c;
  return 0;
}

static void
free_buckets (struct bucket *b)
{
  while (b != NULL) {
    struct bucket *const next = b->next;

    qk_free (b->sum);
    free (b->piece);
    free (b);
    b = next;
  }
}

void
qk_comm_close (struct qk_comm *c)
{
  if (c == NULL)
    return;
  c->cls->destroy (c->self);
  free_buckets (c->open);
  free_buckets (c->started);
  free (c);
}

int
qk_comm_rank (const struct qk_comm *c)
{
  return c != NULL ? c->rank : 0;
}

int
qk_comm_size (const struct qk_comm *c)
{
  return c != NULL ? c->size : 1;
}

int
qk_comm_reduce (struct qk_comm *c, enum qk_comm_op op, enum qk_comm_type type,
                void *data, size_t count)
{
  int r;

  if (qk_comm_size (c) == 1 || count == 0)
    return 0;
  r = c->cls->reduce (c->self, op, type, data, count);
  return r < 0 ? blame (c, r) : 0;
}

int
qk_comm_gather (struct qk_comm *c, const float *x, size_t n, float **all,
                size_t *total)
{
  size_t *sizes = calloc ((size_t) qk_comm_size (c), sizeof *sizes);
  int i, r;

  *all = NULL;
  *total = 0;
  if (sizes == NULL)
    return qk_oom ("comm");
  r = c->cls->gather (c->self, x, n * sizeof *x, sizes, NULL);
  for (i = 0; r == 0 && i < c->size; i++)
    *total += sizes[i] / sizeof *x;
  if (r == 0 && (*all = qk_alloc (*total * sizeof *x)) == NULL)
    r = qk_oom ("%zu values of all processes", *total);
  if (r == 0)
    r = c->cls->gather (c->self, x, n * sizeof *x, sizes, *all);
  free (sizes);
  if (r == 0)
    return 0;
  qk_free (*all);
  *all = NULL;
  return blame (c, r);
}

/* ---- gradients ----------------------------------------------------------- */

static int
start (struct qk_comm *c, float *data, size_t count)
{
  const int r
    = c->cls->start != NULL
        ? c->cls->start (c->self, data, count)
        : c->cls->reduce (c->self, QK_COMM_SUM, QK_COMM_F32, data, count);

  return r < 0 ? blame (c, r) : 0;
}

static int
send_bucket (struct qk_comm *c)
{
  struct bucket *b = c->open;

  if (b == NULL)
    return 0;
  c->open = NULL;
  b->next = c->started;
  c->started = b;
  return start (c, b->sum, b->used);
}

static int
open_bucket (struct qk_comm *c)
{
  struct bucket *b = calloc (1, sizeof *b);

  if (b != NULL)
    b->sum = qk_alloc (BUCKET * sizeof *b->sum);
  if (b == NULL || b->sum == NULL) {
    free (b);
    return qk_oom ("comm");
  }
  c->open = b;
  return 0;
}

int
qk_comm_sum_begin (struct qk_comm *c, float *data, size_t count)
{
  struct bucket *b;
  int r;

  if (qk_comm_size (c) == 1 || count == 0)
    return 0;
  if (count >= BUCKET)
    return start (c, data, count);
  if (c->open != NULL && c->open->used + count > BUCKET
      && (r = send_bucket (c)) < 0)
    return r;
  if (c->open == NULL && (r = open_bucket (c)) < 0)
    return r;
  b = c->open;
  if (b->n == b->room) {
    const int room = b->room > 0 ? 2 * b->room : 64;
    struct piece *p = realloc (b->piece, (size_t) room * sizeof *p);

    if (p == NULL)
      return qk_oom ("comm");
    b->piece = p;
    b->room = room;
  }
  b->piece[b->n++] = (struct piece){ data, count };
  memcpy (b->sum + b->used, data, count * sizeof *data);
  b->used += count;
  return 0;
}

int
qk_comm_sum_end (struct qk_comm *c)
{
  struct bucket *b;
  int i, r;

  if (qk_comm_size (c) == 1)
    return 0;
  if ((r = send_bucket (c)) < 0)
    return r;
  if (c->cls->wait != NULL && (r = c->cls->wait (c->self)) < 0)
    return blame (c, r);
  for (b = c->started; b != NULL; b = b->next) {
    const float *x = b->sum;

    for (i = 0; i < b->n; x += b->piece[i++].count)
      memcpy (b->piece[i].data, x, b->piece[i].count * sizeof *x);
  }
  free_buckets (c->started);
  c->started = NULL;
  return 0;
}

/* ---- agreement ------------------------------------------------------------- */

/* What two equal arrays have in common, and others hardly ever. */
struct digest {
  uint64_t bytes;
  uint32_t crc, adler;
};

/* Everybody's bytes, one after the other in *ALL, for free; SIZES has how many
 * each has. */
static int
gather_bytes (struct qk_comm *c, const void *data, size_t bytes, size_t *sizes,
              char **all)
{
  size_t total = 0;
  int i, r = c->cls->gather (c->self, data, bytes, sizes, NULL);

  *all = NULL;
  for (i = 0; r == 0 && i < c->size; i++)
    total += sizes[i];
  if (r == 0 && (*all = malloc (total + 1)) == NULL)
    return qk_oom ("%zu bytes of all processes", total);
  if (r == 0)
    r = c->cls->gather (c->self, data, bytes, sizes, *all);
  if (r == 0)
    return 0;
  free (*all);
  *all = NULL;
  return blame (c, r);
}

/* The first process whose DATA is not that of process 0, 0 if there is none. */
static int
find_other (struct qk_comm *c, const void *data, size_t bytes, size_t *sizes)
{
  const struct digest mine = {
    bytes,
    (uint32_t) crc32_z (0, data, bytes),
    (uint32_t) adler32_z (1, data, bytes),
  };
  struct digest *all;
  char *raw;
  int i, r = gather_bytes (c, &mine, sizeof mine, sizes, &raw);

  if (r < 0)
    return r;
  all = (struct digest *) (void *) raw;
  for (i = 1; i < c->size; i++)
    if (sizes[i] != sizeof mine || memcmp (&all[i], &all[0], sizeof mine) != 0)
      break;
  free (raw);
  return i < c->size ? i : 0;
}

int
qk_comm_check_same (struct qk_comm *c, const char *what, const void *data,
                    size_t bytes)
{
  size_t *sizes;
  int other;

  if (qk_comm_size (c) == 1)
    return 0;
  if ((sizes = calloc ((size_t) c->size, sizeof *sizes)) == NULL)
    return qk_oom ("comm");
  other = find_other (c, data, bytes, sizes);
  free (sizes);
  return other <= 0
           ? other
           : qk_error (-EPROTO,
                       "process %d of %d: %s differs from that of process 0, "
                       "expected the same bytes",
                       other, c->size, what);
}

/* Process 0 and OTHER show their text, which is not the same. */
static int
tell_difference (struct qk_comm *c, int other, const char *what,
                 const char *text, size_t size, size_t *sizes)
{
  const bool shows = c->rank == 0 || c->rank == other;
  char said[512], *all;
  int r = gather_bytes (c, text, shows ? size : 0, sizes, &all);

  if (r < 0)
    return r;
  qk_difference (all, sizes[0], all + sizes[0], sizes[other], said,
                 sizeof said);
  free (all);
  return qk_error (-EPROTO,
                   "process %d of %d: %s differ from those of process 0: %s",
                   other, c->size, what, said);
}

int
qk_comm_check_text (struct qk_comm *c, const char *what, const char *text,
                    size_t size)
{
  size_t *sizes;
  int other, r;

  if (qk_comm_size (c) == 1)
    return 0;
  if ((sizes = calloc ((size_t) c->size, sizeof *sizes)) == NULL)
    return qk_oom ("comm");
  other = find_other (c, text, size, sizes);
  r = other > 0 ? tell_difference (c, other, what, text, size, sizes) : other;
  free (sizes);
  return r;
}

void
qk_comm_abort (struct qk_comm *c)
{
  if (qk_comm_size (c) > 1 && c->cls->abort != NULL)
    c->cls->abort (c->self);
}
