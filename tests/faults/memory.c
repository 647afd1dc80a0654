/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* memory.c: lets one allocation fail, and tells what was never freed. */
#include "config.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "faults.h"

#define DEPTH 8 /* with three of this library */
#define MAX_PLACES 65536
#define MAX_LIVE (1 << 18) /* blocks */

/* A chain of callers. */
struct place {
  void *pc[DEPTH];
  int n;
  uint64_t hash; /* the same in every process; 0: leave it alone */
};

struct block {
  void *p; /* NULL: free */
  struct place place;
};

/* What these allocate for themselves, they cannot live without. */
static const char *const strangers[]
  = { "libgomp",  "libomp", "libopenblas", "libblas",  "libdnnl", "libstdc++",
      "libgcc_s", "libmpi", "libtbb",      "libopen-", NULL };
static const char *const linker[] = { "ld-linux", NULL };
/* Through these one looks for who called them. */
static const char *const transparent[]
  = { "libc.so", "ld-linux", "faults.so", NULL };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t known[MAX_PLACES];
static size_t n_known;
static struct block *live; /* an open hash table */
static bool watching;
static int failing = -1; /* the file of places */
static long share, shares;
static __thread bool inside __attribute__ ((tls_model ("initial-exec")));

/* glibc's own, which need no look-up */
extern void *__libc_malloc (size_t size);
extern void *__libc_calloc (size_t n, size_t size);
extern void *__libc_realloc (void *p, size_t size);
extern void *__libc_memalign (size_t align, size_t size);
extern void __libc_free (void *p);

static bool
is_one_of (const char *path, const char *const *names)
{
  const char *base = path ? strrchr (path, '/') : NULL;

  base = base ? base + 1 : path ? path : "";
  for (; *names; names++)
    if (strncmp (base, *names, strlen (*names)) == 0)
      return true;
  return false;
}

#if defined __GLIBC__ && __GLIBC_PREREQ(2, 35)
static void
find_place (struct place *place)
{
  bool found = false;
  uint64_t h = 14695981039346656037u;
  int i;

  /* backtrace and this function are nobody's callers */
  place->n = backtrace (place->pc, DEPTH);
  for (i = 0; i < place->n; i++) {
    struct dl_find_object o;

    if (_dl_find_object (place->pc[i], &o) != 0)
      break;
    /* memory for thread-local data, without which the C library aborts */
    if (!found && is_one_of (o.dlfo_link_map->l_name, linker)) {
      place->hash = 0;
      return;
    }
    if (!found && !is_one_of (o.dlfo_link_map->l_name, transparent)) {
      found = true;
      if (is_one_of (o.dlfo_link_map->l_name, strangers)) {
        place->hash = 0;
        return;
      }
    }
    h = (h ^ (uint64_t) ((char *) place->pc[i] - (char *) o.dlfo_map_start))
        * 1099511628211u;
    h ^= h >> 29;
  }
  place->hash = found ? h | 1 : 0;
}
#else
static void
find_place (struct place *place)
{
  place->n = 0;
  place->hash = 0;
}
#endif

/* With the lock held: whether this one shall fail. */
static bool
is_new (uint64_t hash)
{
  size_t i;

  /* every hash is odd */
  if (failing < 0
      || (shares > 0 && (long) ((hash >> 1) % (uint64_t) shares) != share))
    return false;
  for (i = hash % MAX_PLACES; known[i]; i = (i + 1) % MAX_PLACES)
    if (known[i] == hash)
      return false;
  known[i] = hash;
  if (++n_known > MAX_PLACES / 2
      || write (failing, &hash, sizeof hash) != sizeof hash)
    _exit (99);
  close (failing); /* only one fails in a process */
  failing = -1;
  return true;
}

static void
describe (const struct place *place, const char *what, int fd)
{
  char line[2048];
  size_t used = (size_t) snprintf (line, sizeof line, "%s", what);
  int i;

  for (i = 0; i < place->n && used < sizeof line - 200; i++) {
    Dl_info info;

    if (!dladdr (place->pc[i], &info)
        || is_one_of (info.dli_fname, transparent))
      continue;
    used += (size_t) snprintf (
      line + used, sizeof line - used, " %.40s+0x%lx(%.60s)",
      strrchr (info.dli_fname, '/') ? strrchr (info.dli_fname, '/') + 1
                                    : info.dli_fname,
      (unsigned long) ((char *) place->pc[i] - (char *) info.dli_fbase),
      info.dli_sname ? info.dli_sname : "");
  }
  line[used++] = '\n';
  if (write (fd, line, used) < 0)
    _exit (99);
}

