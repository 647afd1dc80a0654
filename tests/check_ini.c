/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_ini.c: reading INI files, overriding keys, taking sections. */
#include "config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options/ini.h"

static const struct qk_option qat[]
  = { { "epochs", QK_OPT_INT, "8", 1, 1000, NULL, "Number of epochs." },
      { "backend", QK_OPT_STRING, "fbgemm", 0, 0, NULL, "Backend." },
      { NULL, QK_OPT_INT, NULL, 0, 0, NULL, NULL } };

static const struct qk_option quantizer[]
  = { { "weight.bits", QK_OPT_INT, "8", 2, 8, NULL, "Bits." },
      { "activation.observer", QK_OPT_STRING, "minmax", 0, 0, NULL, "Name." },
      { NULL, QK_OPT_INT, NULL, 0, 0, NULL, NULL } };

static const struct qk_option observer[]
  = { { "bins", QK_OPT_INT, "2048", 2, 65536, NULL, "Number of bins." },
      { "decay", QK_OPT_FLOAT, "0.9", 0, 1, NULL, "Decay." },
      { NULL, QK_OPT_INT, NULL, 0, 0, NULL, NULL } };

static const struct qk_option dataset[]
  = { { "root", QK_OPT_PATH, NULL, 0, 0, NULL, "Folder of the samples." },
      { NULL, QK_OPT_INT, NULL, 0, 0, NULL, NULL } };

static struct qk_ini *
parse (const char *text)
{
  struct qk_ini *ini;

  if (qk_ini_parse (text, strlen (text), "f.ini", &ini) != 0)
    ck_abort_msg ("%s", qk_error_message ());
  return ini;
}

/* TEXT is refused with the sentence EXPECTED. */
static void
refused (const char *text, const char *expected)
{
  struct qk_ini *ini = (struct qk_ini *) 1;

  ck_assert_int_eq (qk_ini_parse (text, strlen (text), "f.ini", &ini),
                    -EBADMSG);
  ck_assert_ptr_null (ini);
  ck_assert_str_eq (qk_error_message (), expected);
}

static struct qk_config *
take (struct qk_ini *ini, const char *section, const struct qk_option *table,
      const char *prefix)
{
  struct qk_config *cfg;

  if (qk_ini_take (ini, section, table, prefix, &cfg) != 0)
    ck_abort_msg ("%s", qk_error_message ());
  return cfg;
}

static void
ignore (struct qk_config *cfg)
{
  qk_config_free (cfg);
}

/* ---- reading ------------------------------------------------------------ */

START_TEST (whole_file)
{
  struct qk_ini *ini
    = parse ("\xef\xbb\xbf# the schedule\r\n"
             "[qat]\r\n"
             "epochs = 8\r\n"
             "    backend=fbgemm   ; indented, with a comment\n"
             "\n"
             "  ; nothing\n"
             "[ qconfig   features.[0-9]*.17 ] ; a pattern\n"
             "\tweight.bits = 4\n"
             "note = a;b#c = d : e\n"
             "empty =\n"
             "none = ; comment\n"
             "tight =x ;c\n"
             "quoted = \" a ; \\\"b\\\" \" ; comment\n"
             "[qat]\n"
             "last = no newline");
  struct qk_ini_key key;

  ck_assert_uint_eq (qk_ini_sections (ini), 2);
  ck_assert_str_eq (qk_ini_section (ini, 0), "qat");
  ck_assert_str_eq (qk_ini_section (ini, 1), "qconfig features.[0-9]*.17");
  ck_assert_ptr_null (qk_ini_section (ini, 2));
  ck_assert_uint_eq (qk_ini_keys (ini, 0), 3);
  ck_assert_uint_eq (qk_ini_keys (ini, 2), 0);
  key = qk_ini_key (ini, 0, 1);
  ck_assert_str_eq (key.key, "backend");
  ck_assert_str_eq (key.value, "fbgemm");
  ck_assert_str_eq (key.where, "f.ini:4");
  key = qk_ini_key (ini, 0, 2);
  ck_assert_str_eq (key.value, "no newline");
  ck_assert_str_eq (key.where, "f.ini:15");
  ck_assert_str_eq (qk_ini_key (ini, 1, 0).where, "f.ini:8");
  ck_assert_ptr_null (qk_ini_key (ini, 1, 9).key);
  ck_assert_str_eq (qk_ini_get (ini, qk_ini_section (ini, 1), "note"),
                    "a;b#c = d : e");
  ck_assert_str_eq (qk_ini_key (ini, 1, 2).value, "");
  ck_assert_str_eq (qk_ini_key (ini, 1, 3).value, "");
  ck_assert_str_eq (qk_ini_key (ini, 1, 4).value, "x");
  ck_assert_str_eq (qk_ini_key (ini, 1, 5).value, " a ; \"b\" ");
  ck_assert_ptr_null (qk_ini_get (ini, "qat", "none"));
  ck_assert_ptr_null (qk_ini_get (ini, "none", "epochs"));
  qk_ini_free (ini);
  qk_ini_free (NULL);
  ini = parse ("");
  ck_assert_uint_eq (qk_ini_sections (ini), 0);
  qk_ini_free (ini);
}
END_TEST

