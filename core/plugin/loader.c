/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* loader.c: finds plugins by kind and name, loads and checks them. */
#include "config.h"

#include <dirent.h>
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/nearest.h"
#include "options/option-priv.h"
#include "plugin/loader-priv.h"

#define ANY_KIND ((enum qk_kind) 0)

/* What is asked for. */
struct wanted {
  enum qk_kind kind;
  const char *name; /* of the plugin, without folder and suffix */
  const char *path; /* of the .so */
};

static void
free_one (struct qk_loaded *l)
{
  if (!l)
    return;
  free (l->path);
  free (l->cls);
  free (l);
}

void
qk_loaded_free (struct qk_loaded *list)
{
  while (list) {
    struct qk_loaded *next = list->next;

    free_one (list);
    list = next;
  }
}

/* ---- checks of the file ----------------------------------------------- */

static int
check_file (const char *path)
{
  struct stat st;
  int err;

  if (stat (path, &st) == 0 && !S_ISREG (st.st_mode)) /* a pipe would hang */
    return qk_error (-ENOEXEC, "plugin %s: expected a regular file", path);
  err = qk_trust_check (path);
  return err < 0 ? err : qk_elf_check (path);
}

/* ---- from the file to a checked class --------------------------------- */

/* The ABI major of a plugin without our entry; -1 for something else. */
static int
foreign_abi (void *handle)
{
  char symbol[32];

  for (int major = 0; major < 100; major++) {
    snprintf (symbol, sizeof symbol, "qk_plugin_v%d", major);
    if (dlsym (handle, symbol))
      return major;
  }
  return -1;
}

static int
wrong_abi (const char *path, int found)
{
  return qk_error (-ENOEXEC,
                   "plugin %s: built for plugin ABI %d, this "
                   "library has plugin ABI %d",
                   path, found, QK_ABI_MAJOR);
}

/* Whether SYMBOL at ENTRY is a function, not data that happens to lie beside
 * one. */
static bool
is_function (void *entry)
{
#ifdef RTLD_DL_SYMENT
  const ElfW (Sym) *sym = NULL;
  Dl_info info;

  if (dladdr1 (entry, &info, (void **) &sym, RTLD_DL_SYMENT) != 0
      && sym != NULL && info.dli_saddr == entry
      && (sym->st_info & 15) != STT_FUNC)
    return false;
#endif
  return qk_is_code (entry);
}

/* What the entry returned, into OUT. */
static int
copy_plugin (const char *path, const struct qk_plugin *p,
             struct qk_plugin *out)
{
  if (!p || !qk_is_loaded (p, offsetof (struct qk_plugin, name))
      || p->struct_size < offsetof (struct qk_plugin, name)
      || !qk_is_loaded (p, p->struct_size < sizeof *out ? p->struct_size
                                                        : sizeof *out))
    return qk_error (-ENOEXEC,
                     "plugin %s: its entry %s returns nothing "
                     "usable",
                     path, QK_ENTRY_NAME);
  if (p->abi_major != QK_ABI_MAJOR)
    return wrong_abi (path, p->abi_major);
  memset (out, 0, sizeof *out);
  memcpy (out, p, p->struct_size < sizeof *out ? p->struct_size : sizeof *out);
  if (!out->name || !out->classes)
    return qk_error (-ENOEXEC, "plugin %s: it has no %s", path,
                     out->name ? "classes" : "name");
  if (!qk_is_loaded_text (out->name))
    return qk_error (-ENOEXEC, "plugin %s: its name lies outside the file",
                     path);
  if (!out->version || !out->licence)
    return qk_error (-ENOEXEC, "plugin %s: it has no %s", path,
                     out->version ? "licence" : "version");
  if (!qk_is_loaded_text (out->version) || !qk_is_loaded_text (out->licence))
    return qk_error (-ENOEXEC,
                     "plugin %s: its version or licence lies outside the file",
                     path);
  return 0;
}

/* Load the file and get what it offers into OUT, zero-filled.  The handle is
 * never closed: class data and code stay valid for the process. */