/* Before an allocation; whether it is to fail. */
static bool
fails (struct place *place)
{
  bool yes = false;

  place->hash = 0;
  if (!watching || inside)
    return false;
  inside = true;
  find_place (place);
  if (place->hash != 0) {
    pthread_mutex_lock (&lock);
    yes = is_new (place->hash);
    pthread_mutex_unlock (&lock);
    if (yes && getenv ("QATKIT_FAULT_TELL"))
      describe (place, "no memory for", 2);
  }
  inside = false;
  if (yes)
    errno = ENOMEM;
  return yes;
}

static size_t
slot_of (const void *p)
{
  return (size_t) (((uintptr_t) p >> 4) * 2654435761u) % MAX_LIVE;
}

static void *
born (void *p, const struct place *place)
{
  size_t i, tries;

  if (!p || !live || place->hash == 0)
    return p;
  pthread_mutex_lock (&lock);
  for (i = slot_of (p), tries = 0; live[i].p; i = (i + 1) % MAX_LIVE)
    if (++tries > 1000)
      _exit (99);
  live[i].p = p;
  live[i].place = *place;
  pthread_mutex_unlock (&lock);
  return p;
}

/* Take the block at slot I out, and move up what was put behind it. */
static void
take_out (size_t i)
{
  size_t j = i;

  for (;;) {
    live[i].p = NULL;
    do {
      size_t home;

      j = (j + 1) % MAX_LIVE;
      if (!live[j].p)
        return;
      home = slot_of (live[j].p);
      if ((j > i) ? (home <= i || home > j) : (home <= i && home > j))
        break;
    } while (true);
    live[i] = live[j];
    i = j;
  }
}

static void
died (void *p)
{
  size_t i;

  if (!p || !live)
    return;
  pthread_mutex_lock (&lock);
  for (i = slot_of (p); live[i].p; i = (i + 1) % MAX_LIVE)
    if (live[i].p == p) {
      take_out (i);
      break;
    }
  pthread_mutex_unlock (&lock);
}

void *
malloc (size_t size)
{
  struct place place;

  return fails (&place) ? NULL : born (__libc_malloc (size), &place);
}

void *
calloc (size_t n, size_t size)
{
  struct place place;

  return fails (&place) ? NULL : born (__libc_calloc (n, size), &place);
}

void *
realloc (void *p, size_t size)
{
  struct place place;
  void *grown;

  if (fails (&place))
    return NULL;
  died (p);
  grown = __libc_realloc (p, size);
  return born (grown, &place);
}

int
posix_memalign (void **out, size_t align, size_t size)
{
  struct place place;

  if (fails (&place))
    return ENOMEM;
  *out = born (__libc_memalign (align, size), &place);
  return *out ? 0 : ENOMEM;
}

void *
aligned_alloc (size_t align, size_t size)
{
  struct place place;

  return fails (&place) ? NULL : born (__libc_memalign (align, size), &place);
}

void
free (void *p)
{
  died (p);
  __libc_free (p);
}

/* What the dynamic linker keeps, it keeps for ever; that it frees what a
 * failed load had begun is the C library's affair. */
void *
dlopen (const char *path, int mode)
{
  static void *(*next) (const char *, int);
  const bool was = inside;
  void *handle;

  inside = true;
  if (!next)
    *(void **) &next = faults_next ("dlopen");
  handle = next (path, mode);
  inside = was;
  return handle;
}

char *
dlerror (void)
{
  static char *(*next) (void);
  const bool was = inside;
  char *text;

  inside = true;
  if (!next)
    *(void **) &next = faults_next ("dlerror");
  text = next ();
  inside = was;
  return text;
}

void
faults_memory_start (void)
{
  const char *places = getenv ("QATKIT_FAULT_MALLOC");
  const char *part = getenv ("QATKIT_FAULT_SHARE");
  void *pc[2];
  uint64_t hash;

  if (!places && !getenv ("QATKIT_FAULT_LIVE"))
    return;
  if (part && sscanf (part, "%ld/%ld", &share, &shares) != 2)
    _exit (99);
  backtrace (pc, 2); /* its first call allocates */
  if (places) {
    failing = open (places, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    while (read (failing, &hash, sizeof hash) == sizeof hash) {
      size_t i;

      for (i = hash % MAX_PLACES; known[i]; i = (i + 1) % MAX_PLACES)
        ;
      known[i] = hash;
      n_known++;
    }
  }
  if (getenv ("QATKIT_FAULT_LIVE"))
    live = __libc_calloc (MAX_LIVE, sizeof *live);
  watching = true;
}

void
faults_memory_end (void)
{
  const char *path = getenv ("QATKIT_FAULT_LIVE");
  char what[64];
  size_t i;
  int fd;

  watching = false;
  if (!live || !path)
    return;
  fd = open (path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  for (i = 0; fd >= 0 && i < MAX_LIVE; i++)
    if (live[i].p) {
      snprintf (what, sizeof what, "%016llx",
                (unsigned long long) live[i].place.hash);
      describe (&live[i].place, what, fd);
    }
  if (fd >= 0)
    close (fd);
}
