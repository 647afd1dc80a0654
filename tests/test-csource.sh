#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# qatkit export --c: networks as C source are compiled with every warning there
# is, by gcc and clang, and compute the bytes of the reference backend, with
# float and without; the same text every time.  Other processors:
# test-csource-networks.sh.
. "${0%/*}/functions.sh"
requires gcc
strict="-std=c99 -O2 -Wall -Wextra -Wconversion -pedantic -Werror"

# ---- what a computer computes ---------------------------------------------------
cat > main.c << 'END'
#include "net.h"
static uint32_t arena[(NET_ARENA_SIZE + 3) / 4];
int main (void) { return net_selftest (arena); }
END
compilers=gcc
type clang > /dev/null 2>&1 && compilers="gcc clang"

# made MODEL OPTION…: written, compiled by all and tested
made () {
  local model=$1 cc
  shift
  rm -rf c
  expect 0 export "$model" --c c --prefix net --selftest 2 "$@"
  for cc in $compilers; do
    # shellcheck disable=SC2086
    (cd c && "$cc" $strict -c net*.c) > out 2> err \
      || failed "what is written does not compile with $cc"
    "$cc" -Ic main.c c/*.o -o main || failed "cannot link"
    ./main || failed "$cc: layer $? of $model computes other bytes"
  done
}

expect 0 run tiny.ini --quiet
model=run/model-int8.safetensors
made $model
grep -q "int net_selftest" c/net.h || failed "no self-test is declared"
# which model it is of
expect 0 inspect $model
grep -q "Made of a model with $(grep -o 'checksum [0-9a-f]*' out | sed 's,^,the ,')\." c/net.h \
  || failed "the header does not name the model's checksum"
# nothing but memcpy and memset is called, and floats are compared by nobody
nm -u c/net.o | grep -v -e ' memcpy$' -e ' memset$' -e _GLOBAL_OFFSET_TABLE_ \
  > undefined && failed "net.c needs $(cat undefined)"
cp -r c first
made $model
diff -r -x '*.o' c first || failed "it is written in another way the second time"
made $model --split
[ -s c/net_weights.c ] || failed "no net_weights.c"
made $model --no-float
grep -qw -e float -e double c/net.c && failed "there are floats in spite of --no-float"

# a flipped bit in a weight is found
sed -i '/net_weight2\[/,/;/ s/  -\{0,1\}[0-9]*,/  77,/' c/net.c
(cd c && gcc -c net.c) && gcc -Ic main.c c/*.o -o main
./main
[ $? = 2 ] || failed "the self-test does not find a changed weight in layer 2"

# ---- the operators, depthwise and with windows of all kinds ----------------------
sed '/^channels/d; /^depth/d' tiny.ini > narrow.ini
expect 0 run narrow.ini --quiet --output narrow -o model.arch=mobilenet_v2 \
  -o model.width=0.1 -o data.size=32 -o qat.epochs=1
made narrow/model-int8.safetensors
made narrow/model-int8.safetensors --no-float

# ---- before anything is written: inspect says what the header says ---------------
net=narrow/model-int8.safetensors
expect 0 inspect $net --format csource
cp out said
expect 0 export $net --c c --prefix net
flash=$(sed -n 's/^ \* Flash: \([0-9]*\) .*/\1/p' c/net.h)
arena=$(sed -n 's/^#define NET_ARENA_SIZE \([0-9]*\) .*/\1/p' c/net.h)
grep -qx "csource: flash=$flash arena=$arena" said \
  || failed "inspect and the header differ: $(grep csource: said)"
# each layer: name, flash, arena
awk '/^ \* +[0-9]+ / { print $3, "flash=" $(NF - 1), "arena=" $NF }' c/net.h > layers
[ "$(wc -l < layers)" -gt 50 ] || failed "only $(wc -l < layers) layers found"
awk '/flash=/ && !/^csource:/ { print $1, $(NF - 1), $NF }' said | diff layers - \
  || failed "inspect and the header differ in a layer"
expect 0 inspect $net --format csource --json
grep -q "\"format\": *\"flash=$flash arena=$arena\"" out || failed "no format in JSON"
expect 1 inspect $net --format npy
says "does not say what a network would need"
expect 1 inspect $net --format nosuch
says "nosuch"

# ---- what cannot be made ---------------------------------------------------------
expect 2 export $model --prefix net
says "--c FOLDER"
expect 2 export $model --c c --onnx x.onnx
expect 2 export --c c
expect 1 export $model --c c --prefix 2go
says "prefix is '2go'"
expect 1 export tiny.ini --c c
expect 2 export $model --c c --selftest 0
says "--selftest"
