/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* transpose.c: the axes of samples in another order. */
#include "config.h"

#include <string.h>

#include "multiversion.h"
#include "transpose.h"

#if defined __aarch64__ && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#include <arm_neon.h>
#define HAVE_INTERLEAVED
#endif

#define TILE 16            /* columns that are written side by side */
#define PARALLEL_MIN 65536 /* bytes worth starting threads for */

/* ---- the plan ---------------------------------------------------------- */

/* An axis of the output, and the axis of the input that it is. */
struct part {
  int64_t size;
  int from;
};

/* The output's axes of more than one element; returns how many. */
static int
parts_of (const int32_t *order, int n, bool back, struct part *p)
{
  int count = 0;

  for (int j = 0; j < n; j++) {
    int from = order[2 * j + 1];

    if (back)
      for (from = 0; order[2 * from + 1] != j; from++)
        ;
    p[count] = (struct part){ order[2 * (back ? j : from)], from };
    count += p[count].size > 1;
  }
  return count;
}

/* Whether an axis of P lies between the input's axes A and B. */
static bool
between (const struct part *p, int n, int a, int b)
{
  for (int i = 0; i < n; i++)
    if (p[i].from > a && p[i].from < b)
      return true;
  return false;
}

/* Make one axis of neighbours that stay neighbours. */
static int
merge (struct part *p, int n)
{
  int count = 0;

  for (int i = 0; i < n; i++) {
    struct part *last = count > 0 ? &p[count - 1] : NULL;

    if (last != NULL && p[i].from > last->from
        && !between (p, n, last->from, p[i].from)) {
      last->size *= p[i].size;
      last->from = p[i].from; /* the inner one of them */
    } else
      p[count++] = p[i];
  }
  return count;
}

/* Elements between neighbours along part I, in the input and the output. */
static void
steps_of (const struct part *p, int n, int i, int64_t *from, int64_t *to)
{
  *from = *to = 1;
  for (int k = 0; k < n; k++) {
    *from *= p[k].from > p[i].from ? p[k].size : 1;
    *to *= k > i ? p[k].size : 1;
  }
}

void
transpose_plan (const int32_t *order, int n, bool back, struct transpose *t)
{
  struct part p[QK_MAX_DIMS];
  int count = merge (p, parts_of (order, n, back, p)), inner = 0, around;
  int64_t sample = 1;

  memset (t, 0, sizeof *t);
  t->unit = t->rows = t->columns = 1;
  for (int i = 0; i < count; i++) {
    sample *= p[i].size;
    inner = p[i].from > p[inner].from ? i : inner;
  }
  around = count;
  if (count > 0 && inner == count - 1) { /* the last axis stays the last */
    t->unit = p[inner].size;
    around--;
    inner = 0;
    for (int i = 0; i < around; i++)
      inner = p[i].from > p[inner].from ? i : inner;
  }
  t->axes = 1;
  t->from[0] = t->to[0] = sample / t->unit;
  for (int i = 0; i < around; i++) {
    int64_t from, to;

    steps_of (p, count, i, &from, &to);
    from /= t->unit;
    to /= t->unit;
    if (i == around - 1) {
      t->rows = p[i].size;
      t->in_step = from;
    } else if (i == inner) {
      t->columns = p[i].size;
      t->out_step = to;
    } else {
      t->size[t->axes] = p[i].size;
      t->from[t->axes] = from;
      t->to[t->axes++] = to;
    }
  }
}

/* ---- planes ------------------------------------------------------------ */

/* out[c out_step + r] = in[r in_step + c], columns BEGIN to END, of elements
 * of one type.  Few rows or columns are interleaved or taken apart in loops
 * of known length. */
