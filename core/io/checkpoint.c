/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* checkpoint.c: one checkpoint file, with its version and checksum. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memtext.h"
#include "io/checkpoints.h"
#include "io/checksum.h"

/* Our own metadata; the checksum covers everything but itself. */
#define KEY_VERSION "checkpoint.version"
#define KEY_KEYS "checkpoint.keys" /* the others, comma separated */
#define KEY_CHECKSUM "checkpoint.crc32"
#define KEY_PREFIX "checkpoint."

struct qk_checkpoint {
  struct qk_tensorfile *file;
};

/* ---- reading ---------------------------------------------------------*/

/* The major version the file says it has; -EBADMSG for no checkpoint. */
static int
read_major (const struct qk_tensorfile *f)
{
  const char *text = qk_tensorfile_metadata (f, KEY_VERSION);
  int major = -1, minor = -1, end = -1;

  if (text && strlen (text) < 20)
    sscanf (text, "%5d.%5d%n", &major, &minor, &end);
  if (end < 0 || text[end] || major < 0 || minor < 0)
    return qk_error (
      -EBADMSG,
      "%s: not a checkpoint: %s is \"%.40s\", expected a version "
      "like %d.%d",
      qk_tensorfile_path (f), KEY_VERSION, text ? text : "missing",
      QK_CHECKPOINT_MAJOR, QK_CHECKPOINT_MINOR);
  return major;
}

/* Add every metadata pair named in the list of keys. */
static int
sum_metadata (const struct qk_tensorfile *f, uint32_t *crc)
{
  const char *list = qk_tensorfile_metadata (f, KEY_KEYS);
  char *keys, *key, *rest;
  int err = 0;

  if (!list)
    return qk_error (-EBADMSG, "%s: damaged: metadata %s is missing",
                     qk_tensorfile_path (f), KEY_KEYS);
  keys = strdup (list);
  if (!keys)
    return qk_oom ("%s", qk_tensorfile_path (f));
  *crc = qk_checksum_text (*crc, KEY_KEYS);
  *crc = qk_checksum_text (*crc, list);
  rest = keys;
  while (err == 0 && (key = strsep (&rest, ",")) != NULL) {
    const char *value = qk_tensorfile_metadata (f, key);

    if (!value) {
      err = qk_error (-EBADMSG, "%s: damaged: metadata \"%.200s\" is missing",
                      qk_tensorfile_path (f), key);
    } else {
      *crc = qk_checksum_text (*crc, key);
      *crc = qk_checksum_text (*crc, value);
    }
  }
  free (keys);
  return err;
}

static int
check_sum (const struct qk_tensorfile *f)
{
  const int64_t n = qk_tensorfile_count (f);
  const char *text = qk_tensorfile_metadata (f, KEY_CHECKSUM);
  struct qk_format_entry *entries;
  uint32_t crc = 0;
  char found[16];
  int64_t i;
  int err = 0;

  entries = calloc ((size_t) n + 1, sizeof *entries);
  if (!entries)
    return qk_oom ("%s", qk_tensorfile_path (f));
  for (i = 0; err == 0 && i < n; i++)
    err = qk_tensorfile_entry (f, i, &entries[i]);
  if (err == 0)
    err = qk_checksum_entries (entries, n, NULL, 0, &crc);
  free (entries);
  if (err == 0)
    err = sum_metadata (f, &crc);
  if (err < 0)
    /* types and dimensions that no checkpoint has are damage as well */
    return err == -ENOTSUP ? qk_error_prefix (-EBADMSG, "damaged: ") : err;
  snprintf (found, sizeof found, "%08" PRIx32, crc);
  if (!text || strcmp (text, found) != 0)
    return qk_error (-EBADMSG,
                     "%s: damaged: the checksum of its contents is %s, it "
                     "should be %.40s",
                     qk_tensorfile_path (f), found, text ? text : "there");
  return 0;
}

/* A file of another major version has our checksum or, for all we know, none:
 * only with one that is right is the version more than a bent byte. */
static int
check (const struct qk_tensorfile *f)
{
  const int major = read_major (f);
  int err = major < 0 ? major : 0;

  if (err == 0
      && (major == QK_CHECKPOINT_MAJOR
          || qk_tensorfile_metadata (f, KEY_CHECKSUM)))
    err = check_sum (f);
  if (err == 0 && major != QK_CHECKPOINT_MAJOR)
    err = qk_error (-ENOTSUP,
                    "%s: checkpoint of version %.40s, this program reads "
                    "%d.x",
                    qk_tensorfile_path (f),
                    qk_tensorfile_metadata (f, KEY_VERSION),
                    QK_CHECKPOINT_MAJOR);
  return err;
}

