/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* csource.c: int8 networks as C source, for microcontrollers. */
#include "config.h"

#include "csource.h"

static int
csource_open (const struct qk_config *cfg, const char *path, void **self)
{
  (void) cfg;
  (void) self;
  return qk_error (-ENOTSUP, "%s: C source is written, not read", path);
}

static void
csource_close (void *self)
{
  (void) self;
}

static int64_t
csource_count (void *self)
{
  (void) self;
  return 0;
}

static int
csource_entry (void *self, int64_t i, struct qk_format_entry *out)
{
  (void) self;
  (void) out;
  return qk_error (-EINVAL, "csource: no tensor %lld", (long long) i);
}

static const char *
csource_metadata (void *self, const char *key)
{
  (void) self;
  (void) key;
  return NULL;
}

static const struct qk_option options[]
  = { { "prefix", QK_OPT_STRING, "network", 0, 0, NULL,
        "what the files are called, and all names in them begin with" },
      { "split", QK_OPT_BOOL, "no", 0, 0, NULL,
        "constant arrays in a file of their own" },
      { "float", QK_OPT_BOOL, "yes", 0, 0, NULL,
        "use float where the machine has a unit for it; no: integers alone" },
      { NULL, 0, NULL, 0, 0, NULL, NULL } };

static const char *const suffixes[] = { NULL };

static const struct qk_format_class csource = {
  .cls = QK_CLASS (struct qk_format_class, QK_KIND_FORMAT, "csource",
                   "C99 source of int8 networks, for microcontrollers; "
                   "written only",
                   options),
  .suffixes = suffixes,
  .open = csource_open,
  .close = csource_close,
  .count = csource_count,
  .entry = csource_entry,
  .metadata = csource_metadata,
  .write_files = csource_write,
  .facts = csource_facts,
};

QK_PLUGIN ("csource", PACKAGE_VERSION, "LGPL-2.1-or-later", &csource.cls);
