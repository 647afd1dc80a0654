/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* network.h: a graph as the view that format plugins write. */
#ifndef QK_MODEL_NETWORK_H
#define QK_MODEL_NETWORK_H

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

#endif /* QK_MODEL_NETWORK_H */