int
qk_checkpoint_check (const struct qk_tensorfile *f)
{
  return qk_tensorfile_metadata (f, KEY_VERSION) ? check (f) : 0;
}

int
qk_checkpoint_open (struct qk_context *ctx, const char *path,
                    struct qk_checkpoint **out)
{
  struct qk_checkpoint *c;
  int err;

  c = calloc (1, sizeof *c);
  if (!c)
    return qk_oom ("%s", path);
  err = qk_tensorfile_open (ctx, path, QK_FORMAT_DEFAULT, &c->file);
  if (err == 0)
    err = check (c->file);
  if (err < 0) {
    qk_checkpoint_close (c);
    return err;
  }
  *out = c;
  return 0;
}

int
qk_checkpoint_find (struct qk_context *ctx, const char *path,
                    struct qk_checkpoint **out)
{
  struct qk_checkpoint *c = calloc (1, sizeof *c);
  int r;

  if (!c)
    return qk_oom ("%s", path);
  if (qk_tensorfile_open (ctx, path, QK_FORMAT_DEFAULT, &c->file) < 0
      || qk_tensorfile_metadata (c->file, KEY_VERSION) == NULL) {
    qk_checkpoint_close (c);
    return 0;
  }
  if ((r = check (c->file)) < 0) {
    qk_checkpoint_close (c);
    return r;
  }
  *out = c;
  return 1;
}

void
qk_checkpoint_close (struct qk_checkpoint *c)
{
  if (!c)
    return;
  qk_tensorfile_close (c->file);
  free (c);
}

const char *
qk_checkpoint_path (const struct qk_checkpoint *c)
{
  return qk_tensorfile_path (c->file);
}

const struct qk_tensorfile *
qk_checkpoint_file (const struct qk_checkpoint *c)
{
  return c->file;
}

const char *
qk_checkpoint_text (const struct qk_checkpoint *c, const char *key)
{
  return qk_tensorfile_metadata (c->file, key);
}

/* ---- writing ---------------------------------------------------------*/

static int
check_keys (const char *path, const struct qk_format_meta *meta, int n_meta)
{
  int i;

  for (i = 0; i < n_meta; i++)
    if (!meta[i].key || !meta[i].value || strchr (meta[i].key, ',')
        || strncmp (meta[i].key, KEY_PREFIX, strlen (KEY_PREFIX)) == 0)
      return qk_error (-EINVAL, "%s: metadata %d cannot be called \"%.200s\"",
                       path, i, meta[i].key ? meta[i].key : "");
  return 0;
}

/* KEY_VERSION and the caller's keys, comma separated. */
static char *
list_keys (const struct qk_format_meta *meta, int n_meta)
{
  char *text = NULL;
  size_t size;
  FILE *out = open_memstream (&text, &size);
  int i;

  if (!out)
    return NULL;
  fputs (KEY_VERSION, out);
  for (i = 0; i < n_meta; i++)
    fprintf (out, ",%s", meta[i].key);
  qk_close_text (out, &text);
  return text;
}

int
qk_checkpoint_write (struct qk_context *ctx, const char *path,
                     const struct qk_format_entry *entries, int64_t n,
                     const struct qk_format_meta *meta, int n_meta)
{
  struct qk_format_meta *all;
  char version[32], sum[16], *keys;
  uint32_t crc;
  int err = check_keys (path, meta, n_meta);

  if (err < 0)
    return err;
  keys = list_keys (meta, n_meta);
  all = calloc ((size_t) n_meta + 3, sizeof *all);
  if (!keys || !all) {
    err = qk_oom ("%s", path);
    goto done;
  }
  snprintf (version, sizeof version, "%d.%d", QK_CHECKPOINT_MAJOR,
            QK_CHECKPOINT_MINOR);
  all[0] = (struct qk_format_meta){ KEY_KEYS, keys };
  all[1] = (struct qk_format_meta){ KEY_VERSION, version };
  if (n_meta > 0)
    memcpy (all + 2, meta, (size_t) n_meta * sizeof *all);
  err = qk_checksum_entries (entries, n, all, n_meta + 2, &crc);
  if (err < 0)
    goto done;
  snprintf (sum, sizeof sum, "%08" PRIx32, crc);
  all[n_meta + 2] = (struct qk_format_meta){ KEY_CHECKSUM, sum };
  err = qk_tensorfile_write (ctx, path, QK_FORMAT_DEFAULT, entries, n, all,
                             n_meta + 3);
done:
  free (all);
  free (keys);
  return err;
}
