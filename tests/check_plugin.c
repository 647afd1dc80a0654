/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_plugin.c: finding, loading and refusing plugins; their state. */
#include "config.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin/loader-priv.h"
#include "qatkit/loss.h"
#include "qatkit/observer.h"
#include "quant/state-priv.h"
#include "lib/state.h"

/* The installed plugin folder, where the build tells. */
#ifndef QK_PLUGINDIR
#define QK_PLUGINDIR ""
#endif

/* A plugin folder of links: ROOT/observers/NAME.so. */
static char root[64];
static struct qk_context *ctx;

static const char *const plugins[] = { "tp_good",
                                       "tp_wrong_abi",
                                       "tp_later_abi",
                                       "tp_null",
                                       "tp_not_plugin",
                                       "tp_wrong_kind",
                                       "tp_wrong_name",
                                       "tp_missing_slot",
                                       "tp_blind",
                                       "tp_bad_option",
                                       "tp_older",
                                       "tp_newer",
                                       "tp_tiny",
                                       "tp_beyond",
                                       "tp_liar",
                                       "tp_small_self",
                                       NULL };

/* Where the plugin NAME was built. */
static const char *
built (const char *name)
{
  static char path[4096];
  const char *dir = getenv ("QATKIT_TEST_PLUGINS");

  snprintf (path, sizeof path, "%s/%s.so", dir ? dir : "tests/plugins/.libs",
            name);
  return path;
}

/* ROOT/observers/FILE */
static const char *
in_root (const char *file)
{
  static char path[256];

  snprintf (path, sizeof path, "%s/observers/%s", root, file);
  return path;
}

static const char *
so (const char *name)
{
  char file[100];

  snprintf (file, sizeof file, "%s.so", name);
  return in_root (file);
}

static void
setup (void)
{
  FILE *f;

  umask (022);
  strcpy (root, "/tmp/check_plugin.XXXXXX");
  ck_assert_ptr_nonnull (mkdtemp (root));
  ck_assert_int_eq (mkdir (in_root (""), 0755), 0);
  for (size_t i = 0; plugins[i]; i++)
    ck_assert_int_eq (symlink (built (plugins[i]), so (plugins[i])), 0);
  f = fopen (so ("text"), "w");
  ck_assert_ptr_nonnull (f);
  fputs ("no library\n", f);
  fclose (f);
  ctx = qk_context_new ();
  ck_assert_ptr_nonnull (ctx);
  ck_assert_int_eq (qk_context_add_plugin_dir (ctx, root), 0);
}

static void
teardown (void)
{
  qk_context_free (ctx);
  for (size_t i = 0; plugins[i]; i++)
    unlink (so (plugins[i]));
  unlink (so ("text"));
  unlink (so ("copy"));
  rmdir (in_root (""));
  rmdir (root);
}

static const struct qk_observer_class *
loaded (const char *name)
{
  const struct qk_class *cls;

  if (qk_context_class (ctx, QK_KIND_OBSERVER, name, &cls) != 0)
    ck_abort_msg ("%s", qk_error_message ());
  return (const struct qk_observer_class *) cls;
}

/* NAME is refused with ERR and a sentence that contains PART. */
static void
refused (const char *name, int err, const char *part)
{
  const struct qk_class *cls = (const struct qk_class *) 1;

  ck_assert_int_eq (qk_context_class (ctx, QK_KIND_OBSERVER, name, &cls), err);
  ck_assert_ptr_null (cls);
  if (!strstr (qk_error_message (), part))
    ck_abort_msg ("'%s' lacks '%s'", qk_error_message (), part);
}

/* The same, and the sentence names the file. */
static void
refused_file (const char *name, int err, const char *part)
{
  refused (name, err, part);
  refused (name, err, so (name));
}

START_TEST (good)
{
  const struct qk_observer_class *cls = loaded ("tp_good");
  const struct qk_plugin *plugin;
  const char *path;
  struct qk_config *cfg;
  void *self;
  float min, max;

  ck_assert_str_eq (cls->cls.name, "tp_good");
  ck_assert_ptr_null (cls->update);
  ck_assert_ptr_eq (loaded ("tp_good"), cls);
  plugin = qk_context_plugin_of (ctx, &cls->cls, &path);
  ck_assert_ptr_nonnull (plugin);
  ck_assert_str_eq (plugin->version, "1.2");
  ck_assert_str_eq (path, so ("tp_good"));
  ck_assert_ptr_null (qk_context_plugin_of (ctx, NULL, &path));
  ck_assert_ptr_null (path);
  ck_assert_int_eq (
    qk_config_parse (cls->cls.options, "start=9", "test", &cfg), 0);
  ck_assert_int_eq (cls->create (cfg, NULL, &self), 0);
  ck_assert_int_eq (cls->range (self, &min, &max), 0);
  ck_assert_float_eq (max, 9);
  cls->destroy (self);
  qk_config_free (cfg);
}
END_TEST

