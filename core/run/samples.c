/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* samples.c: the samples of a run are those that it began with, and those that
 * the other processes have. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic-file.h"
#include "base/difference.h"
#include "data/list.h"
#include "run/run.h"

/* The bytes of FD, for free; NULL with an error recorded. */
static char *
read_fd (int fd, const char *path, size_t *size)
{
  struct stat st;
  size_t n = 0;
  ssize_t got;
  char *text;

  if (fstat (fd, &st) < 0 || !S_ISREG (st.st_mode)) {
    qk_error (-EINVAL, "%s: not a regular file", path);
    return NULL;
  }
  if ((text = malloc ((size_t) st.st_size + 1)) == NULL) {
    qk_oom ("%s", path);
    return NULL;
  }
  while (n < (size_t) st.st_size
         && (got = read (fd, text + n, (size_t) st.st_size - n)) > 0)
    n += (size_t) got;
  *size = n;
  return text;
}

/* Whether a list ends as it is written: "N samples".  Power loss leaves it
 * empty, cut, or with zeros. */
static bool
is_whole (const char *text, size_t n)
{
  static const char end[] = " samples\n";
  const size_t length = sizeof end - 1;

  return n > length && memcmp (text + n - length, end, length) == 0
         && memchr (text, 0, n) == NULL;
}

/* Whether the list that was kept in PATH is TEXT; 1: there is none. */
static int
compare_kept (struct qk_run *run, const char *path, const char *split,
              const char *text, size_t size)
{
  const int fd = open (path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  char said[512], *was;
  size_t n = 0;
  int r = 0;

  if (fd < 0)
    return errno == ENOENT ? 1
                           : qk_error (-errno, "%s: cannot open: %s", path,
                                       strerror (errno));
  was = read_fd (fd, path, &n);
  close (fd);
  if (was == NULL)
    return -EIO;
  if (!is_whole (was, n)) {
    qk_log (run->s.settings->ctx, QK_LOG_WARNING,
            "%s: damaged; that the %s samples are the same is not checked",
            path, split);
    r = 1;
  } else if (n != size || memcmp (was, text, n) != 0) {
    qk_difference (was, n, text, size, said, sizeof said);
    r = qk_error (-EINVAL,
                  "the %s samples are not those that the run in '%s' began "
                  "with: %s; give it those, or begin anew with --overwrite",
                  split, run->output, said);
  }
  free (was);
  return r;
}

static int
check_split (struct qk_run *run, const struct qk_data *d, const char *split,
             bool resume, bool keep)
{
  char what[40], *text = NULL, *path = NULL;
  size_t size = 0;
  int r = qk_samples_list (d->cls, d->self, &d->info, true, &text, &size);

  if (r < 0)
    return r;
  snprintf (what, sizeof what, "%s samples", split);
  r = qk_comm_check_text (run->s.m->comm, what, text, size);
  if (r == 0 && keep && qk_run_writes (run)) {
    if (asprintf (&path, "%s/samples-%s.txt", run->output, split) < 0) {
      path = NULL;
      r = qk_oom ("run");
    } else
      r = resume ? compare_kept (run, path, split, text, size) : 1;
    if (r == 1)
      r = qk_atomic_write_data (path, text, size);
  }
  free (path);
  free (text);
  return r;
}

int
qk_run_check_samples (struct qk_run *run, bool resume, bool keep)
{
  const int r = check_split (run, run->s.train, "train", resume, keep);

  return r < 0 ? r : check_split (run, run->s.eval, "val", resume, keep);
}

int
qk_run_check_network (struct qk_run *run)
{
  char what[300];
  int i, r = 0;

  for (i = 0; r == 0 && i < run->g->n_params; i++) {
    const struct qk_tensor *t = &run->g->param[i].value;

    snprintf (what, sizeof what, "weight tensor '%s'", run->g->param[i].name);
    r = qk_comm_check_same (run->s.m->comm, what, t->data,
                            sizeof (float)
                              * (size_t) qk_shape_count (&t->shape));
  }
  return r;
}
