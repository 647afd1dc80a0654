# SPDX-License-Identifier: LGPL-2.1-or-later
# Arrays of lines, "lines_NAME", of the files NAME.c.in without their first
# line.
function finish() {
  if (open)
    print "  NULL\n};"
  open = 0
}
FNR == 1 {
  finish()
  name = FILENAME
  sub (/.*\//, "", name)
  sub (/\.c\.in$/, "", name)
  gsub (/-/, "_", name)
  print "static const char *const lines_" name "[] = {"
  open = 1
  next
}
{
  gsub (/\\/, "\\\\")
  gsub (/"/, "\\\"")
  print "  \"" $0 "\\n\","
}
END { finish() }
