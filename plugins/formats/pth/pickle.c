/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pickle.c: runs the harmless part of a pickle.
 * https://github.com/python/cpython/blob/main/Lib/pickletools.py */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "pickle.h"

enum kind {
  NOTHING, /* None, numbers with a point, lists: of no interest here */
  MARK,
  BOOL,
  INT,
  TEXT,
  TUPLE,
  DICT,
  CALLABLE,
  DTYPE, /* a storage class */
  STORAGE,
  TENSOR
};

enum callable { ORDERED_DICT, REBUILD_TENSOR, REBUILD_PARAMETER };

/* An object; lists refer to others by number. */
struct object {
  enum kind kind;
  int64_t value;       /* INT, BOOL, CALLABLE, DTYPE; TENSOR: its index */
  const char *text;    /* TEXT, STORAGE (its key): in the pickle */
  uint32_t length;     /* TEXT; TUPLE: elements; STORAGE: of the key */
  uint32_t first;      /* TUPLE: of its elements; DICT: first pair; 0: none */
  uint32_t last;       /* DICT: last pair */
  enum qk_dtype dtype; /* STORAGE */
};

struct pair {
  uint32_t key, value, next;
};

/* An array that grows, bounded by PICKLE_MAX_OBJECTS. */
struct list {
  void *data;
  size_t n, room, size;
};

struct machine {
  const unsigned char *p, *end;
  const char *path;
  struct list object, item, pair, stack, memo, tensor;
};

#define AT(list, type, i) (((type *) (list).data)[i])

static int
damaged (const struct machine *m, const char *what)
{
  return qk_error (-EBADMSG,
                   "%s: not a PyTorch file of weights, or damaged: "
                   "%s",
                   m->path, what);
}

/* Append one zeroed element; its number, or an error. */
static int64_t
grow (struct machine *m, struct list *l)
{
  if (l->n == l->room) {
    const size_t room = l->room == 0 ? 64 : l->room * 2;
    void *p;

    if (l->n >= PICKLE_MAX_OBJECTS)
      return damaged (m, "too many objects");
    p = realloc (l->data, room * l->size);
    if (p == NULL)
      return qk_oom ("%s", m->path);
    l->data = p;
    l->room = room;
  }
  memset ((char *) l->data + l->n * l->size, 0, l->size);
  return (int64_t) l->n++;
}

/* ---- the stack ----------------------------------------------------------------- */

static int
push_number (struct machine *m, uint32_t object)
{
  const int64_t i = grow (m, &m->stack);

  if (i < 0)
    return (int) i;
  AT (m->stack, uint32_t, i) = object;
  return 0;
}

/* A new object on the stack; *OUT lives until the next one is made. */
static int
push (struct machine *m, enum kind kind, struct object **out)
{
  const int64_t i = grow (m, &m->object);
  int r;

  if (i < 0)
    return (int) i;
  if ((r = push_number (m, (uint32_t) i)) < 0)
    return r;
  *out = &AT (m->object, struct object, i);
  (*out)->kind = kind;
  return 0;
}

static int
push_value (struct machine *m, enum kind kind, int64_t value)
{
  struct object *o = NULL;
  const int r = push (m, kind, &o);

  if (r == 0)
    o->value = value;
  return r;
}

/* Number of the object DEPTH below the top; it must be of KIND, unless that
 * is MARK. */
static int
peek (struct machine *m, size_t depth, enum kind kind, uint32_t *out)
{
  if (depth >= m->stack.n)
    return damaged (m, "its stack is empty");
  *out = AT (m->stack, uint32_t, m->stack.n - 1 - depth);
  if (kind != MARK && AT (m->object, struct object, *out).kind != kind)
    return damaged (m, "an object of another type");
  return 0;
}

static int
pop (struct machine *m, enum kind kind, uint32_t *out)
{
  const int r = peek (m, 0, kind, out);

  if (r == 0)
    m->stack.n--;
  return r;
}

/* How many objects lie above the last mark. */
static int
above_mark (struct machine *m, size_t *n)
{
  for (*n = 0; *n < m->stack.n; ++*n)
    if (AT (m->object, struct object,
            AT (m->stack, uint32_t, m->stack.n - 1 - *n))
          .kind
        == MARK)
      return 0;
  return damaged (m, "no mark on its stack");
}

