/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* file.c: a model as the FlatBuffer of TFLite's schema.
 * https://www.tensorflow.org/lite/guide (the file's identifier is TFL3) */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "model.h"

#define SCHEMA_VERSION 3
/* Buffers lie at multiples of this, so that files can be mapped. */
#define BUFFER_ALIGN 16
/* What fits the byte that operators were told by at first; there newer ones
 * have this number. */
#define OLD_OPERATORS 127

static struct flat_field
ref_field (flat_ref ref)
{
  return (struct flat_field){ ref > 0 ? 4 : 0, true, ref };
}

static size_t
size_of (enum tfl_type type)
{
  return type == TFL_FLOAT32 || type == TFL_INT32 ? 4 : 1;
}

/* table Buffer { data:[ubyte] (force_align: 16) } */
static flat_ref
put_buffer (struct flat *f, const void *data, size_t n, size_t size)
{
  struct flat_field field[1] = { { 0, false, 0 } };
  flat_ref elements;

  if (n > 0) {
    elements = flat_bytes (f, data, n, size, BUFFER_ALIGN);
    field[0] = ref_field (elements);
  }
  return flat_table (f, field, 1);
}

/* Buffer 0 is empty; then one for each constant, and one for each piece of
 * metadata, in this order. */
static flat_ref
put_buffers (struct flat *f, const struct tfl_model *m,
             const struct tfl_about *about, flat_ref *ref)
{
  size_t n = 1;

  ref[0] = put_buffer (f, NULL, 0, 1);
  for (int i = 0; i < m->n_tensors; i++)
    if (m->tensor[i].elements > 0)
      ref[n++] = put_buffer (f, m->tensor[i].data, m->tensor[i].elements,
                             size_of (m->tensor[i].type));
  for (int i = 0; i < about->n_meta; i++)
    ref[n++]
      = put_buffer (f, about->meta[i].value, strlen (about->meta[i].value), 1);
  return flat_refs (f, ref, n);
}

/* table QuantizationParameters { min, max, scale:[float], zero_point:[long],
 * details (a union), quantized_dimension:int } */
static flat_ref
put_quantization (struct flat *f, struct tfl_model *m,
                  const struct tfl_tensor *t)
{
  int64_t *zero = tfl_alloc (m, (size_t) t->scales * sizeof *zero);
  struct flat_field field[7] = { { 0, false, 0 } };

  if (t->scales == 0 || zero == NULL)
    return 0;
  for (int i = 0; i < t->scales; i++)
    zero[i] = t->zero_point;
  field[2] = ref_field (flat_vector (f, t->scale, (size_t) t->scales, 4, 4));
  field[3] = ref_field (flat_vector (f, zero, (size_t) t->scales, 8, 8));
  if (t->axis > 0)
    field[6] = tfl_int (t->axis);
  return flat_table (f, field, 7);
}

/* table Tensor { shape:[int], type:byte, buffer:uint, name:string,
 * quantization, … } */
static flat_ref
put_tensor (struct flat *f, struct tfl_model *m, const struct tfl_tensor *t,
            int buffer)
{
  struct flat_field field[5];

  field[0] = ref_field (flat_vector (f, t->dims, (size_t) t->ndim, 4, 4));
  field[1] = tfl_byte ((int) t->type);
  field[2] = tfl_int (buffer);
  field[3] = ref_field (flat_string (f, t->name));
  field[4] = ref_field (put_quantization (f, m, t));
  return flat_table (f, field, 5);
}

static flat_ref
put_tensors (struct flat *f, struct tfl_model *m, flat_ref *ref)
{
  int buffer = 0;

  for (int i = 0; i < m->n_tensors; i++)
    ref[i] = put_tensor (f, m, &m->tensor[i],
                         m->tensor[i].elements > 0 ? ++buffer : 0);
  return flat_refs (f, ref, (size_t) m->n_tensors);
}

/* ---- operators ------------------------------------------------------------ */

/* The number, in the list of operators in use, of node I's: that of the first
 * node with this operator and version, of which CODE has the numbers. */
static int
code_of (const struct tfl_model *m, int i, const int *code)
{
  for (int j = 0; j < i; j++)
    if (m->node[j].op == m->node[i].op
        && m->node[j].version == m->node[i].version)
      return code[j];
  return -1;
}

/* table OperatorCode { deprecated_builtin_code:byte, custom_code:string,
 * version:int, builtin_code:int } */
static flat_ref
put_code (struct flat *f, const struct tfl_node *n)
{
  struct flat_field field[4] = { { 0, false, 0 } };

  field[0]
    = tfl_byte ((int) n->op < OLD_OPERATORS ? (int) n->op : OLD_OPERATORS);
  field[2] = tfl_int (n->version);
  field[3] = tfl_int ((int) n->op);
  return flat_table (f, field, 4);
}

/* The operators in use; CODE[i] becomes the number of node I's. */
static flat_ref
put_codes (struct flat *f, const struct tfl_model *m, int *code, flat_ref *ref)
{
  int n = 0;

  for (int i = 0; i < m->n_nodes; i++)
    if ((code[i] = code_of (m, i, code)) < 0) {
      ref[n] = put_code (f, &m->node[i]);
      code[i] = n++;
    }
  return flat_refs (f, ref, (size_t) n);
}

/* table Operator { opcode_index:uint, inputs:[int], outputs:[int],
 * builtin_options (a union: its type, the table), … } */
