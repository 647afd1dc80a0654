/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* onnxfile.c: opening ONNX files.
 *
 * protobuf-c unpacks recursively and allocates a structure for every message,
 * so that a small file could ask for a deep stack and much memory.  Therefore
 * the messages are first walked through with a counter, on the wire format.
 * https://protobuf.dev/programming-guides/encoding/ */
#include "config.h"

#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <qatkit/format.h>

#include "inline.h"
#include "mapped/mapped.h"

/* Wire types. */
enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

struct range {
  const unsigned char *p, *end;
};

static bool
varint (struct range *r, uint64_t *out)
{
  uint64_t v = 0;
  int shift;

  for (shift = 0; shift < 64 && r->p < r->end; shift += 7) {
    const unsigned char c = *r->p++;

    v |= (uint64_t) (c & 0x7f) << shift;
    if (!(c & 0x80)) {
      *out = v;
      return true;
    }
  }
  return false;
}

/* Step over the field that begins at R; *NUMBER and, for BYTES, *DATA. */
static bool
next_field (struct range *r, uint64_t *number, struct range *data)
{
  uint64_t key, n;

  data->p = NULL;
  if (!varint (r, &key) || key >> 3 == 0 || key >> 3 > INT32_MAX)
    return false;
  *number = key >> 3;
  switch (key & 7) {
  case VARINT:
    return varint (r, &n);
  case FIXED64:
    n = 8;
    break;
  case FIXED32:
    n = 4;
    break;
  case BYTES:
    if (!varint (r, &n))
      return false;
    data->p = r->p;
    break;
  default:
    return false;
  }
  if (n > (uint64_t) (r->end - r->p))
    return false;
  r->p += n;
  data->end = r->p;
  return true;
}

/* Count the messages in the message R of type D; false at damage, at too deep
 * nesting and where there are too many. */
static bool
scan (struct range r, const ProtobufCMessageDescriptor *d, int depth,
      long *count)
{
  if (depth > ONNXFILE_MAX_DEPTH || ++*count > ONNXFILE_MAX_MESSAGES)
    return false;
  while (r.p < r.end) {
    const ProtobufCFieldDescriptor *field;
    struct range data;
    uint64_t number;

    if (!next_field (&r, &number, &data))
      return false;
    if (data.p == NULL)
      continue;
    field = protobuf_c_message_descriptor_get_field (d, (unsigned) number);
    if (field != NULL && field->type == PROTOBUF_C_TYPE_MESSAGE
        && !scan (data, field->descriptor, depth + 1, count))
      return false;
  }
  return true;
}

static void
find_opset (struct onnxfile *f)
{
  size_t i;

  for (i = 0; i < f->model->n_opset_import; i++) {
    const Onnx__OperatorSetIdProto *o = f->model->opset_import[i];

    if (o->domain == NULL || *o->domain == '\0'
        || strcmp (o->domain, "ai.onnx") == 0)
      f->opset = o->version;
  }
  /* files older than the field are of version 1 */
  if (f->model->n_opset_import == 0)
    f->opset = 1;
}

static int
set_path (struct onnxfile *f, const char *path)
{
  char *copy = strdup (path);

  f->path = strdup (path);
  f->folder = copy != NULL ? strdup (dirname (copy)) : NULL;
  free (copy);
  return f->path == NULL || f->folder == NULL ? qk_oom ("%s", path) : 0;
}

int
onnxfile_read (const void *bytes, size_t size, const char *path,
               struct onnxfile **out)
{
  const struct range all = { bytes, (const unsigned char *) bytes + size };
  const char *foreign = qk_foreign (bytes, size);
  struct onnxfile *f;
  long count = 0;
  int r;

  *out = NULL;
  if (!scan (all, &onnx__model_proto__descriptor, 0, &count))
    return foreign != NULL
             ? qk_error (-EBADMSG, "%s: this is %s", path, foreign)
             : qk_error (-EBADMSG, "%s: not an ONNX file, or damaged%s", path,
                         count > ONNXFILE_MAX_MESSAGES ? ": too many messages"
                                                       : "");
  if ((f = calloc (1, sizeof *f)) == NULL)
    return qk_oom ("%s", path);
  if ((r = set_path (f, path)) < 0)
    goto error;
  f->model = onnx__model_proto__unpack (NULL, size, bytes);
  if (f->model == NULL || f->model->graph == NULL) {
    r = qk_error (-EBADMSG, "%s: not an ONNX file, or damaged: no graph",
                  path);
    goto error;
  }
  find_opset (f);
  if ((r = onnxfile_inline (f)) < 0)
    goto error;
  *out = f;
  return 0;

error:
  onnxfile_close (f);
  return r;
}

int
onnxfile_open (const char *path, struct onnxfile **out)
{
  void *map = NULL;
  size_t size = 0;
  int r;

  *out = NULL;
  if ((r = mapped_open (path, 1, "an ONNX file", &map, &size)) < 0)
    return r;
  r = onnxfile_read (map, size, path, out);
  munmap (map, size);
  return r;
}

void
onnxfile_close (struct onnxfile *f)
{
  if (f == NULL)
    return;
  if (f->model != NULL)
    onnx__model_proto__free_unpacked (f->model, NULL);
  free (f->path);
  free (f->folder);
  free (f);
}

bool
onnxfile_good_name (const char *name)
{
  const unsigned char *s = (const unsigned char *) name;
  size_t i;

  for (i = 0; s[i] != '\0'; i++)
    if (i >= ONNXFILE_MAX_NAME || s[i] < 0x20 || s[i] == 0x7f
        || (s[i] == 0xc2 && s[i + 1] >= 0x80 && s[i + 1] <= 0x9f))
      return false;
  return true;
}
