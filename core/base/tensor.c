/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tensor.c: element types, shapes and memory of tensors. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "qatkit/tensor.h"

#define HUGE_PAGE ((size_t) 2 << 20)
/* From here on memory is worth huge pages. */
#define LARGE (4 * HUGE_PAGE)
/* So many pages are worth a system call. */
#define MANY_PAGES 8

size_t
qk_dtype_size (enum qk_dtype dtype)
{
  switch (dtype) {
  case QK_U8:
  case QK_I8:
    return 1;
  case QK_U16:
    return 2;
  case QK_F32:
  case QK_I32:
    return 4;
  case QK_I64:
  case QK_F64:
    return 8;
  case QK_NONE:
    break;
  }
  return 0;
}

const char *
qk_dtype_name (enum qk_dtype dtype)
{
  switch (dtype) {
  case QK_NONE:
    return "none";
  case QK_F32:
    return "f32";
  case QK_U8:
    return "u8";
  case QK_I8:
    return "i8";
  case QK_I32:
    return "i32";
  case QK_I64:
    return "i64";
  case QK_F64:
    return "f64";
  case QK_U16:
    return "u16";
  }
  return "?";
}

int64_t
qk_shape_count (const struct qk_shape *shape)
{
  int64_t count = 1;

  if (shape->ndim < 0 || shape->ndim > QK_MAX_DIMS)
    return -1;
  for (int i = 0; i < shape->ndim; i++)
    if (shape->dims[i] < 0
        || __builtin_mul_overflow (count, shape->dims[i], &count))
      return -1;
  return count;
}

bool
qk_shape_equal (const struct qk_shape *a, const struct qk_shape *b)
{
  if (a->ndim != b->ndim)
    return false;
  for (int i = 0; i < a->ndim && i < QK_MAX_DIMS; i++)
    if (a->dims[i] != b->dims[i])
      return false;
  return true;
}

/* Axis I of S in a broadcast to NDIM axes; 1 where it is missing. */
static int64_t
broadcast_axis (const struct qk_shape *s, int ndim, int i)
{
  const int at = i - (ndim - s->ndim);

  return at < 1 ? 1 : s->dims[at];
}

int
qk_shape_broadcast (const struct qk_shape *a, const struct qk_shape *b,
                    struct qk_shape *out)
{
  const int ndim = a->ndim > b->ndim ? a->ndim : b->ndim;
  bool fits = a->ndim >= 1 && b->ndim >= 1 && ndim <= QK_MAX_DIMS
              && a->dims[0] == b->dims[0];
  struct qk_shape s = { .ndim = ndim };

  for (int i = 1; fits && i < ndim; i++) {
    const int64_t x = broadcast_axis (a, ndim, i);
    const int64_t y = broadcast_axis (b, ndim, i);

    s.dims[i] = x == 1 ? y : x;
    fits = x == y || x == 1 || y == 1;
  }
  if (!fits) {
    char p[96], q[96];

    return qk_error (-EINVAL, "%s and %s cannot be broadcast to one shape",
                     qk_shape_print (a, p, sizeof p),
                     qk_shape_print (b, q, sizeof q));
  }
  s.dims[0] = a->dims[0];
  *out = s;
  return 0;
}

int
qk_shape_matmul (const struct qk_shape *a, const struct qk_shape *b, bool ta,
                 bool tb, struct qk_shape *out)
{
  struct qk_shape lead[2] = { *a, *b }, s;
  char p[96], q[96];
  int r;

  if (a->ndim < 3 || b->ndim < 3
      || a->dims[a->ndim - (ta ? 2 : 1)] != b->dims[b->ndim - (tb ? 1 : 2)])
    return qk_error (-EINVAL,
                     "%s%s and %s%s cannot be multiplied, expected "
                     "(N,...,M,K) and (N,...,K,P)",
                     qk_shape_print (a, p, sizeof p), ta ? " transposed" : "",
                     qk_shape_print (b, q, sizeof q), tb ? " transposed" : "");
  lead[0].ndim -= 2;
  lead[1].ndim -= 2;
  if ((r = qk_shape_broadcast (&lead[0], &lead[1], &s)) < 0)
    return r;
  s.dims[s.ndim++] = a->dims[a->ndim - (ta ? 1 : 2)];
  s.dims[s.ndim++] = b->dims[b->ndim - (tb ? 2 : 1)];
  *out = s;
  return 0;
}

const char *
qk_shape_print (const struct qk_shape *shape, char *buf, size_t size)
{
  char text[QK_MAX_DIMS * 21 + 3] = "(";
  size_t used = 1;

  for (int i = 0; i < shape->ndim && i < QK_MAX_DIMS; i++)
    used += (size_t) snprintf (text + used, sizeof text - used, "%s%" PRId64,
                               i ? "," : "", shape->dims[i]);
  snprintf (buf, size, "%s)", text);
  return buf;
}

/* Hints for SIZE bytes at P that are about to be written. */
static void
prepare_pages (void *p, size_t size, size_t page)
{
#ifdef MADV_HUGEPAGE
  /* Activations are walked through from end to end at every step: 512 times
   * fewer pages to fault in and to look up. */
  if (size >= LARGE)
    madvise (p, size / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
#endif
#ifdef MADV_POPULATE_WRITE
  /* All pages at once: one fault after the other takes several times as long,
   * and in a virtual machine ten times. */
  if (size >= MANY_PAGES * page) {
    const size_t skip = (page - (uintptr_t) p % page) % page;

    madvise ((char *) p + skip, (size - skip) / page * page,
             MADV_POPULATE_WRITE);
  }
#endif
}

void *
qk_alloc (size_t size)
{
  const long pages = sysconf (_SC_PHYS_PAGES), page = sysconf (_SC_PAGESIZE);
  void *p;

  /* More than the machine has would be granted by an overcommitting kernel
   * and end the process when touched: refuse it here. */
  if (size > PTRDIFF_MAX
      || (pages > 0 && page > 0 && size / (size_t) page >= (size_t) pages))
    return NULL;
  if (posix_memalign (&p, size >= LARGE ? HUGE_PAGE : 64, size ? size : 1)
      != 0)
    return NULL;
  prepare_pages (p, size, (size_t) (page > 0 ? page : 4096));
  return memset (p, 0, size);
}

void
qk_free (void *p)
{
  free (p);
}

size_t
qk_spec_bytes (const struct qk_tensor_spec *spec)
{
  const int64_t n = qk_shape_count (&spec->shape);

  return n < 0 ? 0 : (size_t) n * qk_dtype_size (spec->dtype);
}

const char *
qk_spec_print (const struct qk_tensor_spec *spec, char *buf, size_t size)
{
  char shape[120];

  snprintf (buf, size, "%s %s %s", spec->name, qk_dtype_name (spec->dtype),
            qk_shape_print (&spec->shape, shape, sizeof shape));
  return buf;
}