/* Far beyond the buffers of libinih. */
START_TEST (long_names)
{
  enum { LONG = 5000 };
  char *text = malloc (4 * LONG), *x = malloc (LONG + 1);
  struct qk_ini *ini;

  memset (x, 'x', LONG);
  x[LONG] = '\0';
  sprintf (text, "[s %s]\n%s = %s\n[t]\nk = v\n", x, x, x);
  ini = parse (text);
  ck_assert_uint_eq (strlen (qk_ini_section (ini, 0)), LONG + 2);
  ck_assert_str_eq (qk_ini_key (ini, 0, 0).key, x);
  ck_assert_str_eq (qk_ini_key (ini, 0, 0).value, x);
  ck_assert_str_eq (qk_ini_key (ini, 1, 0).where, "f.ini:4");
  qk_ini_free (ini);
  free (text);
  free (x);
}
END_TEST

START_TEST (bad_lines)
{
  refused ("[a]\nk = 1\n\n  k = 2\n",
           "f.ini:4: [a] k: given twice, first at f.ini:2");
  refused ("[a]\nk = 1\n[b]\n[a]\nk = 2\n",
           "f.ini:5: [a] k: given twice, first at f.ini:2");
  refused ("k = 1\n", "f.ini:1: key 'k' stands before the first [section]");
  refused ("[a]\nepochs 8\n", "f.ini:2: expected 'key = value' or "
                              "'[section]', got 'epochs 8'");
  refused ("[a]\nepochs : 8\n", "f.ini:2: expected 'key = value' or "
                                "'[section]', got 'epochs : 8'");
  refused ("\n[a\nk = 1\n", "f.ini:2: expected '[section]', got '[a'");
  refused ("[]\n", "f.ini:1: section name is empty");
  refused ("[a;b]\n", "f.ini:1: section name [a;b] has a character that "
                      "cannot be in it");
  refused ("[a]\n= 1\n", "f.ini:2: key is empty");
  refused ("[a]\nb c = 1\n", "f.ini:2: key 'b c' has a character that cannot "
                             "be in it");
  refused ("[a]\nb = \"c\n", "f.ini:2: b: closing quote is missing");
  refused ("[a]\nb = \"c\" d\n",
           "f.ini:2: b: unexpected 'd' after the closing quote");
  refused ("[a]\nb = \"c\r\"\n", "f.ini:2: b: value has a control character");
  refused ("[a]\nb = \"c\"; d\n",
           "f.ini:2: b: unexpected '; d' after the closing quote");
}
END_TEST

