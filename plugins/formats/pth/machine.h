/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* machine.h: the stack machine of pickles: its objects, its stack, its memo.
 * https://github.com/python/cpython/blob/main/Lib/pickletools.py */
#ifndef PTH_MACHINE_H
#define PTH_MACHINE_H

#include "pickle.h"

enum kind {
  NOTHING, /* None, numbers with a point, bytes: of no interest here */
  MARK,
  BOOL,
  INT,
  TEXT,
  TUPLE,
  LIST,
  DICT,
  CALLABLE,
  TYPE, /* a storage class, or a dtype */
  STORAGE,
  TENSOR,
  FOREIGN, /* what the name of a class of Python's gave, or an object of it */
  MODULE   /* a torch.nn.Module, with its code elsewhere */
};

enum callable {
  MAKE_DICT,
  MAKE_DEFAULT_DICT, /* the first argument makes what is missing */
  MAKE_SIZE,
  REBUILD_TENSOR,
  REBUILD_TYPED, /* storages of bytes, the type behind */
  REBUILD_PARAMETER,
  REBUILD_SUBCLASS /* a callable and its arguments */
};

/* An object; lists refer to others by number. */
struct object {
  enum kind kind;
  int64_t value;    /* INT, BOOL, CALLABLE; STORAGE: elements, or those of the
                       view; TENSOR: its index */
  const char *text; /* TEXT, STORAGE (its key), FOREIGN: in the pickle */
  uint32_t length;  /* TEXT; TUPLE: elements; STORAGE: of the key */
  uint32_t first; /* TUPLE: of its elements; DICT, LIST: first pair; 0: none */
  uint32_t last;  /* DICT, LIST: last pair */
  int64_t offset; /* STORAGE: of a view in it */
  bool seen;      /* pick.c has been there */
  const struct pickle_type *type; /* TYPE, STORAGE */
};

/* Of a dictionary; in a list the value alone counts. */
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
  struct list object, item, pair, stack, memo, tensor, storage;
};

#define AT(list, type, i) (((type *) (list).data)[i])

/* Object number I; borrowed until the next one is made. */
static inline struct object *
machine_object (const struct machine *m, uint32_t i)
{
  return &AT (m->object, struct object, i);
}

static inline const struct pair *
machine_pair (const struct machine *m, uint32_t i)
{
  return &AT (m->pair, struct pair, i);
}

/* ---- machine.c ----------------------------------------------------------- */

void machine_init (struct machine *m, const void *bytes, size_t size,
                   const char *path);
void machine_clear (struct machine *m);

/* -EBADMSG with a sentence that ends in WHAT. */
int machine_damaged (const struct machine *m, const char *what);
/* Append one zeroed element; its number, or an error. */
int64_t machine_grow (struct machine *m, struct list *l);

int machine_push_number (struct machine *m, uint32_t object);
/* A new object on the stack; *OUT lives until the next one is made. */
int machine_push (struct machine *m, enum kind kind, struct object **out);
int machine_push_value (struct machine *m, enum kind kind, int64_t value);
/* Number of the object DEPTH below the top; it must be of KIND, unless that
 * is MARK. */
int machine_peek (struct machine *m, size_t depth, enum kind kind,
                  uint32_t *out);
int machine_pop (struct machine *m, enum kind kind, uint32_t *out);
/* How many objects lie above the last mark. */
int machine_above_mark (struct machine *m, size_t *n);
/* The top N objects become a tuple; with MARKED the mark below goes too. */
int machine_make_tuple (struct machine *m, size_t n, bool marked);
/* Add a pair to a dictionary or, the key being of no interest, a list. */
int machine_add_pair (struct machine *m, uint32_t to, uint32_t key,
                      uint32_t value);
/* Number of element I of a tuple, which has it. */
uint32_t machine_member (const struct machine *m, const struct object *tuple,
                         uint32_t i);
/* Element I of a tuple, if it is of KIND; NULL otherwise. */
const struct object *machine_element (const struct machine *m,
                                      const struct object *tuple, uint32_t i,
                                      enum kind kind);

/* ---- names.c ------------------------------------------------------------- */

bool text_is (const char *text, size_t n, const char *want);
/* What Python calls MODULE.NAME, on the stack. */
int machine_push_global (struct machine *m, const char *module,
                         size_t module_n, const char *name, size_t name_n);

/* ---- build.c ------------------------------------------------------------- */

/* CALLABLE, arguments -> result */
int machine_reduce (struct machine *m);
/* A persistent identifier -> a storage */
int machine_persistent (struct machine *m);
/* object, attributes -> object */
int machine_build (struct machine *m);

/* ---- run.c --------------------------------------------------------------- */

/* One pickle, to its end; its result is the top of the stack. */
int machine_run (struct machine *m);

/* ---- pick.c -------------------------------------------------------------- */

/* The dictionary of tensors in the result. */
int machine_pick (struct machine *m, const struct object **out);

#endif /* PTH_MACHINE_H */
