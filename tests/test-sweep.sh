#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every key of the core and of every plugin, and every option with a number,
# with values that are wrong: of another type, too large, too small, nothing.
# The sentence names where the value was given, its key and the value, and
# what was expected, or what there is not.  Of each key three of the wrong
# values, in turn; QATKIT_TEST_LONG=1: all of them.
. "${0%/*}/functions.sh"
requires python3

direct
expect 0 plugins --json
mv out plugins.json
bash -c '. "$1"; echo $_qatkit_core_keys' - "$srcdir/etc/completion/qatkit" > keys
[ "$(wc -w < keys)" -ge 50 ] || failed "only $(wc -w < keys) keys of the core"

cat > sweep.py <<'EOF'
import itertools
import json
import os
import re
import subprocess
import sys

program = sys.argv[1]
HUGE = "999999999999999999999"
NUMBERS = ["", "junk?", "nan", "1e999", "-1e999", "0x10", HUGE, "-" + HUGE]
BAD = {"integer": NUMBERS + ["1.5"], "number": NUMBERS,
       "numbers": ["junk?", "1,,2", "nan", "1e999"],
       "yes/no": ["", "junk?", "2"], "one of": ["", "junk?"],
       "text": ["junk?", "./junk.so"], "path": ["junk?", "./junk?/x"],
       None: ["junk?", "./junk.so", "-" + HUGE]}
# what may be expected, or missing
FITS = re.compile(r"expected|neither|did you mean|known are|there is no|no such|"
                  r"no \w+ plugin|no metric gives|cannot|must|is no |is not ",
                  re.I)
# [SECTION] or KIND of a plugin: where its options stand, what names it
PLACE = {
    "model": ("model", "", "model.arch"),
    "dataset": ("data", "", "data.dataset"),
    "optimizer": ("optimizer", "", "optimizer.name"),
    "schedule": ("schedule", "", "schedule.name"),
    "loss": ("loss", "", "loss.name"),
    "metric": ("metric", "", "metric.name"),
    "observer": ("qconfig", "activation.observer.",
                 "qconfig.activation.observer"),
    "fakequant": ("qconfig", "activation.fakequant.",
                  "qconfig.activation.fakequant"),
    "ptq": ("ptq", "%s.", "ptq.methods"),
    "reporter": ("reporter %s", "", None),
    "backend": ("backend %s", "", None),
    "comm": ("comm %s", "", None),
    "format": ("format %s", "", None),
}

runs = faults = 0


def fault(text):
    global faults
    faults += 1
    print(text)


def run(*arguments):
    global runs
    runs += 1
    done = subprocess.run([program, *arguments], stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True)
    if done.returncode not in (0, 1, 2):
        fault("%s ends with status %d" % (arguments, done.returncode))
    return done.returncode, done.stderr


def judge(what, value, status, said, kind, key):
    typed = kind not in ("text", "path", None)
    if kind == "number" and value.lstrip("-") == HUGE and (
            value not in said):
        return  # there is no end to it
    if status == 0:
        if typed:
            fault("%s = '%s' (%s) is accepted" % (what, value, kind))
        return
    # a text may be in order and the rest not
    if not typed and value not in said:
        return
    for part in ("-o", key, value):
        if part not in said:
            fault("%s = '%s': no word of '%s': %s" % (what, value, part, said))
            return
    if not FITS.search(said):
        fault("%s = '%s': what was expected? %s" % (what, value, said))


turn = itertools.count()


def some(values):
    if os.environ.get("QATKIT_TEST_LONG"):
        return values
    return sorted({values[next(turn) % len(values)] for _ in range(3)})


def key(section, name, kind, others=()):
    if kind not in BAD:
        fault("%s.%s is of type %s, which is not known here" % (
            section, name, kind))
        return
    for value in some(BAD[kind]):
        arguments = ["inspect", "tiny.ini"]
        for other in others:
            arguments += ["-o", other]
        status, said = run(*arguments, "-o",
                           "%s:%s=%s" % (section, name, value))
        judge("[%s] %s" % (section, name), value, status, said, kind, name)


with open("keys") as f:
    for word in f.read().split():
        key(*word.split(".", 1), None)
with open("plugins.json") as f:
    for plugin in map(json.loads, f):
        if plugin["kind"] not in PLACE:  # layers have theirs from the model
            continue
        section, prefix, names = (
            s and s.replace("%s", plugin["name"])
            for s in PLACE[plugin["kind"]])
        others = ["%s=%s" % (names, plugin["name"])] if names else []
        for option in plugin["options"]:
            key(section, prefix + option["name"], option["type"], others)

# options of the commands that are numbers
for command in ("run", "ptq", "eval", "analyze", "tune", "bench"):
    help = subprocess.run([program, command, "--help"], stdout=subprocess.PIPE,
                          text=True).stdout
    for option, argument in re.findall(r"--(\w+) (N\S*|GOAL|float\S*)", help):
        for value in ("", "junk?", "-1", "0", "1.5", HUGE, "3x"):
            if (option, value) in (("threads", "0"), ("seconds", "1.5"),
                                   ("seconds", HUGE)):
                continue
            more = ["--train"] if option == "mode" else []
            status, said = run(command, "tiny.ini", *more,
                               "--%s=%s" % (option, value))
            if status == 0:
                fault("%s --%s '%s' is accepted" % (command, option, value))
            elif option not in said or value not in said or (
                    not FITS.search(said)):
                fault("%s --%s '%s': %s" % (command, option, value, said))
print("%d runs, %d faults" % (runs, faults))
sys.exit(faults != 0)
EOF
python3 sweep.py "$QATKIT" > out 2> err || failed "$(grep -c . out) sentences"
tail -n 1 out
exit 0
