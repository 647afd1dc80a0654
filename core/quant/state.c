/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* state.c: walks the arrays that checkpoints keep of a component. */
#include "config.h"

#include <string.h>

#include "quant/state-priv.h"

void
qk_state_start (struct qk_state *st, qk_state_fn fn, void *cookie,
                bool loading)
{
  st->fn = fn;
  st->cookie = cookie;
  st->loading = loading;
  st->prefix_len = 0;
  st->prefix[0] = '\0';
}

int
qk_state_push (struct qk_state *st, const char *prefix, size_t *mark)
{
  const size_t len = strlen (prefix);

  if (len >= sizeof st->prefix - st->prefix_len)
    return qk_error (-ENAMETOOLONG, "state name '%s%s' is too long",
                     st->prefix, prefix);
  *mark = st->prefix_len;
  memcpy (st->prefix + st->prefix_len, prefix, len + 1);
  st->prefix_len += len;
  return 0;
}

void
qk_state_pop (struct qk_state *st, size_t mark)
{
  st->prefix_len = mark;
  st->prefix[mark] = '\0';
}

int
qk_state_add (struct qk_state *st, const char *name, int dtype, void *data,
              size_t count)
{
  size_t mark;
  int r;

  if (name == NULL || name[0] == '\0')
    return qk_error (-EINVAL, "state array of '%s' has no name", st->prefix);
  if (qk_dtype_size ((enum qk_dtype) dtype) == 0)
    return qk_error (-EINVAL, "state array '%s%s' has an unknown type %d",
                     st->prefix, name, dtype);
  if (data == NULL && count > 0)
    return qk_error (-EINVAL, "state array '%s%s' has no data", st->prefix,
                     name);
  r = qk_state_push (st, name, &mark);
  if (r < 0)
    return r;
  r = st->fn (st->cookie, st->prefix, (enum qk_dtype) dtype, data, count);
  qk_state_pop (st, mark);
  return r;
}
