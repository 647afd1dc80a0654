/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* faults.c: start and end of the preloaded library. */
#include "config.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "faults.h"

void *
faults_next (const char *symbol)
{
  void *p = dlsym (RTLD_NEXT, symbol);

  if (!p)
    abort ();
  return p;
}

long
faults_number (const char *name)
{
  const char *text = getenv (name);

  return text ? atol (text) : 0;
}

static bool active;

static void start (void) __attribute__ ((constructor));
static void end (void) __attribute__ ((destructor));

static void
start (void)
{
  /* not the shells and other programs that lead to it */
  active = strcmp (program_invocation_short_name, "qatkit") == 0
           || strcmp (program_invocation_short_name, "lt-qatkit") == 0;
  if (!active)
    return;
  faults_files_start ();
  faults_memory_start ();
}

static void
end (void)
{
  if (!active)
    return;
  faults_memory_end ();
  faults_files_end ();
}