#define DEFINE_PLANE(type)                                                    \
  static inline __attribute__ ((always_inline)) void rows_##type (            \
    int64_t rows, int64_t begin, int64_t end, int64_t is, int64_t os,         \
    const type *restrict in, type *restrict out)                              \
  {                                                                           \
    QK_SIMD                                                                   \
    for (int64_t c = begin; c < end; c++)                                     \
      for (int64_t r = 0; r < rows; r++)                                      \
        out[c * os + r] = in[r * is + c];                                     \
  }                                                                           \
  static inline __attribute__ ((always_inline)) void columns_##type (         \
    int64_t rows, int64_t begin, int64_t count, int64_t is, int64_t os,       \
    const type *restrict in, type *restrict out)                              \
  {                                                                           \
    QK_SIMD                                                                   \
    for (int64_t r = 0; r < rows; r++)                                        \
      for (int64_t c = 0; c < count; c++)                                     \
        out[(begin + c) * os + r] = in[r * is + begin + c];                   \
  }                                                                           \
  QK_LOOP (static, plane_##type,                                              \
           (const struct transpose *t, int64_t begin, int64_t end,            \
            const type *restrict in, type *restrict out),                     \
           (t, begin, end, in, out))                                          \
  {                                                                           \
    const int64_t rows = t->rows, is = t->in_step, os = t->out_step;          \
    int64_t c = begin;                                                        \
                                                                              \
    if (rows == 2 && os == 2)                                                 \
      rows_##type (2, begin, end, is, 2, in, out);                            \
    else if (rows == 3 && os == 3)                                            \
      rows_##type (3, begin, end, is, 3, in, out);                            \
    else if (rows == 4 && os == 4)                                            \
      rows_##type (4, begin, end, is, 4, in, out);                            \
    else if (t->columns == 2 && is == 2)                                      \
      columns_##type (rows, 0, 2, 2, os, in, out);                            \
    else if (t->columns == 3 && is == 3)                                      \
      columns_##type (rows, 0, 3, 3, os, in, out);                            \
    else if (t->columns == 4 && is == 4)                                      \
      columns_##type (rows, 0, 4, 4, os, in, out);                            \
    else {                                                                    \
      for (; c + TILE <= end; c += TILE)                                      \
        for (int64_t r = 0; r < rows; r++)                                    \
          for (int64_t k = 0; k < TILE; k++)                                  \
            out[(c + k) * os + r] = in[r * is + c + k];                       \
      for (int64_t r = 0; r < rows; r++)                                      \
        for (int64_t k = c; k < end; k++)                                     \
          out[k * os + r] = in[r * is + k];                                   \
    }                                                                         \
  }                                                                           \
  struct transpose

DEFINE_PLANE (uint8_t);
DEFINE_PLANE (uint32_t);

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
/* Swap the bits of A above SHIFT with those of B below, in the fields of
 * MASK. */
#define SWAP(a, b, shift, mask)                                               \
  do {                                                                        \
    const uint64_t t_ = ((a) >> (shift) ^ (b)) & (mask);                      \
                                                                              \
    (b) ^= t_;                                                                \
    (a) ^= t_ << (shift);                                                     \
  } while (0)

/* Eight rows of eight bytes, turned: pairs of bytes, of two and of four. */
static inline __attribute__ ((always_inline)) void
turn_8x8 (const uint8_t *in, int64_t is, uint8_t *out, int64_t os)
{
  uint64_t a[8];

#pragma GCC unroll 8
  for (int i = 0; i < 8; i++)
    memcpy (&a[i], in + i * is, 8);
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    SWAP (a[2 * i], a[2 * i + 1], 8, UINT64_C (0x00ff00ff00ff00ff));
  }
  SWAP (a[0], a[2], 16, UINT64_C (0x0000ffff0000ffff));
  SWAP (a[1], a[3], 16, UINT64_C (0x0000ffff0000ffff));
  SWAP (a[4], a[6], 16, UINT64_C (0x0000ffff0000ffff));
  SWAP (a[5], a[7], 16, UINT64_C (0x0000ffff0000ffff));
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++)
    SWAP (a[i], a[i + 4], 32, UINT64_C (0x00000000ffffffff));
#pragma GCC unroll 8
  for (int i = 0; i < 8; i++)
    memcpy (out + i * os, &a[i], 8);
}

/* Columns BEGIN to END of a plane of bytes, in blocks of 8 by 8. */
static void
plane_of_bytes (const struct transpose *t, int64_t begin, int64_t end,
                const uint8_t *in, uint8_t *out)
{
  const int64_t rows = t->rows, is = t->in_step, os = t->out_step;
  int64_t c = begin;

  for (; c + 8 <= end; c += 8) {
    int64_t r = 0;

    for (; r + 8 <= rows; r += 8)
      turn_8x8 (in + r * is + c, is, out + c * os + r, os);
    for (; r < rows; r++)
      for (int64_t k = c; k < c + 8; k++)
        out[k * os + r] = in[r * is + k];
  }
  if (c < end)
    plane_uint8_t (t, c, end, in, out);
}
#else
#define plane_of_bytes plane_uint8_t
#endif

