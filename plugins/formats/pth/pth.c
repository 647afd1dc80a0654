/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pth.c: PyTorch's files of weights, read without Python: torch.save of a
 * state dict, or of a dictionary with one in it. */
#include "config.h"

#include <string.h>
#include <sys/stat.h>

#include "pth-priv.h"

static int
pth_open (const struct qk_config *cfg, const char *path, void **self)
{
  struct pth_file *f;
  struct stat st;
  int error = 0, r;
  zip_error_t ze;
  zip_t *zip;

  (void) cfg;
  if (stat (path, &st) < 0) {
    r = -errno;
    return qk_error (r, "%s: cannot open: %s", path, strerror (-r));
  }
  if (!S_ISREG (st.st_mode))
    return qk_error (-EINVAL, "%s: not a regular file", path);
  zip = zip_open (path, ZIP_RDONLY | ZIP_CHECKCONS, &error);
  if (zip == NULL) {
    zip_error_init_with_code (&ze, error);
    r = qk_error (-EBADMSG, "%s: %s%s", path, zip_error_strerror (&ze),
                  error == ZIP_ER_NOZIP
                    ? "; files of PyTorch before 1.6 have to be saved again "
                      "by a newer one"
                    : "");
    zip_error_fini (&ze);
    return r;
  }
  if ((r = pth_read (zip, (uint64_t) st.st_size, path, &f)) < 0)
    return r;
  *self = f;
  return 0;
}

static void
pth_close (void *self)
{
  pth_free (self);
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

static const char *const suffixes[] = { ".pth", ".pt", NULL };

static const struct qk_format_class pth = {
  .cls = QK_CLASS (struct qk_format_class, QK_KIND_FORMAT, "pth",
                   "State dicts as PyTorch's torch.save writes them; only "
                   "tensors are read, nothing is run",
                   NULL),
  .suffixes = suffixes,
  .open = pth_open,
  .close = pth_close,
  .count = pth_count,
  .entry = pth_entry,
  .metadata = pth_metadata,
};

QK_PLUGIN ("pth", PACKAGE_VERSION, "LGPL-2.1-or-later", &pth.cls);
