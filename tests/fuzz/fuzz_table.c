/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz_table.c: any bytes as a table of text, its header and its labels. */
#include "config.h"

#include <sys/mman.h>
#include <unistd.h>

#include "replay.h"
#include "table/table.h"

#define PATH_SIZE 40

static void
use (struct table *t)
{
  const struct table none = { .rows = 0 };
  volatile double sum = 0;
  int64_t i;
  int k;

  for (k = 0; k < t->columns && k < 8; k++) {
    struct table_labels l = { 0, NULL, 0 };

    if (t->name && table_column (t, t->name[k]) != k)
      abort ();
    for (i = 0; i < t->rows; i++) {
      double x;

      if (table_number (table_cell (t, i, k), &x))
        sum = sum + x;
    }
    if (table_labels_find (t, &none, k, &l) < 0)
      abort ();
    for (i = 0; i < t->rows; i++)
      if (table_labels_number (&l, table_cell (t, i, k)) < 0)
        abort (); /* every cell is one of them */
    table_labels_clear (&l);
  }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  const int fd = memfd_create ("fuzz", MFD_CLOEXEC);
  char path[PATH_SIZE];
  struct table t;

  if (fd < 0)
    return 0;
  snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
  if (write (fd, data, size) == (ssize_t) size) {
    if (table_read (path, &t) == 0) {
      use (&t);
      if (table_take_header (&t) == 0)
        use (&t);
    } else if (strncmp (qk_error_message (), path, strlen (path)) != 0)
      abort (); /* an error without the file's name */
    table_clear (&t);
  }
  close (fd);
  return 0;
}

#ifndef QK_FUZZING
int
main (int argc, char **argv)
{
  return replay_main (argc, argv, "table");
}
#endif
