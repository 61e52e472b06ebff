"""Images per second of forward passes: topfive, as written and fused, against PyTorch, ONNX Runtime and OpenVINO.

    python scripts/bench_forward.py PROGRAM [NETWORK...]

PROGRAM is the built `cargo bench --bench forward`; scripts/bench builds it. Every engine is a process of its own, which
measures for two seconds (TOPFIVE_BENCH_SECONDS) when asked; they are asked in turns, and the median of the rounds counts. The networks have the
same layers everywhere and random weights.
"""

import datetime
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time

NETWORKS = {"resnet34": "resnet34", "vgg16": "vgg16", "alexnet-owt": "alexnet", "googlenet-bn": "googlenet"}
BATCHES = [16, 1]
THREADS = int(os.environ.get("TOPFIVE_BENCH_THREADS", "2"))
ROUNDS = int(os.environ.get("TOPFIVE_BENCH_ROUNDS", "5"))
OURS = ["topfive as written", "topfive"]
OTHERS = ["PyTorch", "PyTorch channels-last", "torch.compile", "ONNX Runtime", "OpenVINO"]
SECONDS = float(os.environ.get("TOPFIVE_BENCH_SECONDS", "2"))


def model_and_images(network, batch):
    import torch
    import torchvision

    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    settings = {"aux_logits": False, "init_weights": False} if network == "googlenet-bn" else {}
    model = torchvision.models.get_model(NETWORKS[network], weights=None, **settings).eval()
    return model, torch.rand(batch, 3, 224, 224)


def pytorch(network, batch, engine):
    import torch

    model, images = model_and_images(network, batch)
    if engine == "PyTorch channels-last":
        model, images = model.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
    if engine == "torch.compile":
        torch._inductor.config.freezing = True
        model = torch.compile(model)

    def forward():
        with torch.no_grad():
            model(images)

    return forward


def exported(network, batch, file):
    import torch

    model, images = model_and_images(network, batch)
    with torch.no_grad():
        torch.onnx.export(model, images, file, input_names=["images"], dynamo=False)
    return images.numpy()


def onnx_runtime(network, batch):
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "network.onnx")
        images = exported(network, batch, file)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"images": images})


def openvino(network, batch):
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "network.onnx")
        images = exported(network, batch, file)
        settings = {
            "INFERENCE_NUM_THREADS": THREADS,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
        }
        compiled = openvino.Core().compile_model(file, "CPU", settings)
    request = compiled.create_infer_request()
    return lambda: request.infer([images])


def serve(engine, network, batch):
    """Measures once per line of standard input."""
    if engine == "ONNX Runtime":
        forward = onnx_runtime(network, batch)
    elif engine == "OpenVINO":
        forward = openvino(network, batch)
    else:
        forward = pytorch(network, batch, engine)
    forward()
    forward()
    for _ in sys.stdin:
        begun, count = time.perf_counter(), 0
        while time.perf_counter() - begun < SECONDS:
            forward()
            count += batch
        print(count / (time.perf_counter() - begun), flush=True)


def command(program, engine, network, batch):
    if engine in OURS:
        plain = ["--plain"] if engine == "topfive as written" else []
        return [program, network, str(batch), str(THREADS), *plain]
    return [sys.executable, __file__, "serve", engine, network, str(batch)]


def measure(program, network, batch, engines):
    """The median of each engine's rounds, in images per second."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    environment = {**os.environ, "OMP_NUM_THREADS": str(THREADS)}
    figures = {engine: [] for engine in engines}
    processes = {}
    for engine in engines:
        processes[engine] = subprocess.Popen(command(program, engine, network, batch), env=environment, **pipes)
    for number in range(ROUNDS + 1):
        for engine, process in processes.items():
            process.stdin.write("\n")
            process.stdin.flush()
            line = process.stdout.readline()
            if not line:
                sys.exit(f"{engine}: ended early; to see why: {' '.join(command(program, engine, network, batch))}")
            if number > 0:  # the first round waits for engines that compile
                figures[engine].append(float(line))
    for process in processes.values():
        process.stdin.close()
        process.wait()
    return {engine: statistics.median(values) for engine, values in figures.items()}


def processor():
    with open("/proc/cpuinfo") as file:
        names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main(program, networks):
    engines = OURS + OTHERS
    print(f"Images per second at 224x224, {THREADS} threads, {processor()}, {datetime.date.today()};")
    print(f"medians of {ROUNDS} measurements in turns.\n")
    print("| network | batch | " + " | ".join(engines) + " | topfive / best of the others |")
    print("|--" * (len(engines) + 3) + "|")
    for batch in BATCHES:
        for network in networks:
            figures = measure(program, network, batch, engines)
            best = max(figures[engine] for engine in OTHERS)
            cells = [f"{figures[engine]:.1f}" for engine in engines]
            print(f"| {network} | {batch} | {' | '.join(cells)} | {figures['topfive'] / best:.2f} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        unknown = [name for name in sys.argv[2:] if name not in NETWORKS]
        if unknown:
            sys.exit(f"{', '.join(unknown)}: expected some of {', '.join(NETWORKS)}")
        main(sys.argv[1], sys.argv[2:] or list(NETWORKS))
