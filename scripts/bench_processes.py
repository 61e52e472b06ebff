#!/usr/bin/env python3
"""Measures what several processes gain on one machine: processes pinned to a core each, in turns with one alone.

    python3 scripts/bench_processes.py TOPFIVE [COUNT] [BATCH]

COUNT (2) processes train ResNet-34 at 64x64 on drawn shapes, with BATCH (32) images each per step. Prints medians of three
rounds: images per second of one, of as many runs of one process side by side (what sharing the machine's memory costs), and of
all together, and the time that gradients take to be exchanged by Gloo. Needs torch 2.11, and a machine that does nothing else.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import torch
import torch.distributed as dist

IMAGES, ROUNDS = 640, 3


def start(program, folder, batch, core, out, rank, count):
    command = [program, "train", "resnet34", "--data", "shapes", "--out", out, "--input", "64", "--device", "cpu", "--threads", "1",
               "--workers", "1", "--batch-size", str(batch), "--max-steps", str(IMAGES // batch), "--quiet", "--set", "training.augment=[]"]
    place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29561"}
    return subprocess.Popen(["taskset", "-c", str(core), *command], cwd=folder, env=os.environ | place, stdout=subprocess.DEVNULL)


def speed(folder, out):
    """Images per second over a whole run."""
    with open(f"{folder}/{out}/log.jsonl") as log:
        return [line for line in map(json.loads, log) if line["kind"] == "epoch"][-1]["images_per_second"]


def together(program, folder, batch, count, out):
    """Images per second of all processes, one on each of as many cores."""
    processes = [start(program, folder, batch, rank, out, rank, count) for rank in range(count)]
    assert all(process.wait() == 0 for process in processes)
    return speed(folder, out)


def apart(program, folder, batch, count, out):
    """Images per second of as many runs, which do not know of each other, in sum."""
    processes = [start(program, folder, batch, core, f"{out}-{core}", 0, 1) for core in range(count)]
    assert all(process.wait() == 0 for process in processes)
    return sum(speed(folder, f"{out}-{core}") for core in range(count))


def exchange(rank, count, megabytes, results):
    os.sched_setaffinity(0, {rank % os.cpu_count()})
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method="tcp://127.0.0.1:29562", rank=rank, world_size=count)
    buckets = [torch.ones(25 << 18) for _ in range(round(megabytes / 26.2))]
    times = []
    for _ in range(8):
        dist.barrier()
        begun = time.perf_counter()
        for work in [dist.all_reduce(bucket, async_op=True) for bucket in buckets]:
            work.wait()
        times.append(time.perf_counter() - begun)
    if rank == 0:
        results.append(statistics.median(times))
    dist.destroy_process_group()


def main(program, count=2, batch=32):
    count, batch, program = int(count), int(batch), os.path.realpath(program)
    with tempfile.TemporaryDirectory() as folder, torch.multiprocessing.Manager() as manager:
        subprocess.run([program, "shapes", "shapes", "--train", str(IMAGES * count // 12 + 1), "--val", "1", "--size", "64", "--quiet"], cwd=folder, check=True)
        rounds = [(together(program, folder, batch, 1, f"one-{turn}"), apart(program, folder, batch, count, f"apart-{turn}"),
                   together(program, folder, batch, count, f"all-{turn}")) for turn in range(ROUNDS)]
        results = manager.list()
        torch.multiprocessing.spawn(exchange, (count, 87, results), nprocs=count)
        seconds = results[0]
    one, side_by_side, several = (statistics.median(column) for column in zip(*rounds))
    step = batch * count / several
    print(f"{batch} images each: one process {one:.1f} images/s, {count} side by side {side_by_side:.1f}, {count} together {several:.1f}, {several / one / count:.2f} x {count}")
    print(f"87 MB exchanged by {count} processes in {seconds:.3f} s, {100 * seconds / step:.1f} % of a step of {step:.2f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
