/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* linked.c: stands in for the plugin loader in a check_kernels that has its
 * backends linked in, as a static program for another CPU must. */
#include "config.h"

#include <string.h>

#include <qatkit/context.h>

/* The entries of the two plugins, renamed when they were compiled. */
const struct qk_plugin *reference_plugin (void);
const struct qk_plugin *qnnpack_plugin (void);

struct qk_context {
  int unused;
};

static struct qk_context nothing;

struct qk_context *
qk_context_new (void)
{
  return &nothing;
}

void
qk_context_free (struct qk_context *ctx)
{
  (void) ctx;
}

int
qk_context_class (struct qk_context *ctx, enum qk_kind kind, const char *name,
                  const struct qk_class **out)
{
  const struct qk_plugin *const plugin[]
    = { reference_plugin (), qnnpack_plugin () };

  (void) ctx;
  for (size_t i = 0; i < sizeof plugin / sizeof plugin[0]; i++)
    if (kind == QK_KIND_BACKEND && strcmp (plugin[i]->name, name) == 0) {
      *out = plugin[i]->classes[0];
      return 0;
    }
  return qk_error (-ENOENT, "no backend '%s' is linked in", name);
}
