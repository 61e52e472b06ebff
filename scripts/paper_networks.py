"""The papers' AlexNet and GoogLeNet in plain torch layers, which torchvision has in other forms only: written from the
papers, with topfive's names for the parameters."""

import torch
from torch import nn
from torch.nn.functional import relu


class AlexNet(nn.Module):
    """Krizhevsky, Sutskever, Hinton, NIPS 2012, section 3.5. Two groups stand for the paper's two GPUs."""

    def __init__(self):
        super().__init__()
        # 224 pixels give the paper's 55x55 neurons with this padding alone.
        self.conv1 = nn.Conv2d(3, 96, 11, stride=4, padding=2)
        self.conv2 = nn.Conv2d(96, 256, 5, padding=2, groups=2)
        self.conv3 = nn.Conv2d(256, 384, 3, padding=1)
        self.conv4 = nn.Conv2d(384, 384, 3, padding=1, groups=2)
        self.conv5 = nn.Conv2d(384, 256, 3, padding=1, groups=2)
        self.fc6 = nn.Linear(256 * 6 * 6, 4096)
        self.fc7 = nn.Linear(4096, 4096)
        self.fc8 = nn.Linear(4096, 1000)
        # torch divides alpha by the size, the paper's 1e-4 (section 3.3) multiplies the sum itself.
        self.norm = nn.LocalResponseNorm(5, alpha=5 * 1e-4, beta=0.75, k=2.0)
        self.pool = nn.MaxPool2d(3, 2)
        self.dropout = nn.Dropout(0.5)

    def features(self, x):
        x = self.pool(self.norm(relu(self.conv1(x))))
        x = self.pool(self.norm(relu(self.conv2(x))))
        x = relu(self.conv4(relu(self.conv3(x))))
        return self.pool(relu(self.conv5(x)))

    def classifier(self, x):
        x = self.dropout(relu(self.fc6(x)))
        return self.fc8(self.dropout(relu(self.fc7(x))))

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


class Convolution(nn.Module):
    """A convolution that keeps the size but for its stride, and a ReLU."""

    def __init__(self, inputs, outputs, kernel, stride=1):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2)

    def forward(self, x):
        return relu(self.conv(x))


class Inception(nn.Module):
    """Figure 2b of the GoogLeNet paper; `row` is one of table 1, from #1x1 to pool proj."""

    def __init__(self, inputs, row):
        super().__init__()
        direct, reduce3, out3, reduce5, out5, project = row
        self.branch1 = Convolution(inputs, direct, 1)
        self.branch2 = nn.Sequential(Convolution(inputs, reduce3, 1), Convolution(reduce3, out3, 3))
        self.branch3 = nn.Sequential(Convolution(inputs, reduce5, 1), Convolution(reduce5, out5, 5))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, padding=1), Convolution(inputs, project, 1))

    def forward(self, x):
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], dim=1)


class Auxiliary(nn.Module):
    """An auxiliary classifier, section 5: a 5x5 average pool of stride 3, 128 1x1 convolutions, 1024 units, 70 % dropped."""

    def __init__(self, inputs):
        super().__init__()
        self.pool = nn.AvgPool2d(5, 3)
        self.conv = Convolution(inputs, 128, 1)
        self.fc1 = nn.Linear(128 * 4 * 4, 1024)
        self.dropout = nn.Dropout(0.7)
        self.fc2 = nn.Linear(1024, 1000)

    def forward(self, x):
        x = self.conv(self.pool(x)).flatten(1)
        return self.fc2(self.dropout(relu(self.fc1(x))))


class GoogLeNet(nn.Module):
    """Szegedy et al., arXiv:1409.4842, table 1 and figure 3. Pools round up: 112, 56, 28, 14, 7 from 224 pixels."""

    def __init__(self):
        super().__init__()
        self.conv1 = Convolution(3, 64, 7, stride=2)
        self.conv2 = Convolution(64, 64, 1)
        self.conv3 = Convolution(64, 192, 3)
        self.norm = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.inception3a = Inception(192, (64, 96, 128, 16, 32, 32))
        self.inception3b = Inception(256, (128, 128, 192, 32, 96, 64))
        self.inception4a = Inception(480, (192, 96, 208, 16, 48, 64))
        self.aux1 = Auxiliary(512)
        self.inception4b = Inception(512, (160, 112, 224, 24, 64, 64))
        self.inception4c = Inception(512, (128, 128, 256, 24, 64, 64))
        self.inception4d = Inception(512, (112, 144, 288, 32, 64, 64))
        self.aux2 = Auxiliary(528)
        self.inception4e = Inception(528, (256, 160, 320, 32, 128, 128))
        self.inception5a = Inception(832, (256, 160, 320, 32, 128, 128))
        self.inception5b = Inception(832, (384, 192, 384, 48, 128, 128))
        self.dropout = nn.Dropout(0.4)
        self.fc = nn.Linear(1024, 1000)

    def forward(self, x):
        """The logits; in training also those of the two auxiliary classifiers, the one nearer to the input first."""
        x = self.norm(self.pool(self.conv1(x)))
        x = self.pool(self.norm(self.conv3(self.conv2(x))))
        x = self.inception4a(self.pool(self.inception3b(self.inception3a(x))))
        first = self.aux1(x) if self.training else None
        x = self.inception4d(self.inception4c(self.inception4b(x)))
        second = self.aux2(x) if self.training else None
        x = self.inception5b(self.inception5a(self.pool(self.inception4e(x))))
        logits = self.fc(self.dropout(x.mean((2, 3))))
        return (logits, first, second) if self.training else logits
