/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* float.c: the backend whose float products the layers of a context use. */
#include "config.h"

#include <string.h>

#include "base/called.h"
#include "plugin/loader-priv.h"
#include "qatkit/backend.h"

static const struct qk_backend_class *
as_backend (const struct qk_class *c)
{
  return (const struct qk_backend_class *) (const void *) c;
}

/* The class NAME, which must have products and work here. */
static int
find_named (struct qk_context *ctx, const char *name,
            const struct qk_class **out)
{
  struct qk_backend_caps caps;
  int r = qk_context_class (ctx, QK_KIND_BACKEND, name, out);

  if (r < 0)
    return r;
  if (as_backend (*out)->sgemm == NULL)
    return qk_error (-EINVAL,
                     "backend '%s' has no float products (slot sgemm); give "
                     "auto, none or another backend",
                     name);
  memset (&caps, 0, sizeof caps);
  return QK_CALLED (*out, "probe", as_backend (*out)->probe (&caps));
}

int
qk_context_use_float (struct qk_context *ctx, const char *name,
                      const char **used)
{
  const struct qk_class *c = NULL;
  int r = 0;

  if (strcmp (name, "auto") == 0) {
    r = qk_context_default (ctx, QK_KIND_BACKEND, QK_FOR_FLOAT, &c);
    if (r == -ENOENT || (r == 0 && as_backend (c)->sgemm == NULL)) {
      c = NULL; /* none is installed; other errors make no other numbers */
      r = 0;
    }
  } else if (strcmp (name, "none") != 0)
    r = find_named (ctx, name, &c);
  if (r < 0) {
    if (!ctx->only_given || r == -ENOMEM)
      return r;
    /* the configuration came with a file, from another machine */
    qk_log (ctx, QK_LOG_INFO, "%s; going on with float_backend = none",
            qk_error_message ());
    c = NULL;
  }
  pthread_mutex_lock (&ctx->plugin_lock);
  ctx->float_backend = c;
  ctx->float_chosen = true;
  pthread_mutex_unlock (&ctx->plugin_lock);
  *used = c ? c->name : "none";
  return 0;
}

const struct qk_backend_class *
qk_context_float (struct qk_context *ctx)
{
  const struct qk_class *c;
  const char *used;
  bool chosen;

  pthread_mutex_lock (&ctx->plugin_lock);
  c = ctx->float_backend;
  chosen = ctx->float_chosen;
  pthread_mutex_unlock (&ctx->plugin_lock);
  if (chosen)
    return as_backend (c);
  return qk_context_use_float (ctx, "auto", &used) == 0
           ? qk_context_float (ctx)
           : NULL;
}
