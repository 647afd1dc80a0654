/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* scan.c: finding the images below a folder of class folders.
 *
 * The order is that of PyTorch's ImageFolder: class folders by name; within
 * a class its folders by path, within a folder the files by name; all by
 * bytes, whatever the locale.
 */
#include "config.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "scan.h"

/* Folders within folders; more is taken for a mistake. */
#define MAX_DEPTH 32

/* A folder being walked and those above it, to notice links that lead back
 * up. */
struct place {
  const struct place *up;
  dev_t dev;
  ino_t ino;
  int depth;
};

static int
no_memory (void)
{
  return qk_oom ("the list of images");
}

static int
cannot_read (const char *path, int err)
{
  return qk_error (-err, "folder %s cannot be read: %s", path, strerror (err));
}

/* "DIR/NAME", or "NAME" where DIR is ""; to be freed; NULL without memory */
static char *
join (const char *dir, const char *name)
{
  char *path;

  if (asprintf (&path, "%s%s%s", dir, *dir ? "/" : "", name) < 0)
    return NULL;
  return path;
}

/* By the name: what a file is, its content says when it is read. */
static bool
is_image (const char *name)
{
  static const char *const endings[] = { ".jpg", ".jpeg", ".png", ".webp" };
  const char *dot = strrchr (name, '.');
  size_t i;

  for (i = 0; dot && i < sizeof endings / sizeof endings[0]; i++)
    if (strcasecmp (dot, endings[i]) == 0)
      return true;
  return false;
}

/* Count a file that is no image. */
static void
leave_out (struct scan *s, const char *name)
{
  const char *base = strrchr (name, '/');
  const char *dot = strrchr (base ? base : name, '.');
  int i = 0;

  s->left_out++;
  if (!dot || strlen (dot) >= sizeof s->ending[0].text)
    return;
  while (i < SCAN_ENDINGS && s->ending[i].count > 0
         && strcasecmp (s->ending[i].text, dot) != 0)
    i++;
  if (i == SCAN_ENDINGS)
    return;
  strcpy (s->ending[i].text, dot);
  s->ending[i].count++;
}

void
scan_tell (const struct scan *s, struct qk_context *ctx)
{
  char text[160] = "";
  size_t used = 0;

  if (s->left_out == 0)
    return;
  for (int i = 0; i < SCAN_ENDINGS && s->ending[i].count > 0; i++)
    used += (size_t) snprintf (
      text + used, sizeof text - used, "%s%lld %s", used > 0 ? ", " : " (",
      (long long) s->ending[i].count, s->ending[i].text);
  qk_log (ctx, QK_LOG_WARNING,
          "folder %s: %lld file%s beside %lld images left out%s%s: images are "
          ".jpg, .jpeg, .png and .webp",
          s->root, (long long) s->left_out, s->left_out == 1 ? "" : "s",
          (long long) s->count, text, used > 0 ? ")" : "");
}

static int
add_item (struct scan *s, char *path, int32_t label)
{
  if (s->count == s->capacity) {
    const int64_t capacity = s->capacity ? 2 * s->capacity : 1024;
    struct scan_item *items
      = realloc (s->items, (size_t) capacity * sizeof *items);

    if (!items)
      return no_memory ();
    s->items = items;
    s->capacity = capacity;
  }
  s->items[s->count].path = path;
  s->items[s->count].label = label;
  s->count++;
  return 0;
}

/* Note the folder BELOW of class LABEL, -1: root itself. */
static int
add_folder (struct scan *s, int32_t label, const char *below,
            const struct stat *st)
{
  const char *name = label < 0 ? "" : s->names[label];
  struct scan_place *f;

  if (s->n_folders == s->folders_room) {
    const int64_t room = s->folders_room ? 2 * s->folders_room : 64;

    f = realloc (s->folder, (size_t) room * sizeof *f);
    if (!f)
      return no_memory ();
    s->folder = f;
    s->folders_room = room;
  }
  f = &s->folder[s->n_folders];
  f->path = *below ? join (name, below) : strdup (name);
  if (!f->path)
    return no_memory ();
  f->changed = st->st_mtim;
  s->n_folders++;
  return 0;
}

static int walk (struct scan *s, struct qk_context *ctx, const char *top,
                 const char *below, const struct place *up, int32_t label);

/* What entry E, whose path is FULL, is: DT_REG, DT_DIR or DT_UNKNOWN for
 * anything else, which is passed over.  The folder tells of most; only links,
 * and file systems that do not say, cost a question to the file server. */
