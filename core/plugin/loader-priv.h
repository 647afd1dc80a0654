/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* loader-priv.h: the loader's part of a context, and what it knows of the
 * kinds. */
#ifndef QK_PLUGIN_LOADER_PRIV_H
#define QK_PLUGIN_LOADER_PRIV_H

#include "base/context-priv.h"

/* One class in use. */
struct qk_loaded {
  struct qk_loaded *next;
  char *path;              /* of the .so, as it was found */
  bool by_path;            /* asked for by path rather than by name */
  struct qk_plugin plugin; /* the library's own copy, zero-filled */
  struct qk_class *cls;    /* the library's own copy, zero-filled */
};

void qk_loaded_free (struct qk_loaded *list); /* accepts NULL */

/* When a configuration out of a model or checkpoint is in use, whose maker
 * may be anybody, plugins are only loaded by a path that the user gave:
 * qk_context_only_given says so, for ever; qk_context_give_path adds one. */
void qk_context_only_given (struct qk_context *ctx);
int qk_context_give_path (struct qk_context *ctx, const char *path);
/* The path that was given for PATH, out of somebody's file: PATH itself, or
 * one with the same last part, as the file may come from another folder or
 * machine.  NULL: none was.  Borrowed, lives as long as CTX. */
const char *qk_context_given (struct qk_context *ctx, const char *path);

/* The class of KIND to take for USE (bits of the kind, 0: any) where none is
 * named; -ENOENT if no installed one can be. */
int qk_context_default (struct qk_context *ctx, enum qk_kind kind,
                        unsigned use, const struct qk_class **out);

/* All classes of KIND that can be the default for USE, the highest rank
 * first, NULL-terminated; *OUT is to be freed (the array only). */
int qk_context_ranked (struct qk_context *ctx, enum qk_kind kind, unsigned use,
                       const struct qk_class ***out);

/* From now on, layers that are planned in CTX use the float products of the
 * backend NAME: "auto" is the default for QK_FOR_FLOAT, "none", and "auto"
 * where there is none, their own.  *USED: which that is, as long as CTX. */
int qk_context_use_float (struct qk_context *ctx, const char *name,
                          const char **used);
/* That backend, where nothing was said that of "auto"; NULL: none. */
struct qk_backend_class;
const struct qk_backend_class *qk_context_float (struct qk_context *ctx);

/* Where the options stand of components that the library opens by itself:
 * reporters, comm plugins, backends, formats.  The one added last is asked. */
struct qk_option_source {
  /* The options of CLS; *OUT is to be freed with qk_config_free. */
  int (*take) (void *cookie, const struct qk_class *cls,
               struct qk_config **out);
  void *cookie;
  struct qk_option_source *next;
};

/* SOURCE belongs to the caller and must be removed before CTX is freed. */
void qk_context_add_options (struct qk_context *ctx,
                             struct qk_option_source *source);
void qk_context_remove_options (struct qk_context *ctx,
                                const struct qk_option_source *source);

/* What the source says about CLS, the defaults where there is none; *OUT is
 * to be freed with qk_config_free. */
int qk_context_options (struct qk_context *ctx, const struct qk_class *cls,
                        struct qk_config **out);

/* The file of the plugin KIND/NAME (a plain name), to be freed. */
int qk_context_path (struct qk_context *ctx, enum qk_kind kind,
                     const char *name, char **out);

/* The kind of the class that the file PATH, which has a '/', is named after. */
int qk_context_kind_of (const char *path, enum qk_kind *out);

/* sizeof the class of a kind as this library knows it; 0 for an unknown
 * kind. */
size_t qk_kind_class_size (enum qk_kind kind);

/* Check that CLS, zero-filled to the size above, has every slot that its
 * kind requires, and functions where its kind has some.  -ENOEXEC with a
 * sentence naming the slot. */
int qk_kind_check_class (const struct qk_class *cls);

/* Whether LENGTH bytes from START are data, or START is code, of the program
 * or a library it has loaded. */
bool qk_is_loaded (const void *start, size_t length);
bool qk_is_code (const void *start);
/* Whether TEXT, not NULL, begins in such data and ends in the same segment. */
bool qk_is_loaded_text (const char *text);

/* Check that the file PATH is a shared library for this machine and holds all
 * of its segments: the dynamic linker maps what there is, and a process that
 * touches what there is not is killed. */
int qk_elf_check (const char *path);

/* Check that nobody but its owner, root and the members of its group may
 * change what PATH names: the file or folder, all folders above it, and those
 * of every symbolic link on the way.  (A folder with the sticky bit, as /tmp,
 * protects what others own in it.) */
int qk_trust_check (const char *path);

/* Every kind is in 1 .. QK_KIND_LAST. */
#define QK_KIND_LAST QK_KIND_SOLVER

#endif /* QK_PLUGIN_LOADER_PRIV_H */
