/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tensorboard.c: writes the numbers of a run as an event file.
 *
 * A file events.out.tfevents.SECONDS.qatkit in the folder of the run, a new
 * one each time a run starts or goes on, of records
 *
 *   length (8 bytes), crc (length), data, crc (data)      all little endian
 *
 * where crc is a CRC-32C, rotated and moved by a constant, and data a message
 * Event of protocol buffers:
 *
 *   Event   { double wall_time = 1; int64 step = 2; string file_version = 3;
 *             Summary summary = 5; }
 *   Summary { repeated Value value = 1; }
 *   Value   { string tag = 1; float simple_value = 2; }
 *
 * (tensorflow/core/util/event.proto, framework/summary.proto,
 * lib/io/record_writer.h).  The scalars of event "epoch" of stage "qat" are
 * called qat/loss, qat/top1 ..., those of an evaluation by their network.
 * Unlike the other logs these tell the time, which the format wants. */
#include "config.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <qatkit/reporter.h>

#define PREFIX "events.out.tfevents."
#define SUFFIX ".qatkit"

struct tensorboard {
  char *path;
  int fd;
};

/* ---- messages ---------------------------------------------------------------*/

/* A message being made. */
struct message {
  uint8_t *data;
  size_t n, room;
  bool failed; /* out of memory */
};

static void
put (struct message *m, const void *data, size_t n)
{
  if (m->failed)
    return;
  if (m->room - m->n < n) {
    const size_t room = 2 * (m->n + n) + 64;
    uint8_t *more = realloc (m->data, room);

    if (more == NULL) {
      m->failed = true;
      return;
    }
    m->data = more;
    m->room = room;
  }
  memcpy (m->data + m->n, data, n);
  m->n += n;
}

static void
put_byte (struct message *m, unsigned b)
{
  const uint8_t byte = (uint8_t) b;

  put (m, &byte, 1);
}

static void
put_little (struct message *m, uint64_t v, int bytes)
{
  int i;

  for (i = 0; i < bytes; i++)
    put_byte (m, (unsigned) (v >> (8 * i)) & 0xff);
}

static void
put_varint (struct message *m, uint64_t v)
{
  for (; v >= 0x80; v >>= 7)
    put_byte (m, (unsigned) (v & 0x7f) | 0x80);
  put_byte (m, (unsigned) v);
}

