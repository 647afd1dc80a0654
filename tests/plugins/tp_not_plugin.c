/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tp_not_plugin.c: a library, but no plugin. */
int tp_not_plugin (void);

int
tp_not_plugin (void)
{
  return 1;
}