static flat_ref
put_node (struct flat *f, const struct tfl_node *n, int code)
{
  struct flat_field field[5] = { { 0, false, 0 } };
  const int32_t out = n->out;
  int32_t in[TFL_MAX_INPUTS];

  for (int i = 0; i < n->n_in; i++)
    in[i] = n->in[i];
  field[0] = tfl_int (code);
  field[1] = ref_field (flat_vector (f, in, (size_t) n->n_in, 4, 4));
  field[2] = ref_field (flat_vector (f, &out, 1, 4, 4));
  if (n->options.type != TFL_NO_OPTIONS) {
    field[3] = tfl_byte ((int) n->options.type);
    field[4] = ref_field (flat_table (f, n->options.field, FLAT_MAX_FIELDS));
  }
  return flat_table (f, field, 5);
}

/* ---- the whole ------------------------------------------------------------ */

static flat_ref
put_ends (struct flat *f, const struct tfl_end *end, int n)
{
  int32_t *number = calloc ((size_t) n + 1, sizeof *number);
  flat_ref r;

  if (number == NULL) {
    f->error = qk_oom ("tflite");
    return 0;
  }
  for (int i = 0; i < n; i++)
    number[i] = end[i].tensor;
  r = flat_vector (f, number, (size_t) n, 4, 4);
  free (number);
  return r;
}

/* table SubGraph { tensors, inputs:[int], outputs:[int], operators, name } */
static flat_ref
put_subgraph (struct flat *f, struct tfl_model *m,
              const struct tfl_about *about, const int *code, flat_ref *ref)
{
  struct flat_field field[5];

  for (int i = 0; i < m->n_nodes; i++)
    ref[i] = put_node (f, &m->node[i], code[i]);
  field[3] = ref_field (flat_refs (f, ref, (size_t) m->n_nodes));
  field[0] = ref_field (put_tensors (f, m, ref));
  field[1] = ref_field (put_ends (f, about->input, about->n_inputs));
  field[2] = ref_field (put_ends (f, about->output, about->n_outputs));
  field[4] = ref_field (flat_string (f, "main"));
  ref[0] = flat_table (f, field, 5);
  return flat_refs (f, ref, 1);
}

/* table TensorMap { name:string, tensor_index:uint }, one for each end */
static flat_ref
put_map (struct flat *f, const struct tfl_end *end, int n, flat_ref *ref)
{
  struct flat_field field[2];

  for (int i = 0; i < n; i++) {
    field[0] = ref_field (flat_string (f, end[i].name));
    field[1] = tfl_int (end[i].tensor);
    ref[i] = flat_table (f, field, 2);
  }
  return flat_refs (f, ref, (size_t) n);
}

/* table SignatureDef { inputs, outputs, signature_key:string, deprecated,
 * subgraph_index:uint }: under which names programs give and get tensors */
static flat_ref
put_signature (struct flat *f, const struct tfl_about *about, flat_ref *ref)
{
  struct flat_field field[5] = { { 0, false, 0 } };

  field[0] = ref_field (put_map (f, about->input, about->n_inputs, ref));
  field[1] = ref_field (put_map (f, about->output, about->n_outputs, ref));
  field[2] = ref_field (flat_string (f, "serving_default"));
  field[4] = tfl_int (0);
  ref[0] = flat_table (f, field, 5);
  return flat_refs (f, ref, 1);
}

/* table Metadata { name:string, buffer:uint } */
static flat_ref
put_metadata (struct flat *f, const struct tfl_model *m,
              const struct tfl_about *about, flat_ref *ref)
{
  struct flat_field field[2];
  int buffer = 1;

  for (int i = 0; i < m->n_tensors; i++)
    buffer += m->tensor[i].elements > 0;
  for (int i = 0; i < about->n_meta; i++) {
    field[0] = ref_field (flat_string (f, about->meta[i].key));
    field[1] = tfl_int (buffer + i);
    ref[i] = flat_table (f, field, 2);
  }
  return flat_refs (f, ref, (size_t) about->n_meta);
}

/* table Model { version:uint, operator_codes, subgraphs, description:string,
 * buffers, metadata_buffer, metadata, signature_defs } */
static void
put_model (struct flat *f, struct tfl_model *m, const struct tfl_about *about,
           int *code, flat_ref *ref)
{
  struct flat_field field[8] = { { 0, false, 0 } };

  field[4] = ref_field (put_buffers (f, m, about, ref));
  field[1] = ref_field (put_codes (f, m, code, ref));
  field[2] = ref_field (put_subgraph (f, m, about, code, ref));
  field[0] = tfl_int (SCHEMA_VERSION);
  field[3] = ref_field (flat_string (f, about->description));
  field[6] = ref_field (put_metadata (f, m, about, ref));
  field[7] = ref_field (put_signature (f, about, ref));
  flat_finish (f, flat_table (f, field, 8), "TFL3");
}

static int
write_all (int fd, const uint8_t *p, size_t n)
{
  while (n > 0) {
    const ssize_t k = write (fd, p, n);

    if (k < 0 && errno == EINTR)
      continue;
    if (k <= 0)
      return qk_error (k < 0 ? -errno : -EIO, "cannot write: %s",
                       strerror (k < 0 ? errno : EIO));
    p += k;
    n -= (size_t) k;
  }
  return 0;
}

int
tfl_write (struct tfl_model *m, const struct tfl_about *about, int fd)
{
  const size_t most = (size_t) m->n_tensors + (size_t) m->n_nodes
                      + (size_t) about->n_meta + (size_t) about->n_inputs
                      + (size_t) about->n_outputs + 2;
  flat_ref *ref = tfl_alloc (m, most * sizeof *ref);
  int *code = tfl_alloc (m, most * sizeof *code), r;
  struct flat f = { 0 };

  if (ref == NULL || code == NULL)
    return m->error;
  put_model (&f, m, about, code, ref);
  r = m->error < 0 ? m->error : f.error;
  if (r == 0)
    r = write_all (fd, f.data + f.room - f.used, f.used);
  flat_clear (&f);
  return r;
}
