/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_option.c: tables of options and configurations made with them. */
#include "config.h"

#include <check.h>
#include <float.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options/option-priv.h"

static const char *const modes[] = { "constant", "linear", "cosine", NULL };

static const struct qk_option table[]
  = { { "bins", QK_OPT_INT, "2048", 2, 65536, NULL, "Number of bins." },
      { "seed", QK_OPT_INT, "-1", 0, 0, NULL, "Any integer." },
      { "lr", QK_OPT_FLOAT, "0.1", 0, 10, NULL, "Learning rate." },
      { "gain", QK_OPT_FLOAT, "1", 0, DBL_MAX, NULL, "Gain." },
      { "nesterov", QK_OPT_BOOL, "no", 0, 0, NULL, "Nesterov's momentum." },
      { "note", QK_OPT_STRING, "", 0, 0, NULL, "Any text." },
      { "mode", QK_OPT_CHOICE, "linear", 0, 0, modes, "Interpolation." },
      { "root", QK_OPT_PATH, "", 0, 0, NULL, "Folder." },
      { "steps", QK_OPT_FLOATS, "1, 2.5", 0, 100, NULL, "Steps." },
      { NULL, QK_OPT_INT, NULL, 0, 0, NULL, NULL } };

static const struct qk_option required[]
  = { { "classes", QK_OPT_INT, NULL, 1, 1000, NULL, "Number of classes." },
      { NULL, QK_OPT_INT, NULL, 0, 0, NULL, NULL } };

static struct qk_config *
parse (const char *text)
{
  struct qk_config *cfg;

  if (qk_config_parse (table, text, "here", &cfg) != 0)
    ck_abort_msg ("%s", qk_error_message ());
  return cfg;
}

/* TEXT is refused with the sentence EXPECTED. */
static void
refused (const struct qk_option *t, const char *text, const char *expected)
{
  struct qk_config *cfg = (struct qk_config *) 1;

  ck_assert_int_eq (qk_config_parse (t, text, "here", &cfg), -EINVAL);
  ck_assert_ptr_null (cfg);
  ck_assert_str_eq (qk_error_message (), expected);
}

START_TEST (defaults)
{
  struct qk_config *cfg = parse ("");
  float steps[4] = { 0, 0, 77, 77 };

  ck_assert_int_eq (qk_config_int (cfg, "bins"), 2048);
  ck_assert_int_eq (qk_config_int (cfg, "seed"), -1);
  ck_assert_double_eq (qk_config_float (cfg, "lr"), 0.1);
  ck_assert (!qk_config_bool (cfg, "nesterov"));
  ck_assert_str_eq (qk_config_string (cfg, "note"), "");
  ck_assert_str_eq (qk_config_string (cfg, "mode"), "linear");
  ck_assert_str_eq (qk_config_string (cfg, "root"), "");
  ck_assert_int_eq (qk_config_floats (cfg, "steps", steps, 4), 2);
  ck_assert_float_eq (steps[0], 1);
  ck_assert_float_eq (steps[1], 2.5f);
  ck_assert_float_eq (steps[2], 77);
  ck_assert (!qk_config_given (cfg, "bins"));
  ck_assert_str_eq (qk_config_where (cfg, "bins"), "default");
  qk_config_free (cfg);
  qk_config_free (NULL);
}
END_TEST

START_TEST (values)
{
  struct qk_config *cfg
    = parse (" bins=16 seed=-9223372036854775808\tlr=1e-3 nesterov=TRUE\n"
             "note=\"two \\\"words\\\" \\\\ \" mode=cosine steps=3,4,5e1 ");
  float steps[2];

  ck_assert_int_eq (qk_config_int (cfg, "bins"), 16);
  ck_assert_int_eq (qk_config_int (cfg, "seed"), INT64_MIN);
  ck_assert_double_eq (qk_config_float (cfg, "lr"), 1e-3);
  ck_assert (qk_config_bool (cfg, "nesterov"));
  ck_assert_str_eq (qk_config_string (cfg, "note"), "two \"words\" \\ ");
  ck_assert_str_eq (qk_config_string (cfg, "mode"), "cosine");
  ck_assert_int_eq (qk_config_floats (cfg, "steps", steps, 2), 3);
  ck_assert_float_eq (steps[1], 4);
  ck_assert (qk_config_given (cfg, "bins"));
  ck_assert (!qk_config_given (cfg, "gain"));
  ck_assert_str_eq (qk_config_where (cfg, "bins"), "here");
  qk_config_free (cfg);
  cfg = parse ("steps= note=");
  ck_assert_int_eq (qk_config_floats (cfg, "steps", steps, 2), 0);
  ck_assert_str_eq (qk_config_string (cfg, "note"), "");
  ck_assert (qk_config_given (cfg, "note"));
  qk_config_free (cfg);
}
END_TEST