/* The top N objects become a tuple; with MARKED the mark below goes too. */
static int
make_tuple (struct machine *m, size_t n, bool marked)
{
  const size_t first = m->item.n;
  struct object *o;
  size_t i;
  int64_t at;
  int r;

  if (n + marked > m->stack.n)
    return damaged (m, "its stack is empty");
  for (i = 0; i < n; i++) {
    if ((at = grow (m, &m->item)) < 0)
      return (int) at;
    AT (m->item, uint32_t, at) = AT (m->stack, uint32_t, m->stack.n - n + i);
  }
  m->stack.n -= n + marked;
  if ((r = push (m, TUPLE, &o)) < 0)
    return r;
  o->first = (uint32_t) first;
  o->length = (uint32_t) n;
  return 0;
}

/* Add a pair to dictionary DICT (or ignore it: a list of attributes). */
static int
add_pair (struct machine *m, uint32_t dict, uint32_t key, uint32_t value)
{
  struct object *d = &AT (m->object, struct object, dict);
  int64_t i;

  if (d->kind != DICT)
    return damaged (m, "items for something that is no dictionary");
  if (m->pair.n == 0 && (i = grow (m, &m->pair)) < 0)
    return (int) i; /* number 0 means none */
  if ((i = grow (m, &m->pair)) < 0)
    return (int) i;
  AT (m->pair, struct pair, i).key = key;
  AT (m->pair, struct pair, i).value = value;
  if (d->first == 0)
    d->first = (uint32_t) i;
  else
    AT (m->pair, struct pair, d->last).next = (uint32_t) i;
  d->last = (uint32_t) i;
  return 0;
}

static int
set_items (struct machine *m)
{
  size_t n = 0, i;
  uint32_t dict = 0;
  int r;

  if ((r = above_mark (m, &n)) < 0 || (r = peek (m, n + 1, DICT, &dict)) < 0)
    return r;
  if (n % 2 != 0)
    return damaged (m, "a key without its value");
  for (i = 0; i < n; i += 2) {
    const uint32_t *s = &AT (m->stack, uint32_t, m->stack.n - n + i);

    if ((r = add_pair (m, dict, s[0], s[1])) < 0)
      return r;
  }
  m->stack.n -= n + 1;
  return 0;
}

/* ---- names ---------------------------------------------------------------------- */

static const struct {
  const char *module, *name;
  enum kind kind;
  int value;
} names[] = {
  { "collections", "OrderedDict", CALLABLE, ORDERED_DICT },
  { "torch._utils", "_rebuild_tensor_v2", CALLABLE, REBUILD_TENSOR },
  { "torch._utils", "_rebuild_parameter", CALLABLE, REBUILD_PARAMETER },
  { "torch", "FloatStorage", DTYPE, QK_F32 },
  { "torch", "DoubleStorage", DTYPE, QK_F64 },
  { "torch", "LongStorage", DTYPE, QK_I64 },
  { "torch", "IntStorage", DTYPE, QK_I32 },
  { "torch", "CharStorage", DTYPE, QK_I8 },
  { "torch", "ByteStorage", DTYPE, QK_U8 },
  { "torch", "BoolStorage", DTYPE, QK_U8 },
  { "torch", "HalfStorage", DTYPE, QK_NONE },
  { "torch", "BFloat16Storage", DTYPE, QK_NONE },
  { "torch", "ShortStorage", DTYPE, QK_NONE },
};

static bool
is_text (const char *text, size_t n, const char *want)
{
  return strlen (want) == n && memcmp (text, want, n) == 0;
}

/* Text that may be shown on a terminal, cut short. */
static const char *
shown (const char *text, size_t n, char *buf, size_t size)
{
  size_t i;

  for (i = 0; i < n && i + 1 < size; i++)
    buf[i]
      = text[i] < 0x20 || text[i] == 0x7f || (text[i] & 0x80) ? '?' : text[i];
  buf[i] = 0;
  return buf;
}