static inline __attribute__ ((always_inline)) void
plane_of_runs (const struct transpose *t, int64_t begin, int64_t end,
               const char *in, char *out, size_t bytes)
{
  for (int64_t c = begin; c < end; c++)
    for (int64_t r = 0; r < t->rows; r++)
      memcpy (out + (size_t) (c * t->out_step + r) * bytes,
              in + (size_t) (r * t->in_step + c) * bytes, bytes);
}

/* Columns BEGIN to END of a plane of units of BYTES, which are elements or
 * several of them. */
static void
plane (const struct transpose *t, int64_t begin, int64_t end, const void *in,
       void *out, size_t bytes)
{
  if (bytes == 1 && t->rows >= 8 && t->columns >= 8)
    plane_of_bytes (t, begin, end, in, out);
  else if (bytes == 1)
    plane_uint8_t (t, begin, end, in, out);
  else if (bytes == 4 && t->unit == 1)
    plane_uint32_t (t, begin, end, in, out);
  else if (bytes == 2)
    plane_of_runs (t, begin, end, in, out, 2);
  else if (bytes == 4)
    plane_of_runs (t, begin, end, in, out, 4);
  else if (bytes == 8)
    plane_of_runs (t, begin, end, in, out, 8);
  else
    plane_of_runs (t, begin, end, in, out, bytes);
}

#ifdef HAVE_INTERLEAVED
/* Two to four rows of bytes become one, or one becomes as many, in vectors that
 * loads and stores interleave.  BEGIN: the first byte of 16 in each row. */
#define DEFINE_INTERLEAVED(n)                                                 \
  static inline __attribute__ ((always_inline)) void join_##n (               \
    const uint8_t *in, int64_t is, int64_t begin, uint8_t *out)               \
  {                                                                           \
    uint8x16x##n##_t x;                                                       \
                                                                              \
    _Pragma ("GCC unroll 4") for (int i = 0; i < n; i++) x.val[i]             \
      = vld1q_u8 (in + i * is + begin);                                       \
    vst##n##q_u8 (out + n * begin, x);                                        \
  }                                                                           \
  static inline __attribute__ ((always_inline)) void part_##n (               \
    const uint8_t *in, int64_t begin, uint8_t *out, int64_t os)               \
  {                                                                           \
    const uint8x16x##n##_t x = vld##n##q_u8 (in + n * begin);                 \
                                                                              \
    _Pragma ("GCC unroll 4") for (int i = 0; i < n; i++)                      \
      vst1q_u8 (out + i * os + begin, x.val[i]);                              \
  }                                                                           \
  static void joins_##n (const struct transpose *t, int64_t count,            \
                         int64_t from, int64_t to, const uint8_t *in,         \
                         uint8_t *out)                                        \
  {                                                                           \
    const int64_t size = t->columns, whole = size / 16 * 16, is = t->in_step; \
                                                                              \
    for (; count > 0; count--, in += from, out += to) {                       \
      for (int64_t i = 0; i < whole; i += 16)                                 \
        join_##n (in, is, i, out);                                            \
      if (whole < size)                                                       \
        join_##n (in, is, size - 16, out);                                    \
    }                                                                         \
  }                                                                           \
  static void parts_##n (const struct transpose *t, int64_t count,            \
                         int64_t from, int64_t to, const uint8_t *in,         \
                         uint8_t *out)                                        \
  {                                                                           \
    const int64_t size = t->rows, whole = size / 16 * 16, os = t->out_step;   \
                                                                              \
    for (; count > 0; count--, in += from, out += to) {                       \
      for (int64_t i = 0; i < whole; i += 16)                                 \
        part_##n (in, i, out, os);                                            \
      if (whole < size)                                                       \
        part_##n (in, size - 16, out, os);                                    \
    }                                                                         \
  }                                                                           \
  static bool planes_of_##n (const struct transpose *t, int64_t count,        \
                             int64_t from, int64_t to, const uint8_t *in,     \
                             uint8_t *out)                                    \
  {                                                                           \
    if (t->rows == n && t->out_step == n && t->columns >= 16)                 \
      joins_##n (t, count, from, to, in, out);                                \
    else if (t->columns == n && t->in_step == n && t->rows >= 16)             \
      parts_##n (t, count, from, to, in, out);                                \
    else                                                                      \
      return false;                                                           \
    return true;                                                              \
  }                                                                           \
  struct transpose

DEFINE_INTERLEAVED (2);
DEFINE_INTERLEAVED (3);
DEFINE_INTERLEAVED (4);

