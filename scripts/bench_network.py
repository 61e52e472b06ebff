"""Images per second of forward passes and of training steps: topfive against PyTorch, ONNX Runtime and OpenVINO.

    python scripts/bench_network.py PROGRAM forward|step [NETWORK...]

PROGRAM is the built `cargo bench --bench network`; scripts/bench builds it. Every engine is a process of its own, which
measures for two seconds (TOPFIVE_BENCH_SECONDS) when asked; they are asked in turns, and the median of the rounds counts. The networks have the
same layers everywhere and random weights; a step is forward, loss, backward and SGD with momentum, on images of 8 bits
that are normalised first, with dropout and auxiliary classifiers where the network has them. On a GPU
(TOPFIVE_BENCH_DEVICE=cuda) and in other numbers than f32 (TOPFIVE_BENCH_PRECISION=tf32, bf16 or f16), topfive is compared
with PyTorch alone.
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
BATCHES = {"cpu": {"forward": [16, 1], "step": [16]}, "cuda": {"forward": [256, 64], "step": [256, 64]}}
DEVICE = os.environ.get("TOPFIVE_BENCH_DEVICE", "cpu")  # or cuda
PRECISION = os.environ.get("TOPFIVE_BENCH_PRECISION", "f32")
THREADS = int(os.environ.get("TOPFIVE_BENCH_THREADS", "2"))
ROUNDS = int(os.environ.get("TOPFIVE_BENCH_ROUNDS", "5"))
EAGER = ["PyTorch", "PyTorch channels-last"]
PLAIN = {"topfive as written": "plain"} if PRECISION == "f32" else {}
OURS = {"forward": {**PLAIN, "topfive": "forward"}, "step": {"topfive": "step"}}
KINDS = {"bf16": "bfloat16", "f16": "float16"}
EXPORTED = ["ONNX Runtime", "OpenVINO"] if (DEVICE, PRECISION) == ("cpu", "f32") else []
OTHERS = {"forward": [*EAGER, "torch.compile", *EXPORTED], "step": EAGER}
SECONDS = float(os.environ.get("TOPFIVE_BENCH_SECONDS", "2"))


def model_of(network, auxiliary=False):
    import torch
    import torchvision

    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    settings = {"aux_logits": auxiliary, "init_weights": False} if network == "googlenet-bn" else {}
    torch.backends.cudnn.allow_tf32 = PRECISION == "tf32"
    return torchvision.models.get_model(NETWORKS[network], weights=None, **settings).to(DEVICE)


def lower():
    """The context in which PyTorch trains in the precision that is asked for."""
    import torch

    return torch.autocast(DEVICE, getattr(torch, KINDS.get(PRECISION, "bfloat16")), enabled=PRECISION in KINDS)


def model_and_images(network, batch):
    import torch

    return model_of(network).eval(), torch.rand(batch, 3, 224, 224, device=DEVICE)


def pytorch(network, batch, engine):
    import torch

    model, images = model_and_images(network, batch)
    kind = getattr(torch, KINDS.get(PRECISION, "float32"))
    model, images = model.to(kind), images.to(kind)
    if engine == "PyTorch channels-last":
        model, images = model.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
    if engine == "torch.compile":
        torch._inductor.config.freezing = True
        model = torch.compile(model)

    def forward():
        with torch.no_grad():
            model(images)

    return forward


def step(network, batch, engine):
    import torch
    from torch.nn.functional import cross_entropy

    model = model_of(network, auxiliary=True).train()
    layout = torch.channels_last if engine == "PyTorch channels-last" else torch.contiguous_format
    model = model.to(memory_format=layout)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, weight_decay=1e-4)
    scaler = torch.amp.GradScaler(DEVICE, enabled=PRECISION == "f16")
    pixels = torch.randint(256, (batch, 224, 224, 3), dtype=torch.uint8)
    labels = (torch.arange(batch) * 7 % 1000).to(DEVICE)
    mean, deviation = (torch.tensor(values, device=DEVICE).view(3, 1, 1) for values in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))

    def train():
        bytes = (pixels.pin_memory() if DEVICE == "cuda" else pixels).to(DEVICE, non_blocking=True).permute(0, 3, 1, 2)
        images = ((bytes / 255 - mean) / deviation).contiguous(memory_format=layout)
        with lower():
            output = model(images)
            logits, auxiliary = (output[0], output[1:]) if isinstance(output, tuple) else (output, [])
            loss = cross_entropy(logits, labels) + sum(0.3 * cross_entropy(it, labels) for it in auxiliary)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        loss.item()

    return train


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


def synchronised():
    """What waits for the device."""
    import torch

    return torch.cuda.synchronize if DEVICE == "cuda" else lambda: None


def serve(engine, network, batch, work):
    """Measures once per line of standard input."""
    if work == "step":
        forward = step(network, batch, engine)
    elif engine == "ONNX Runtime":
        forward = onnx_runtime(network, batch)
    elif engine == "OpenVINO":
        forward = openvino(network, batch)
    else:
        forward = pytorch(network, batch, engine)
    wait = synchronised()
    forward()
    forward()
    wait()
    for _ in sys.stdin:
        begun, count = time.perf_counter(), 0
        while time.perf_counter() - begun < SECONDS:
            forward()
            count += batch
            wait()
        print(count / (time.perf_counter() - begun), flush=True)


def command(program, engine, network, batch, work):
    if engine in OURS[work]:
        return [program, network, str(batch), DEVICE, str(THREADS), OURS[work][engine], f"training.precision={PRECISION}"]
    return [sys.executable, __file__, "serve", engine, network, str(batch), work]


def measure(program, network, batch, work, engines):
    """The median of each engine's rounds, in images per second."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    environment = {**os.environ, "OMP_NUM_THREADS": str(THREADS)}
    figures = {engine: [] for engine in engines}
    processes = {}
    for engine in engines:
        processes[engine] = subprocess.Popen(command(program, engine, network, batch, work), env=environment, **pipes)
    for number in range(ROUNDS + 1):
        for engine, process in processes.items():
            process.stdin.write("\n")
            process.stdin.flush()
            line = process.stdout.readline()
            if not line:
                sys.exit(f"{engine}: ended early; to see why: {' '.join(command(program, engine, network, batch, work))}")
            if number > 0:  # the first round waits for engines that compile
                figures[engine].append(float(line))
    for process in processes.values():
        process.stdin.close()
        process.wait()
    return {engine: statistics.median(values) for engine, values in figures.items()}