static int
push_global (struct machine *m, const char *module, size_t module_n,
             const char *name, size_t name_n)
{
  char a[80], b[80];
  size_t i;

  for (i = 0; i < sizeof names / sizeof *names; i++)
    if (is_text (module, module_n, names[i].module)
        && is_text (name, name_n, names[i].name))
      return push_value (m, names[i].kind, names[i].value);
  return qk_error (-EBADMSG,
                   "%s: wants Python's '%s.%s', which a file of "
                   "weights does not need and this program does not run",
                   m->path, shown (module, module_n, a, sizeof a),
                   shown (name, name_n, b, sizeof b));
}

/* A line without its end. */
static int
take_line (struct machine *m, const char **text, size_t *n)
{
  const unsigned char *end = memchr (m->p, '\n', (size_t) (m->end - m->p));

  if (end == NULL)
    return damaged (m, "cut short");
  *text = (const char *) m->p;
  *n = (size_t) (end - m->p);
  m->p = end + 1;
  return 0;
}

static int
do_global (struct machine *m)
{
  const char *module = NULL, *name = NULL;
  size_t module_n = 0, name_n = 0;
  int r;

  if ((r = take_line (m, &module, &module_n)) < 0
      || (r = take_line (m, &name, &name_n)) < 0)
    return r;
  return push_global (m, module, module_n, name, name_n);
}

static int
do_stack_global (struct machine *m)
{
  uint32_t module = 0, name = 0;
  const struct object *a, *b;
  int r;

  if ((r = pop (m, TEXT, &name)) < 0 || (r = pop (m, TEXT, &module)) < 0)
    return r;
  a = &AT (m->object, struct object, module);
  b = &AT (m->object, struct object, name);
  return push_global (m, a->text, a->length, b->text, b->length);
}

/* ---- tensors --------------------------------------------------------------------- */

/* Element I of a tuple, if it is of KIND; NULL otherwise. */
static const struct object *
element (const struct machine *m, const struct object *tuple, uint32_t i,
         enum kind kind)
{
  const struct object *o;

  if (tuple->kind != TUPLE || i >= tuple->length)
    return NULL;
  o = &AT (m->object, struct object, AT (m->item, uint32_t, tuple->first + i));
  return o->kind == kind ? o : NULL;
}

/* ("storage", class, key, place, elements) */
static int
do_storage (struct machine *m)
{
  const struct object *t, *word, *cls, *key, *n;
  struct object *o;
  uint32_t at = 0;
  int r;

  if ((r = pop (m, TUPLE, &at)) < 0)
    return r;
  t = &AT (m->object, struct object, at);
  word = element (m, t, 0, TEXT);
  cls = element (m, t, 1, DTYPE);
  key = element (m, t, 2, TEXT);
  n = element (m, t, 4, INT);
  if (word == NULL || cls == NULL || key == NULL || n == NULL
      || !is_text (word->text, word->length, "storage") || n->value < 0
      || key->length > PICKLE_MAX_NAME)
    return damaged (m, "a storage");
  {
    const struct object copy = { STORAGE,
                                 n->value,
                                 key->text,
                                 key->length,
                                 0,
                                 0,
                                 (enum qk_dtype) cls->value };

    if ((r = push (m, STORAGE, &o)) == 0)
      *o = copy;
  }
  return r;
}

/* Sizes and strides; the last element must lie in the storage. */
static int
fill_tensor (struct machine *m, const struct object *args,
             struct pickle_tensor *t)
{
  const struct object *s = element (m, args, 0, STORAGE);
  const struct object *offset = element (m, args, 1, INT);
  const struct object *size = element (m, args, 2, TUPLE);
  const struct object *stride = element (m, args, 3, TUPLE);
  int64_t last, step;
  uint32_t i;

  if (s == NULL || offset == NULL || size == NULL || stride == NULL
      || size->length != stride->length || size->length > PICKLE_MAX_DIMS
      || offset->value < 0)
    return damaged (m, "a tensor");
  t->dtype = s->dtype;
  t->numel = s->value;
  t->offset = last = offset->value;
  t->ndim = (int) size->length;
  t->count = 1;
  for (i = 0; i < size->length; i++) {
    const struct object *d = element (m, size, i, INT);
    const struct object *st = element (m, stride, i, INT);

    if (d == NULL || st == NULL || d->value < 0 || st->value < 0
        || __builtin_mul_overflow (t->count, d->value, &t->count))
      return damaged (m, "the size of a tensor");
    t->dims[i] = d->value;
    t->stride[i] = st->value;
    if (d->value > 0
        && (__builtin_mul_overflow (d->value - 1, st->value, &step)
            || __builtin_add_overflow (last, step, &last)))
      return damaged (m, "the strides of a tensor");
  }
  if (t->count > 0 && (last >= t->numel || t->count > t->numel))
    return damaged (m, "a tensor reaches beyond its storage");
  t->storage = strndup (s->text, s->length);
  return t->storage == NULL ? qk_oom ("%s", m->path) : 0;
}

