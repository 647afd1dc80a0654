/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* files.c: kills the program at an operation on files, or lets the disk be
 * full from there on; counts questions about files. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "faults.h"

static long kill_at, full_at;
static long count; /* of operations so far */

/* Before every operation; whether there is no room for it. */
static bool
operation (bool takes_room)
{
  const long n = __atomic_add_fetch (&count, 1, __ATOMIC_SEQ_CST);

  if (kill_at > 0 && n == kill_at)
    kill (getpid (), SIGKILL);
  if (full_at <= 0 || n < full_at || !takes_room)
    return false;
  errno = ENOSPC;
  return true;
}

static bool
is_file (int fd)
{
  struct stat st;

  return fstat (fd, &st) == 0 && S_ISREG (st.st_mode);
}

ssize_t
write (int fd, const void *data, size_t n)
{
  static ssize_t (*next) (int, const void *, size_t);

  if (!next)
    *(void **) &next = faults_next ("write");
  if (!is_file (fd))
    return next (fd, data, n);
  /* half of it still fits */
  if (operation (true)) {
    if (n > 1 && full_at == __atomic_load_n (&count, __ATOMIC_SEQ_CST))
      return next (fd, data, n / 2);
    errno = ENOSPC;
    return -1;
  }
  return next (fd, data, n);
}

int
fsync (int fd)
{
  static int (*next) (int);

  if (!next)
    *(void **) &next = faults_next ("fsync");
  /* a file system that gives room late says so here */
  return operation (is_file (fd)) ? -1 : next (fd);
}

int
rename (const char *from, const char *to)
{
  static int (*next) (const char *, const char *);

  if (!next)
    *(void **) &next = faults_next ("rename");
  return operation (false) ? -1 : next (from, to);
}

int
unlink (const char *path)
{
  static int (*next) (const char *);

  if (!next)
    *(void **) &next = faults_next ("unlink");
  return operation (false) ? -1 : next (path);
}

int
mkdir (const char *path, mode_t mode)
{
  static int (*next) (const char *, mode_t);

  if (!next)
    *(void **) &next = faults_next ("mkdir");
  return operation (true) ? -1 : next (path, mode);
}

int
open (const char *path, int flags, ...)
{
  static int (*next) (const char *, int, ...);
  mode_t mode = 0;
  va_list args;

  if (flags & O_CREAT) {
    va_start (args, flags);
    mode = va_arg (args, mode_t);
    va_end (args);
  }
  if (!next)
    *(void **) &next = faults_next ("open");
  if ((flags & O_CREAT) && operation (true))
    return -1;
  return next (path, flags, mode);
}

/* Questions about a file by its name are only counted. */
static long questions;

int
stat (const char *path, struct stat *st)
{
  static int (*next) (const char *, struct stat *);

  if (!next)
    *(void **) &next = faults_next ("stat");
  __atomic_add_fetch (&questions, 1, __ATOMIC_SEQ_CST);
  return next (path, st);
}

int
lstat (const char *path, struct stat *st)
{
  static int (*next) (const char *, struct stat *);

  if (!next)
    *(void **) &next = faults_next ("lstat");
  __atomic_add_fetch (&questions, 1, __ATOMIC_SEQ_CST);
  return next (path, st);
}

int
fstatat (int fd, const char *path, struct stat *st, int flags)
{
  static int (*next) (int, const char *, struct stat *, int);

  if (!next)
    *(void **) &next = faults_next ("fstatat");
  __atomic_add_fetch (&questions, 1, __ATOMIC_SEQ_CST);
  return next (fd, path, st, flags);
}

static void
tell (const char *variable, long n)
{
  const char *path = getenv (variable);
  FILE *f = path ? fopen (path, "w") : NULL;

  if (!f)
    return;
  fprintf (f, "%ld\n", n);
  fclose (f);
}

void
faults_files_start (void)
{
  kill_at = faults_number ("QATKIT_FAULT_KILL");
  full_at = faults_number ("QATKIT_FAULT_FULL");
}

void
faults_files_end (void)
{
  const long n = count; /* the next lines make more */

  tell ("QATKIT_FAULT_FILES", n);
  tell ("QATKIT_FAULT_STATS", questions);
}
