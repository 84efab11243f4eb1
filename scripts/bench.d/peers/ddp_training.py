"""PyTorch's own ways to train a perceptron or a WRN on Fashion-MNIST with several ranks, measured: a peer of cser-train.

Started by `cser-train launch --program PYTHON -- ddp_training.py ...`, one process per rank, which sets OMPI_COMM_WORLD_RANK and _SIZE and, with
--netns, MASTER_ADDR and GLOO_SOCKET_IFNAME. Rank 0 writes a JSON list, an object for each method in turn: seconds of a step, bytes that its interface
sent in it, and when each accuracy was reached. Evaluation is timed and counted apart. Engines are those of torch.distributed: DDP with gloo, its fp16 and PowerSGD
communication hooks, and its periodic model averager (post-local SGD).
"""
import argparse
import contextlib
import gzip
import json
import os
import pathlib
import time

import numpy
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks, powerSGD_hook
from torch.distributed.algorithms.model_averaging import averagers


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", nargs="+", choices=["fp32", "fp16", "powersgd2", "powersgd4", "local64"], required=True)
    parser.add_argument("--model", choices=["mlp", "wrn-16-1"], default="mlp")
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--steps", type=int, nargs="+", default=[0], help="stop after so many steps; one number, or one for each method")
    parser.add_argument("--epochs", type=float, default=8, help="length of the learning rate's schedule, and of the run")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--evaluate-every", type=int, default=0, help="steps; 0: never")
    parser.add_argument("--targets", type=float, nargs="*", default=[0.85, 0.87, 0.89])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    return parser.parse_args()


def read_idx(path):
    data = gzip.open(path).read()
    shape = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(data[3])]
    return numpy.frombuffer(data, numpy.uint8, offset=4 + 4 * len(shape)).reshape(shape)


def read_images(folder):
    """Training and test images [N, 1, 28, 28], normalised by the training set's mean and deviation, with labels."""
    parts = []
    for part in ("train", "t10k"):
        pixels = read_idx(folder / f"{part}-images-idx3-ubyte.gz").astype(numpy.float32) / 255
        labels = read_idx(folder / f"{part}-labels-idx1-ubyte.gz").astype(numpy.int64)
        parts.append((torch.from_numpy(pixels).unsqueeze(1), torch.from_numpy(labels)))
    mean, deviation = parts[0][0].mean(), parts[0][0].std()
    return [((pixels - mean) / deviation, labels) for pixels, labels in parts]


class Block(nn.Module):
    """A pre-activation basic block; the shortcut convolves the activated input where the width changes."""

    def __init__(self, width_in, width, stride):
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm2d(width_in), nn.BatchNorm2d(width)
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.shortcut = nn.Conv2d(width_in, width, 1, stride, bias=False) if width != width_in else None

    def forward(self, x):
        h = torch.relu(self.bn1(x))
        shortcut = x if self.shortcut is None else self.shortcut(h)
        return self.conv2(torch.relu(self.bn2(self.conv1(h)))) + shortcut


