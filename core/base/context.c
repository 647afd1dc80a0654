/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* context.c: life of a context, and the folders it searches. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/context-priv.h"
#include "plugin/loader-priv.h"

/* Insert a copy of the LEN bytes at DIR as entry AT of the list. */
static int
insert_dir (struct qk_context *ctx, size_t at, const char *dir, size_t len)
{
  size_t n = 0;
  char **dirs, *copy = strndup (dir, len);

  while (ctx->dirs && ctx->dirs[n])
    n++;
  dirs = copy ? realloc (ctx->dirs, (n + 2) * sizeof *dirs) : NULL;
  if (!dirs) {
    free (copy);
    return -ENOMEM;
  }
  ctx->dirs = dirs;
  memmove (dirs + at + 1, dirs + at, (n - at) * sizeof *dirs);
  dirs[at] = copy;
  dirs[n + 1] = NULL;
  return 0;
}

static int
default_dirs (struct qk_context *ctx)
{
  /* Not for set-user-id programs: the path decides what code is run. */
  const char *s = secure_getenv ("QATKIT_PLUGIN_PATH");
  size_t n = 0;

  for (s = s ? s : ""; *s; s += *s == ':') {
    const size_t len = strcspn (s, ":");

    if (len > 0 && insert_dir (ctx, n++, s, len) < 0)
      return -ENOMEM;
    s += len;
  }
  return insert_dir (ctx, n, QK_PLUGINDIR, strlen (QK_PLUGINDIR));
}

struct qk_context *
qk_context_new (void)
{
  struct qk_context *ctx = calloc (1, sizeof *ctx);

  if (!ctx)
    return NULL;
  pthread_mutex_init (&ctx->log_lock, NULL);
  pthread_mutex_init (&ctx->plugin_lock, NULL);
  if (default_dirs (ctx) < 0) {
    qk_context_free (ctx);
    return NULL;
  }
  return ctx;
}

void
qk_context_free (struct qk_context *ctx)
{
  if (!ctx)
    return;
  qk_loaded_free (ctx->loaded);
  qk_names_free (ctx->dirs);
  pthread_mutex_destroy (&ctx->plugin_lock);
  pthread_mutex_destroy (&ctx->log_lock);
  free (ctx);
}

int
qk_context_add_plugin_dir (struct qk_context *ctx, const char *dir)
{
  int err;

  if (!dir || !dir[0])
    return qk_error (-EINVAL, "plugin folder: name is empty");
  pthread_mutex_lock (&ctx->plugin_lock);
  err = insert_dir (ctx, 0, dir, strlen (dir));
  pthread_mutex_unlock (&ctx->plugin_lock);
  if (err < 0)
    return qk_error (err, "plugin folder '%s': out of memory", dir);
  return 0;
}

void
qk_names_free (char **names)
{
  for (size_t i = 0; names && names[i]; i++)
    free (names[i]);
  free (names);
}