START_TEST (by_path)
{
  const struct qk_class *cls, *other;
  const char *path = built ("tp_good");

  ck_assert_int_eq (qk_context_class (ctx, QK_KIND_OBSERVER, path, &cls), 0);
  ck_assert_int_eq (qk_context_class (ctx, QK_KIND_OBSERVER, path, &other), 0);
  ck_assert_ptr_eq (cls, other);
  refused ("/none/x.so", -ENOENT, "/none/x.so");
  refused (root, -ENOEXEC, "ends in .so");
}
END_TEST

START_TEST (struct_sizes)
{
  const struct qk_observer_class *older = loaded ("tp_older"),
                                 *newer = loaded ("tp_newer");
  float min, max;

  /* not the garbage behind the older plugin's class */
  ck_assert_ptr_null (older->state);
  ck_assert_int_eq (older->range (NULL, &min, &max), 0);
  ck_assert_float_eq (max, 5);
  ck_assert_ptr_null (newer->state);
  ck_assert_int_eq (newer->range (NULL, &min, &max), 0);
  ck_assert_float_eq (min, -3);
  refused_file ("tp_tiny", -ENOEXEC, "struct_size 8");
  refused_file ("tp_beyond", -ENOEXEC, "more than there is in the file");
  refused_file ("tp_liar", -ENOEXEC, "has no function at byte");
  refused_file ("tp_small_self", -ENOEXEC, "self_size 4, expected 0 or");
}
END_TEST

START_TEST (wrong_abi)
{
  refused_file ("tp_wrong_abi", -ENOEXEC,
                "built for plugin ABI 7, this library has plugin ABI 1");
  refused_file ("tp_later_abi", -ENOEXEC,
                "built for plugin ABI 2, this library has plugin ABI 1");
  refused_file ("tp_null", -ENOEXEC, "returns nothing usable");
  refused_file ("tp_not_plugin", -ENOEXEC, "not a plugin of qatkit (ABI 1)");
  refused_file ("text", -ENOEXEC, "cannot load for plugin ABI 1: ");
}
END_TEST

START_TEST (wrong_class)
{
  refused_file ("tp_wrong_kind", -ENOEXEC,
                "is of kind schedule, expected observer");
  refused_file ("tp_wrong_name", -ENOEXEC,
                "its name is 'tp_original', expected 'tp_wrong_name'");
  refused_file ("tp_missing_slot", -ENOEXEC,
                "observer class lacks required slot 'range'");
  refused_file ("tp_blind", -ENOEXEC,
                "lacks both slots 'update' and 'update_range'");
  refused_file ("tp_bad_option", -ENOEXEC, "default of option bins: expected");
}
END_TEST

static int
some_create (const struct qk_config *cfg, void **self)
{
  (void) cfg;
  *self = NULL;
  return 0;
}

static int
some_check (void *self, const struct qk_tensor_spec *out, int n_out,
            const struct qk_tensor_spec *ref, int n_ref)
{
  (void) self, (void) out, (void) n_out, (void) ref, (void) n_ref;
  return 0;
}

static int
some_forward (void *self, const struct qk_loss_io *io, double *loss)
{
  (void) self, (void) io;
  *loss = 0;
  return 0;
}

static int
some_backward (void *self, const struct qk_loss_io *io)
{
  (void) self, (void) io;
  return 0;
}

/* A loss without an instance is whole; one that makes an instance and never
 * frees it is not. */
START_TEST (instances_are_optional)
{
  struct qk_loss_class loss
    = { .cls = QK_CLASS (struct qk_loss_class, QK_KIND_LOSS, "l", "", NULL),
        .check = some_check,
        .forward = some_forward,
        .backward = some_backward };

  ck_assert_int_eq (qk_kind_check_class (&loss.cls), 0);
  loss.create = some_create;
  ck_assert_int_eq (qk_kind_check_class (&loss.cls), -ENOEXEC);
  ck_assert_str_eq (qk_error_message (),
                    "loss class has one of the slots 'create' and 'destroy', "
                    "both or none are required");
}
END_TEST

START_TEST (unknown_name)
{
  refused ("tp_god", -ENOENT,
           "no observer plugin 'tp_god' (did you mean "
           "'tp_good'?); searched ");
  refused ("tp_god", -ENOENT, root);
  refused ("tp_god", -ENOENT, QK_PLUGINDIR "/observers");
  refused ("", -EINVAL, "observer plugin ''");
  refused ("..", -EINVAL, "observer plugin '..'");
  refused ("a b", -EINVAL, "observer plugin 'a b'");
}
END_TEST