START_TEST (booleans)
{
  static const char *const yes[] = { "yes", "true", "on", "1", "Yes" },
                           *const no[] = { "no", "false", "off", "0", "OFF" };
  char text[32];

  for (int i = 0; i < 5; i++) {
    struct qk_config *cfg;

    snprintf (text, sizeof text, "nesterov=%s", yes[i]);
    cfg = parse (text);
    ck_assert (qk_config_bool (cfg, "nesterov"));
    qk_config_free (cfg);
    snprintf (text, sizeof text, "nesterov=%s", no[i]);
    cfg = parse (text);
    ck_assert (!qk_config_bool (cfg, "nesterov"));
    qk_config_free (cfg);
  }
  refused (table, "nesterov=maybe",
           "here: nesterov: expected yes or no, got 'maybe'");
}
END_TEST

START_TEST (undeclared)
{
  struct qk_config *cfg = parse ("bins=5");
  float f;

  ck_assert_int_eq (qk_config_int (cfg, "none"), 0);
  ck_assert_int_eq (qk_config_int (cfg, "lr"), 0);
  ck_assert_double_eq (qk_config_float (cfg, "bins"), 0);
  ck_assert (!qk_config_bool (cfg, "bins"));
  ck_assert_str_eq (qk_config_string (cfg, "bins"), "");
  ck_assert_int_eq (qk_config_floats (cfg, "bins", &f, 1), 0);
  ck_assert (!qk_config_given (cfg, "none"));
  ck_assert_str_eq (qk_config_where (cfg, "none"), "");
  qk_config_free (cfg);
  ck_assert_int_eq (qk_config_int (NULL, "bins"), 0);
  /* a component without options */
  ck_assert_int_eq (qk_config_parse (NULL, "", "here", &cfg), 0);
  ck_assert_int_eq (qk_config_int (cfg, "bins"), 0);
  qk_config_free (cfg);
  refused (NULL, "bins=1", "here: bins: unknown option");
}
END_TEST

START_TEST (bad_keys)
{
  refused (table, "bin=5", "here: bin: unknown option (did you mean 'bins'?)");
  refused (table, "xyzzy=5", "here: xyzzy: unknown option");
  refused (table, "bins=5 bins=6", "here: bins: given twice, first at here");
  refused (table, "bins", "here: expected key=value, got 'bins'");
  refused (table, "bins =5", "here: expected key=value, got 'bins'");
  refused (table, "=5", "here: expected key=value, got '=5'");
  refused (table, "note=\"open", "here: note: closing quote is missing");
  refused (table, "note=\"open\\\"", "here: note: closing quote is missing");
  refused (table, "note=\"a\"b",
           "here: note: expected a space after the closing quote, got 'b'");
  refused (required, "",
           "here: classes is required but missing: Number of classes.");
}
END_TEST

START_TEST (bad_numbers)
{
  static const char *const ints[]
    = { "",    "1",   "65537", "5x", "1e3", "0x10", "99999999999999999999",
        "--5", "2.0", "-" };
  static const char *const floats[]
    = { "", "-0.1", "10.5", "inf", "nan", "0x1p3", "1e999", "1,5", "1e", "." };
  static const char *const lists[]
    = { ",", "1,", ",1", "1,,2", "1;2", "1,101", "1,x", "nan" };
  char text[64], expected[128];

  for (size_t i = 0; i < sizeof ints / sizeof ints[0]; i++) {
    snprintf (text, sizeof text, "bins=%s", ints[i]);
    snprintf (expected, sizeof expected,
              "here: bins: expected an integer in 2..65536, got '%s'",
              ints[i]);
    refused (table, text, expected);
  }
  for (size_t i = 0; i < sizeof floats / sizeof floats[0]; i++) {
    snprintf (text, sizeof text, "lr=%s", floats[i]);
    snprintf (expected, sizeof expected,
              "here: lr: expected a number in 0..10, got '%s'", floats[i]);
    refused (table, text, expected);
  }
  for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
    snprintf (text, sizeof text, "steps=%s", lists[i]);
    snprintf (expected, sizeof expected,
              "here: steps: expected comma separated numbers, each in 0..100, "
              "got '%s'",
              lists[i]);
    refused (table, text, expected);
  }
  refused (table, "gain=-1", "here: gain: expected a number >= 0, got '-1'");
}
END_TEST