/* CALLABLE, arguments -> result */
static int
do_reduce (struct machine *m)
{
  uint32_t args = 0, callable = 0;
  const struct object *inner;
  int64_t at;
  int r, what;

  if ((r = pop (m, TUPLE, &args)) < 0
      || (r = pop (m, CALLABLE, &callable)) < 0)
    return r;
  what = (int) AT (m->object, struct object, callable).value;
  if (what == ORDERED_DICT) {
    if (AT (m->object, struct object, args).length != 0)
      return damaged (m, "a dictionary with arguments");
    return push_value (m, DICT, 0);
  }
  if (what == REBUILD_PARAMETER) {
    inner = element (m, &AT (m->object, struct object, args), 0, TENSOR);
    return inner == NULL ? damaged (m, "a parameter without its tensor")
                         : push_value (m, TENSOR, inner->value);
  }
  if ((at = grow (m, &m->tensor)) < 0)
    return (int) at;
  r = fill_tensor (m, &AT (m->object, struct object, args),
                   &AT (m->tensor, struct pickle_tensor, at));
  return r < 0 ? r : push_value (m, TENSOR, at);
}

/* ---- instructions ------------------------------------------------------------------ */

/* The N (<= 8) bytes of a little-endian number, as signed or unsigned. */
static int
take_number (struct machine *m, int n, bool is_signed, int64_t *out)
{
  uint64_t v = 0;
  int i;

  if (m->end - m->p < n)
    return damaged (m, "cut short");
  for (i = 0; i < n; i++)
    v |= (uint64_t) m->p[i] << (8 * i);
  m->p += n;
  if (is_signed && n > 0 && n < 8 && v >> (8 * n - 1) & 1)
    v |= UINT64_MAX << (8 * n);
  *out = (int64_t) v;
  return 0;
}

static int
do_int (struct machine *m, int bytes, bool is_signed)
{
  int64_t v = 0;
  const int r = take_number (m, bytes, is_signed, &v);

  return r < 0 ? r : push_value (m, INT, v);
}

static int
do_long (struct machine *m)
{
  int64_t n = 0;
  const int r = take_number (m, 1, false, &n);

  if (r < 0)
    return r;
  return n > 8 ? damaged (m, "a number of more than 64 bits")
               : do_int (m, (int) n, true);
}

static int
do_text (struct machine *m, int bytes)
{
  struct object *o;
  int64_t n = 0;
  int r = take_number (m, bytes, false, &n);

  if (r < 0)
    return r;
  if (n < 0 || n > m->end - m->p)
    return damaged (m, "cut short");
  if ((r = push (m, TEXT, &o)) < 0)
    return r;
  o->text = (const char *) m->p;
  o->length = (uint32_t) n;
  m->p += n;
  return 0;
}

static int
skip (struct machine *m, int n)
{
  if (m->end - m->p < n)
    return damaged (m, "cut short");
  m->p += n;
  return 0;
}

/* Numbers in the memo are given in order by every pickler. */
static int
put_memo (struct machine *m, int64_t i)
{
  uint32_t top = 0;
  int64_t at;
  int r = peek (m, 0, MARK, &top);

  if (r < 0)
    return r;
  if (i < 0 || i > (int64_t) m->memo.n)
    return damaged (m, "the memo has holes");
  if (i == (int64_t) m->memo.n && (at = grow (m, &m->memo)) < 0)
    return (int) at;
  AT (m->memo, uint32_t, i) = top;
  return 0;
}

static int
do_put (struct machine *m, int bytes)
{
  int64_t i = 0;
  const int r = take_number (m, bytes, false, &i);

  return r < 0 ? r : put_memo (m, i);
}

