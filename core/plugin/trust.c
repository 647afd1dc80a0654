/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* trust.c: whoever may write a plugin's file, a folder above it, or a link on
 * the way to it decides what code is run. */
#include "config.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin/loader-priv.h"

/* Links that are followed, as Linux does. */
#define MOST_LINKS 40

/* Everybody may write it, and no sticky bit protects what lies in it. */
static bool
is_open (const struct stat *st)
{
  if (S_ISLNK (st->st_mode) || !(st->st_mode & S_IWOTH))
    return false;
  return !(S_ISDIR (st->st_mode) && (st->st_mode & S_ISVTX));
}

static int
refuse (const char *path, const struct stat *st, const char *asked)
{
  return qk_error (-EPERM,
                   "plugin %s '%s' can be written by everyone: refused%s%s%s; "
                   "'chmod o-w' makes it usable",
                   S_ISDIR (st->st_mode) ? "folder" : "file", path,
                   strcmp (path, asked) != 0 ? " (on the way to '" : "",
                   strcmp (path, asked) != 0 ? asked : "",
                   strcmp (path, asked) != 0 ? "')" : "");
}

/* What the link AT, whose last component begins at BASE, stands for, in front
 * of REST; to be freed. */
static char *
follow (const char *at, size_t base, const char *rest)
{
  char target[PATH_MAX], *path;
  const ssize_t n = readlink (at, target, sizeof target - 1);
  int r;

  if (n < 0)
    return NULL;
  target[n] = 0;
  r = target[0] == '/'
        ? asprintf (&path, "%s%s", target, rest)
        : asprintf (&path, "%.*s%s%s", (int) base, at, target, rest);
  return r < 0 ? NULL : path;
}

/* Walk PATH, absolute, component by component; *NEXT gets the path to walk
 * instead where one is a link. */
static int
walk (const char *path, const char *asked, char **next)
{
  char *at = strdup (path);
  size_t i = 0, base = 0;
  struct stat st;
  int r = 0;

  if (at == NULL)
    return qk_oom ("plugin %s", path);
  while (r == 0 && *next == NULL && path[i] != 0) {
    base = i + 1;
    do
      i++;
    while (path[i] != 0 && path[i] != '/');
    at[i] = 0;
    if (lstat (base == i ? "/" : at, &st) < 0)
      r = qk_error (-errno, "plugin %s: %s", at, strerror (errno));
    else if (is_open (&st))
      r = refuse (at, &st, asked);
    else if (S_ISLNK (st.st_mode)
             && (*next = follow (at, base, path + i)) == NULL)
      r = qk_error (-EINVAL, "plugin %s: a link that cannot be followed", at);
    at[i] = path[i];
  }
  free (at);
  return r;
}

static char *
absolute (const char *path)
{
  char *here, *all;
  int r;

  if (path[0] == '/')
    return strdup (path);
  if ((here = getcwd (NULL, 0)) == NULL)
    return NULL;
  r = asprintf (&all, "%s/%s", here, path);
  free (here);
  return r < 0 ? NULL : all;
}

int
qk_trust_check (const char *path)
{
  char *at = absolute (path), *next = NULL;
  struct stat root;
  int links = 0, r;

  if (at == NULL)
    return qk_oom ("plugin %s", path);
  r = stat ("/", &root) == 0 && is_open (&root) ? refuse ("/", &root, path)
                                                : 0;
  while (r == 0 && (r = walk (at, path, &next)) == 0 && next != NULL) {
    free (at);
    at = next;
    next = NULL;
    if (++links > MOST_LINKS)
      r = qk_error (-ELOOP, "plugin %s: too many links", path);
  }
  free (next);
  free (at);
  return r;
}