enum wire { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

static void
put_key (struct message *m, int field, enum wire wire)
{
  put_varint (m, (uint64_t) field << 3 | (uint64_t) wire);
}

static void
put_bytes (struct message *m, int field, const void *data, size_t n)
{
  put_key (m, field, BYTES);
  put_varint (m, n);
  put (m, data, n);
}

static void
put_double (struct message *m, int field, double v)
{
  uint64_t bits;

  memcpy (&bits, &v, sizeof bits);
  put_key (m, field, FIXED64);
  put_little (m, bits, 8);
}

static void
put_float (struct message *m, int field, float v)
{
  uint32_t bits;

  memcpy (&bits, &v, sizeof bits);
  put_key (m, field, FIXED32);
  put_little (m, bits, 4);
}

/* ---- records ------------------------------------------------------------------*/

/* CRC-32C (Castagnoli), reflected, masked as the format has it. */
static uint32_t
masked_crc (const uint8_t *data, size_t n)
{
  uint32_t crc = 0xffffffff;
  size_t i;
  int k;

  for (i = 0; i < n; i++) {
    crc ^= data[i];
    for (k = 0; k < 8; k++)
      crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  crc = ~crc;
  return (crc >> 15 | crc << 17) + 0xa282ead8;
}

/* Write the event as one record, in one piece. */
static int
write_record (struct tensorboard *t, const struct message *event)
{
  struct message r = { NULL, 0, 0, event->failed };
  size_t at = 0;
  int err = 0;

  put_little (&r, event->n, 8);
  if (!r.failed)
    put_little (&r, masked_crc (r.data, 8), 4);
  put (&r, event->data, event->n);
  put_little (&r, masked_crc (event->data, event->n), 4);
  if (r.failed)
    err = qk_oom ("tensorboard");
  while (err == 0 && at < r.n) {
    const ssize_t n = write (t->fd, r.data + at, r.n - at);

    if (n >= 0)
      at += (size_t) n;
    else if (errno != EINTR)
      err = qk_error (-errno, "tensorboard: %s: cannot write: %s", t->path,
                      strerror (errno));
  }
  free (r.data);
  return err;
}

static void
begin_event (struct message *m)
{
  struct timespec now;

  clock_gettime (CLOCK_REALTIME, &now);
  put_double (m, 1, (double) now.tv_sec + 1e-9 * (double) now.tv_nsec);
}

/* ---- the file -----------------------------------------------------------------*/

static void
tensorboard_destroy (void *self)
{
  struct tensorboard *t = self;

  if (t == NULL)
    return;
  if (t->fd >= 0)
    close (t->fd);
  free (t->path);
  free (t);
}

/* What earlier runs left would be drawn with this one's. */
static void
remove_old (const char *folder)
{
  DIR *dir = opendir (folder);
  const struct dirent *e;

  while (dir != NULL && (e = readdir (dir)) != NULL) {
    const size_t n = strlen (e->d_name), end = strlen (SUFFIX);

    if (strncmp (e->d_name, PREFIX, strlen (PREFIX)) == 0 && n > end
        && strcmp (e->d_name + n - end, SUFFIX) == 0)
      unlinkat (dirfd (dir), e->d_name, 0);
  }
  if (dir != NULL)
    closedir (dir);
}

/* A file that is not there yet: of this second or one of the next. */
static int
open_new (struct tensorboard *t, const char *folder)
{
  const time_t now = time (NULL);
  int i;

  for (i = 0; i < 1000 && t->fd < 0; i++) {
    free (t->path);
    if (asprintf (&t->path, "%s/" PREFIX "%lld" SUFFIX, folder,
                  (long long) now + i)
        < 0) {
      t->path = NULL;
      return qk_oom ("tensorboard");
    }
    t->fd = open (t->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (t->fd < 0 && errno != EEXIST)
      break;
  }
  return t->fd >= 0 ? 0
                    : qk_error (-errno, "tensorboard: %s: cannot open: %s",
                                t->path, strerror (errno));
}

static int
tensorboard_create (const struct qk_config *cfg,
                    const struct qk_reporter_request *req, void **self)
{
  static const char version[] = "brain.Event:2";
  struct tensorboard *t = calloc (1, sizeof *t);
  struct message m = { NULL, 0, 0, false };
  int err;

  (void) cfg;
  if (t == NULL)
    return qk_oom ("tensorboard");
  t->fd = -1;
  if (!req->resume)
    remove_old (req->dir);
  if ((err = open_new (t, req->dir)) == 0) {
    begin_event (&m);
    put_bytes (&m, 3, version, strlen (version));
    err = write_record (t, &m);
    free (m.data);
  }
  if (err < 0) {
    tensorboard_destroy (t);
    return err;
  }
  *self = t;
  return 0;
}

/* ---- events -------------------------------------------------------------------*/

static const struct qk_field *
find (const struct qk_event *ev, const char *key, enum qk_field_type type)
{
  int i;

  for (i = 0; i < ev->n; i++)
    if (ev->field[i].type == type && strcmp (ev->field[i].key, key) == 0)
      return &ev->field[i];
  return NULL;
}

/* What the numbers are about: the stage, the network or what was timed,
 * less the count in "int8 3/8", which goes to *COUNT (else 0). */
static const char *
subject (const struct qk_event *ev, size_t *n, int64_t *count)
{
  static const char *const keys[] = { "stage", "network", "what" };
  const char *s = ev->name, *blank;
  long long done, all;
  int end = 0;
  size_t i;

  for (i = 0; i < sizeof keys / sizeof *keys; i++) {
    const struct qk_field *f = find (ev, keys[i], QK_FIELD_STRING);

    if (f != NULL && f->s != NULL)
      s = f->s;
  }
  *n = strlen (s);
  *count = 0;
  blank = strrchr (s, ' ');
  if (blank != NULL && sscanf (blank, " %lld/%lld%n", &done, &all, &end) == 2
      && blank[end] == 0) {
    *n = (size_t) (blank - s);
    *count = done;
  }
  return s;
}

/* Steps count from 1, as people do; 0 is before the first epoch. */
static int64_t
step_of (const struct qk_event *ev, int64_t count)
{
  const struct qk_field *step = find (ev, "step", QK_FIELD_INT);
  const struct qk_field *epoch = find (ev, "epoch", QK_FIELD_INT);

  if (step != NULL)
    return step->i;
  if (epoch == NULL)
    return count;
  if (strcmp (ev->name, "epoch") == 0)
    return epoch->i + 1;
  return epoch->i > 0 ? epoch->i : 0;
}

static void
put_scalar (struct message *summary, const struct qk_event *ev,
            const char *group, size_t n, const struct qk_field *f)
{
  struct message value = { NULL, 0, 0, false };
  char *tag, *c;

  if (asprintf (&tag, "%s%.*s/%s", ev->timing ? "timing/" : "", (int) n, group,
                f->key)
      < 0) {
    summary->failed = true;
    return;
  }
  for (c = tag; *c != 0; c++)
    if (*c == ' ')
      *c = '_';
  put_bytes (&value, 1, tag, strlen (tag));
  put_float (&value, 2, (float) f->f);
  put_bytes (summary, 1, value.data, value.n);
  summary->failed = summary->failed || value.failed;
  free (value.data);
  free (tag);
}

static int
tensorboard_event (void *self, const struct qk_event *ev)
{
  struct message m = { NULL, 0, 0, false }, summary = { NULL, 0, 0, false };
  const char *group;
  int64_t count;
  size_t n;
  int i, err = 0;

  group = subject (ev, &n, &count);
  for (i = 0; i < ev->n; i++)
    if (ev->field[i].type == QK_FIELD_FLOAT)
      put_scalar (&summary, ev, group, n, &ev->field[i]);
  if (summary.n > 0 || summary.failed) {
    begin_event (&m);
    put_key (&m, 2, VARINT);
    put_varint (&m, (uint64_t) step_of (ev, count));
    put_bytes (&m, 5, summary.data, summary.n);
    m.failed = m.failed || summary.failed;
    err = write_record (self, &m);
  }
  free (summary.data);
  free (m.data);
  return err;
}

static const struct qk_reporter_class tensorboard = {
  .cls = QK_CLASS (
    struct qk_reporter_class, QK_KIND_REPORTER, "tensorboard",
    "Writes loss, rate and accuracy as a TensorBoard event file", NULL),
  .create = tensorboard_create,
  .destroy = tensorboard_destroy,
  .event = tensorboard_event,
};

QK_PLUGIN ("tensorboard", PACKAGE_VERSION, "LGPL-2.1-or-later",
           &tensorboard.cls);
