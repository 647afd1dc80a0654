#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Write layers.h and the models' parameter lists: golden values from PyTorch.

Run with Debian's python3-torch and python3-torchvision in this folder:
/usr/bin/python3 layers.py.  The tests need only what it wrote.
"""
import torch
import torch.nn.functional as F
import torchvision

torch.manual_seed(20240611)
out = open("layers.h", "w")


def emit(name, t, ctype="float"):
    flat = t.detach().reshape(-1).tolist()
    text = [str(v) if ctype == "int32_t" else ("%.9g" % v) for v in flat]
    if ctype == "float":
        text = [(s if "." in s or "e" in s else s + ".0") + "f" for s in text]
    out.write("static const %s %s[%d] = {\n" % (ctype, name, len(flat)))
    for i in range(0, len(text), 5):
        out.write("  " + ", ".join(text[i:i + 5]) + ",\n")
    out.write("};\n\n")


def nhwc(t):
    return t.permute(0, 2, 3, 1).contiguous()


out.write("/* SPDX-License-Identifier: LGPL-2.1-or-later */\n"
          "/* layers.h: made by layers.py with PyTorch %s; images are "
          "(N,H,W,C). */\n\n" % torch.__version__)

# batch-norm: two training steps, then evaluation of the second batch
bn = torch.nn.BatchNorm2d(3, eps=1e-5, momentum=0.1)
with torch.no_grad():
    bn.weight.copy_(torch.tensor([1.5, 0.5, -0.75]))
    bn.bias.copy_(torch.tensor([0.25, -1.0, 0.0]))
for step in range(2):
    scale = torch.tensor([1.0, 3.0, 0.1]).reshape(1, 3, 1, 1)
    shift = torch.tensor([0.0, 100.0, -2.0]).reshape(1, 3, 1, 1)
    x = (torch.randn(2, 3, 2, 3) * scale + shift).requires_grad_()
    dy = torch.randn(2, 3, 2, 3)
    bn.zero_grad()
    y = bn(x)
    y.backward(dy)
    n = "bn%d_" % step
    emit(n + "x", nhwc(x))
    emit(n + "dy", nhwc(dy))
    emit(n + "y", nhwc(y))
    emit(n + "dx", nhwc(x.grad))
    emit(n + "dweight", bn.weight.grad)
    emit(n + "dbias", bn.bias.grad)
    emit(n + "running_mean", bn.running_mean)
    emit(n + "running_var", bn.running_var)
bn.eval()
emit("bn_eval_y", nhwc(bn(x)))

# cross-entropy
z = (torch.randn(4, 5) * 4).requires_grad_()
label = torch.tensor([0, 4, 2, 2])
emit("ce_logits", z)
emit("ce_labels", label, "int32_t")
for name, s in (("ce_plain", 0.0), ("ce_smooth", 0.1)):
    z.grad = None
    loss = F.cross_entropy(z, label, label_smoothing=s)
    loss.backward()
    emit(name + "_loss", loss)
    emit(name + "_grad", z.grad)

# pooling
x = torch.randn(2, 3, 5, 6)
emit("pool_x", nhwc(x))
for name, f in (
        ("max", lambda t: F.max_pool2d(t, 3, 2, 1)),
        ("max_dilated", lambda t: F.max_pool2d(t, 2, 1, 1, dilation=3)),
        ("avg", lambda t: F.avg_pool2d(t, 3, 2, 1)),
        ("avg_inside", lambda t: F.avg_pool2d(t, 3, 2, 1, False, False)),
        ("global", lambda t: t.mean((2, 3), keepdim=True))):
    t = x.clone().requires_grad_()
    y = f(t)
    dy = torch.randn_like(y)
    y.backward(dy)
    emit("pool_%s_y" % name, nhwc(y))
    emit("pool_%s_dy" % name, nhwc(dy))
    emit("pool_%s_dx" % name, nhwc(t.grad))
out.close()



def macs(net):
    """Multiply-accumulates of convolutions and linear layers at 224 x 224."""
    total = [0]

    def count(module, inputs, output):
        if isinstance(module, torch.nn.Conv2d):
            total[0] += output.numel() * module.weight[0].numel()
        elif isinstance(module, torch.nn.Linear):
            total[0] += module.weight.numel()

    for module in net.modules():
        module.register_forward_hook(count)
    with torch.no_grad():
        net.eval()(torch.zeros(1, 3, 224, 224))
    return total[0]


# the models: their work, and their parameters as torchvision names and
# shapes them
for model in ("mobilenet_v2", "resnet18", "resnet34", "resnet50"):
    net = getattr(torchvision.models, model)(num_classes=1000)
    with open(model + ".txt", "w") as f:
        f.write("macs %d\n" % macs(net))
        for name, p in net.state_dict().items():
            if name.endswith("num_batches_tracked"):
                continue
            f.write("%s %s\n" % (name, ",".join(map(str, p.shape))))
