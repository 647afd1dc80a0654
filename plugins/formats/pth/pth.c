/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pth.c: PyTorch's files of weights, read without Python: torch.save of a
 * state dict, or of anything that has one in a dictionary. */
#include "config.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "legacy.h"
#include "pth-priv.h"

#define HEAD_SIZE 64 /* bytes that tell the form */

static bool
is_archive (const void *head, size_t n)
{
  return n >= 4 && memcmp (head, "PK\003\004", 4) == 0;
}

/* The name of an archive's first entry stands 30 bytes behind its beginning.
 * PyTorch's lie in a folder, and are not those of NumPy. */
static bool
is_of_torch (const unsigned char *head, size_t n)
{
  const size_t length = n > 30 ? (size_t) (head[26] | head[27] << 8) : 0;
  const char *name = (const char *) head + 30;

  if (length == 0 || length > n - 30 || memchr (name, '/', length) == NULL)
    return false;
  return length < 4 || memcmp (name + length - 4, ".npy", 4) != 0;
}

static bool
pth_recognize (const void *head, size_t n)
{
  return (is_archive (head, n) && is_of_torch (head, n))
         || legacy_begins (head, n);
}

static void
pth_close (void *self)
{
  struct pth_file *f = self;
  int64_t i;

  if (f == NULL)
    return;
  for (i = 0; f->data != NULL && i < f->pickle.n; i++)
    qk_free (f->data[i]);
  free (f->data);
  qk_free (f->storage);
  pickle_clear (&f->pickle);
  if (f->zip != NULL)
    zip_discard (f->zip);
  if (f->fd >= 0)
    close (f->fd);
  free (f->prefix);
  free (f->path);
  free (f);
}

/* f->fd, f->size and the first bytes. */
static int
open_file (struct pth_file *f, unsigned char *head, size_t *n)
{
  struct stat st;
  ssize_t got;
  int r;

  if ((f->fd = open (f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) < 0
      || fstat (f->fd, &st) < 0) {
    r = -errno;
    return qk_error (r, "%s: cannot open: %s", f->path, strerror (-r));
  }
  if (!S_ISREG (st.st_mode))
    return qk_error (-EINVAL, "%s: not a regular file", f->path);
  if ((got = pread (f->fd, head, HEAD_SIZE, 0)) < 0) {
    r = -errno;
    return qk_error (r, "%s: cannot read: %s", f->path, strerror (-r));
  }
  *n = (size_t) got;
  f->size = (uint64_t) st.st_size;
  /* a storage may be shared, but not read and copied without end */
  f->budget = f->size < UINT64_MAX / 8 ? 8 * f->size : UINT64_MAX;
  return 0;
}

static int
open_archive (struct pth_file *f)
{
  int error = 0, r;
  zip_error_t ze;

  close (f->fd);
  f->fd = -1;
  f->zip = zip_open (f->path, ZIP_RDONLY | ZIP_CHECKCONS, &error);
  if (f->zip != NULL)
    return pth_read_archive (f);
  zip_error_init_with_code (&ze, error);
  r = qk_error (-EBADMSG,
                "%s: begins as an archive of PyTorch, but is cut short or "
                "damaged: %s",
                f->path, zip_error_strerror (&ze));
  zip_error_fini (&ze);
  return r;
}

static int
read_any (struct pth_file *f)
{
  unsigned char head[HEAD_SIZE];
  size_t n = 0;
  const int r = open_file (f, head, &n);

  if (r < 0)
    return r;
  if (is_archive (head, n))
    return open_archive (f);
  if (legacy_begins (head, n))
    return pth_read_legacy (f);
  return qk_error (
    -EBADMSG,
    "%s: not a PyTorch file of weights: neither an archive nor "
    "what torch.save wrote before 1.6%s",
    f->path,
    n > 0 && head[0] == 0x80 ? ", but a pickle of something else" : "");
}

static int
pth_open (const struct qk_config *cfg, const char *path, void **self)
{
  struct pth_file *f = calloc (1, sizeof *f);
  int r;

  (void) cfg;
  if (f == NULL)
    return qk_oom ("%s", path);
  f->fd = -1;
  f->path = strdup (path);
  r = f->path == NULL ? qk_oom ("%s", path) : read_any (f);
  if (r == 0) {
    f->data = calloc ((size_t) f->pickle.n + 1, sizeof *f->data);
    r = f->data == NULL ? qk_oom ("%s", path) : 0;
  }
  if (r < 0)
    pth_close (f);
  else
    *self = f;
  return r;
}

static int64_t
pth_count (void *self)
{
  const struct pth_file *f = self;

  return f->pickle.n;
}

/* There is none. */
static const char *
pth_metadata (void *self, const char *key)
{
  (void) self;
  (void) key;
  return NULL;
}

static const char *const suffixes[]
  = { ".pth", ".pt", ".pth.tar", ".ckpt", ".th", NULL };

static const struct qk_format_class pth = {
  .cls = QK_CLASS (struct qk_format_class, QK_KIND_FORMAT, "pth",
                   "State dicts as PyTorch's torch.save writes them, of any "
                   "version; only tensors are read, nothing is run",
                   NULL),
  .suffixes = suffixes,
  .open = pth_open,
  .close = pth_close,
  .count = pth_count,
  .entry = pth_entry,
  .metadata = pth_metadata,
  .recognize = pth_recognize,
};

QK_PLUGIN ("pth", PACKAGE_VERSION, "LGPL-2.1-or-later", &pth.cls);
