/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* classfiles.c: the files in a folder of class folders. */
#include "config.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "classfiles.h"
#include "split/split.h"

static int
not_hidden (const struct dirent *e)
{
  return e->d_name[0] != '.';
}

static int
by_bytes (const struct dirent **a, const struct dirent **b)
{
  return strcmp ((*a)->d_name, (*b)->d_name);
}

static void
free_entries (struct dirent **e, int n)
{
  int i;

  for (i = 0; i < n; i++)
    free (e[i]);
  if (n >= 0)
    free (e);
}

/* The entries of the folder PATH, sorted; how many. */
static int
entries_of (const char *path, struct dirent ***out)
{
  const int n = scandir (path, out, not_hidden, by_bytes);
  const int err = errno;

  return n >= 0 ? n
                : qk_error (-err, "folder %s cannot be read: %s", path,
                            strerror (err));
}

/* Whether E in the folder ROOT is of TYPE, S_IFDIR or S_IFREG: 1 or 0.  The
 * folder mostly tells: to ask a file server about each file takes minutes. */
static int
is_of (mode_t type, const char *root, const struct dirent *e)
{
  struct stat st;
  char *path;
  int is;

  if (e->d_type == DT_DIR || e->d_type == DT_REG)
    return e->d_type == (type == S_IFDIR ? DT_DIR : DT_REG);
  if (asprintf (&path, "%s/%s", root, e->d_name) < 0)
    return qk_oom ("the list of files");
  is = stat (path, &st) == 0 && (st.st_mode & S_IFMT) == type;
  free (path);
  return is;
}

static int
add_class (struct classfiles *f, const char *name)
{
  char **names
    = realloc (f->name, ((size_t) f->classes + 1) * sizeof *f->name);

  if (!names)
    return qk_oom ("the list of classes");
  f->name = names;
  names[f->classes] = strdup (name);
  if (!names[f->classes])
    return qk_oom ("the list of classes");
  f->classes++;
  return 0;
}

static int
add_file (struct classfiles *f, const char *name, int32_t label)
{
  struct classfile *c;

  if (f->count == f->capacity) {
    const int64_t capacity = f->capacity ? 2 * f->capacity : 1024;

    c = realloc (f->file, (size_t) capacity * sizeof *c);
    if (!c)
      return qk_oom ("the list of files");
    f->file = c;
    f->capacity = capacity;
  }
  c = &f->file[f->count];
  c->label = label;
  if (asprintf (&c->path, "%s/%s", f->name[label], name) < 0)
    return qk_oom ("the list of files");
  f->count++;
  return 0;
}

static bool
ends_in (const char *name, const char *ending)
{
  const size_t n = strlen (name), k = strlen (ending);

  return n > k && strcasecmp (name + n - k, ending) == 0;
}

static int
read_class (struct classfiles *f, int32_t label, const char *ending)
{
  const int64_t before = f->count;
  struct dirent **e = NULL;
  char *path;
  int i, n, err = 0;

  if (asprintf (&path, "%s/%s", f->root, f->name[label]) < 0)
    return qk_oom ("the list of files");
  n = entries_of (path, &e);
  for (i = 0; err == 0 && i < n; i++)
    if (ends_in (e[i]->d_name, ending)) {
      err = is_of (S_IFREG, path, e[i]);
      if (err > 0)
        err = add_file (f, e[i]->d_name, label);
    }
  free_entries (e, n);
  if (n < 0)
    err = n;
  else if (err == 0 && f->count == before)
    err = qk_error (-ENODATA, "class folder %s has no %s files", path, ending);
  free (path);
  return err;
}

int
classfiles_read (struct classfiles *f, const char *root, const char *ending)
{
  struct dirent **e = NULL;
  int i, n, err = 0;

  f->root = strdup (root);
  if (!f->root)
    return qk_oom ("the list of files");
  n = entries_of (root, &e);
  for (i = 0; err == 0 && i < n; i++) {
    err = is_of (S_IFDIR, root, e[i]);
    if (err > 0)
      err = add_class (f, e[i]->d_name);
  }
  free_entries (e, n);
  if (n < 0)
    return n;
  if (err == 0 && f->classes == 0)
    err = qk_error (-ENODATA,
                    "folder %s has no class folders (one folder of files per "
                    "class is expected)",
                    root);
  for (i = 0; err == 0 && i < f->classes; i++)
    err = read_class (f, i, ending);
  return err;
}

void
classfiles_clear (struct classfiles *f)
{
  int64_t i;

  for (i = 0; i < f->count; i++)
    free (f->file[i].path);
  for (i = 0; i < f->classes; i++)
    free (f->name[i]);
  free (f->file);
  free (f->name);
  free (f->root);
  memset (f, 0, sizeof *f);
}

int
classfiles_keep (struct classfiles *f, double share, bool held)
{
  int64_t i, n = 0;

  for (i = 0; i < f->count; i++)
    if (split_held_out (split_key (f->file[i].path), share) == held)
      f->file[n++] = f->file[i];
    else
      free (f->file[i].path);
  f->count = n;
  return n > 0 ? 0
               : qk_error (-EINVAL, "folder %s: no files are left for %s",
                           f->root, held ? "evaluation" : "training");
}