START_TEST (unknown_kind)
{
  const struct qk_class *cls;
  char **names;

  ck_assert_int_eq (qk_context_class (ctx, (enum qk_kind) 99, "x", &cls),
                    -EINVAL);
  ck_assert_int_eq (qk_context_class (ctx, (enum qk_kind) 0, "x", &cls),
                    -EINVAL);
  ck_assert_int_eq (qk_context_list (ctx, (enum qk_kind) - 1, &names),
                    -EINVAL);
  ck_assert_int_eq (qk_context_class (ctx, QK_KIND_LAYER, "tp_good", &cls),
                    -ENOENT);
  ck_assert_ptr_null (qk_kind_name ((enum qk_kind) 0));
  ck_assert_ptr_null (qk_kind_folder ((enum qk_kind) (QK_KIND_LAST + 1)));
  for (int k = 1; k <= (int) QK_KIND_LAST; k++) {
    ck_assert_ptr_nonnull (qk_kind_name ((enum qk_kind) k));
    ck_assert_ptr_nonnull (qk_kind_folder ((enum qk_kind) k));
    ck_assert_uint_ge (qk_kind_class_size ((enum qk_kind) k),
                       sizeof (struct qk_class));
  }
}
END_TEST

START_TEST (listing)
{
  char **names;
  size_t n = 0;
  bool found = false;

  /* the folder twice: no duplicates */
  ck_assert_int_eq (qk_context_add_plugin_dir (ctx, root), 0);
  ck_assert_int_eq (qk_context_list (ctx, QK_KIND_OBSERVER, &names), 0);
  for (; names[n]; n++) {
    found |= strcmp (names[n], "tp_good") == 0;
    if (n > 0)
      ck_assert_int_lt (strcmp (names[n - 1], names[n]), 0);
  }
  ck_assert (found);
  ck_assert_uint_ge (n, sizeof plugins / sizeof plugins[0]); /* and text */
  qk_names_free (names);
  ck_assert_int_eq (qk_context_list (ctx, QK_KIND_COMM, &names), 0);
  qk_names_free (names);
  qk_names_free (NULL);
}
END_TEST

/* Copy the good plugin to ROOT/observers/copy.so. */
static void
copy_good (void)
{
  FILE *from = fopen (built ("tp_good"), "rb"),
       *to = fopen (so ("copy"), "wb");
  int c;

  ck_assert (from && to);
  while ((c = getc (from)) != EOF)
    putc (c, to);
  fclose (from);
  ck_assert_int_eq (fclose (to), 0);
}

START_TEST (world_writable)
{
  copy_good ();
  refused ("copy", -ENOEXEC, "its name is 'tp_good'");
  ck_assert_int_eq (chmod (so ("copy"), 0646), 0);
  refused_file ("copy", -EPERM, "can be written by everyone");
  ck_assert_int_eq (chmod (in_root (""), 0757), 0);
  refused ("tp_good", -EPERM, "plugin folder '");
  refused (so ("tp_good"), -EPERM, "plugin folder '");
  ck_assert_int_eq (chmod (in_root (""), 0755), 0);
  ck_assert_int_eq (chmod (root, 0777), 0);
  refused ("tp_good", -EPERM, root);
  ck_assert_int_eq (chmod (root, 0755), 0);
  loaded ("tp_good");
}
END_TEST

/* Opening a pipe would wait for somebody to write into it. */
START_TEST (no_file)
{
  ck_assert_int_eq (mkfifo (so ("copy"), 0644), 0);
  refused_file ("copy", -ENOEXEC, "expected a regular file");
  ck_assert_int_eq (unlink (so ("copy")), 0);
  ck_assert_int_eq (mkdir (so ("copy"), 0755), 0);
  refused_file ("copy", -ENOEXEC, "expected a regular file");
  ck_assert_int_eq (rmdir (so ("copy")), 0);
}
END_TEST

START_TEST (environment)
{
  char path[200];
  const struct qk_class *cls;
  struct qk_context *c;

  snprintf (path, sizeof path, ":/none:%s:", root);
  ck_assert_int_eq (setenv ("QATKIT_PLUGIN_PATH", path, 1), 0);
  c = qk_context_new ();
  ck_assert_int_eq (qk_context_class (c, QK_KIND_OBSERVER, "tp_good", &cls),
                    0);
  ck_assert_int_eq (qk_context_class (c, QK_KIND_OBSERVER, "no", &cls),
                    -ENOENT);
  snprintf (path, sizeof path,
            "searched /none/observers %s/observers " QK_PLUGINDIR, root);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), path));
  qk_context_free (c);
}
END_TEST