def make_model(name, seed):
    torch.manual_seed(seed)
    if name == "mlp":
        model = nn.Sequential(nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10))
    else:  # WRN-16-1 with the two norms that CSER's released model has in its stem
        widths, layers = [16, 16, 32, 64], [nn.BatchNorm2d(1, affine=False), nn.Conv2d(1, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)]
        for stage in range(3):
            for i in range(2):
                width_in = widths[stage] if i == 0 else widths[stage + 1]
                layers.append(Block(width_in, widths[stage + 1], 2 if i == 0 and stage else 1))
        model = nn.Sequential(*layers, nn.BatchNorm2d(64), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    for module in model.modules():  # Xavier's uniform, as cser-train draws by default
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model


def sent_bytes():
    """Of all interfaces but the loopback, of this process's network namespace."""
    total = 0
    for line in open("/proc/self/net/dev"):
        name, _, numbers = line.partition(":")
        if numbers and name.strip() != "lo":
            total += int(numbers.split()[8])
    return total


class Meter:
    """Seconds and bytes of training, with pauses."""

    def __init__(self):
        self.seconds, self.bytes = 0.0, 0
        self.resume()

    def resume(self):
        self.begin, self.before = time.monotonic(), sent_bytes()

    def pause(self):
        self.seconds += time.monotonic() - self.begin
        self.bytes += sent_bytes() - self.before

    @contextlib.contextmanager
    def paused(self):
        self.pause()
        yield
        dist.barrier()
        self.resume()


def evaluate(model, averaged, test):
    """Accuracy of the mean over ranks of their models."""
    saved = [p.detach().clone() for p in model.parameters()]
    buffers = [b.clone() for b in model.buffers()]
    with torch.no_grad():
        if averaged:
            for tensor in [*model.parameters(), *(b for b in model.buffers() if b.is_floating_point())]:
                dist.all_reduce(tensor)
                tensor /= dist.get_world_size()
        model.eval()
        right = sum((model(x).argmax(1) == y).sum().item() for x, y in zip(test[0].split(1000), test[1].split(1000)))
        model.train()
        for kept, tensor in zip(saved + buffers, [*model.parameters(), *model.buffers()]):
            tensor.copy_(kept)
    return right / len(test[1])


def distribute(method, model):
    """The model as ranks train it, and what averages models after a step, if anything."""
    if method == "local64":
        return model, averagers.PeriodicModelAverager(period=64, warmup_steps=0)
    parallel = nn.parallel.DistributedDataParallel(model)
    if method == "fp16":
        parallel.register_comm_hook(None, default_hooks.fp16_compress_hook)
    elif method.startswith("powersgd"):
        state = powerSGD_hook.PowerSGDState(None, matrix_approximation_rank=int(method[-1]), start_powerSGD_iter=2)
        parallel.register_comm_hook(state, powerSGD_hook.powerSGD_hook)
    return parallel, None


def train(options, method, steps, train_set, test):
    rank, ranks = dist.get_rank(), dist.get_world_size()
    pixels, labels = train_set
    model = make_model(options.model, options.seed)
    parallel, averager = distribute(method, model)
    optimizer = torch.optim.SGD(model.parameters(), lr=options.lr, momentum=0.9, nesterov=True, weight_decay=5e-4)
    shard = torch.randperm(len(labels), generator=torch.Generator().manual_seed(options.seed))[rank::ranks]
    per_epoch = len(labels) // ranks // options.batch
    total = round(options.epochs * per_epoch)
    steps = min(total, steps) if steps else total
    loss_function, order = nn.CrossEntropyLoss(), torch.Generator().manual_seed(1000 + options.seed * ranks + rank)
    reached, curve, warm = [], [], min(10, steps // 2)
    dist.barrier()
    meter = Meter()
    for step in range(steps):
        if step % per_epoch == 0:
            indices = shard[torch.randperm(len(shard), generator=order)]
        if not options.evaluate_every and step == warm:  # a short run measures steps: leave the first ones out
            dist.barrier()
            meter = Meter()
        for group in optimizer.param_groups:
            group["lr"] = options.lr * 0.2 ** ((step >= 0.6 * total) + (step >= 0.8 * total))
        batch = indices[step % per_epoch * options.batch :][: options.batch]
        optimizer.zero_grad(set_to_none=False)
        loss_function(parallel(pixels[batch]), labels[batch]).backward()
        optimizer.step()
        if averager:
            averager.average_parameters(model.parameters())
        if options.evaluate_every and ((step + 1) % options.evaluate_every == 0 or step + 1 == steps):
            with meter.paused():
                accuracy = evaluate(model, True, test)
            curve.append([step + 1, accuracy])
            for target in options.targets:
                if accuracy >= target and target not in [r["accuracy"] for r in reached]:
                    reached.append({"accuracy": target, "step": step + 1, "seconds": meter.seconds, "bytes_sent": meter.bytes})
    dist.barrier()
    meter.pause()
    measured = steps if options.evaluate_every else steps - warm
    return {"method": method, "model": options.model, "parameters": sum(p.numel() for p in model.parameters()),
            "steps": measured, "seconds_per_step": meter.seconds / measured, "bytes_per_step": meter.bytes / measured,
            "targets": reached, "curve": curve, "top1": curve[-1][1] if curve else None}


def main():
    options = parse()
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    os.environ.setdefault("MASTER_PORT", "29500")
    rank = int(os.environ.get("OMPI_COMM_WORLD_RANK", 0))
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 1)))
    dist.init_process_group("gloo", rank=rank, world_size=int(os.environ.get("OMPI_COMM_WORLD_SIZE", 1)))
    train_set, test = read_images(options.data)
    steps = options.steps if len(options.steps) > 1 else options.steps * len(options.methods)
    results = [train(options, method, most, train_set, test) for method, most in zip(options.methods, steps)]
    if rank == 0:
        options.out.write_text(json.dumps(results) + "\n")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
