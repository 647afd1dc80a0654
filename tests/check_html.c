/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* check_html.c: the page of an analysis holds its data, and as text only. */
#include "config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pages/html.h"
#include "pages/page.h"

#define PAGE "check_html.tmp.html"

static char *
read_page (void)
{
  FILE *f = fopen (PAGE, "r");
  char *text = calloc (1, 4000000);

  ck_assert (f != NULL && text != NULL);
  fread (text, 1, 3999999, f);
  fclose (f);
  unlink (PAGE);
  return text;
}

/* Occurrences of WHAT in TEXT. */
static int
count (const char *text, const char *what)
{
  int n = 0;

  while ((text = strstr (text, what)) != NULL) {
    n++;
    text++;
  }
  return n;
}

START_TEST (test_template)
{
  ck_assert_int_eq (count (qk_page_analysis, "@DATA@"), 1);
  ck_assert_int_eq (count (qk_page_analysis, "@CHART@"), 1);
  /* a script that ended early would spill into the page */
  ck_assert_int_eq (count (qk_page_chart, "</script"), 0);
}
END_TEST

START_TEST (test_data)
{
  static const char json[] = "{\"name\":\"</script><b>@DATA@ @CHART@ <!--\"}";
  static const char safe[] = "{\"name\":\"\\u003c/script>\\u003cb>@DATA@ "
                             "@CHART@ \\u003c!--\"}</script>";
  char *page;

  if (!qk_html_possible ()) {
    ck_assert_int_eq (qk_html_write (QK_PAGE_ANALYSIS, json, PAGE), -ENOTSUP);
    ck_assert_ptr_nonnull (strstr (qk_error_message (), "libjs-chart.js"));
    ck_assert_int_ne (access (PAGE, F_OK), 0);
    return;
  }
  ck_assert_int_eq (qk_html_write (QK_PAGE_ANALYSIS, json, PAGE), 0);
  page = read_page ();
  ck_assert_ptr_nonnull (strstr (page, safe));
  ck_assert_int_eq (count (page, "</script"),
                    count (qk_page_analysis, "</script"));
  ck_assert_ptr_nonnull (strstr (page, qk_page_chart));
  ck_assert_int_eq ((int) strlen (page),
                    (int) (strlen (qk_page_analysis) + strlen (qk_page_chart)
                           + strlen (json) + 3 * 5 - strlen ("@DATA@")
                           - strlen ("@CHART@")));
  free (page);
}
END_TEST

START_TEST (test_cannot)
{
  if (!qk_html_possible ())
    return;
  ck_assert_int_eq (
    qk_html_write (QK_PAGE_ANALYSIS, "{}", "no/such/folder/x.html"), -ENOENT);
  ck_assert_ptr_nonnull (strstr (qk_error_message (), "no/such/folder"));
}
END_TEST

int
main (void)
{
  Suite *s = suite_create ("html");
  TCase *t = tcase_create ("html");
  SRunner *r;
  int failed;

  tcase_add_test (t, test_template);
  tcase_add_test (t, test_data);
  tcase_add_test (t, test_cannot);
  suite_add_tcase (s, t);
  r = srunner_create (s);
  srunner_run_all (r, CK_ENV);
  failed = srunner_ntests_failed (r);
  srunner_free (r);
  return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
