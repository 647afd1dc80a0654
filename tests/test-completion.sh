#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Completion in bash: what is offered after some beginnings of a line.
. "${0%/*}/functions.sh"

completion=$srcdir/etc/completion/qatkit
bash -n "$completion" || failed "syntax"
# shellcheck source=/dev/null
. "$completion" || failed "cannot be sourced"
complete -p qatkit > out || failed "qatkit is not completed"

# offer WORD…: what is offered for the last word, one a line, in out
offer () {
  COMP_WORDS=("$@")
  COMP_CWORD=$(($# - 1))
  _qatkit
  printf '%s\n' "${COMPREPLY[@]}" > out
}
offers () {
  local w
  for w in "$@"; do
    grep -qxF -e "$w" out || failed "not offered: $w"
  done
}
nothing_but () {
  ! grep -vE -e "^($1)\$" out || failed "offered more than $1"
}

qatkit --help | sed -n 's/^  \([a-z]*\) .*/\1/p' > commands
offer qatkit ""
# shellcheck disable=SC2046
offers $(cat commands) --version
offer qatkit com
nothing_but compare

# every option of every command, and no other
while read -r c; do
  offer qatkit "$c" --
  sort -u out > offered
  qatkit "$c" --help | sed -n 's/^ *\(-., \)\{0,1\}\(--[a-z-]*\).*/\2/p' \
    | sort -u > known
  [ -s known ] || failed "no options of $c"
  diff known offered || failed "options of $c"
done < commands

touch mine.ini other.txt model.safetensors sample.jpg
mkdir folder
QATKIT_CONFIG_PATH=$srcdir/etc
export QATKIT_CONFIG_PATH
offer qatkit run ""
offers mine.ini folder shapes-mobilenet_v2.ini
! grep -q -e other -e model.s out || failed "run: files that are none"
offer qatkit run mi
nothing_but mine.ini
offer qatkit eval m
offers mine.ini model.safetensors
offer qatkit predict ""
offers model.safetensors sample.jpg folder
offer qatkit run --output ""
offers folder
! grep -q mine out || failed "--output: files"

offer qatkit plugins hist
nothing_but histogram
offer qatkit plugins layers/
offers layers/conv2d layers/add
nothing_but 'layers/.*'
offer qatkit verify --backend ""
offers reference
offer qatkit verify --backend ref
nothing_but reference
offer qatkit verify --backend auto,ref
nothing_but auto,reference
offer qatkit bench --backend = reference,fl
nothing_but reference,float
offer qatkit run --output = fol
nothing_but folder

# keys: all those of the core's tables
offer qatkit run -o ""
sed -n 's/^[ ={]*{ "\([a-z_.]*\)", QK_OPT_.*/\1/p' "$srcdir/core/settings/tables.c" \
  | sort -u > keys
[ "$(wc -l < keys)" -ge 40 ] || failed "keys of core/settings/tables.c"
cp out offered
while read -r k; do
  grep -qE "^[a-z]+\.$k=\$" offered || failed "key $k is not offered"
done < keys
sed 's/^[a-z]*\.\(.*\)=$/\1/' offered | sort -u > out
diff keys out || failed "a key is offered that is none"
offer qatkit run -o qat.ep
nothing_but qat.epochs=
offer qatkit run -o data.
offers data.batch= data.root= data.crop=
offer qatkit run -o optimizer.l
offers optimizer.lr=
offer qatkit run -o optimizer.name =
offers sgd adam
offer qatkit run -o optimizer.name = s
nothing_but sgd
offer qatkit run -o loss.label
nothing_but loss.label_smoothing=
offer qatkit run -o loss.name = mean
! grep -q . out || failed "a loss that is none"
offer qatkit run -o loss.name = m
nothing_but 'mae|mse'
offer qatkit run -o metric.name = a
nothing_but 'auto|accuracy|agreement|auc'
offer qatkit run -o ptq.methods = equalize,bias
nothing_but equalize,bias_correction
offer qatkit run -o qconfig.weight.observer = ""
offers minmax histogram
exit 0
