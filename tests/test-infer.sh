#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# qatkit/infer.h as programs outside the tree use it: the example of
# docs/c-api.md, built with what pkg-config says and no more, as C and as C++,
# answers what predict answers; outputs are the bytes of predict for any backend,
# number of threads and batch; run allocates nothing; broken models are refused
# with a sentence; the page qatkit-infer(3) has every function.
. "${0%/*}/functions.sh"
CC=${CC:-cc}
CXX=${CXX:-c++}
requires pkg-config python3 nm "${CC%% *}"
warnings='-Wall -Wextra -Werror -pedantic'

flags=$(PKG_CONFIG_PATH=$builddir/core pkg-config --cflags --libs \
  --define-variable="includedir=$srcdir/core/include" \
  --define-variable="libdir=$builddir/.libs" qatkit) || failed "pkg-config"
# a library built with a sanitizer needs that in the program
sanitizer=
for s in address thread; do
  nm -D --undefined-only "$builddir/.libs/libqatkit.so" | grep -q " __${s:0:1}san_" \
    && sanitizer=$s flags="$flags -fsanitize=$s"
done
LD_LIBRARY_PATH=$builddir/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
QATKIT_PLUGIN_PATH=${QATKIT_PLUGIN_PATH:-$builddir/stage}
export LD_LIBRARY_PATH QATKIT_PLUGIN_PATH

# ---- the page -------------------------------------------------------------------

grep -o 'qk_infer_[a-z_]* (' "$srcdir/core/include/qatkit/infer.h" \
  | grep -o 'qk_infer_[a-z_]*' | sort -u > declared
grep '^\.BI.*(' "$srcdir/docs/man/qatkit-infer.3" \
  | grep -oE 'qk_infer_[a-z_]+ \(' | grep -o 'qk_infer_[a-z_]*' | sort -u > described
[ "$(wc -l < declared)" -ge 15 ] || failed "hardly a function in infer.h"
diff -u declared described || failed "qatkit-infer(3) is not what infer.h declares (-)"

# ---- the example ----------------------------------------------------------------

document=$srcdir/docs/c-api.md
awk '/^```c$/ { on = 1; next } /^```/ { on = 0 } on' "$document" > answer.c
command='cc -o answer answer.c $(pkg-config --cflags --libs qatkit)'
grep -qxF "    $command" "$document" || failed "the document does not say: $command"
[ "$(grep -c . answer.c)" -le 36 ] || failed "answer.c is no short example"
# shellcheck disable=SC2086
$CC -std=c99 $warnings -o answer answer.c $flags || failed "answer.c cannot be built"
echo 'class x {};' > x.cc
if $CXX -std=c++11 -fsyntax-only x.cc 2> /dev/null; then
  # shellcheck disable=SC2086
  $CXX -std=c++11 -x c++ $warnings -o answer-cc answer.c -x none $flags \
    || failed "answer.c cannot be built as C++"
else
  cp answer answer-cc
fi

