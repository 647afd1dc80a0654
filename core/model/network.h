/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* network.h: a graph as the view that format plugins write. */
#ifndef QK_MODEL_NETWORK_H
#define QK_MODEL_NETWORK_H

#include <qatkit/format.h>
#include <qatkit/network.h>

#include "model/modelfile.h"

struct qk_ini;
struct qk_network_view;

/* The view of a FLOAT or INT8 graph.  G and INFO are borrowed and must
 * outlive it.  *OUT is to be freed with qk_network_free. */
int qk_network_new (const struct qk_graph *g, const struct qk_model_info *info,
                    struct qk_network_view **out);
void qk_network_free (struct qk_network_view *v); /* accepts NULL */

/* The section of what a command line says of a format. */
#define QK_NETWORK_OPTIONS "export"

/* Write G to PATH atomically; FORMAT names the plugin, whose options are those
 * of the section QK_NETWORK_OPTIONS of OPTIONS, or, where that is NULL, of the
 * configuration in use.  -ENOTSUP when it is not one for networks, or cannot
 * express this one. */
int qk_network_write (const struct qk_graph *g,
                      const struct qk_model_info *info, const char *path,
                      const char *format, struct qk_ini *options);

/* What an INT8 graph computes of some samples, as the fallback does: of each
 * of its values, the elements of one sample after the other. */
struct qk_vectors {
  int n;
  void **value;
};

/* Run the N samples INPUT, f32, each of which has a pointer for every input.
 * *OUT is to be cleared, also on failure. */
int qk_vectors_run (struct qk_graph *g, const void *const *const *input, int n,
                    struct qk_vectors *out);
void qk_vectors_clear (const struct qk_graph *g, struct qk_vectors *v);

/* Write G to files in FOLDER, which is made if there is none; OPTIONS are those
 * of FORMAT, as qk_config_parse has them.  VECTORS, of G, may be NULL. */
int qk_network_write_files (const struct qk_graph *g,
                            const struct qk_model_info *info,
                            const struct qk_vectors *vectors,
                            const char *folder, const char *format,
                            const char *options);

/* What G would need as files of FORMAT, with the options' defaults. */
int qk_network_facts (const struct qk_graph *g,
                      const struct qk_model_info *info, const char *format,
                      qk_format_fact *say, void *cookie);

#endif /* QK_MODEL_NETWORK_H */