static int
open_plugin (const char *path, struct qk_plugin *out)
{
  void *handle = dlopen (path, RTLD_NOW | RTLD_LOCAL);
  qk_plugin_entry entry;
  int abi;

  if (!handle) {
    const char *why = dlerror ();

    /* there is no code for it: who goes on without a plugin that is broken is
     * not to go on without one for which there was no memory just now */
    return qk_error (why == NULL || strstr (why, "memory") ? -ENOMEM
                                                           : -ENOEXEC,
                     "plugin %s: cannot load for plugin ABI %d: %s", path,
                     QK_ABI_MAJOR, why != NULL ? why : "out of memory");
  }
  *(void **) &entry = dlsym (handle, QK_ENTRY_NAME);
  if (!entry) {
    abi = foreign_abi (handle);
    if (abi >= 0)
      return wrong_abi (path, abi);
    return qk_error (-ENOEXEC,
                     "plugin %s: not a plugin of qatkit (ABI %d): "
                     "symbol %s is missing",
                     path, QK_ABI_MAJOR, QK_ENTRY_NAME);
  }
  if (!is_function (*(void **) &entry))
    return qk_error (-ENOEXEC,
                     "plugin %s: its symbol %s is data, expected a function",
                     path, QK_ENTRY_NAME);
  return copy_plugin (path, entry (), out);
}

/* Class I of a plugin, which can be read as far as this library knows it. */
static int
check_class_data (const char *path, const struct qk_class *c, size_t i)
{
  if (!qk_is_loaded (c, sizeof *c))
    return qk_error (-ENOEXEC, "plugin %s: class %zu lies outside the file",
                     path, i);
  if (c->struct_size < sizeof *c || !c->name)
    return qk_error (-ENOEXEC,
                     "plugin %s: class %zu has struct_size %zu, "
                     "expected at least %zu, and a name",
                     path, i, c->struct_size, sizeof *c);
  if (!qk_is_loaded (c, c->struct_size))
    return qk_error (-ENOEXEC,
                     "plugin %s: class %zu has struct_size %zu, "
                     "more than there is in the file",
                     path, i, c->struct_size);
  if (!qk_is_loaded_text (c->name))
    return qk_error (-ENOEXEC,
                     "plugin %s: the name of class %zu lies outside the file",
                     path, i);
  if (!c->description || !qk_is_loaded_text (c->description))
    return qk_error (-ENOEXEC, "plugin %s: class '%s' has no description",
                     path, c->name);
  return 0;
}

/* The table of options of class C, up to its end. */
static int
check_option_data (const char *path, const struct qk_class *c)
{
  for (const struct qk_option *o = c->options; o; o++) {
    if (!qk_is_loaded (o, sizeof *o))
      return qk_error (-ENOEXEC,
                       "plugin %s: the options of class '%s' lie outside the "
                       "file or have no end",
                       path, c->name);
    if (!o->name)
      break;
    if (!qk_is_loaded_text (o->name) || (o->def && !qk_is_loaded_text (o->def))
        || (o->help && !qk_is_loaded_text (o->help)))
      return qk_error (-ENOEXEC,
                       "plugin %s: option %td of class '%s' has a text that "
                       "lies outside the file",
                       path, o - c->options, c->name);
  }
  return 0;
}

/* The class that has the plugin's name and the wanted kind. */
static int
pick_class (const struct qk_plugin *plugin, const struct wanted *w,
            const struct qk_class **out)
{
  const struct qk_class *other = NULL;

  for (size_t i = 0;; i++) {
    const struct qk_class *c;
    int r;

    if (!qk_is_loaded (&plugin->classes[i], sizeof *plugin->classes))
      return qk_error (-ENOEXEC,
                       "plugin %s: its list of classes lies outside the file "
                       "or has no end",
                       w->path);
    if ((c = plugin->classes[i]) == NULL)
      break;
    if ((r = check_class_data (w->path, c, i)) < 0
        || (r = check_option_data (w->path, c)) < 0)
      return r;
    if (strcmp (c->name, w->name) != 0)
      continue;
    if (c->kind == w->kind || w->kind == ANY_KIND) {
      *out = c;
      return 0;
    }
    other = c;
  }
  if (other) {
    const char *kind = qk_kind_name (other->kind);

    return qk_error (-ENOEXEC, "plugin %s: '%s' is of kind %s, expected %s",
                     w->path, w->name, kind ? kind : "unknown",
                     qk_kind_name (w->kind));
  }
  return qk_error (-ENOEXEC, "plugin %s: offers no class named '%s'", w->path,
                   w->name);
}

