/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* convert.c: elements of any type and order, as numbers of ours. */
#include "config.h"

#include <string.h>

#include "half.h"
#include "npy-priv.h"

/* N elements at FROM, STEP bytes apart, to TO. */
typedef void (*run_fn) (const unsigned char *from, int64_t step, int64_t n,
                        bool swapped, void *to);

static inline uint8_t
same8 (uint8_t x)
{
  return x;
}

#define RUN(NAME, BITS, SWAP, OUT, EXPRESSION)                                \
  static void NAME (const unsigned char *from, int64_t step, int64_t n,       \
                    bool swapped, void *to)                                   \
  {                                                                           \
    OUT *out = to;                                                            \
    int64_t i;                                                                \
                                                                              \
    for (i = 0; i < n; i++, from += step) {                                   \
      BITS b;                                                                 \
                                                                              \
      memcpy (&b, from, sizeof b);                                            \
      if (swapped)                                                            \
        b = SWAP (b);                                                         \
      out[i] = EXPRESSION;                                                    \
    }                                                                         \
  }

static inline float
as_f32 (uint32_t b)
{
  float x;

  memcpy (&x, &b, sizeof x);
  return x;
}

static inline double
as_f64 (uint64_t b)
{
  double x;

  memcpy (&x, &b, sizeof x);
  return x;
}

static inline int64_t
clamp_u64 (uint64_t b)
{
  return b > INT64_MAX ? INT64_MAX : (int64_t) b;
}

RUN (f16_float, uint16_t, __builtin_bswap16, float, as_f32 (half_bits (b)))
RUN (f32_float, uint32_t, __builtin_bswap32, float, as_f32 (b))
RUN (f64_float, uint64_t, __builtin_bswap64, float, (float) as_f64 (b))
RUN (f64_double, uint64_t, __builtin_bswap64, double, as_f64 (b))
RUN (i8_float, uint8_t, same8, float, (float) (int8_t) b)
RUN (i16_float, uint16_t, __builtin_bswap16, float, (float) (int16_t) b)
RUN (i32_float, uint32_t, __builtin_bswap32, float, (float) (int32_t) b)
RUN (i64_float, uint64_t, __builtin_bswap64, float, (float) (int64_t) b)
RUN (u8_float, uint8_t, same8, float, (float) b)
RUN (u16_float, uint16_t, __builtin_bswap16, float, (float) b)
RUN (u32_float, uint32_t, __builtin_bswap32, float, (float) b)
RUN (u64_float, uint64_t, __builtin_bswap64, float, (float) b)
RUN (i8_int, uint8_t, same8, int64_t, (int8_t) b)
RUN (i16_int, uint16_t, __builtin_bswap16, int64_t, (int16_t) b)
RUN (i32_int, uint32_t, __builtin_bswap32, int64_t, (int32_t) b)
RUN (i64_int, uint64_t, __builtin_bswap64, int64_t, (int64_t) b)
RUN (u8_int, uint8_t, same8, int64_t, b)
RUN (u16_int, uint16_t, __builtin_bswap16, int64_t, b)
RUN (u32_int, uint32_t, __builtin_bswap32, int64_t, b)
RUN (u64_int, uint64_t, __builtin_bswap64, int64_t, clamp_u64 (b))
RUN (i8_same, uint8_t, same8, uint8_t, b)
RUN (i16_i32, uint16_t, __builtin_bswap16, int32_t, (int16_t) b)
RUN (u16_i32, uint16_t, __builtin_bswap16, int32_t, b)
RUN (i32_same, uint32_t, __builtin_bswap32, uint32_t, b)
RUN (i64_same, uint64_t, __builtin_bswap64, uint64_t, b)

/* How a type is read: as floats, as i64, and as npy_dtype says. */
struct reading {
  char kind;
  int size;
  enum qk_dtype dtype;
  run_fn as_float, as_int, as_dtype;
};

static const struct reading readings[] = {
  { 'f', 2, QK_F32, f16_float, NULL, f16_float },
  { 'f', 4, QK_F32, f32_float, NULL, f32_float },
  { 'f', 8, QK_F64, f64_float, NULL, f64_double },
  { 'i', 1, QK_I8, i8_float, i8_int, i8_same },
  { 'i', 2, QK_I32, i16_float, i16_int, i16_i32 },
  { 'i', 4, QK_I32, i32_float, i32_int, i32_same },
  { 'i', 8, QK_I64, i64_float, i64_int, i64_same },
  { 'u', 1, QK_U8, u8_float, u8_int, i8_same },
  { 'u', 2, QK_I32, u16_float, u16_int, u16_i32 },
  { 'u', 4, QK_I64, u32_float, u32_int, u32_int },
  { 'u', 8, QK_I64, u64_float, u64_int, u64_int },
  { 'b', 1, QK_U8, u8_float, u8_int, i8_same },
};

