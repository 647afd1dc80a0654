/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* option-source.c: options of the components that the library opens by itself. */
#include "config.h"

#include "plugin/loader-priv.h"

void
qk_context_add_options (struct qk_context *ctx,
                        struct qk_option_source *source)
{
  pthread_mutex_lock (&ctx->plugin_lock);
  source->next = ctx->options;
  ctx->options = source;
  pthread_mutex_unlock (&ctx->plugin_lock);
}

void
qk_context_remove_options (struct qk_context *ctx,
                           const struct qk_option_source *source)
{
  struct qk_option_source **s;

  pthread_mutex_lock (&ctx->plugin_lock);
  for (s = &ctx->options; *s != NULL && *s != source; s = &(*s)->next)
    ;
  if (*s != NULL)
    *s = source->next;
  pthread_mutex_unlock (&ctx->plugin_lock);
}

int
qk_context_options (struct qk_context *ctx, const struct qk_class *cls,
                    struct qk_config **out)
{
  const struct qk_option_source *s;

  pthread_mutex_lock (&ctx->plugin_lock);
  s = ctx->options;
  pthread_mutex_unlock (&ctx->plugin_lock);
  return s != NULL ? s->take (s->cookie, cls, out)
                   : qk_config_parse (cls->options, "", cls->name, out);
}