/* Our own copy, of the size this library knows. */
static struct qk_class *
copy_class (const struct qk_class *cls)
{
  const size_t ours = qk_kind_class_size (cls->kind);
  struct qk_class *copy = calloc (1, ours);

  if (copy)
    memcpy (copy, cls, cls->struct_size < ours ? cls->struct_size : ours);
  return copy;
}

static int
load (const struct wanted *w, struct qk_loaded **out)
{
  struct qk_loaded *l = calloc (1, sizeof *l);
  const struct qk_class *cls = NULL;
  int err;

  if (!l)
    return qk_oom ("plugin %s", w->path);
  err = check_file (w->path);
  if (err == 0)
    err = open_plugin (w->path, &l->plugin);
  if (err == 0 && strcmp (l->plugin.name, w->name) != 0)
    err = qk_error (-ENOEXEC, "plugin %s: its name is '%s', expected '%s'",
                    w->path, l->plugin.name, w->name);
  if (err == 0)
    err = pick_class (&l->plugin, w, &cls);
  if (err < 0)
    goto error;
  l->cls = copy_class (cls);
  l->path = strdup (w->path);
  if (!l->cls || !l->path) {
    err = qk_oom ("plugin %s", w->path);
    goto error;
  }
  err = qk_kind_check_class (l->cls);
  if (err == 0) {
    err = qk_option_check_table (l->cls->options);
    if (err < 0)
      err = -ENOEXEC;
  }
  if (err < 0) {
    qk_error_prefix (err, "plugin %s: ", w->path);
    goto error;
  }
  *out = l;
  return 0;

error:
  free_one (l);
  return err;
}

/* ---- search ------------------------------------------------------------ */

/* DIR/FOLDER/NAME.so, to be freed; NULL when out of memory. */
static char *
plugin_path (const char *dir, enum qk_kind kind, const char *name)
{
  char *path;

  if (asprintf (&path, "%s/%s/%s.so", dir, qk_kind_folder (kind), name) < 0)
    return NULL;
  return path;
}

static int
compare_names (const void *a, const void *b)
{
  return strcmp (*(char *const *) a, *(char *const *) b);
}

/* Append the plugins of one folder to *NAMES (*N of them). */
static int
list_folder (const char *folder, char ***names, size_t *n)
{
  DIR *d = opendir (folder);
  struct dirent *e;
  int err = 0;

  if (!d) /* most folders of the path do not have every kind */
    return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? 0 : -errno;
  while (err == 0 && (e = readdir (d))) {
    const size_t len = strlen (e->d_name);
    char **grown, *name;

    if (e->d_name[0] == '.' || len < 4
        || strcmp (e->d_name + len - 3, ".so") != 0)
      continue;
    name = strndup (e->d_name, len - 3);
    grown = name ? realloc (*names, (*n + 2) * sizeof *grown) : NULL;
    if (!grown) {
      free (name);
      err = -ENOMEM;
      break;
    }
    *names = grown;
    grown[(*n)++] = name;
    grown[*n] = NULL;
  }
  closedir (d);
  return err;
}

/* Sort and remove duplicates. */
static void
tidy_names (char **names, size_t n)
{
  size_t kept = 0;

  if (n == 0)
    return;
  qsort (names, n, sizeof *names, compare_names);
  for (size_t i = 0; i < n; i++)
    if (kept > 0 && strcmp (names[kept - 1], names[i]) == 0)
      free (names[i]);
    else
      names[kept++] = names[i];
  names[kept] = NULL;
}

