"""A residual network as a PyTorch module, written from the description of torchvision's: the state dictionary has its names, so that
loading it strictly checks names and shapes."""

import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, bottleneck, before, inner, after, stride):
        super().__init__()
        self.bottleneck = bottleneck
        if bottleneck:  # version 1.5: the middle convolution strides
            self.conv1, self.bn1 = nn.Conv2d(before, inner, 1, bias=False), nn.BatchNorm2d(inner)
            self.conv2, self.bn2 = nn.Conv2d(inner, inner, 3, stride, 1, bias=False), nn.BatchNorm2d(inner)
            self.conv3, self.bn3 = nn.Conv2d(inner, after, 1, bias=False), nn.BatchNorm2d(after)
        else:
            self.conv1, self.bn1 = nn.Conv2d(before, inner, 3, stride, 1, bias=False), nn.BatchNorm2d(inner)
            self.conv2, self.bn2 = nn.Conv2d(inner, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after)
        if stride > 1 or before != after:
            self.downsample = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        else:
            self.downsample = None

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        if self.bottleneck:
            y = self.bn3(self.conv3(torch.relu(y)))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    def __init__(self, bottleneck, depths, channels, width_per_group, classes=5, image_channels=3):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(image_channels, channels, 7, 2, 3, bias=False), nn.BatchNorm2d(channels)
        self.pool = nn.MaxPool2d(3, 2, 1)
        last = channels
        for stage, count in enumerate(depths):
            after = channels * 2 ** stage * (4 if bottleneck else 1)
            blocks = []
            for b in range(count):
                stride = 2 if stage > 0 and b == 0 else 1
                blocks.append(Block(bottleneck, last, width_per_group * 2 ** stage, after, stride))
                last = after
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(last, classes)

    def forward(self, x):
        x = self.pool(torch.relu(self.bn1(self.conv1(x))))
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
        return self.fc(x.mean((2, 3)))


def randomised(network, seed=0):
    """In float64, with gains away from 1, biases and means away from 0, and variances away from 1."""
    generator = torch.Generator().manual_seed(seed)
    network = network.double().eval()
    with torch.no_grad():
        for name, value in network.state_dict().items():
            noise = 0.3 * torch.randn(value.shape, generator=generator, dtype=torch.float64)
            if value.ndim == 1 and not name.startswith("fc."):
                start = 1 if name.endswith("weight") or name.endswith("running_var") else 0
                value.copy_(start + (noise.abs() if name.endswith("running_var") else noise))
            elif name.endswith("num_batches_tracked"):
                value.fill_(7)
    return network