static int
type_of (const struct dirent *e, struct qk_context *ctx, const char *full,
         int *type)
{
  struct stat st;
  int err;

  *type = e->d_type == DT_REG || e->d_type == DT_DIR ? e->d_type : DT_UNKNOWN;
  if (e->d_type != DT_LNK && e->d_type != DT_UNKNOWN)
    return 0;
  if (stat (full, &st)) {
    err = errno;
    if ((err == ENOENT || err == ELOOP) && is_image (full))
      qk_log (ctx, QK_LOG_WARNING, "%s: %s; ignored", full,
              err == ELOOP ? "link in a circle" : "link to nothing");
    if (err == ENOENT || err == ELOOP)
      return 0;
    return qk_error (-err, "%s: %s", full, strerror (err));
  }
  if (S_ISDIR (st.st_mode))
    *type = DT_DIR;
  else if (S_ISREG (st.st_mode))
    *type = DT_REG;
  return 0;
}

/* One entry of a folder: FULL is its path, REL the part below the class. */
static int
visit (struct scan *s, struct qk_context *ctx, const struct dirent *e,
       const char *top, const char *full, char **rel, const struct place *at,
       int32_t label)
{
  int type, err = type_of (e, ctx, full, &type);

  if (err)
    return err;
  if (type == DT_DIR)
    return walk (s, ctx, top, *rel, at, label);
  if (type == DT_REG && !is_image (full))
    leave_out (s, full);
  if (type != DT_REG || !is_image (full))
    return 0;
  err = add_item (s, *rel, label);
  if (err == 0)
    *rel = NULL; /* kept */
  return err;
}

static int
walk_entries (struct scan *s, struct qk_context *ctx, const char *top,
              const char *below, const char *dir, DIR *d,
              const struct place *at, int32_t label)
{
  for (;;) {
    const struct dirent *e;
    char *full, *rel;
    int err;

    errno = 0;
    e = readdir (d);
    if (!e)
      return errno ? cannot_read (dir, errno) : 0;
    if (e->d_name[0] == '.')
      continue;
    if (e->d_type == DT_REG && !is_image (e->d_name)) {
      leave_out (s, e->d_name);
      continue;
    }
    full = join (dir, e->d_name);
    rel = join (below, e->d_name);
    if (!full || !rel)
      err = no_memory ();
    else
      err = visit (s, ctx, e, top, full, &rel, at, label);
    free (full);
    free (rel);
    if (err)
      return err;
  }
}

/* The images in TOP/BELOW and deeper, in any order. */
static int
walk (struct scan *s, struct qk_context *ctx, const char *top,
      const char *below, const struct place *up, int32_t label)
{
  char *dir = *below ? join (top, below) : strdup (top);
  DIR *d = dir ? opendir (dir) : NULL;
  struct place at = { up, 0, 0, up ? up->depth + 1 : 0 };
  const struct place *p;
  struct stat st;
  int err = 0;

  if (!dir)
    return no_memory ();
  if (!d || fstat (dirfd (d), &st))
    err = cannot_read (dir, errno);
  else {
    at.dev = st.st_dev;
    at.ino = st.st_ino;
    for (p = up; p; p = p->up)
      if (p->dev == at.dev && p->ino == at.ino)
        break;
    if (p)
      qk_log (ctx, QK_LOG_WARNING,
              "%s: link to a folder above itself; ignored", dir);
    else if (at.depth > MAX_DEPTH)
      err = qk_error (-ELOOP, "folder %s: more than %d folders deep", dir,
                      MAX_DEPTH);
    else if ((err = add_folder (s, label, below, &st)) == 0)
      err = walk_entries (s, ctx, top, below, dir, d, &at, label);
  }
  if (d)
    closedir (d);
  free (dir);
  return err;
}

static int
compare_items (const void *a, const void *b)
{
  const char *x = ((const struct scan_item *) a)->path;
  const char *y = ((const struct scan_item *) b)->path;
  const char *xs = strrchr (x, '/'), *ys = strrchr (y, '/');
  const size_t xn = xs ? (size_t) (xs - x) : 0;
  const size_t yn = ys ? (size_t) (ys - y) : 0;
  const int dirs = memcmp (x, y, xn < yn ? xn : yn);

  if (dirs)
    return dirs;
  if (xn != yn)
    return xn < yn ? -1 : 1;
  return strcmp (x, y);
}

static int
scan_class (struct scan *s, struct qk_context *ctx, int32_t label,
            int64_t limit)
{
  const int64_t before = s->count;
  char *top = join (s->root, s->names[label]);
  int err;

  if (!top)
    return no_memory ();
  err = walk (s, ctx, top, "", NULL, label);
  if (err == 0 && s->count == before) {
    const bool none = strcmp (s->names[label], SCAN_NO_CLASS) == 0;

    err = qk_error (-ENODATA,
                    "%sfolder %s has no .jpg, .jpeg, .png or .webp images",
                    none ? "" : "class ", none ? s->root : top);
  }
  free (top);
  if (err)
    return err;
  qsort (s->items + before, (size_t) (s->count - before), sizeof *s->items,
         compare_items);
  while (limit > 0 && s->count > before + limit)
    free (s->items[--s->count].path);
  return 0;
}

