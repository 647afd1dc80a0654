#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Three of torchvision's networks as ONNX files: PyTorch's outputs, int8 by
# PTQ and QAT, no byte differs.  All others: tests/zoo/zoo.py --all
. "${0%/*}/functions.sh"
python_with torchvision onnx numpy
qatkit plugins models/onnx > /dev/null 2>&1 \
  || skip "built without protobuf-c or onnx.proto"

cat > program << END
#!/bin/sh
exec $QATKIT "\$@"
END
chmod +x program
# a file is 5 to 10 MB; ONNX Runtime has its own test
"$python" "$srcdir/tests/zoo/zoo.py" --program "$tmp/program" --no-runtime \
  squeezenet1_1 shufflenet_v2_x0_5 mobilenet_v3_small > out 2>&1 \
  || failed "a network"
[ "$(grep -c 'int8 100.0 %  verify 0 .* ok$' out)" = 3 ] || failed "not three"
cat out
exit 0