static void *
load_many (void *arg)
{
  const void **out = arg;

  for (int i = 0; i < 200; i++) {
    const struct qk_class *cls;

    if (qk_context_class (ctx, QK_KIND_OBSERVER,
                          i % 2 ? "tp_good" : "tp_newer", &cls)
        != 0)
      return NULL;
    if (i % 2)
      *out = cls;
  }
  return NULL;
}

START_TEST (threads)
{
  pthread_t t[8];
  const void *cls[8] = { NULL };

  for (int i = 0; i < 8; i++)
    ck_assert_int_eq (pthread_create (&t[i], NULL, load_many, &cls[i]), 0);
  for (int i = 0; i < 8; i++)
    pthread_join (t[i], NULL);
  for (int i = 0; i < 8; i++)
    ck_assert_ptr_eq (cls[i], loaded ("tp_good"));
}
END_TEST

/* ---- state --------------------------------------------------------------- */

struct component {
  float scale[3];
  int64_t steps;
  int type;     /* of scale */
  size_t count; /* of scale */
};

static int
component_state (struct component *c, struct qk_state *st)
{
  const int err = qk_state_add (st, "scale", c->type, c->scale, c->count);

  return err < 0 ? err : qk_state_add (st, "steps", QK_I64, &c->steps, 1);
}

static int
visit (struct component *c, qk_state_fn fn, void *cookie, bool loading)
{
  struct qk_state st;
  size_t mark;

  qk_state_start (&st, fn, cookie, loading);
  ck_assert_int_eq (qk_state_push (&st, "layer.", &mark), 0);
  return component_state (c, &st);
}

START_TEST (state_round_trip)
{
  struct component a = { { 1, 2, 3 }, 44, QK_F32, 3 },
                   b = { { 0, 0, 0 }, 0, QK_F32, 3 };
  struct qk_state_list list = { NULL, 0 };
  struct qk_state_source source = { state_lookup, &list };

  ck_assert_int_eq (visit (&a, qk_state_list_save, &list, false), 0);
  ck_assert_uint_eq (list.n, 2);
  ck_assert_str_eq (list.array[0].name, "layer.scale");
  a.scale[1] = 77; /* the list has copies */
  ck_assert_int_eq (visit (&b, qk_state_source_load, &source, true), 0);
  ck_assert_float_eq (b.scale[1], 2);
  ck_assert_int_eq (b.steps, 44);
  ck_assert_int_eq (visit (&a, qk_state_list_save, &list, false), -EEXIST);
  qk_state_list_clear (&list);
}
END_TEST

START_TEST (state_mismatch)
{
  struct component a = { { 1, 2, 3 }, 44, QK_F32, 2 };
  struct qk_state_list list = { NULL, 0 };
  struct qk_state_source source = { state_lookup, &list };

  ck_assert_int_eq (visit (&a, qk_state_source_load, &source, true), -ENOENT);
  ck_assert_str_eq (qk_error_message (),
                    "state array 'layer.scale' is missing");
  ck_assert_int_eq (visit (&a, qk_state_list_save, &list, false), 0);
  a.count = 3;
  ck_assert_int_eq (visit (&a, qk_state_source_load, &source, true), -EBADMSG);
  ck_assert_str_eq (qk_error_message (),
                    "state array 'layer.scale': expected "
                    "3 elements of type f32, found 2 of type f32");
  a.count = 2;
  a.type = QK_I32;
  ck_assert_int_eq (visit (&a, qk_state_source_load, &source, true), -EBADMSG);
  qk_state_list_clear (&list);
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("plugin");
  TCase *tc = tcase_create ("loader"), *state = tcase_create ("state");
  SRunner *runner;
  int failed;

  tcase_add_checked_fixture (tc, setup, teardown);
  tcase_add_test (tc, good);
  tcase_add_test (tc, by_path);
  tcase_add_test (tc, struct_sizes);
  tcase_add_test (tc, wrong_abi);
  tcase_add_test (tc, wrong_class);
  tcase_add_test (tc, instances_are_optional);
  tcase_add_test (tc, unknown_name);
  tcase_add_test (tc, unknown_kind);
  tcase_add_test (tc, listing);
  tcase_add_test (tc, world_writable);
  tcase_add_test (tc, no_file);
  tcase_add_test (tc, environment);
  tcase_add_test (tc, threads);
  suite_add_tcase (s, tc);
  tcase_add_test (state, state_round_trip);
  tcase_add_test (state, state_mismatch);
  suite_add_tcase (s, state);
  runner = srunner_create (s);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