/* COUNT planes of bytes, FROM and TO apart.  False: not in this way. */
static bool
planes_interleaved (const struct transpose *t, int64_t count, int64_t from,
                    int64_t to, const uint8_t *in, uint8_t *out)
{
  return planes_of_2 (t, count, from, to, in, out)
         || planes_of_3 (t, count, from, to, in, out)
         || planes_of_4 (t, count, from, to, in, out);
}
#endif

/* COUNT whole planes, FROM and TO units apart. */
static void
planes (const struct transpose *t, int64_t count, int64_t from, int64_t to,
        const char *in, char *out, size_t bytes)
{
#ifdef HAVE_INTERLEAVED
  if (bytes == 1
      && planes_interleaved (t, count, from, to, (const uint8_t *) in,
                             (uint8_t *) out))
    return;
#endif
  for (; count > 0; count--) {
    plane (t, 0, t->columns, in, out, bytes);
    in += (size_t) from * bytes;
    out += (size_t) to * bytes;
  }
}

void
transpose_bytes (const uint8_t *in, int64_t rows, int64_t columns, int64_t is,
                 uint8_t *out, int64_t os)
{
  const struct transpose t = {
    .unit = 1, .rows = rows, .columns = columns, .in_step = is, .out_step = os
  };

  plane (&t, 0, columns, in, out, 1);
}

/* ---- all of it --------------------------------------------------------- */

/* Columns of a plane that one thread takes at once. */
static int64_t
piece_of (const struct transpose *t, size_t bytes)
{
  const int64_t column = t->rows * (int64_t) bytes;
  const int64_t some = (PARALLEL_MIN + column - 1) / column;

  return (some + TILE - 1) / TILE * TILE;
}

/* Planes around: which one is number I, and the next. */
static void
seek (const struct transpose *t, int64_t i, int64_t *at, int64_t *from,
      int64_t *to)
{
  *from = *to = 0;
  for (int k = t->axes - 1; k >= 0; k--) {
    at[k] = k > 0 ? i % t->size[k] : i;
    *from += at[k] * t->from[k];
    *to += at[k] * t->to[k];
    i = k > 0 ? i / t->size[k] : 0;
  }
}

/* Planes FIRST to LAST - 1, those along the last axis around them together. */
static void
run_planes (const struct transpose *t, int64_t first, int64_t last,
            const char *in, char *out, size_t bytes)
{
  const int k = t->axes - 1;

  for (int64_t i = first, run; i < last; i += run) {
    int64_t at[MOVE_AXES], from, to;

    seek (t, i, at, &from, &to);
    run
      = k > 0 && t->size[k] - at[k] < last - i ? t->size[k] - at[k] : last - i;
    planes (t, run, t->from[k], t->to[k], in + (size_t) from * bytes,
            out + (size_t) to * bytes, bytes);
  }
}

static void
step (const struct transpose *t, int64_t *at, int64_t *from, int64_t *to)
{
  for (int k = t->axes - 1; k >= 0; k--) {
    *from += t->from[k];
    *to += t->to[k];
    if (k == 0 || ++at[k] < t->size[k])
      return;
    at[k] = 0;
    *from -= t->size[k] * t->from[k];
    *to -= t->size[k] * t->to[k];
  }
}

void
transpose_run (const struct transpose *t, int64_t n, const void *in, void *out,
               size_t size, int threads)
{
  const size_t bytes = size * (size_t) t->unit;
  const int64_t piece = piece_of (t, bytes);
  const int64_t pieces = (t->columns + piece - 1) / piece;
  int64_t planes = n;

  for (int k = 1; k < t->axes; k++)
    planes *= t->size[k];
  if (n * t->from[0] * (int64_t) bytes < PARALLEL_MIN || threads < 1)
    threads = 1;
#pragma omp parallel for num_threads(threads) schedule(static, 1)
  for (int k = 0; k < threads; k++) {
    const int64_t first = planes * pieces * k / threads;
    const int64_t last = planes * pieces * (k + 1) / threads;
    int64_t at[MOVE_AXES], from, to;

    if (pieces == 1) {
      run_planes (t, first, last, in, out, bytes);
      continue;
    }
    seek (t, first / pieces, at, &from, &to);
    for (int64_t i = first; i < last; i++) {
      const int64_t begin = i % pieces * piece, end = begin + piece;

      plane (t, begin, end < t->columns ? end : t->columns,
             (const char *) in + (size_t) from * bytes,
             (char *) out + (size_t) to * bytes, bytes);
      if (i % pieces == pieces - 1)
        step (t, at, &from, &to);
    }
  }
}