static int
do_get (struct machine *m, int bytes)
{
  int64_t i = 0;
  const int r = take_number (m, bytes, false, &i);

  if (r < 0)
    return r;
  if (i >= (int64_t) m->memo.n)
    return damaged (m, "something that is not in the memo");
  return push_number (m, AT (m->memo, uint32_t, i));
}

static int
do_mark_tuple (struct machine *m)
{
  size_t n = 0;
  const int r = above_mark (m, &n);

  return r < 0 ? r : make_tuple (m, n, true);
}

/* Elements for a list, whose contents do not matter. */
static int
do_appends (struct machine *m)
{
  size_t n = 0;
  const int r = above_mark (m, &n);

  if (r == 0)
    m->stack.n -= n + 1;
  return r;
}

static int
do_set_item (struct machine *m)
{
  uint32_t key = 0, value = 0, dict = 0;
  int r;

  if ((r = pop (m, MARK, &value)) < 0 || (r = pop (m, MARK, &key)) < 0
      || (r = peek (m, 0, DICT, &dict)) < 0)
    return r;
  return add_pair (m, dict, key, value);
}

/* The attributes of a dictionary ("_metadata") do not matter. */
static int
do_build (struct machine *m)
{
  uint32_t state, object;
  int r;

  if ((r = pop (m, MARK, &state)) < 0)
    return r;
  return peek (m, 0, DICT, &object);
}

static int
drop (struct machine *m)
{
  uint32_t top;

  return pop (m, MARK, &top);
}

static int
step (struct machine *m, unsigned char op)
{
  switch (op) {
  case 0x80:
    return skip (m, 1); /* PROTO */
  case 0x95:
    return skip (m, 8); /* FRAME */
  case '(':
    return push_value (m, MARK, 0);
  case ')':
    return make_tuple (m, 0, false);
  case 't':
    return do_mark_tuple (m);
  case 0x85:
    return make_tuple (m, 1, false);
  case 0x86:
    return make_tuple (m, 2, false);
  case 0x87:
    return make_tuple (m, 3, false);
  case '}':
    return push_value (m, DICT, 0);
  case ']':
    return push_value (m, NOTHING, 0);
  case 'a':
    return drop (m);
  case 'e':
    return do_appends (m);
  case 's':
    return do_set_item (m);
  case 'u':
    return set_items (m);
  case 'X':
    return do_text (m, 4);
  case 0x8c:
    return do_text (m, 1);
  case 'K':
    return do_int (m, 1, false);
  case 'M':
    return do_int (m, 2, false);
  case 'J':
    return do_int (m, 4, true);
  case 0x8a:
    return do_long (m);
  case 0x88:
    return push_value (m, BOOL, 1);
  case 0x89:
    return push_value (m, BOOL, 0);
  case 'N':
    return push_value (m, NOTHING, 0);
  case 'G':
    return skip (m, 8) < 0 ? -EBADMSG : push_value (m, NOTHING, 0);
  case 'q':
    return do_put (m, 1);
  case 'r':
    return do_put (m, 4);
  case 0x94:
    return put_memo (m, (int64_t) m->memo.n);
  case 'h':
    return do_get (m, 1);
  case 'j':
    return do_get (m, 4);
  case 'c':
    return do_global (m);
  case 0x93:
    return do_stack_global (m);
  case 'Q':
    return do_storage (m);
  case 'R':
    return do_reduce (m);
  case 'b':
    return do_build (m);
  default:
    return qk_error (-EBADMSG,
                     "%s: pickle instruction 0x%02x, which a file "
                     "of weights does not need and this program does not run",
                     m->path, op);
  }
}

static int
run (struct machine *m)
{
  while (m->p < m->end) {
    const unsigned char op = *m->p++;
    int r;

    if (op == '.')
      return 0;
    if ((r = step (m, op)) < 0)
      return r;
  }
  return damaged (m, "its end is missing");
}

/* ---- the result ---------------------------------------------------------------------- */

