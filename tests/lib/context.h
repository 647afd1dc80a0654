/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* context.h: a context for each test of a program, as a checked fixture. */
#ifndef TESTS_LIB_CONTEXT_H
#define TESTS_LIB_CONTEXT_H

#include <check.h>

#include <qatkit/context.h>

static struct qk_context *ctx;

static void
set_up (void)
{
  ctx = qk_context_new ();
  ck_assert_ptr_nonnull (ctx);
}

static void
tear_down (void)
{
  qk_context_free (ctx);
}

#endif /* TESTS_LIB_CONTEXT_H */
