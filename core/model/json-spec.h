/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* json-spec.h: tensor specs as JSON. */
#ifndef QK_JSON_SPEC_H
#define QK_JSON_SPEC_H

#include <qatkit/tensor.h>

/* The N specs as a JSON array; *OUT is to be freed. */
int qk_specs_to_json (const struct qk_tensor_spec *spec, int n, char **out);

/* Specs that own what they point to; free with qk_specs_free. */
int qk_specs_from_json (const char *path, const char *text,
                        struct qk_tensor_spec **out, int *n);
void qk_specs_free (struct qk_tensor_spec *spec, int n); /* accepts NULL */

#endif /* QK_JSON_SPEC_H */