static const struct reading *
reading_of (const struct npy_type *t)
{
  size_t i = 0;

  /* a type that npy_parse gave is in the table */
  while (i < sizeof readings / sizeof readings[0] - 1
         && (readings[i].kind != t->kind || readings[i].size != t->size))
    i++;
  return &readings[i];
}

enum qk_dtype
npy_dtype (const struct npy_type *t)
{
  return reading_of (t)->dtype;
}

void
npy_whole (const struct npy_array *a, struct npy_box *out)
{
  int i;

  memset (out, 0, sizeof *out);
  out->ndim = a->shape.ndim;
  for (i = 0; i < out->ndim; i++) {
    out->dims[i] = a->shape.dims[i];
    out->step[i] = a->stride[i];
  }
}

/* Axes that can be walked as one become one. */
static void
merge_axes (struct npy_box *b)
{
  int i, n = 0;

  for (i = 0; i < b->ndim; i++) {
    if (n > 0 && b->step[n - 1] == b->step[i] * b->dims[i]) {
      b->dims[n - 1] *= b->dims[i];
      b->step[n - 1] = b->step[i];
    } else if (b->dims[i] != 1) {
      b->dims[n] = b->dims[i];
      b->step[n++] = b->step[i];
    }
  }
  b->ndim = n;
}

/* Walk BOX row by row; a row's elements take SIZE bytes each in OUT. */
static void
walk (const struct npy_array *a, const struct npy_box *box, run_fn run,
      size_t size, void *out)
{
  int64_t at[QK_MAX_DIMS] = { 0 }, pos = box->first, rows = 1, row = 1;
  int64_t step = 0, i;
  struct npy_box b = *box;
  char *to = out;
  int d;

  for (d = 0; d < b.ndim; d++)
    if (b.dims[d] == 0)
      return;
  merge_axes (&b);
  if (b.ndim > 0) {
    row = b.dims[b.ndim - 1];
    step = b.step[b.ndim - 1];
  }
  for (d = 0; d < b.ndim - 1; d++)
    rows *= b.dims[d];
  for (i = 0; i < rows; i++, to += (size_t) row * size) {
    run (a->data + pos * a->type.size, step * a->type.size, row,
         a->type.swapped, to);
    for (d = b.ndim - 2; d >= 0; d--) {
      pos += b.step[d];
      if (++at[d] < b.dims[d])
        break;
      pos -= b.step[d] * b.dims[d];
      at[d] = 0;
    }
  }
}

void
npy_floats (const struct npy_array *a, const struct npy_box *box, float *out)
{
  walk (a, box, reading_of (&a->type)->as_float, sizeof *out, out);
}

void
npy_integers (const struct npy_array *a, const struct npy_box *box,
              int64_t *out)
{
  walk (a, box, reading_of (&a->type)->as_int, sizeof *out, out);
}

bool
npy_direct (const struct npy_array *a)
{
  const struct reading *r = reading_of (&a->type);
  struct npy_box b;

  npy_whole (a, &b);
  merge_axes (&b);
  return !a->type.swapped && (size_t) r->size == qk_dtype_size (r->dtype)
         && r->dtype != QK_NONE && !(r->kind == 'u' && r->size == 8)
         && (b.ndim == 0 || (b.ndim == 1 && b.step[0] == 1));
}

int
npy_convert (const struct npy_array *a, const char *where, void **out)
{
  const struct reading *r = reading_of (&a->type);
  const size_t size = qk_dtype_size (r->dtype);
  struct npy_box box;
  void *data = qk_alloc ((size_t) a->count * size + 1);
  int64_t i;

  if (data == NULL)
    return qk_oom ("%s: %lld elements", where, (long long) a->count);
  npy_whole (a, &box);
  walk (a, &box, r->as_dtype, size, data);
  for (i = 0; a->type.kind == 'u' && a->type.size == 8 && i < a->count; i++)
    if (((const int64_t *) data)[i] == INT64_MAX) {
      qk_free (data);
      return qk_error (-ENOTSUP,
                       "%s: element %lld of a uint64 array is not below "
                       "2^63 - 1",
                       where, (long long) i);
    }
  *out = data;
  return 0;
}