/* With the lock held. */
static int
list_names (struct qk_context *ctx, enum qk_kind kind, char ***out)
{
  char **names = calloc (1, sizeof *names);
  size_t n = 0;
  int err = names ? 0 : -ENOMEM;

  for (char **dir = ctx->dirs; *dir && err == 0; dir++) {
    char *folder;

    if (asprintf (&folder, "%s/%s", *dir, qk_kind_folder (kind)) < 0) {
      err = -ENOMEM;
      break;
    }
    err = list_folder (folder, &names, &n);
    free (folder);
  }
  if (err < 0) {
    qk_names_free (names);
    return qk_error (err, "list of %s plugins: %s", qk_kind_name (kind),
                     strerror (-err));
  }
  tidy_names (names, n);
  *out = names;
  return 0;
}

static int
not_found (struct qk_context *ctx, enum qk_kind kind, const char *name)
{
  struct qk_nearest near;
  char hint[QK_HINT_SIZE], **names = NULL;
  int err;

  qk_nearest_init (&near, name);
  if (list_names (ctx, kind, &names) == 0)
    for (char **known = names; *known; known++)
      qk_nearest_offer (&near, *known);
  err = qk_error (-ENOENT, "no %s plugin '%s'%s; searched",
                  qk_kind_name (kind), name, qk_nearest_hint (&near, hint));
  for (char **dir = ctx->dirs; *dir; dir++)
    err = qk_error (err, "%s %s/%s", qk_error_message (), *dir,
                    qk_kind_folder (kind));
  qk_names_free (names);
  return err;
}

/* The file of a plugin by its plain name, to be freed, with the lock held;
 * *DIR is the folder of the path it lies in. */
static int
find_file (struct qk_context *ctx, enum qk_kind kind, const char *name,
           const char **dir, char **out)
{
  for (char **d = ctx->dirs; *d; d++) {
    char *path = plugin_path (*d, kind, name);
    struct stat st;

    if (!path)
      return qk_oom ("plugin '%s'", name);
    if (stat (path, &st) == 0 || (errno != ENOENT && errno != ENOTDIR)) {
      *dir = *d;
      *out = path;
      return 0;
    }
    free (path);
  }
  return not_found (ctx, kind, name);
}

/* Find and load a plugin by its plain name. */
static int
load_by_name (struct qk_context *ctx, enum qk_kind kind, const char *name,
              struct qk_loaded **out)
{
  struct wanted w = { kind, name, NULL };
  const char *dir;
  char *path;
  int err = find_file (ctx, kind, name, &dir, &path);

  if (err < 0)
    return err;
  w.path = path;
  err = load (&w, out);
  free (path);
  return err;
}

/* Load the file PATH; the name is the file's without ".so". */
static int
load_by_path (enum qk_kind kind, const char *path, struct qk_loaded **out)
{
  const char *base = strrchr (path, '/') + 1;
  const size_t len = strlen (base);
  const char *what = kind == ANY_KIND ? "a" : qk_kind_name (kind);
  struct wanted w = { kind, NULL, path };
  struct stat st;
  char *name;
  int err;

  if (stat (path, &st) < 0)
    return qk_error (-errno, "%s plugin %s: %s", what, path, strerror (errno));
  if (len < 4 || strcmp (base + len - 3, ".so") != 0)
    return qk_error (-ENOEXEC,
                     "%s plugin %s: expected a file name that ends "
                     "in .so",
                     what, path);
  name = strndup (base, len - 3);
  if (!name)
    return qk_oom ("plugin %s", path);
  w.name = name;
  err = load (&w, out);
  free (name);
  return err;
}

/* Plain names stay out of other folders and off the terminal's controls. */
static bool
is_plain_name (const char *name)
{
  return name[0] != '\0' && name[0] != '.'
         && name[strspn (name, "abcdefghijklmnopqrstuvwxyz"
                               "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.+")]
              == '\0';
}

static const char *
last_part (const char *path)
{
  const char *slash = strrchr (path, '/');

  return slash ? slash + 1 : path;
}

/* The same as qk_context_given with the lock held. */
static const char *
find_given (const struct qk_context *ctx, const char *path)
{
  char **given;

  for (given = ctx->given; given && *given; given++)
    if (strcmp (*given, path) == 0)
      return *given;
  for (given = ctx->given; given && *given; given++)
    if (strcmp (last_part (*given), last_part (path)) == 0)
      return *given;
  return NULL;
}

