#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What few bits need: batch-norm statistics estimated anew, an optimizer for what
# quantizers learn, weights that are damped and frozen, presets of bits.  What is
# trained is what is deployed, and what goes on after a stop ends with the same
# bytes.
. "${0%/*}/functions.sh"
direct

base=(-o data.train_count=112 -o qat.epochs=2 -o qat.batches=0 -o run.keep=99 -o checkpoint.batches=2
  -o qconfig.weight.bits=3 -o qconfig.weight.fakequant=lsq -o qconfig.activation.fakequant=lsq)

# arrays FILE PATTERN: name and checksum of those arrays of a tensor file
arrays () {
  header_of "$1" | tr -d ' \n' | grep -o '"[^"]*":{"dtype"[^}]*}' \
    | sed 's/^"\([^"]*\)".*\[\([0-9]*\),\([0-9]*\)\].*/\1 \2 \3/' | grep -E -e "$2" > tensors
  [ -s tensors ] || failed "$1 has nothing like $2"
  while read -r name from to; do
    echo "$name $(tail -c +$((9 + $(header_size "$1") + from)) "$1" | head -c $((to - from)) | cksum)"
  done < tensors
}
last () { ls "$1"/checkpoints/* | tail -n 1; }

expect 0 train tiny.ini "${base[@]}" --output float
base+=(-o model.weights=float/weights.safetensors)
expect 0 qat tiny.ini "${base[@]}" --output plain
expect 0 verify plain
prints "0 differ"

# ---- statistics anew: other ones in what is evaluated, nothing else in training
expect 0 qat tiny.ini "${base[@]}" -o qat.bn_reestimate=3 --output anew
expect 0 verify anew
prints "0 differ"
for d in plain anew; do arrays "$(last $d)" '^(param|quant|optimizer)\.' > $d.sums; done
same plain.sums anew.sums
# … nor weights, where both found the same epoch best
for d in plain anew; do
  grep -o '"best_epoch":[0-9]*' $d/log.jsonl > $d.best
  arrays $d/best.safetensors '^param\..*weight' > $d.weights
  arrays $d/best.safetensors '^param\..*running' > $d.statistics
done
! cmp -s plain.statistics anew.statistics || failed "bn_reestimate changes no statistics"
if cmp -s plain.best anew.best; then same plain.weights anew.weights; fi
# of averages too, and of a network that is evaluated fake-quantized
expect 0 qat tiny.ini "${base[@]}" -o qat.bn_reestimate=1 -o qat.ema=0.9 -o qat.ema_export=yes --output average
expect 0 verify average
prints "0 differ"
# a slow one begins with the scales that the first batch gives, not with 1
expect 0 qat tiny.ini "${base[@]}" -o qat.ema=0.9999 -o qat.ema_export=yes --output slow
arrays slow/best.safetensors 'fakequant\.scale' > learned
while read -r name from to; do
  tail -c +$((9 + $(header_size slow/best.safetensors) + from)) slow/best.safetensors \
    | head -c $((to - from)) | od -An -tf4 -v
done < tensors | awk '{ for (i = 1; i <= NF; i++) { n++; most = $i > most ? $i : most } }
  END { exit !(n > 20 && most < 0.7) }' || failed "averages of scales begin elsewhere"
expect 0 qat tiny.ini "${base[@]}" -o qat.bn_reestimate=9999 -o qconfig.preset=weight_only --output analysis

# ---- all of it, stopped and resumed
all=("${base[@]}" -o qat.bn_reestimate=2 -o qat.oscillation.damping=0.001 -o qat.oscillation.momentum=0.2
  -o qat.oscillation.freeze=0.15 -o qat.oscillation.freeze_start=0.3 -o optimizer.lr=0.05
  -o 'optimizer quantizer.name=adam' -o 'optimizer quantizer.lr=0.0002' -o qconfig.preset=w2a2-papers
  -o qconfig.activation.fakequant.offset=yes -o qconfig.activation.fakequant.start=mse
  -o qconfig.activation.bits=8)
expect 0 qat tiny.ini "${all[@]}" --output all
expect 0 verify all --backend reference,fbgemm
prints "0 differ"
says_share () { grep -o '"event":"oscillation".*' all/log.jsonl | tail -n 1 | grep -qE "$1"; }
says_share '"frozen":0\.[0-9]*[1-9]' || failed "nothing was frozen: $(grep oscillation all/log.jsonl)"
cp -r all part
for f in $(ls part/checkpoints | tail -n +5); do rm part/checkpoints/"$f"; done
expect 0 qat tiny.ini "${all[@]}" --output part --resume
for f in model-int8 best; do same all/$f.safetensors part/$f.safetensors; done
same <(arrays "$(last all)" .) <(arrays "$(last part)" .)

# ---- an optimizer for what quantizers learn
# the same name and rate as [optimizer] is as without
expect 0 qat tiny.ini "${base[@]}" -o 'optimizer quantizer.momentum=0.9' --output same
same <(arrays plain/best.safetensors .) <(arrays same/best.safetensors .)
# at a rate of 0 scales stay as the first batch made them, and weights do not
expect 0 qat tiny.ini "${base[@]}" -o 'optimizer quantizer.lr=0' --output zero
arrays "$(ls zero/checkpoints/* | sed -n 2p)" 'fakequant\.scale' > early
arrays "$(last zero)" 'fakequant\.scale' > late
same early late
arrays "$(last plain)" 'fakequant\.scale' > other
! cmp -s late other || failed "scales do not move at any rate"
arrays "$(ls zero/checkpoints/* | sed -n 2p)" '^param\..*weight' > early
arrays "$(last zero)" '^param\..*weight' > late
! cmp -s early late || failed "weights do not move"
# momentum is none of adam's options, and has no business with it
expect 0 qat tiny.ini "${base[@]}" -o 'optimizer quantizer.name=adam' --output adam
arrays "$(last adam)" 'fakequant\.scale' > late
! cmp -s late other || failed "adam for scales changes nothing"
expect 1 qat tiny.ini "${base[@]}" -o 'optimizer quantizer.name=adan' --output no
says "[optimizer quantizer] name"
expect 1 qat tiny.ini -o 'optimizer quantizer.lr=0.1' --output no
says "optimizer quantizer"

# ---- presets
expect 0 inspect tiny.ini -o qconfig.preset=w3a3-papers -o qconfig.activation.bits=8 --json
# the last convolution makes what the last layer takes, before the pool
sed -n 's/.*"name":"\([^"]*\)".*"weight_bits":\([0-9]*\),"value_bits":\([0-9]*\).*/\1 \2 \3/p' out > bits
diff bits - << 'END' || failed "other bits"
conv1 8 3
conv2 3 3
conv3 3 8
avgpool 0 8
fc 8 0
END
# what goes round a block keeps the outer layers' bits, and so does what is only added;
# what such a network gives is the same bytes everywhere
few=(-o qconfig.preset=w3a3-papers -o qconfig.activation.bits=8)
expect 0 inspect "$srcdir/etc/shapes-mobilenet_v2.ini" "${few[@]}" --json
sed -n 's/.*"name":"\([^"]*\)".*"value_bits":\([0-9]*\).*/\1 \2/p' out > bits
grep -q '\.requantize 3$' bits || failed "nothing is requantized: $(cat bits)"
grep -q '^features.3.conv.2 8$' bits || failed "what is added has few bits: $(cat bits)"
grep -q '^features.3.conv.0.0 3$' bits || failed "what a product takes has many: $(cat bits)"
expect 0 run "$srcdir/etc/shapes-mobilenet_v2.ini" "${few[@]}" -o train.epochs=1 -o train.batches=2 -o qat.epochs=1 \
  -o qat.batches=2 -o data.train_count=64 -o data.val_count=40 --output round
expect 0 verify round --backend reference,fbgemm
prints "0 differ"
expect 0 export round/model-int8.safetensors --onnx round.onnx

expect 1 qat tiny.ini -o qconfig.weight.fakequant=dorefa -o qat.oscillation.damping=1 --output no
says "changes weights before rounding"

# ---- both ends of activations learned, and normalized weights: stopped and resumed
both=("${base[@]}" -o qconfig.weight.fakequant=normalized -o qconfig.activation.fakequant=pact
  -o qconfig.activation.fakequant.lower=yes -o qconfig.activation.fakequant.decay=0.001 -o qconfig.activation.bits=4)
expect 0 qat tiny.ini "${both[@]}" --output ends
expect 0 verify ends --backend reference,fbgemm
prints "0 differ"
cp -r ends part-ends
for f in $(ls part-ends/checkpoints | tail -n +3); do rm part-ends/checkpoints/"$f"; done
expect 0 qat tiny.ini "${both[@]}" --output part-ends --resume
for f in model-int8 best; do same ends/$f.safetensors part-ends/$f.safetensors; done
arrays ends/best.safetensors 'fakequant\.(beta|size)' > learned
grep -q 'beta' learned && grep -q 'size' learned || failed "no lower ends, or sizes, in best.safetensors"

# ---- from one training to the next, with the float network as the teacher
expect 0 qat tiny.ini "${base[@]}" -o qconfig.weight.bits=4 -o loss.name=distillation --output four
next=("${base[@]}" -o loss.name=distillation -o model.weights=four/best.safetensors)
expect 0 qat tiny.ini "${next[@]}" -o qat.teacher=float/weights.safetensors --output three
expect 0 verify three
prints "0 differ"
arrays "$(ls three/checkpoints/* | head -n 1)" '^teacher\.' | cut -d' ' -f2- > told
expect 0 qat tiny.ini "${base[@]}" -o loss.name=distillation --output usual
arrays "$(ls usual/checkpoints/* | head -n 1)" '^teacher\.' | cut -d' ' -f2- > usual.teacher
same told usual.teacher
expect 0 qat tiny.ini "${next[@]}" --output own
arrays "$(ls own/checkpoints/* | head -n 1)" '^teacher\.' | cut -d' ' -f2- > own.teacher
! cmp -s told own.teacher || failed "the teacher has the weights that training begins with"
arrays four/best.safetensors '^param\.' | cut -d' ' -f2- > want
same want own.teacher
expect 1 qat tiny.ini "${base[@]}" -o qat.teacher=float/weights.safetensors --output none
says "[qat] teacher: neither a loss nor a metric compares with a teacher"
expect 1 qat tiny.ini "${next[@]}" -o qat.teacher=none.safetensors --output none
says "[qat] teacher: none.safetensors"
expect 1 qat tiny.ini "${next[@]}" -o model.weights.skip=fc --output none
says "'four/best.safetensors' is a checkpoint, of which all parameters are taken"
expect 1 qat tiny.ini "${next[@]}" -o model.arch=lenet --output none
says "four/best.safetensors: state array 'param."
exit 0