expect 0 run -q tiny.ini
model=run/model-int8.safetensors
python3 - <<'END' || failed "python3"
import struct, zlib
rows = [bytes ((x * x + 3 * y + 80 * c) % 256 if (x // 9 + y // 7) % 3 else 40 * c
               for x in range (64) for c in range (3)) for y in range (64)]
open ("image.rgb", "wb").write (b"".join (rows))
def chunk (kind, data):
    return struct.pack (">I", len (data)) + kind + data \
        + struct.pack (">I", zlib.crc32 (kind + data))
open ("image.png", "wb").write (b"\x89PNG\r\n\x1a\n"
    + chunk (b"IHDR", struct.pack (">IIBBBBB", 64, 64, 8, 2, 0, 0, 0))
    + chunk (b"IDAT", zlib.compress (b"".join (b"\0" + r for r in rows)))
    + chunk (b"IEND", b""))
END
./answer $model < image.rgb > scores || failed "answer"
./answer-cc $model < image.rgb > scores-cc || failed "answer as C++"
same scores scores-cc
expect 0 predict --json $model image.png
python3 - <<'END' || failed "answer and predict differ"
import json, math
said = {a["answer"]: a["score"] for a in json.load (open ("out"))["answers"]}
y = {n: float (s) for n, s in (line.rsplit (" ", 1) for line in open ("scores"))}
most = max (y.values ())
e = {n: math.exp (v - most) for n, v in y.items ()}
total = sum (e.values ())
assert len (y) == 10 and len (said) == 5, (y, said)
for n, s in said.items ():
    assert abs (e[n] / total - s) < 1e-6, (n, e[n] / total, s)
END

# what is wrong is said, and ends nothing
for bad in missing tiny.ini image.png; do
  ! ./answer $bad < image.rgb > out 2> err || failed "answer $bad"
  says "$bad"
done

# ---- the bytes of predict -------------------------------------------------------

cat > raw.c <<'END'
/* raw MODEL BACKEND THREADS BATCH < F32 > F32: all samples, from memory */
#include <stdio.h>
#include <stdlib.h>
#include <qatkit/infer.h>

static char file[1 << 22];

int
main (int argc, char **argv)
{
  struct qk_infer_options o = QK_INFER_OPTIONS;
  struct qk_infer_buffer in = { QK_F32, NULL, 0 }, out = { QK_F32, NULL, 0 };
  struct qk_infer *m;
  struct qk_infer_session *s;
  FILE *f = argc == 5 ? fopen (argv[1], "rb") : NULL;
  size_t size = f != NULL ? fread (file, 1, sizeof file, f) : 0, x, y, n;
  int r;

  if (size == 0 || size == sizeof file)
    return 2;
  o.backend = argv[2];
  o.threads = atoi (argv[3]);
  o.batch = atoi (argv[4]);
  if (qk_infer_open_memory (file, size, NULL, &m) < 0
      || qk_infer_session_new (m, &o, &s) < 0) {
    fprintf (stderr, "%s\n", qk_error_message ());
    return 1;
  }
  x = (size_t) qk_shape_count (&qk_infer_input (m, 0)->spec.shape) * 4;
  y = (size_t) qk_shape_count (&qk_infer_output (m, 0)->spec.shape) * 4;
  in.data = malloc (in.size = x * (size_t) o.batch);
  out.data = malloc (out.size = y * (size_t) o.batch);
  r = in.data == NULL || out.data == NULL;
  while (r == 0 && (n = fread (in.data, x, (size_t) o.batch, stdin)) > 0)
    if ((r = qk_infer_run (s, &in, &out, (int64_t) n)) < 0)
      fprintf (stderr, "%s\n", qk_error_message ());
    else
      fwrite (out.data, y, n, stdout);
  free (in.data);
  free (out.data);
  qk_infer_session_free (s);
  qk_infer_close (m);
  return r != 0;
}
END
# shellcheck disable=SC2086
$CC -std=c99 $warnings -o raw raw.c $flags || failed "raw.c cannot be built"
python3 - <<'END' || failed "python3"
import random, struct
random.seed (4)
n, side = 11, 16
x = [random.gauss (0, 1.5) for i in range (n * side * side * 3)]
open ("x.f32", "wb").write (struct.pack ("<%df" % len (x), *x))
turned = [x[((i * side + h) * side + w) * 3 + c] for i in range (n)
          for c in range (3) for h in range (side) for w in range (side)]
h = "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, 3, %d, %d), }" % (n, side, side)
open ("x.npy", "wb").write (b"\x93NUMPY\1\0" + struct.pack ("<H", 118)
    + (h.ljust (117) + "\n").encode () + struct.pack ("<%df" % len (x), *turned))
END
# near GOT WANT: floats that differ in the order of sums
near () {
  python3 - "$@" <<'END' || failed "$1 is not near $2"
import struct, sys
a, b = (struct.unpack ("<110f", open (f, "rb").read ()) for f in sys.argv[1:3])
assert max (abs (x - y) for x, y in zip (a, b)) < 1e-5 * max (abs (x) for x in b)
END
}

# A model with a layer in float, too: no session shares that one, and its sums
# depend on the batch.
expect 0 run -q tiny.ini --output part -o 'qconfig fc:quantize=no'
for m in $model part/model-int8.safetensors; do
  expect 0 predict $m x.npy --output y.npy --backend reference
  tail -c 440 y.npy > want
  for how in "reference 1 1" "auto 1 1" "auto 2 1" "auto 1 4" "auto 2 11" "reference 3 5"; do
    # shellcheck disable=SC2086
    ./raw $m $how < x.f32 > got 2> err || failed "raw $m $how"
    if [ $m = $model ]; then same want got; else near got want; fi
  done
done
! ./raw $model nothing 1 1 < x.f32 > out 2> err || failed "a backend 'nothing'"
says "no backend plugin 'nothing'"
! ./raw $model auto 0 1 < x.f32 > out 2> err || failed "no threads"
says "threads = 0, expected 1 to"

# ---- no allocation --------------------------------------------------------------

# In a thread that called once, for OpenMP makes what it has for each thread then.
cat > quiet.c <<'END'
/* quiet MODEL BACKEND: the allocations of three calls of run, by anybody */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <qatkit/infer.h>

static volatile int counting;
static volatile long count;

extern void *__libc_malloc (size_t size);
extern void *__libc_calloc (size_t n, size_t size);
extern void *__libc_realloc (void *p, size_t size);
extern void *__libc_memalign (size_t align, size_t size);

void *malloc (size_t size) { count += counting; return __libc_malloc (size); }
void *calloc (size_t n, size_t size) { count += counting; return __libc_calloc (n, size); }
void *realloc (void *p, size_t size) { count += counting; return __libc_realloc (p, size); }
void *aligned_alloc (size_t align, size_t size) { count += counting; return __libc_memalign (align, size); }
int posix_memalign (void **p, size_t align, size_t size)
{
  count += counting;
  return (*p = __libc_memalign (align, size)) == NULL ? ENOMEM : 0;
}

static float x[16 * 16 * 3], y[10];

static void *
calls (void *s)
{
  struct qk_infer_buffer in = { QK_F32, x, sizeof x }, out = { QK_F32, y, sizeof y };
  int i;

  for (i = 0; i < 4; i++) {
    counting = i > 0;
    if (qk_infer_run (s, &in, &out, 1) < 0)
      count = -1;
  }
  counting = 0;
  return NULL;
}

int
main (int argc, char **argv)
{
  struct qk_infer_options o = QK_INFER_OPTIONS;
  struct qk_infer *m;
  struct qk_infer_session *s;
  pthread_t thread;
  void *p;

  o.backend = argv[argc - 1];
  if (qk_infer_open (argv[1], NULL, &m) < 0 || qk_infer_session_new (m, &o, &s) < 0
      || pthread_create (&thread, NULL, calls, s) != 0
      || pthread_join (thread, NULL) != 0)
    return 1;
  printf ("%ld", count);
  counting = 1;
  p = malloc (100); /* the counter counts */
  counting = 0;
  free (p);
  printf (" %ld\n", count);
  qk_infer_session_free (s);
  qk_infer_close (m);
  return 0;
}
END
if [ -n "$sanitizer" ]; then
  echo "allocations are not counted, the sanitizer has them"
# shellcheck disable=SC2086
elif $CC -std=c99 -D_DEFAULT_SOURCE -O -o quiet quiet.c -pthread $flags 2> err; then
  for backend in reference auto; do
    [ "$(./quiet $model $backend)" = "0 1" ] \
      || failed "run on $backend allocates: $(./quiet $model $backend)"
  done
else
  echo "allocations are not counted, this is no glibc"
fi

# a model cut off anywhere is refused
size=$(wc -c < $model)
for part in 0 7 100 $((size / 2)) $((size - 1)); do
  head -c "$part" $model > cut
  ! ./answer cut < image.rgb > out 2> err || failed "$part of $size bytes are a model"
  says "cut"
done
exit 0
