#!/usr/bin/env python3
"""Measures what several processes gain on one machine: processes pinned to a core each, in turns with one alone.

    python3 scripts/bench_processes.py TOPFIVE [COUNT] [NETWORK]

COUNT (2) processes train NETWORK (resnet34) at 64x64 on drawn shapes, with 32 images each per step. Prints medians of three
rounds: images per second of one and of all, their ratio, and the time that gradients take to be exchanged by Gloo. Needs
torch 2.11, and a machine that does nothing else.
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

BATCH, STEPS, ROUNDS = 32, 20, 3


def train(program, folder, network, cores, out):
    """Images per second of all processes, one on each of these cores, over the whole run."""
    command = [program, "train", network, "--data", "shapes", "--out", out, "--input", "64", "--device", "cpu", "--threads", "1",
               "--workers", "1", "--batch-size", str(BATCH), "--max-steps", str(STEPS), "--quiet", "--set", "training.augment=[]"]
    place = {"WORLD_SIZE": str(len(cores)), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29561"}
    processes = [subprocess.Popen(["taskset", "-c", str(core), *command], cwd=folder, env=os.environ | place | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
                 for rank, core in enumerate(cores)]
    assert all(process.wait() == 0 for process in processes)
    with open(f"{folder}/{out}/log.jsonl") as log:
        steps = [line for line in map(json.loads, log) if line["kind"] == "step"]
    return steps[-1]["images_per_second"]


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


def main(program, count=2, network="resnet34"):
    count, program = int(count), os.path.realpath(program)
    with tempfile.TemporaryDirectory() as folder, torch.multiprocessing.Manager() as manager:
        subprocess.run([program, "shapes", "shapes", "--train", str(2 * BATCH * count), "--val", "1", "--size", "64", "--quiet"], cwd=folder, check=True)
        rounds = [(train(program, folder, network, [0], f"one-{turn}"), train(program, folder, network, range(count), f"all-{turn}"))
                  for turn in range(ROUNDS)]
        results = manager.list()
        torch.multiprocessing.spawn(exchange, (count, 87, results), nprocs=count)
    one, several = (statistics.median(column) for column in zip(*rounds))
    step = BATCH * count / several
    print(f"{network}, {BATCH} images each: one process {one:.1f} images/s, {count} processes {several:.1f}, {several / one / count:.2f} x {count}")
    print(f"87 MB exchanged by {count} processes in {results[0]:.3f} s, {100 * results[0] / step:.1f} % of a step of {step:.2f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
