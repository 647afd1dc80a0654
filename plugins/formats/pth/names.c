/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* names.c: what of Python's names a file of weights needs. */
#include "config.h"

#include <string.h>

#include "machine.h"

static const struct pickle_type types[] = {
  { "FloatStorage", "float32", 4, QK_F32, PICKLE_DIRECT },
  { "DoubleStorage", "float64", 8, QK_F64, PICKLE_DIRECT },
  { "HalfStorage", "float16", 2, QK_F32, PICKLE_HALF },
  { "BFloat16Storage", "bfloat16", 2, QK_F32, PICKLE_BFLOAT },
  { "LongStorage", "int64", 8, QK_I64, PICKLE_DIRECT },
  { "IntStorage", "int32", 4, QK_I32, PICKLE_DIRECT },
  { "ShortStorage", "int16", 2, QK_I32, PICKLE_SHORT },
  { "CharStorage", "int8", 1, QK_I8, PICKLE_DIRECT },
  { "ByteStorage", "uint8", 1, QK_U8, PICKLE_DIRECT },
  { "BoolStorage", "bool", 1, QK_U8, PICKLE_DIRECT },
  { "QInt8Storage", "qint8", 1, QK_NONE, PICKLE_UNSUPPORTED },
  { "QUInt8Storage", "quint8", 1, QK_NONE, PICKLE_UNSUPPORTED },
  { "QInt32Storage", "qint32", 4, QK_NONE, PICKLE_UNSUPPORTED },
  { "ComplexFloatStorage", "complex64", 8, QK_NONE, PICKLE_UNSUPPORTED },
  { "ComplexDoubleStorage", "complex128", 16, QK_NONE, PICKLE_UNSUPPORTED },
  { "UntypedStorage", "", 1, QK_NONE, PICKLE_BYTES },
  { "_UntypedStorage", "", 1, QK_NONE, PICKLE_BYTES },
};

static const struct {
  const char *module, *name;
  enum callable what;
} callables[] = {
  { "collections", "OrderedDict", MAKE_DICT },
  { "__builtin__", "dict", MAKE_DICT },
  { "builtins", "dict", MAKE_DICT },
  { "collections", "defaultdict", MAKE_DEFAULT_DICT },
  { "torch", "Size", MAKE_SIZE },
  { "torch._utils", "_rebuild_tensor", REBUILD_TENSOR },
  { "torch._utils", "_rebuild_tensor_v2", REBUILD_TENSOR },
  { "torch._utils", "_rebuild_tensor_v3", REBUILD_TYPED },
  { "torch._utils", "_rebuild_parameter", REBUILD_PARAMETER },
  { "torch._utils", "_rebuild_parameter_with_state", REBUILD_PARAMETER },
  { "torch._tensor", "_rebuild_from_type_v2", REBUILD_SUBCLASS },
};

bool
text_is (const char *text, size_t n, const char *want)
{
  return strlen (want) == n && memcmp (text, want, n) == 0;
}

static const struct pickle_type *
find_type (const char *module, size_t module_n, const char *name,
           size_t name_n)
{
  if (!text_is (module, module_n, "torch")
      && !text_is (module, module_n, "torch.storage"))
    return NULL;
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (text_is (name, name_n, types[i].name)
        || (name_n > 0 && text_is (name, name_n, types[i].scalar)))
      return &types[i];
  return NULL;
}

int
machine_push_global (struct machine *m, const char *module, size_t module_n,
                     const char *name, size_t name_n)
{
  const struct pickle_type *type = find_type (module, module_n, name, name_n);
  struct object *o = NULL;
  int r;

  for (size_t i = 0; i < sizeof callables / sizeof *callables; i++)
    if (text_is (module, module_n, callables[i].module)
        && text_is (name, name_n, callables[i].name))
      return machine_push_value (m, CALLABLE, callables[i].what);
  if ((r = machine_push (m, type != NULL ? TYPE : FOREIGN, &o)) < 0)
    return r;
  o->type = type;
  o->text = name;
  o->length = (uint32_t) (name_n < PICKLE_MAX_NAME ? name_n : PICKLE_MAX_NAME);
  return 0;
}