START_TEST (bad_files)
{
  static const char zero[] = "[a]\nb = \0c\n";
  const size_t big = (1 << 20) + 1;
  char *text = malloc (big);
  struct qk_ini *ini;

  ck_assert_int_eq (qk_ini_parse (zero, sizeof zero - 1, "f.ini", &ini),
                    -EBADMSG);
  ck_assert_str_eq (qk_error_message (),
                    "f.ini:2: zero byte: not a text file");
  memset (text, '\n', big);
  ck_assert_int_eq (qk_ini_parse (text, big, "f.ini", &ini), -EFBIG);
  free (text);
  ck_assert_int_eq (qk_ini_read ("/none/f.ini", &ini), -ENOENT);
  ck_assert_str_eq (qk_error_message (),
                    "/none/f.ini: No such file or directory");
  ck_assert_int_eq (qk_ini_read ("/", &ini), -EISDIR);
  ck_assert_ptr_null (ini);
}
END_TEST

START_TEST (too_many_keys)
{
  char *text = malloc (200000), *t = text;
  struct qk_ini *ini;

  t += sprintf (t, "[a]\n");
  for (int i = 0; i < 10000; i++)
    t += sprintf (t, "k%d = 1\n", i);
  ck_assert_int_eq (qk_ini_parse (text, strlen (text), "f.ini", &ini), -E2BIG);
  ck_assert_str_eq (qk_error_message (),
                    "f.ini:10001: more than 10000 sections and keys");
  free (text);
}
END_TEST

START_TEST (from_disk)
{
  char path[] = "/tmp/check_ini.XXXXXX";
  const int fd = mkstemp (path);
  struct qk_ini *ini;

  ck_assert_int_eq (write (fd, "[qat]\nepochs = 3\n", 17), 17);
  close (fd);
  ck_assert_int_eq (qk_ini_read (path, &ini), 0);
  ck_assert_str_eq (qk_ini_get (ini, "qat", "epochs"), "3");
  qk_ini_free (ini);
  unlink (path);
}
END_TEST

/* ---- overriding ------------------------------------------------------------ */

static void
override_refused (struct qk_ini *ini, const char *assignment,
                  const char *expected)
{
  ck_assert_int_eq (qk_ini_override (ini, assignment), -EINVAL);
  ck_assert_str_eq (qk_error_message (), expected);
}

START_TEST (overrides)
{
  struct qk_ini *ini = parse ("[qat]\nepochs = 8\n[qconfig a.*]\nx = 1\n");

  ck_assert_int_eq (qk_ini_override (ini, "qat.epochs=2"), 0);
  ck_assert_str_eq (qk_ini_get (ini, "qat", "epochs"), "2");
  ck_assert_str_eq (qk_ini_key (ini, 0, 0).where, "-o");
  ck_assert_int_eq (qk_ini_override (ini, "qat.epochs=3"), 0);
  ck_assert_str_eq (qk_ini_get (ini, "qat", "epochs"), "3");
  ck_assert_int_eq (qk_ini_override (ini, "data.root = /a b:c=d ; e"), 0);
  ck_assert_str_eq (qk_ini_get (ini, "data", "root"), "/a b:c=d ; e");
  ck_assert_int_eq (qk_ini_override (ini, "qconfig.weight.bits=4"), 0);
  ck_assert_str_eq (qk_ini_get (ini, "qconfig", "weight.bits"), "4");
  ck_assert_int_eq (qk_ini_override (ini, "qconfig  a.*:weight.bits=5"), 0);
  ck_assert_str_eq (qk_ini_get (ini, "qconfig a.*", "weight.bits"), "5");
  ck_assert_int_eq (qk_ini_override (ini, "qconfig b:out:weight.bits=6"), 0);
  ck_assert_str_eq (qk_ini_get (ini, "qconfig b:out", "weight.bits"), "6");
  ck_assert_int_eq (qk_ini_override (ini, "model.weights="), 0);
  ck_assert_str_eq (qk_ini_get (ini, "model", "weights"), "");
  ck_assert_int_eq (qk_ini_set (ini, "train", "threads", "2", "--threads"), 0);
  override_refused (ini, "epochs=2",
                    "-o epochs=2: expected "
                    "section.key=value or 'section:key=value'");
  override_refused (ini, "qat.epochs",
                    "-o qat.epochs: expected "
                    "section.key=value or 'section:key=value'");
  override_refused (ini, "qat.=2", "-o qat.=2: key is empty");
  override_refused (ini, ".epochs=2", "-o .epochs=2: section name is empty");
  override_refused (ini, "qat.a b=2",
                    "-o qat.a b=2: key 'a b' has a "
                    "character that cannot be in it");
  override_refused (ini, "qat.a=x\ny",
                    "-o qat.a=x\ny: [qat] a: value has a "
                    "line break or another control character");
  qk_ini_free (ini);
}
END_TEST

