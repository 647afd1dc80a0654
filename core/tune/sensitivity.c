/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* sensitivity.c: keeps what was measured of layers, as JSON, so that a tuning
 * that is resumed chooses the same networks even where seconds were measured. */
#include "config.h"

#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/atomic-file.h"
#include "base/json.h"
#include "tune/sensitivity.h"

/* For what a table was measured. */
static uint32_t
fingerprint (const struct qk_tuner *u, const struct qk_bits_options *opt)
{
  uint32_t crc = (uint32_t) crc32_z (0, (const unsigned char *) u->text,
                                     strlen (u->text));

  crc = (uint32_t) crc32_z (crc, (const unsigned char *) &opt->cost,
                            sizeof opt->cost);
  return (uint32_t) crc32_z (crc, (const unsigned char *) opt->bits,
                             (size_t) opt->n_bits * sizeof *opt->bits);
}

/* ---- writing ----------------------------------------------------------------- */

static json_t *
layer_to_json (const struct qk_bits_layer *l)
{
  json_t *forms = json_array ();

  for (int k = 0; k < l->n; k++)
    qk_json_append (&forms, json_pack ("{s:i,s:o,s:o}", "bits", l->bits[k],
                                       "noise", qk_json_real (l->noise[k]),
                                       "cost", qk_json_real (l->cost[k])));
  return json_pack ("{s:o,s:I,s:o}", "name", qk_json_string (l->name), "macs",
                    (json_int_t) l->macs, "forms", forms);
}

json_t *
qk_bits_to_json (const struct qk_bits_table *t)
{
  json_t *layers = json_array ();

  for (int i = 0; i < t->n; i++)
    qk_json_append (&layers, layer_to_json (&t->layer[i]));
  return layers;
}

static int
save (const char *path, const struct qk_bits_table *t, uint32_t crc)
{
  json_t *j
    = json_pack ("{s:I,s:o,s:o}", "crc32", (json_int_t) crc, "rest",
                 qk_json_real (t->rest), "layers", qk_bits_to_json (t));
  char *text;
  int r;

  text = j != NULL ? qk_json_text (j, JSON_INDENT (1) | JSON_SORT_KEYS
                                        | JSON_REAL_PRECISION (17))
                   : NULL;
  json_decref (j);
  if (text == NULL)
    return qk_oom ("%s", path);
  r = qk_atomic_write_data (path, text, strlen (text));
  free (text);
  return r;
}

/* ---- reading ------------------------------------------------------------------- */

/* A number that a solver can take. */
static bool
good_number (const json_t *j, double *out)
{
  *out = json_is_number (j) ? json_number_value (j) : -1;
  return isfinite (*out) && *out >= 0;
}

static bool
read_layer (const json_t *j, struct qk_bits_layer *l)
{
  const json_t *forms = json_object_get (j, "forms");
  const char *name = json_string_value (json_object_get (j, "name"));
  const size_t n = json_array_size (forms);

  if (name == NULL || n < 1 || n > QK_MOST_FORMS
      || (l->name = strdup (name)) == NULL)
    return false;
  l->macs = json_integer_value (json_object_get (j, "macs"));
  for (l->n = 0; l->n < (int) n; l->n++) {
    const json_t *f = json_array_get (forms, (size_t) l->n);
    const json_int_t bits = json_integer_value (json_object_get (f, "bits"));

    if (bits < 2 || bits > 8
        || !good_number (json_object_get (f, "noise"), &l->noise[l->n])
        || !good_number (json_object_get (f, "cost"), &l->cost[l->n]))
      return false;
    l->bits[l->n] = (int) bits;
  }
  return true;
}

/* The table in J; NULL: it is none, or one for something else. */
static struct qk_bits_table *
read_table (const json_t *j, enum qk_cost kind, uint32_t crc)
{
  const json_t *layers = json_object_get (j, "layers");
  const size_t n = json_array_size (layers);
  struct qk_bits_table *t;

  if (json_integer_value (json_object_get (j, "crc32")) != (json_int_t) crc
      || (t = calloc (1, sizeof *t)) == NULL)
    return NULL;
  t->kind = kind;
  t->layer = calloc (n + 1, sizeof *t->layer);
  if (t->layer != NULL && good_number (json_object_get (j, "rest"), &t->rest))
    while (
      t->n < (int) n
      && read_layer (json_array_get (layers, (size_t) t->n), &t->layer[t->n]))
      t->n++;
  if (t->layer != NULL && t->n == (int) n)
    return t;
  if (t->layer != NULL && t->n < (int) n)
    free (t->layer[t->n].name); /* of the one that is no layer */
  qk_bits_free (t);
  return NULL;
}

static struct qk_bits_table *
load (const char *path, enum qk_cost kind, uint32_t crc)
{
  const int fd = open (path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  struct qk_bits_table *t = NULL;
  json_t *j;

  if (fd < 0)
    return NULL;
  if ((j = json_loadfd (fd, 0, NULL)) != NULL)
    t = read_table (j, kind, crc);
  json_decref (j);
  close (fd);
  return t;
}

int
qk_sensitivity_get (struct qk_tuner *u, const struct qk_bits_options *opt,
                    struct qk_bits_table **out)
{
  const uint32_t crc = fingerprint (u, opt);
  char *path = qk_run_path (u->run, "sensitivity.json");
  int r = 0;

  if (path == NULL)
    return qk_oom ("tune");
  *out = u->opt->resume ? load (path, opt->cost, crc) : NULL;
  if (*out != NULL)
    qk_log (u->opt->settings->ctx, QK_LOG_INFO,
            "what layers cost and lose is known from %s", path);
  else if ((r = qk_bits_measure (opt, out)) == 0)
    r = save (path, *out, crc);
  free (path);
  return r;
}
