"""Makes tests/fixtures/zero_pad.json: the logits of a small CIFAR ResNet whose shortcuts are zero-padded on both sides.

Its block is that of akamaster/pytorch_resnet_cifar10, the commonest code for these networks: option A as
F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, planes // 4, planes // 4)). Weights and image come from the formula of
make_parity_fixtures.py, under that code's names, of which `linear` differs from ours; all in double precision.

Run with torch 2.11: python3 scripts/make_zero_pad_fixture.py
"""

import json
import pathlib

import torch
import torch.nn.functional as F
from make_parity_fixtures import filled, picture, rounded
from torch import nn

OUT = pathlib.Path(__file__).parent.parent / "tests/fixtures/zero_pad.json"


class BasicBlock(nn.Module):
    def __init__(self, in_planes, planes, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(in_planes, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.padding = planes // 4 if stride != 1 or in_planes != planes else None

    def forward(self, x):
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        around = x if self.padding is None else F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.padding, self.padding))
        return F.relu(out + around)


class ResNet(nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*[BasicBlock(16, 16, 1) for _ in range(blocks)])
        self.layer2 = nn.Sequential(BasicBlock(16, 32, 2), *[BasicBlock(32, 32, 1) for _ in range(blocks - 1)])
        self.layer3 = nn.Sequential(BasicBlock(32, 64, 2), *[BasicBlock(64, 64, 1) for _ in range(blocks - 1)])
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        return self.linear(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))


def main():
    model = ResNet(3)
    # The formula goes by our names.
    values = {name: value if name.endswith("num_batches_tracked") else filled(name.replace("linear.", "fc."), value.shape)
              for name, value in model.state_dict().items()}
    model.load_state_dict(values)
    with torch.no_grad():
        logits = model.double().eval()(picture("input", 32, 32))[0]
    OUT.write_text(json.dumps({"logits": rounded(logits.tolist())}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