START_TEST (text_round_trip)
{
  static const char text[] = "[qat]\nepochs = 8\nnote = \" ;\\\\ \\\"x\"\n\n"
                             "[qconfig a.[0-9]*]\nempty = \nplain = a;b\"c\n";
  struct qk_ini *ini = parse (text);
  char *again, *third;

  ck_assert_int_eq (qk_ini_text (ini, &again), 0);
  ck_assert_str_eq (again, text);
  ck_assert_int_eq (qk_ini_override (ini, "qat.note=; x"), 0);
  ck_assert_int_eq (qk_ini_override (ini, "qat.more=\"a\" \\"), 0);
  free (again);
  ck_assert_int_eq (qk_ini_text (ini, &again), 0);
  qk_ini_free (ini);
  ini = parse (again);
  ck_assert_str_eq (qk_ini_get (ini, "qat", "note"), "; x");
  ck_assert_str_eq (qk_ini_get (ini, "qat", "more"), "\"a\" \\");
  ck_assert_int_eq (qk_ini_text (ini, &third), 0);
  ck_assert_str_eq (third, again);
  free (again);
  free (third);
  qk_ini_free (ini);
}
END_TEST

/* ---- taking ------------------------------------------------------------------ */

START_TEST (shared_section)
{
  struct qk_ini *ini = parse ("[data]\nepochs = 3\nroot = /samples\n"
                              "activation.observer.bins = 16\n");
  struct qk_config *a = take (ini, "data", qat, ""),
                   *b = take (ini, "data", dataset, ""),
                   *c = take (ini, "data", observer, "activation.observer.");

  ck_assert_int_eq (qk_config_int (a, "epochs"), 3);
  ck_assert_str_eq (qk_config_where (a, "epochs"), "f.ini:2");
  ck_assert (!qk_config_given (a, "backend"));
  ck_assert_str_eq (qk_config_string (b, "root"), "/samples");
  ck_assert_int_eq (qk_config_int (c, "bins"), 16);
  ck_assert_int_eq (qk_ini_check_unused (ini), 0);
  /* the configuration does not need the document */
  qk_ini_free (ini);
  ck_assert_str_eq (qk_config_string (b, "root"), "/samples");
  qk_config_free (a);
  qk_config_free (b);
  qk_config_free (c);
}
END_TEST

static void
take_refused (struct qk_ini *ini, const char *section,
              const struct qk_option *table, const char *prefix,
              const char *expected)
{
  struct qk_config *cfg;

  ck_assert_int_eq (qk_ini_take (ini, section, table, prefix, &cfg), -EINVAL);
  ck_assert_ptr_null (cfg);
  ck_assert_str_eq (qk_error_message (), expected);
}

