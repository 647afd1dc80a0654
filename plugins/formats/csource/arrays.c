/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* arrays.c: constant arrays of layers. */
#include "config.h"

#include "csource.h"

static void
begin (struct writer *w, const char *type, const char *kind, int64_t n,
       int64_t size)
{
  char big[32];

  w->flash += n * size;
  text_add (&w->data, "\n%s_SECTION\n%sconst %s %s_%s%d[%lld] = {\n",
            csource_upper (w->name, big), w->split ? "" : "static ", type,
            w->name, kind, w->layer, (long long) n);
  if (w->split)
    text_add (&w->head, "extern const %s %s_%s%d[%lld];\n", type, w->name,
              kind, w->layer, (long long) n);
}

#define ARRAY(what, type, text)                                               \
  void array_##what (struct writer *w, const char *kind, const type *x,       \
                     int64_t n)                                               \
  {                                                                           \
    begin (w, #type, kind, n, (int64_t) sizeof *x);                           \
    text (&w->data, x, n);                                                    \
    text_add (&w->data, "};\n");                                              \
  }

ARRAY (int8, int8_t, text_int8)
ARRAY (uint8, uint8_t, text_uint8)
ARRAY (int32, int32_t, text_int32)
ARRAY (bits, uint32_t, text_bits)
