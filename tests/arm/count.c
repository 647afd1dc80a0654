/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* count.c: a plugin of QEMU (7.2 or later) that says on standard error how many
 * instructions a program has executed.  What it needs of qemu-plugin.h is declared
 * here, as distributions install that file seldom. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define EXPORT __attribute__ ((visibility ("default")))
#define ADD_U64 0 /* QEMU_PLUGIN_INLINE_ADD_U64 */

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;

void qemu_plugin_register_vcpu_tb_trans_cb (
  qemu_plugin_id_t id,
  void (*call) (qemu_plugin_id_t id, struct qemu_plugin_tb *block));
size_t qemu_plugin_tb_n_insns (const struct qemu_plugin_tb *block);
void qemu_plugin_register_vcpu_tb_exec_inline (struct qemu_plugin_tb *block,
                                               int what, void *to,
                                               uint64_t value);
void qemu_plugin_register_atexit_cb (qemu_plugin_id_t id,
                                     void (*call) (qemu_plugin_id_t id,
                                                   void *data),
                                     void *data);

EXPORT extern int qemu_plugin_version;
int qemu_plugin_version = 1;
EXPORT int qemu_plugin_install (qemu_plugin_id_t id, const void *info,
                                int argc, char **argv);

static uint64_t count;

static void
translated (qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
  (void) id;
  qemu_plugin_register_vcpu_tb_exec_inline (block, ADD_U64, &count,
                                            qemu_plugin_tb_n_insns (block));
}

static void
ended (qemu_plugin_id_t id, void *data)
{
  (void) id, (void) data;
  fprintf (stderr, "instructions %llu\n", (unsigned long long) count);
}

int
qemu_plugin_install (qemu_plugin_id_t id, const void *info, int argc,
                     char **argv)
{
  (void) info, (void) argc, (void) argv;
  qemu_plugin_register_vcpu_tb_trans_cb (id, translated);
  qemu_plugin_register_atexit_cb (id, ended, NULL);
  return 0;
}
