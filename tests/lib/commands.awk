# SPDX-License-Identifier: LGPL-2.1-or-later
# commands.awk FILE…: what shell scripts call, one line each:
#   FILE LINE calls NAME       a word where a command stands, taken literally
#   FILE LINE defines NAME     a function
#   FILE LINE looks NAME       an argument of requires, type or command -v
# Enough of the shell's grammar for scripts that shellcheck accepts: quotes,
# substitutions, here-documents, case, arrays.  What is within eval, trap and
# here-documents is not looked at.

function emit(what, name) { print FILENAME_OF, line, what, name }

# The character at AHEAD of here; "" at the end.
function look(ahead) { return substr (text, at + ahead, 1) }

function skip_to(end,   c) {
  while ((c = look(0)) != "") {
    at++
    if (c == "\n") line++
    if (c == end) return
  }
}

# Behind a double quote, to the one that ends.
function quoted(   c) {
  while ((c = look(0)) != "") {
    at++
    if (c == "\"") return
    if (c == "\n") line++
    else if (c == "\\") at++
    else if (c == "$") dollar()
    else if (c == "`") code("`")
  }
}

# Behind "$".
function dollar(   c, depth) {
  c = look(0)
  if (c == "(" && look(1) == "(") {
    at += 2
    for (depth = 2; depth > 0 && (c = look(0)) != ""; at++) {
      if (c == "(") depth++
      else if (c == ")") depth--
    }
  } else if (c == "(") {
    at++
    code(")")
  } else if (c == "{") {
    at++
    while ((c = look(0)) != "") {
      at++
      if (c == "}") return
      if (c == "\n") line++
      else if (c == "\\") at++
      else if (c == "\"") quoted()
      else if (c == "\047") skip_to("\047")
      else if (c == "$") dollar()
    }
  } else if (c == "\047") {
    at++
    while ((c = look(0)) != "" && c != "\047") at += c == "\\" ? 2 : 1
    at++
  } else if (c ~ /[$?!@*#0-9-]/)
    at++
}

# A word; what the shell replaces in it counts as "\001".
function word(   c, w) {
  w = ""
  while ((c = look(0)) != "" && c !~ /[ \t\n;&|<>)]/) {
    if (c == "(") {
      if (w !~ /=$/) break
      at++
      array()
      w = w "\001"
      continue
    }
    at++
    if (c == "\\") {
      if (look(0) == "\n") line++
      else w = w look(0)
      at++
    } else if (c == "\047") { skip_to("\047"); w = w "\001" }
    else if (c == "\"") { quoted(); w = w "\001" }
    else if (c == "$") { dollar(); w = w "\001" }
    else if (c == "`") { code("`"); w = w "\001" }
    else w = w c
  }
  return w
}

function array(   c) {
  while ((c = look(0)) != "") {
    if (c == ")") { at++; return }
    if (c == "\n") line++
    if (c ~ /[ \t\n;&|<>]/) { at++; continue }
    if (c == "#") { while (look(0) != "\n") at++; continue }
    if (c == "(") { at++; continue }
    word()
  }
}

# Behind "<<": the word that ends the document is kept for the end of the line.
function document(   w, c, tabs) {
  tabs = 0
  if (look(0) == "-") { tabs = 1; at++ }
  while (look(0) ~ /[ \t]/) at++
  w = ""
  while ((c = look(0)) != "" && c !~ /[ \t\n;&|<>)]/) {
    if (c !~ /["\047\\]/) w = w c
    at++
  }
  ends[++documents] = w
  with_tabs[documents] = tabs
}

# At the end of a line: over the bodies of its documents.
function bodies(   i, l, n) {
  for (i = 1; i <= documents; i++)
    while (at <= length (text)) {
      n = index (substr (text, at), "\n")
      l = n ? substr (text, at, n - 1) : substr (text, at)
      at += length (l) + 1
      line++
      if (with_tabs[i]) sub (/^\t+/, "", l)
      if (l == ends[i]) break
    }
  documents = 0
}

# Commands up to END, ")" or "`" or "" for the whole file.
#   here      0 arguments, 1 a command, 2 behind a command that runs another
#   target    the next word is the file of a redirection
#   cases     how many case … esac, of which pattern: at a pattern
function code(end,   c, w, here, target, cases, pattern, in_next, listing) {
  here = 1; target = cases = pattern = in_next = listing = 0
  while ((c = look(0)) != "") {
    if (c == end && !pattern) { at++; return }
    if (c == "\n") {
      at++; line++
      bodies()
      here = 1; listing = 0
    } else if (c ~ /[ \t]/) at++
    else if (c == "\\" && look(1) == "\n") { at += 2; line++ }
    else if (c == "#") { while (look(0) != "" && look(0) != "\n") at++ }
    else if (c == ";" && look(1) == ";") { at += 2; pattern = cases > 0; here = 1 }
    else if (c == "&" && look(1) == ">") at++
    else if (c ~ /[;&|]/) {
      at++
      if (!pattern) here = 1
      listing = 0
    } else if ((c == "<" || c == ">") && look(1) == "(") { at += 2; code(")") }
    else if (c == "<" && look(1) == "<" && look(2) == "<") { at += 3; target = 1 }
    else if (c == "<" && look(1) == "<") { at += 2; document() }
    else if (c ~ /[<>]/) {
      at++
      while (look(0) ~ /[>&|]/) at++
      target = 1
    } else if (c == "(") {
      at++
      if (pattern) continue
      if (look(0) == "(") {
        at--
        dollar()
      } else
        code(")")
      here = 0
    } else if (c == ")") {
      at++
      pattern = 0
      here = 1
    } else {
      w = word()
      if (look(0) ~ /[<>]/ && w ~ /^[0-9]+$/) continue
      if (target) { target = 0; continue }
      if (pattern) {
        if (w == "esac") { cases--; pattern = 0; here = 0 }
        continue
      }
      if (in_next && w == "in") { in_next = 0; cases++; pattern = 1; continue }
      if (listing && w !~ /^-|\001/) emit("looks", w)
      if (!here) {
        if (w ~ /^-exec(dir)?$/) here = 1
        continue
      }
      if (here == 2 && w ~ /^-|=|\001|^[0-9.]+[smh]?$/) continue
      if (w ~ /^[A-Za-z_][A-Za-z0-9_]*(\[[^]]*\])?\+?=/) continue
      if (here == 1 && w ~ /^(if|then|elif|else|while|until|do|!|\{|time)$/) continue
      here = 0
      if (w == "case") in_next = 1
      else if (w == "esac") cases--
      else if (w == "[[") {
        while (look(0) != "" && !(look(0) == "]" && look(1) == "]")) {
          if (look(0) == "\n") line++
          at++
        }
        at += 2
      } else if (w !~ /^(for|done|fi|\})$/ && w !~ /\001/) {
        c = at
        while (look(0) == " ") at++
        if (look(0) == "(" && look(1) == ")") {
          at += 2
          here = 1
          emit("defines", w)
          continue
        }
        at = c
        emit("calls", w)
        listing = w ~ /^(requires|type|command)$/
        if (w ~ /^(exec|env|timeout|nice|xargs|nohup|setsid|stdbuf|sudo)$/) here = 2
      }
    }
  }
}

function script(name) {
  FILENAME_OF = name
  at = line = 1
  documents = 0
  code("")
}

FNR == 1 {
  if (NR > 1) script(last)
  text = ""
  last = FILENAME
}
{ text = text $0 "\n" }
END { script(last) }