const char *
qk_context_given (struct qk_context *ctx, const char *path)
{
  const char *given;

  pthread_mutex_lock (&ctx->plugin_lock);
  given = find_given (ctx, path);
  pthread_mutex_unlock (&ctx->plugin_lock);
  return given;
}

/* Whether a plugin may be loaded by the path *PATH, with the lock held;
 * *PATH becomes the one that was given for it. */
static int
check_given (const struct qk_context *ctx, enum qk_kind kind,
             const char **path)
{
  const char *given;

  if (!ctx->only_given)
    return 0;
  given = find_given (ctx, *path);
  if (!given)
    return qk_error (-EPERM,
                     "%s plugin %s: the path comes out of a model or "
                     "checkpoint, which must not choose what code is run; "
                     "give it with --plugin %s if you trust it",
                     qk_kind_name (kind), *path, *path);
  *path = given;
  return 0;
}

/* A class in use already, with the lock held: by path, or by plain name if
 * it was found that way. */
static struct qk_loaded *
find_loaded (struct qk_context *ctx, enum qk_kind kind, const char *name)
{
  const bool is_path = strchr (name, '/') != NULL;

  for (struct qk_loaded *l = ctx->loaded; l; l = l->next)
    if (l->cls->kind == kind && l->by_path == is_path
        && strcmp (is_path ? l->path : l->plugin.name, name) == 0)
      return l;
  return NULL;
}

int
qk_context_class (struct qk_context *ctx, enum qk_kind kind, const char *name,
                  const struct qk_class **out)
{
  struct qk_loaded *l;
  bool is_path;
  int err = 0;

  *out = NULL;
  if (!qk_kind_name (kind))
    return qk_error (-EINVAL, "plugin '%s': unknown kind %d", name,
                     (int) kind);
  is_path = strchr (name, '/') != NULL;
  if (!is_path && !is_plain_name (name))
    return qk_error (-EINVAL,
                     "%s plugin '%s': expected a name of letters, "
                     "digits, '_', '-', or the path of a .so",
                     qk_kind_name (kind), name);
  pthread_mutex_lock (&ctx->plugin_lock);
  if (is_path)
    err = check_given (ctx, kind, &name);
  l = err == 0 ? find_loaded (ctx, kind, name) : NULL;
  if (err == 0 && !l) {
    err = is_path ? load_by_path (kind, name, &l)
                  : load_by_name (ctx, kind, name, &l);
    if (err == 0) {
      l->by_path = is_path;
      l->next = ctx->loaded;
      ctx->loaded = l;
    }
  }
  pthread_mutex_unlock (&ctx->plugin_lock);
  if (err == 0)
    *out = l->cls;
  return err;
}

int
qk_context_kind_of (const char *path, enum qk_kind *out)
{
  struct qk_loaded *l;
  const int err = load_by_path (ANY_KIND, path, &l);

  if (err < 0)
    return err;
  *out = l->cls->kind;
  free_one (l);
  return 0;
}

const struct qk_plugin *
qk_context_plugin_of (struct qk_context *ctx, const struct qk_class *cls,
                      const char **path)
{
  struct qk_loaded *l;

  pthread_mutex_lock (&ctx->plugin_lock);
  l = ctx->loaded;
  while (l && l->cls != cls)
    l = l->next;
  pthread_mutex_unlock (&ctx->plugin_lock);
  if (path)
    *path = l ? l->path : NULL;
  return l ? &l->plugin : NULL;
}

int
qk_context_path (struct qk_context *ctx, enum qk_kind kind, const char *name,
                 char **out)
{
  const char *dir;
  int err;

  pthread_mutex_lock (&ctx->plugin_lock);
  err = find_file (ctx, kind, name, &dir, out);
  pthread_mutex_unlock (&ctx->plugin_lock);
  return err;
}

int
qk_context_list (struct qk_context *ctx, enum qk_kind kind, char ***out)
{
  int err;

  *out = NULL;
  if (!qk_kind_name (kind))
    return qk_error (-EINVAL, "list of plugins: unknown kind %d", (int) kind);
  pthread_mutex_lock (&ctx->plugin_lock);
  err = list_names (ctx, kind, out);
  pthread_mutex_unlock (&ctx->plugin_lock);
  return err;
}
