/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* context.h: one use of the library: log, plugin folders, loaded plugins. */
#ifndef QATKIT_CONTEXT_H
#define QATKIT_CONTEXT_H

#include "plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A new context; free with qk_context_free.  NULL when out of memory.
 * Plugins are searched in $QATKIT_PLUGIN_PATH (folders separated by ':'),
 * then in the installed plugin folder. */
QK_PUBLIC struct qk_context *qk_context_new (void);
QK_PUBLIC void qk_context_free (struct qk_context *ctx); /* accepts NULL */

/* FN receives the log from level MAX up to errors; NULL turns it off. */
QK_PUBLIC void qk_context_set_log (struct qk_context *ctx, qk_log_fn fn,
                                   void *cookie, enum qk_log_level max);

/* Search DIR before all other folders; for programs and tests. */
QK_PUBLIC int qk_context_add_plugin_dir (struct qk_context *ctx,
                                         const char *dir);

/* The class KIND/NAME, loading its plugin when needed.  A NAME with a '/' is
 * the path of a .so.  *out belongs to the context and lives as long as it.
 * -ENOENT: no such plugin (the message lists the folders searched and the
 * nearest known name); -ENOEXEC: not a plugin, or another ABI (the message
 * gives file, both ABI numbers and dlerror). */
QK_PUBLIC int qk_context_class (struct qk_context *ctx, enum qk_kind kind,
                                const char *name, const struct qk_class **out);

/* The plugin that offered CLS; *path is borrowed from the context. */
QK_PUBLIC const struct qk_plugin *
qk_context_plugin_of (struct qk_context *ctx, const struct qk_class *cls,
                      const char **path);

/* Names of the plugins of KIND in all folders, sorted, without duplicates,
 * as a NULL-terminated array to be freed with qk_names_free. */
QK_PUBLIC int qk_context_list (struct qk_context *ctx, enum qk_kind kind,
                               char ***out);
QK_PUBLIC void qk_names_free (char **names);

#ifdef __cplusplus
}
#endif
#endif /* QATKIT_CONTEXT_H */