static int
compare_names (const void *a, const void *b)
{
  return strcmp (*(char *const *) a, *(char *const *) b);
}

/* Whether entry E of ROOT is a folder; < 0 on error. */
static int
is_folder (const char *root, const struct dirent *e)
{
  struct stat st;
  char *path;
  int yes;

  if (e->d_type != DT_LNK && e->d_type != DT_UNKNOWN)
    return e->d_type == DT_DIR;
  path = join (root, e->d_name);
  if (!path)
    return no_memory ();
  yes = stat (path, &st) == 0 && S_ISDIR (st.st_mode);
  free (path);
  return yes;
}

static int
add_class (struct scan *s, const char *name)
{
  char **names = realloc (s->names, ((size_t) s->classes + 1) * sizeof *names);

  if (!names)
    return no_memory ();
  s->names = names;
  names[s->classes] = strdup (name);
  if (!names[s->classes])
    return no_memory ();
  s->classes++;
  return 0;
}

static int
scan_names (struct scan *s, DIR *d)
{
  for (;;) {
    const struct dirent *e;
    int yes;

    errno = 0;
    e = readdir (d);
    if (!e)
      return errno ? cannot_read (s->root, errno) : 0;
    if (e->d_name[0] == '.')
      continue;
    yes = is_folder (s->root, e);
    if (yes < 0)
      return yes;
    if (!yes)
      continue;
    if (add_class (s, e->d_name))
      return -ENOMEM;
  }
}

int
scan_folder (struct scan *s, struct qk_context *ctx, const char *root,
             bool classes, bool with_images, int64_t limit)
{
  struct stat st;
  DIR *d;
  int err, i;

  s->root = strdup (root);
  if (!s->root)
    return no_memory ();
  d = opendir (root);
  if (!d)
    return cannot_read (root, errno);
  err = fstat (dirfd (d), &st) ? cannot_read (root, errno)
                               : add_folder (s, -1, "", &st);
  if (err == 0)
    err = classes ? scan_names (s, d) : add_class (s, SCAN_NO_CLASS);
  closedir (d);
  if (err)
    return err;
  if (s->classes == 0)
    return qk_error (-ENODATA,
                     "folder %s has no class folders (one folder of images "
                     "per class is expected, unless labels = no)",
                     root);
  qsort (s->names, (size_t) s->classes, sizeof *s->names, compare_names);
  for (i = 0; with_images && i < s->classes; i++) {
    err = scan_class (s, ctx, i, limit);
    if (err)
      return err;
  }
  scan_tell (s, ctx);
  return 0;
}

void
scan_free (struct scan *s)
{
  int64_t i;

  for (i = 0; i < s->count; i++)
    free (s->items[i].path);
  free (s->items);
  for (i = 0; i < s->n_folders; i++)
    free (s->folder[i].path);
  free (s->folder);
  for (i = 0; i < s->classes; i++)
    free (s->names[i]);
  free (s->names);
  free (s->root);
  memset (s, 0, sizeof *s);
}

void
scan_limit (struct scan *s, int64_t limit)
{
  int64_t i, n = 0, of_class = 0;

  for (i = 0; limit > 0 && i < s->count; i++) {
    of_class
      = n > 0 && s->items[n - 1].label == s->items[i].label ? of_class + 1 : 1;
    if (of_class <= limit)
      s->items[n++] = s->items[i];
    else
      free (s->items[i].path);
  }
  if (limit > 0)
    s->count = n;
}

int
scan_add_class (struct scan *s, const char *name)
{
  const int err = add_class (s, name);

  return err < 0 ? err : 1;
}

int
scan_add_image (struct scan *s, const char *path, int32_t label)
{
  char *copy = strdup (path);
  int err;

  if (!copy)
    return no_memory ();
  err = add_item (s, copy, label);
  if (err < 0)
    free (copy);
  return err < 0 ? err : 1;
}

int
scan_add_ending (struct scan *s, const char *text, int64_t count)
{
  int i = 0;

  while (i < SCAN_ENDINGS && s->ending[i].count > 0)
    i++;
  if (i < SCAN_ENDINGS && strlen (text) < sizeof s->ending[0].text) {
    strcpy (s->ending[i].text, text);
    s->ending[i].count = count;
  }
  return 1;
}