START_TEST (bad_choice)
{
  refused (table, "mode=cosinus",
           "here: mode: expected one of constant, linear, cosine, got "
           "'cosinus' (did you mean 'cosine'?)");
}
END_TEST

START_TEST (home)
{
  struct qk_config *cfg;

  setenv ("HOME", "/home/me", 1);
  cfg = parse ("root=~/data");
  ck_assert_str_eq (qk_config_string (cfg, "root"), "/home/me/data");
  qk_config_free (cfg);
  cfg = parse ("root=~me/data note=~/x");
  ck_assert_str_eq (qk_config_string (cfg, "root"), "~me/data");
  ck_assert_str_eq (qk_config_string (cfg, "note"), "~/x");
  qk_config_free (cfg);
  unsetenv ("HOME");
  refused (table, "root=~/data",
           "here: root: cannot expand '~/data', HOME is not set");
}
END_TEST

/* The program's locale does not change what a number is. */
START_TEST (decimal_point)
{
  struct qk_config *cfg;

  if (!setlocale (LC_NUMERIC, "de_DE.UTF-8")
      && !setlocale (LC_NUMERIC, "fr_FR.UTF-8"))
    setlocale (LC_NUMERIC, "C");
  cfg = parse ("lr=0.25");
  ck_assert_double_eq (qk_config_float (cfg, "lr"), 0.25);
  qk_config_free (cfg);
}
END_TEST

START_TEST (bad_tables)
{
  const struct qk_option end = { NULL, QK_OPT_INT, NULL, 0, 0, NULL, NULL };
  struct qk_option t[3]
    = { { "a", QK_OPT_INT, "1", 0, 5, NULL, "A." }, end, end };

  ck_assert_int_eq (qk_option_check_table (table), 0);
  ck_assert_int_eq (qk_option_check_table (required), 0);
  ck_assert_int_eq (qk_option_check_table (NULL), 0);
  ck_assert_int_eq (qk_option_check_table (t), 0);
  t[0].def = "6";
  ck_assert_int_eq (qk_option_check_table (t), -EINVAL);
  ck_assert_str_eq (qk_error_message (), "default of option a: expected an "
                                         "integer in 0..5, got '6'");
  t[0].def = "1";
  t[0].type = (enum qk_option_type) 99;
  ck_assert_int_eq (qk_option_check_table (t), -EINVAL);
  t[0].type = QK_OPT_CHOICE;
  ck_assert_int_eq (qk_option_check_table (t), -EINVAL);
  t[0].type = QK_OPT_INT;
  t[0].name = "a b";
  ck_assert_int_eq (qk_option_check_table (t), -EINVAL);
  t[0].name = "a";
  t[1] = t[0];
  ck_assert_int_eq (qk_option_check_table (t), -EINVAL);
  ck_assert_str_eq (qk_error_message (), "option 'a': declared twice");
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("option");
  TCase *tc = tcase_create ("option");
  SRunner *runner;
  int failed;

  tcase_add_test (tc, defaults);
  tcase_add_test (tc, values);
  tcase_add_test (tc, booleans);
  tcase_add_test (tc, undeclared);
  tcase_add_test (tc, bad_keys);
  tcase_add_test (tc, bad_numbers);
  tcase_add_test (tc, bad_choice);
  tcase_add_test (tc, home);
  tcase_add_test (tc, decimal_point);
  tcase_add_test (tc, bad_tables);
  suite_add_tcase (s, tc);
  runner = srunner_create (s);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