START_TEST (bad_values)
{
  struct qk_ini *ini = parse ("[qat]\nepochs = many\no.bins = 1\n");

  take_refused (ini, "qat", qat, "",
                "f.ini:2: [qat] epochs: expected an "
                "integer in 1..1000, got 'many'");
  take_refused (ini, "qat", observer, "o.",
                "f.ini:3: [qat] o.bins: expected "
                "an integer in 2..65536, got '1'");
  take_refused (ini, "data", dataset, "",
                "f.ini: [data] root is required but "
                "missing: Folder of the samples.");
  ck_assert_int_eq (qk_ini_override (ini, "qat.epochs=0"), 0);
  take_refused (ini, "qat", qat, "",
                "-o: [qat] epochs: expected an integer "
                "in 1..1000, got '0'");
  qk_ini_free (ini);
}
END_TEST

/* Several patterns in one section; each must match something. */
START_TEST (pattern_lists)
{
  struct qk_ini *ini
    = parse ("[qconfig]\nweight.bits = 7\n"
             "[qconfig features.1.*,classifier  \t features.0.?]\n"
             "weight.bits = 4\n");
  const char **sections;
  static const struct {
    const char *name;
    int n;
  } row[] = { { "features.1.conv", 2 },
              { "classifier", 2 },
              { "features.2.conv", 1 },
              { "classifier,", 1 } };
  size_t i;

  ignore (take (ini, "qconfig", quantizer, ""));
  for (i = 0; i < sizeof row / sizeof *row; i++) {
    const int n = qk_ini_match (ini, "qconfig", row[i].name, &sections);

    ck_assert_int_eq (n, row[i].n);
    ck_assert_int_eq (n == 2, strstr (sections[n - 1], "features") != NULL);
    if (i == 0)
      ignore (take (ini, sections[1], quantizer, ""));
    free (sections);
  }
  ck_assert_int_eq (qk_ini_check_unused (ini), -EINVAL);
  ck_assert_ptr_nonnull (strstr (
    qk_error_message (), "the pattern 'features.0.?' matches nothing"));
  ck_assert_int_eq (qk_ini_match (ini, "qconfig", "features.0.1", &sections),
                    2);
  free (sections);
  ck_assert_int_eq (qk_ini_check_unused (ini), 0);
  qk_ini_free (ini);
}
END_TEST

START_TEST (layers)
{
  struct qk_ini *ini
    = parse ("[qconfig features.*]\nweight.bits = 4\n"
             "activation.observer = histogram\n"
             "[qconfig]\nweight.bits = 7\nactivation.observer.bins = 64\n"
             "[qconfig features.17.*]\nweight.bits = 99\n");
  const char **sections;
  struct qk_config *cfg;
  int n = qk_ini_match (ini, "qconfig", "features.3.conv", &sections);

  ck_assert_int_eq (n, 2);
  ck_assert_str_eq (sections[0], "qconfig");
  ck_assert_str_eq (sections[1], "qconfig features.*");
  ck_assert_int_eq (
    qk_ini_take_merged (ini, sections, (size_t) n, quantizer, "", &cfg), 0);
  ck_assert_int_eq (qk_config_int (cfg, "weight.bits"), 4);
  ck_assert_str_eq (qk_config_where (cfg, "weight.bits"), "f.ini:2");
  ck_assert_str_eq (qk_config_string (cfg, "activation.observer"),
                    "histogram");
  qk_config_free (cfg);
  ck_assert_int_eq (qk_ini_take_merged (ini, sections, (size_t) n, observer,
                                        "activation.observer.", &cfg),
                    0);
  ck_assert_int_eq (qk_config_int (cfg, "bins"), 64);
  qk_config_free (cfg);
  free (sections);

  n = qk_ini_match (ini, "qconfig", "classifier", &sections);
  ck_assert_int_eq (n, 1);
  free (sections);
  ck_assert_int_eq (qk_ini_check_unused (ini), -EINVAL);
  ck_assert_str_eq (qk_error_message (),
                    "f.ini:7: section [qconfig "
                    "features.17.*]: the pattern 'features.17.*' matches "
                    "nothing");

  n = qk_ini_match (ini, "qconfig", "features.17.0", &sections);
  ck_assert_int_eq (n, 3);
  ck_assert_int_eq (
    qk_ini_take_merged (ini, sections, (size_t) n, quantizer, "", &cfg),
    -EINVAL);
  ck_assert_str_eq (qk_error_message (),
                    "f.ini:8: [qconfig features.17.*] "
                    "weight.bits: expected an integer in 2..8, got '99'");
  free (sections);
  qk_ini_free (ini);
}
END_TEST

