//! Sets libtorch's run path, so that the program starts without LD_LIBRARY_PATH; passes libtorch's version to the
//! program; and embeds the experiments and recipes of `configs/`.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    link();
    build_in()
}

fn link() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    // Set by torch-sys's build script, which found the folder.
    let lib = env::var("DEP_TCH_LIBTORCH_LIB").unwrap_or_default();
    println!("cargo:rustc-env=TOPFIVE_LIBTORCH_VERSION={}", version(&lib).unwrap_or("of unknown version".to_string()));
    if lib.is_empty() {
        return;
    }
    let lib = fs::canonicalize(&lib).unwrap_or(lib.into());
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
    if lib.join("libtorch_cuda.so").exists() {
        // Nothing refers to a symbol of the CUDA half; without this the linker would drop it and no GPU would be seen.
        println!("cargo:rustc-link-arg=-Wl,--no-as-needed,-ltorch");
    }
}

/// The three numbers in libtorch's own header.
fn version(lib: &str) -> Option<String> {
    let include = Path::new(lib).parent()?.join("include/torch");
    let header = fs::read_to_string(include.join("headeronly/version.h"))
        .or_else(|_| fs::read_to_string(include.join("csrc/api/include/torch/version.h")))
        .ok()?;
    let number = |name: &str| {
        let prefix = format!("#define TORCH_VERSION_{name} ");
        header.lines().find_map(|line| line.strip_prefix(&prefix)).map(str::trim)
    };
    Some(format!("{}.{}.{}", number("MAJOR")?, number("MINOR")?, number("PATCH")?))
}

/// Writes builtin.rs, which `src/experiment/builtin.rs` includes.
fn build_in() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let mut code = String::new();
    for (constant, folder) in [("EXPERIMENTS", "configs"), ("RECIPES", "configs/recipes")] {
        println!("cargo:rerun-if-changed={folder}");
        let mut paths: Vec<PathBuf> =
            fs::read_dir(root.join(folder))?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        paths.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
        paths.sort_by_key(|path| path.file_stem().map(ToOwned::to_owned));
        let entries: String = paths
            .iter()
            .map(|path| {
                let name = path.file_stem().unwrap_or_default().to_string_lossy();
                format!("({name:?}, include_str!({:?})), ", path.display().to_string())
            })
            .collect();
        let _ = writeln!(code, "const {constant}: &[(&str, &str)] = &[{entries}];");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("builtin.rs"), code)
}