def processor():
    if DEVICE == "cuda":
        import torch

        return torch.cuda.get_device_name()
    with open("/proc/cpuinfo") as file:
        names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main(program, work, networks):
    others, engines = OTHERS[work], [*OURS[work], *OTHERS[work]]
    title = {"forward": "Images per second", "step": "Training images per second"}[work]
    print(f"{title} at 224x224 in {PRECISION}, {THREADS} threads, {processor()}, {datetime.date.today()};")
    print(f"medians of {ROUNDS} measurements in turns.\n")
    print("| network | batch | " + " | ".join(engines) + " | topfive / best of the others |")
    print("|--" * (len(engines) + 3) + "|")
    for batch in BATCHES[DEVICE][work]:
        for network in networks:
            figures = measure(program, network, batch, work, engines)
            best = max(figures[engine] for engine in others)
            cells = [f"{figures[engine]:.1f}" for engine in engines]
            print(f"| {network} | {batch} | {' | '.join(cells)} | {figures['topfive'] / best:.2f} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5])
    else:
        unknown = [name for name in sys.argv[3:] if name not in NETWORKS]
        if unknown:
            sys.exit(f"{', '.join(unknown)}: expected some of {', '.join(NETWORKS)}")
        main(sys.argv[1], sys.argv[2], sys.argv[3:] or list(NETWORKS))
