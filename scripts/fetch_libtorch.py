"""Downloads libtorch from PyPI's wheels to .libtorch/torch; scripts/setup calls it.

pip reports the addresses and SHA-256 sums of the wheels, but the download happens here, because pip cannot resume one.
Without CUDA, the wheel's CUDA libraries are left out, and libtorch.so, which depends on them, is replaced by a linker
script that names libtorch_cpu.
"""

import hashlib
import http.client
import json
import os
import pathlib
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile

ROOT = pathlib.Path(".libtorch")
WHEELS = ROOT / "wheels"


def resolve(requirements, with_dependencies):
    """Returns what pip would install for `requirements`: a list of (file name, address, SHA-256)."""
    report = ROOT / "report.json"
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--only-binary=:all:"]
    command += [] if with_dependencies else ["--no-deps"]
    subprocess.run([*command, "--report", str(report), *requirements], check=True)
    found = []
    for item in json.loads(report.read_text())["install"]:
        info = item["download_info"]
        found.append((info["url"].rsplit("/", 1)[1], info["url"], info["archive_info"]["hashes"]["sha256"]))
    return found


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def download(name, address, part):
    """Downloads the rest of the file after what `part` already contains, and keeps what arrived if the connection breaks."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(address, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        reply = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # "range not satisfiable": the part is already complete
            return
        raise
    with reply:
        have = have if reply.status == 206 else 0
        total = have + int(reply.headers.get("Content-Length", 0))
        print(f"setup: {name} ({total >> 20} MB{f', {have >> 20} MB already downloaded' if have else ''})", flush=True)
        with open(part, "ab" if have else "wb") as file:
            shutil.copyfileobj(reply, file, 1 << 20)
    if part.stat().st_size < total:
        sys.exit(f"setup: {name}: the connection broke after {part.stat().st_size >> 20} of {total >> 20} MB, which are kept")


def fetch(name, address, expected):
    """Downloads one wheel, resuming where an earlier attempt stopped, and returns its path."""
    whole, part = WHEELS / name, WHEELS / (name + ".part")
    if whole.exists():
        return whole
    if address.startswith("file://"):
        shutil.copyfile(urllib.request.url2pathname(address[len("file://"):]), part)
    else:
        download(name, address, part)
    if sha256(part) != expected:
        part.unlink()
        sys.exit(f"setup: {name}: corrupt download (its SHA-256 differs from the published one); removed it")
    part.rename(whole)
    return whole


def wanted(path, cuda):
    """The place under .libtorch/torch of a wheel's file `path`, or None if the file is not needed."""
    if ".dist-info/licenses/" in path:
        return "licences/" + path.replace(".dist-info/licenses", "")  # scripts/package hands them on with the libraries
    if path.startswith("nvidia/") and not cuda:
        name = path.rsplit("/", 1)[1]
        return f"lib/{name}" if name.startswith(("libcudart.so", "libcupti.so")) else None
    if not path.startswith("torch/"):
        return None
    inner = path[len("torch/"):]
    if not inner.startswith(("lib/", "include/")):
        return None
    if not cuda and inner.startswith("lib/") and ("cuda" in inner or "torch_python" in inner or "nvshmem" in inner):
        return None
    return inner


def unpack_for_cpu(wheels):
    """Unpacks what is needed without CUDA."""
    fresh = ROOT / "torch.new"
    shutil.rmtree(fresh, ignore_errors=True)
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for item in archive.infolist():
                target = wanted(item.filename, cuda=False)
                if target is None or item.is_dir():
                    continue
                path = fresh / target
                path.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(item) as source, open(path, "wb") as out:
                    shutil.copyfileobj(source, out, 1 << 20)
    (fresh / "lib/libtorch.so").write_text("INPUT(-ltorch_cpu)\n")
    replace_torch(fresh)


def replace_torch(fresh):
    """Puts `fresh` in the place of .libtorch/torch."""
    torch = ROOT / "torch"
    if torch.is_symlink():
        torch.unlink()
    else:
        shutil.rmtree(torch, ignore_errors=True)
    os.rename(fresh, torch)


def install_whole(wheels):
    """Unpacks all wheels into one folder like site-packages, because the CUDA libraries find each other by that layout."""
    site = ROOT / "site"
    shutil.rmtree(site, ignore_errors=True)
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
    link = ROOT / "torch.new"
    link.unlink(missing_ok=True)
    link.symlink_to("site/torch")
    replace_torch(link)


def main(version, cuda):
    WHEELS.mkdir(parents=True, exist_ok=True)
    requirements = [f"torch=={version}"]
    if cuda != "yes":
        # The libtorch_cpu.so of this wheel is linked to these two, which load without a GPU.
        requirements += ["nvidia-cuda-runtime==13.0.*", "nvidia-cuda-cupti==13.0.*"]
    wheels = [fetch(*wheel) for wheel in resolve(requirements, with_dependencies=cuda == "yes")]
    print("setup: unpacking", flush=True)
    install_whole(wheels) if cuda == "yes" else unpack_for_cpu(wheels)
    shutil.rmtree(WHEELS)
    (ROOT / "report.json").unlink()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (OSError, KeyError, http.client.HTTPException, subprocess.CalledProcessError, zipfile.BadZipFile) as error:
        sys.exit(f"setup: {type(error).__name__}: {error}")
