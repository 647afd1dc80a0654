/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* parse.c: the header of a .npy file: six bytes of magic, two of version, the
 * length of what follows (two bytes in version 1, four in 2 and 3), and a
 * literal of a Python dictionary:
 *   {'descr': '<f4', 'fortran_order': False, 'shape': (600, 49, 10), } */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "npy-priv.h"

#define MAX_HEADER 65536 /* NumPy itself reads 10000 unless told otherwise */
#define MAX_DESCR 64

/* The text being read; never beyond END. */
struct text {
  const char *at, *end;
  const char *where;
};

static int
damaged (const struct text *t, const char *what)
{
  return qk_error (-EBADMSG, "%s: the array's header %s", t->where, what);
}

static void
skip_space (struct text *t)
{
  while (t->at < t->end && (*t->at == ' ' || *t->at == '\n' || *t->at == '\t'))
    t->at++;
}

/* Take the character C if it comes next. */
static bool
take (struct text *t, char c)
{
  skip_space (t);
  if (t->at == t->end || *t->at != c)
    return false;
  t->at++;
  return true;
}

static bool
take_word (struct text *t, const char *word)
{
  const size_t n = strlen (word);

  skip_space (t);
  if ((size_t) (t->end - t->at) < n || memcmp (t->at, word, n) != 0)
    return false;
  t->at += n;
  return true;
}

/* A text in quotes into BUF; nothing that needs an escape is expected. */
static bool
take_quoted (struct text *t, char *buf, size_t size)
{
  char quote;
  size_t n = 0;

  skip_space (t);
  if (t->at == t->end || (*t->at != '\'' && *t->at != '"'))
    return false;
  quote = *t->at++;
  for (; t->at < t->end && *t->at != quote; t->at++) {
    if (*t->at < 0x20 || *t->at == 0x7f || *t->at == '\\' || n + 1 >= size)
      return false;
    buf[n++] = *t->at;
  }
  buf[n] = 0;
  return take (t, quote);
}

static bool
take_number (struct text *t, int64_t *out)
{
  const char *start;

  skip_space (t);
  start = t->at;
  for (*out = 0; t->at < t->end && *t->at >= '0' && *t->at <= '9'; t->at++)
    if (__builtin_mul_overflow (*out, 10, out)
        || __builtin_add_overflow (*out, *t->at - '0', out))
      return false;
  if (t->at > start && t->at < t->end && *t->at == 'L')
    t->at++; /* Python 2's long */
  return t->at > start;
}

/* (600, 49, 10) or (600,) or () */
static int
read_shape (struct text *t, struct npy_array *a)
{
  int64_t dim;

  if (!take (t, '('))
    return damaged (t, "has a shape that is no list of whole numbers");
  a->shape.ndim = 0;
  while (!take (t, ')')) {
    if (!take_number (t, &dim))
      return damaged (t, "has a shape that is no list of whole numbers");
    if (a->shape.ndim == QK_MAX_DIMS)
      return qk_error (-ENOTSUP, "%s: an array of more than %d dimensions",
                       t->where, QK_MAX_DIMS);
    a->shape.dims[a->shape.ndim++] = dim;
    if (!take (t, ',')) {
      if (!take (t, ')'))
        return damaged (t, "has a shape that does not end");
      break;
    }
  }
  a->count = qk_shape_count (&a->shape);
  if (a->count < 0 || a->count > INT64_MAX / 8)
    return damaged (t, "has a shape of more elements than fit 64 bits");
  return 0;
}

static bool
little_endian (void)
{
  const uint16_t one = 1;

  return *(const unsigned char *) &one == 1;
}

/* '<f4': byte order, kind, bytes. */
static int
read_type (const struct text *t, const char *descr, struct npy_type *type)
{
  static const char known[][3] = { "f2", "f4", "f8", "i1", "i2", "i4",
                                   "i8", "u1", "u2", "u4", "u8", "b1" };
  const char order = descr[0];
  size_t i;

  if (order == 0 || strchr ("<>=|", order) == NULL)
    return qk_error (-ENOTSUP,
                     "%s: an array of type '%s', expected a type of numbers "
                     "such as '<f4'",
                     t->where, descr);
  for (i = 0; i < sizeof known / sizeof known[0]; i++)
    if (strcmp (descr + 1, known[i]) == 0) {
      type->kind = known[i][0];
      type->size = known[i][1] - '0';
      type->swapped = type->size > 1
                      && ((order == '>' && little_endian ())
                          || (order == '<' && !little_endian ()));
      return 0;
    }
  if (descr[1] == 'O')
    return qk_error (-ENOTSUP,
                     "%s: an array of Python objects, which only running the "
                     "file could read; save it as an array of numbers",
                     t->where);
  return qk_error (-ENOTSUP,
                   "%s: an array of type '%s', supported are f2 f4 f8, i1 i2 "
                   "i4 i8, u1 u2 u4 u8 and b1",
                   t->where, descr);
}

/* What the dictionary said. */
struct found {
  bool descr, order, shape;
  bool fortran;
};

