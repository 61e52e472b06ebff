"""Gathers the licences of everything in a package; scripts/package calls it.

    licences.py PACKAGE LIBTORCH

PACKAGE/licences receives those of libtorch and the libraries that come with it (which scripts/setup keeps in
LIBTORCH/licences, and pip beside torch), of Rust's standard library, and, in THIRD-PARTY.txt, of the crates compiled in.
"""

import json
import pathlib
import shutil
import subprocess
import sys

TARGET = "x86_64-unknown-linux-gnu"
NAMES = ("LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE")
SOURCES = {".rs", ".c", ".h", ".py"}
# The wheels that a library in PACKAGE/lib may come from, by the start of its name.
WHEELS = {"libtorch_cpu": "torch", "libcudart": "nvidia_cuda_runtime", "libcupti": "nvidia_cuda_cupti"}


def fail(message, remedy):
    sys.exit(f"package: {message}\n         To fix this, {remedy}.")


def output(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def of_libtorch(package, libtorch, licences):
    own = pathlib.Path(".libtorch/licences")  # filled by hand, where libtorch came without its licences
    for wheel in [*libtorch.glob("licences/*-*"), *own.glob("*-*")]:
        shutil.copytree(wheel, licences / wheel.name, dirs_exist_ok=True)
    for texts in libtorch.resolve().parent.glob("torch-*.dist-info/licenses"):
        shutil.copytree(texts, licences / texts.parent.stem, dirs_exist_ok=True)
    for library in sorted((package / "lib").iterdir()):
        for start, wheel in WHEELS.items():
            if library.name.startswith(start) and not list(licences.glob(f"{wheel}-*/[Ll][Ii][Cc][Ee][Nn][Ss][Ee]*")):
                fail(
                    f"{libtorch}/licences/{wheel}-VERSION: expected the licence of {library.name}, found none",
                    f"copy the folder {wheel}-VERSION.dist-info/licenses of its wheel to {own}/{wheel}-VERSION, "
                    "or delete .libtorch and run scripts/setup",
                )


def of_rust(licences):
    texts = pathlib.Path(output("rustc", "--print", "sysroot").strip(), "share/doc/rust")
    if not (texts / "COPYRIGHT-library.html").exists():
        fail(f"{texts}/COPYRIGHT-library.html: expected the licences of Rust's standard library, found none", "install Rust with rustup")
    shutil.copytree(texts / "licenses", licences / "rust/licenses")
    shutil.copy(texts / "COPYRIGHT-library.html", licences / "rust")


def compiled_in(metadata):
    """The crates that normal dependencies reach, macros included, by name and version; topfive itself is left out."""
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = metadata["resolve"]["root"]
    reached, pending = set(), [root]
    while pending:
        crate = pending.pop()
        if crate in reached:
            continue
        reached.add(crate)
        for dependency in nodes[crate]["deps"]:
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                pending.append(dependency["pkg"])
    return sorted((packages[crate] for crate in reached - {root}), key=lambda package: (package["name"], package["version"]))


def texts_of(crate):
    """A crate's licence files, those of the C code in it included: (path within the crate, text), sorted by path."""
    folder = pathlib.Path(crate["manifest_path"]).parent
    paths = {path for path in folder.rglob("*") if path.name.upper().startswith(NAMES) and path.suffix not in SOURCES}
    if crate["license_file"]:
        paths.add(folder / crate["license_file"])
    return [(str(path.relative_to(folder)), path.read_text("utf-8", "replace")) for path in sorted(paths) if path.is_file()]


def of_crates(out):
    """Writes name, version, licence expression and texts of each crate; a text that several share is written once."""
    crates = compiled_in(json.loads(output("cargo", "metadata", "--format-version", "1", "--filter-platform", TARGET)))
    texts = {crate["id"]: texts_of(crate) for crate in crates}
    # A crate published without its licence file is covered by that of its repository, which a sibling crate carries.
    by_repository = {crate["repository"]: texts[crate["id"]] for crate in crates if crate["repository"] and texts[crate["id"]]}
    written = {}
    for crate in crates:
        title = f"{crate['name']} {crate['version']}"
        out.write(f"{'=' * 100}\n{title}\nLicence: {crate['license']}\nSource: {crate['repository']}\n\n")
        found = texts[crate["id"]] or by_repository.get(crate["repository"])
        if not found:
            fail(f"{title}: neither this crate nor another of its repository carries a licence file",
                 f"copy its licence to {pathlib.Path(crate['manifest_path']).parent}")
        for path, text in found:
            if text in written:
                out.write(f"--- {path}: the same text as {written[text]}\n")
            else:
                written[text] = f"{path} of {title}"
                out.write(f"--- {path}\n{text}\n")


def main(package, libtorch):
    licences = package / "licences"
    licences.mkdir()
    of_libtorch(package, libtorch, licences)
    of_rust(licences)
    with open(licences / "THIRD-PARTY.txt", "w", encoding="utf-8") as out:
        of_crates(out)


if __name__ == "__main__":
    main(*map(pathlib.Path, sys.argv[1:]))
