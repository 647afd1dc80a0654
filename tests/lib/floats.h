/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* floats.h: the backend with float products, for tests of what uses them. */
#ifndef TESTS_LIB_FLOATS_H
#define TESTS_LIB_FLOATS_H

#include "plugin/loader-priv.h"
#include "qatkit/backend.h"

/* The one that a run takes by itself; NULL: none is installed. */
static inline const struct qk_backend_class *
test_float_backend (struct qk_context *ctx)
{
  return ctx != NULL ? qk_context_float (ctx) : NULL;
}

#endif /* TESTS_LIB_FLOATS_H */