static int
read_entry (struct text *t, struct npy_array *a, struct found *found)
{
  char key[24], descr[MAX_DESCR];

  if (!take_quoted (t, key, sizeof key) || !take (t, ':'))
    return damaged (t, "is not a dictionary");
  if (strcmp (key, "descr") == 0 && !found->descr) {
    found->descr = true;
    skip_space (t);
    if (t->at < t->end && *t->at == '[')
      return qk_error (-ENOTSUP,
                       "%s: an array of records; save each field as an array "
                       "of its own",
                       t->where);
    if (!take_quoted (t, descr, sizeof descr))
      return damaged (t, "has a descr that is not text");
    return read_type (t, descr, &a->type);
  }
  if (strcmp (key, "fortran_order") == 0 && !found->order) {
    found->order = true;
    found->fortran = take_word (t, "True");
    if (!found->fortran && !take_word (t, "False"))
      return damaged (t, "has a fortran_order that is neither True nor False");
    return 0;
  }
  if (strcmp (key, "shape") == 0 && !found->shape) {
    found->shape = true;
    return read_shape (t, a);
  }
  return damaged (t, "has a key that is not one of descr, fortran_order and "
                     "shape, or has one twice");
}

static int
read_dictionary (struct text *t, struct npy_array *a, bool *fortran)
{
  struct found found = { 0 };
  int err;

  if (!take (t, '{'))
    return damaged (t, "is not a dictionary");
  while (!take (t, '}')) {
    err = read_entry (t, a, &found);
    if (err < 0)
      return err;
    if (!take (t, ',')) {
      if (!take (t, '}'))
        return damaged (t, "does not end");
      break;
    }
  }
  skip_space (t);
  if (t->at != t->end)
    return damaged (t, "has something after its end");
  if (!found.descr || !found.order || !found.shape)
    return damaged (t, "lacks one of descr, fortran_order and shape");
  *fortran = found.fortran;
  return 0;
}

static void
set_strides (struct npy_array *a, bool fortran)
{
  const int n = a->shape.ndim;
  int64_t step = 1;
  int i;

  for (i = 0; i < n; i++) {
    const int axis = fortran ? i : n - 1 - i;

    a->stride[axis] = step;
    /* an empty array has none to step to */
    step *= a->shape.dims[axis] > 0 ? a->shape.dims[axis] : 1;
    if (a->count == 0)
      step = 1;
  }
}

/* Where the dictionary begins and ends, of the SIZE bytes at hand. */
static int
find_header (const unsigned char *b, size_t size, const char *where,
             struct text *out, size_t *data)
{
  size_t at, length;

  if (size < 10 || memcmp (b, NPY_MAGIC, NPY_MAGIC_SIZE) != 0)
    return qk_error (-EBADMSG, "%s: not an array of NumPy (.npy)", where);
  if (b[6] < 1 || b[6] > 3)
    return qk_error (-ENOTSUP,
                     "%s: version %u.%u of NumPy's format, known are 1.0, 2.0 "
                     "and 3.0",
                     where, b[6], b[7]);
  at = b[6] == 1 ? 10 : 12;
  if (size < at)
    return qk_error (-EBADMSG, "%s: cut short in the array's header", where);
  length = b[8] | (size_t) b[9] << 8;
  if (b[6] > 1)
    length |= (size_t) b[10] << 16 | (size_t) b[11] << 24;
  if (length > MAX_HEADER)
    return qk_error (-EBADMSG,
                     "%s: the array's header claims %zu bytes, at most %d are "
                     "accepted",
                     where, length, MAX_HEADER);
  if (length > size - at)
    return qk_error (-EBADMSG,
                     "%s: the array's header claims %zu bytes, %zu follow",
                     where, length, size - at);
  out->at = (const char *) b + at;
  out->end = out->at + length;
  out->where = where;
  *data = at + length;
  return 0;
}

int
npy_parse (const void *bytes, size_t size, uint64_t total, const char *where,
           struct npy_array *out)
{
  char shape[160], type[40];
  struct text t;
  bool fortran = false;
  size_t data = 0;
  int err;

  memset (out, 0, sizeof *out);
  err = find_header (bytes, size, where, &t, &data);
  if (err == 0)
    err = read_dictionary (&t, out, &fortran);
  if (err < 0)
    return err;
  if ((uint64_t) out->count * (uint64_t) out->type.size != total - data)
    return qk_error (
      -EBADMSG,
      "%s: an array %s of %s has %llu bytes, but %llu follow "
      "its header%s",
      where, qk_shape_print (&out->shape, shape, sizeof shape),
      npy_type_print (&out->type, type, sizeof type),
      (unsigned long long) out->count * (unsigned long long) out->type.size,
      (unsigned long long) (total - data),
      (uint64_t) out->count * (uint64_t) out->type.size > total - data
        ? " (file cut short?)"
        : "");
  set_strides (out, fortran);
  out->data = size == total ? (const unsigned char *) bytes + data : NULL;
  return 0;
}

const char *
npy_type_print (const struct npy_type *t, char *buf, size_t size)
{
  const char *kind = t->kind == 'f'   ? "float"
                     : t->kind == 'i' ? "int"
                     : t->kind == 'u' ? "uint"
                                      : "bool";

  if (t->kind == 'b')
    snprintf (buf, size, "bool");
  else
    snprintf (buf, size, "%s%s%d", t->swapped ? "byte-swapped " : "", kind,
              8 * t->size);
  return buf;
}
