/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* context.c: life of a context, and the folders it searches. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "base/context-priv.h"
#include "plugin/loader-priv.h"

/* Insert a copy of the LEN bytes at TEXT as entry AT of a list. */
static int
insert_text (char ***list, size_t at, const char *text, size_t len)
{
  size_t n = 0;
  char **grown, *copy = strndup (text, len);

  while (*list && (*list)[n])
    n++;
  grown = copy ? realloc (*list, (n + 2) * sizeof *grown) : NULL;
  if (!grown) {
    free (copy);
    return -ENOMEM;
  }
  *list = grown;
  memmove (grown + at + 1, grown + at, (n - at) * sizeof *grown);
  grown[at] = copy;
  grown[n + 1] = NULL;
  return 0;
}

static int
insert_dir (struct qk_context *ctx, size_t at, const char *dir, size_t len)
{
  return insert_text (&ctx->dirs, at, dir, len);
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
  qk_names_free (ctx->given);
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

int
qk_context_give_path (struct qk_context *ctx, const char *path)
{
  int err;

  pthread_mutex_lock (&ctx->plugin_lock);
  err = insert_text (&ctx->given, 0, path, strlen (path));
  pthread_mutex_unlock (&ctx->plugin_lock);
  if (err < 0)
    return qk_error (err, "plugin %s: out of memory", path);
  return 0;
}

void
qk_context_only_given (struct qk_context *ctx)
{
  pthread_mutex_lock (&ctx->plugin_lock);
  ctx->only_given = true;
  pthread_mutex_unlock (&ctx->plugin_lock);
}

void
qk_names_free (char **names)
{
  for (size_t i = 0; names && names[i]; i++)
    free (names[i]);
  free (names);
}