START_TEST (unused)
{
  struct qk_ini *ini
    = parse ("[qat]\nepoch = 8\nroot = /x\nobserver.bin = 4\nxyzzy = 1\n"
             "[optimiser]\nlr = 1\n[dat]\nepochs = 1\n[plugh]\n");

  ck_assert_int_eq (qk_ini_override (ini, "qat.backnd=x"), 0);
  ignore (take (ini, "qat", qat, ""));
  ignore (take (ini, "qat", observer, "observer."));
  ck_assert_int_eq (qk_ini_set (ini, "data", "root", "/y", "test"), 0);
  ignore (take (ini, "data", dataset, ""));
  ignore (take (ini, "optimizer", NULL, ""));
  ck_assert_int_eq (qk_ini_check_unused (ini), -EINVAL);
  ck_assert_str_eq (
    qk_error_message (),
    "f.ini:2: unknown key 'epoch' in [qat] (did you mean 'epochs'?)\n"
    "f.ini:3: unknown key 'root' in [qat] (it belongs to [data])\n"
    "f.ini:4: unknown key 'observer.bin' in [qat] (did you mean "
    "'observer.bins'?)\n"
    "f.ini:5: unknown key 'xyzzy' in [qat]\n"
    "-o: unknown key 'backnd' in [qat] (did you mean 'backend'?)\n"
    "f.ini:6: unknown section [optimiser] (did you mean 'optimizer'?)\n"
    "f.ini:8: unknown section [dat] (did you mean 'data'?)\n"
    "f.ini:10: unknown section [plugh]");
  qk_ini_free (ini);
}
END_TEST

START_TEST (allowed)
{
  struct qk_ini *ini = parse ("[qat]\nepochs = many\n[x]\nanything = 1\n");

  ck_assert_int_eq (qk_ini_check_unused (ini), -EINVAL);
  ck_assert_int_eq (qk_ini_allow (ini, "qat", qat, ""), 0);
  ck_assert_int_eq (qk_ini_check_unused (ini), -EINVAL);
  ck_assert_str_eq (qk_error_message (), "f.ini:3: unknown section [x]");
  qk_ini_free (ini);
}
END_TEST

START_TEST (glob)
{
  ck_assert (qk_glob_match ("features.17.*", "features.17.conv.0"));
  ck_assert (qk_glob_match ("*", "a/b.c"));
  ck_assert (qk_glob_match ("layer[12].?.conv", "layer2.0.conv"));
  ck_assert (!qk_glob_match ("features.1.*", "features.17.conv"));
  ck_assert (!qk_glob_match ("features", "features.17"));
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("ini");
  TCase *tc = tcase_create ("ini");
  SRunner *runner;
  int failed;

  tcase_add_test (tc, whole_file);
  tcase_add_test (tc, long_names);
  tcase_add_test (tc, bad_lines);
  tcase_add_test (tc, bad_files);
  tcase_add_test (tc, too_many_keys);
  tcase_add_test (tc, from_disk);
  tcase_add_test (tc, overrides);
  tcase_add_test (tc, text_round_trip);
  tcase_add_test (tc, shared_section);
  tcase_add_test (tc, bad_values);
  tcase_add_test (tc, layers);
  tcase_add_test (tc, pattern_lists);
  tcase_add_test (tc, unused);
  tcase_add_test (tc, allowed);
  tcase_add_test (tc, glob);
  suite_add_tcase (s, tc);
  runner = srunner_create (s);
  srunner_run_all (runner, CK_ENV);
  failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