/* The value of KEY in dictionary D if that is a dictionary. */
static const struct object *
inner_dict (const struct machine *m, const struct object *d, const char *key)
{
  uint32_t i;

  for (i = d->first; i != 0; i = AT (m->pair, struct pair, i).next) {
    const struct pair *p = &AT (m->pair, struct pair, i);
    const struct object *k = &AT (m->object, struct object, p->key);
    const struct object *v = &AT (m->object, struct object, p->value);

    if (k->kind == TEXT && v->kind == DICT
        && is_text (k->text, k->length, key))
      return v;
  }
  return NULL;
}

static int
copy_name (const struct machine *m, const struct object *key, char **out)
{
  uint32_t i;

  if (key->kind != TEXT || key->length == 0 || key->length > PICKLE_MAX_NAME)
    return damaged (m, "the name of a tensor");
  for (i = 0; i < key->length; i++) {
    const unsigned char c = (unsigned char) key->text[i];

    if (c < 0x20 || c == 0x7f
        || (c == 0xc2 && i + 1 < key->length
            && (unsigned char) key->text[i + 1] >= 0x80
            && (unsigned char) key->text[i + 1] <= 0x9f))
      return damaged (m, "a control character in the name of a tensor");
  }
  *out = strndup (key->text, key->length);
  return *out == NULL ? qk_oom ("%s", m->path) : 0;
}

/* The tensors of dictionary D into OUT, which has room. */
static int
collect (struct machine *m, const struct object *d, struct pickle *out)
{
  uint32_t i;
  int r;

  for (i = d->first; i != 0; i = AT (m->pair, struct pair, i).next) {
    const struct pair *p = &AT (m->pair, struct pair, i);
    const struct object *v = &AT (m->object, struct object, p->value);
    struct pickle_tensor *t = &out->tensor[out->n];

    if (v->kind != TENSOR)
      continue;
    *t = AT (m->tensor, struct pickle_tensor, v->value);
    t->name = NULL;
    t->storage = strdup (t->storage);
    out->n++;
    if (t->storage == NULL)
      return qk_oom ("%s", m->path);
    r = copy_name (m, &AT (m->object, struct object, p->key), &t->name);
    if (r < 0)
      return r;
  }
  return 0;
}

static int
take_result (struct machine *m, struct pickle *out)
{
  static const char *const inner[]
    = { "state_dict", "model_state_dict", "model" };
  const struct object *d, *in = NULL;
  uint32_t top = 0;
  size_t i;
  int r;

  if ((r = peek (m, 0, MARK, &top)) < 0)
    return r;
  d = &AT (m->object, struct object, top);
  if (d->kind != DICT)
    return damaged (m, "it is no dictionary of tensors");
  for (i = 0; in == NULL && i < sizeof inner / sizeof *inner; i++)
    in = inner_dict (m, d, inner[i]);
  /* at most one tensor a pair */
  out->tensor = calloc (m->pair.n + 1, sizeof *out->tensor);
  if (out->tensor == NULL)
    return qk_oom ("%s", m->path);
  return collect (m, in != NULL ? in : d, out);
}

int
pickle_read (const void *bytes, size_t size, const char *path,
             struct pickle *out)
{
  struct machine m;
  size_t i;
  int r;

  memset (out, 0, sizeof *out);
  memset (&m, 0, sizeof m);
  m.p = bytes;
  m.end = m.p + size;
  m.path = path;
  m.object.size = sizeof (struct object);
  m.pair.size = sizeof (struct pair);
  m.tensor.size = sizeof (struct pickle_tensor);
  m.item.size = m.stack.size = m.memo.size = sizeof (uint32_t);
  if (size > PICKLE_MAX_SIZE)
    r = damaged (&m, "its pickle is larger than 64 MB");
  else if ((r = run (&m)) == 0)
    r = take_result (&m, out);
  for (i = 0; i < m.tensor.n; i++)
    free (AT (m.tensor, struct pickle_tensor, i).storage);
  free (m.object.data);
  free (m.pair.data);
  free (m.tensor.data);
  free (m.item.data);
  free (m.stack.data);
  free (m.memo.data);
  if (r < 0)
    pickle_clear (out);
  return r;
}

void
pickle_clear (struct pickle *p)
{
  int64_t i;

  for (i = 0; i < p->n; i++) {
    free (p->tensor[i].name);
    free (p->tensor[i].storage);
  }
  free (p->tensor);
  memset (p, 0, sizeof *p);
}
