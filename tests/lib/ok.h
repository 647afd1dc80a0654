/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ok.h: a call that must not fail, and what it said if it did; what must hold
 * for every element. */
#ifndef TESTS_LIB_OK_H
#define TESTS_LIB_OK_H

#include <check.h>
#include <stdint.h>

#include <qatkit/base.h>

#define OK(call)                                                              \
  do {                                                                        \
    const int64_t ok_ = (call);                                               \
    ck_assert_msg (ok_ >= 0, "%s: %lld, %s", #call, (long long) ok_,          \
                   qk_error_message ());                                      \
  } while (0)

/* ck_assert_msg for loops over elements.  Check writes to a file at each assert
 * of its own, also where nothing is wrong: millions of times. */
#define HOLDS(condition, ...)                                                 \
  do {                                                                        \
    if (!(condition))                                                         \
      ck_abort_msg (__VA_ARGS__);                                             \
  } while (0)

#endif /* TESTS_LIB_OK_H */
