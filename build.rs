//! Sets libtorch's run path, so that the program starts without LD_LIBRARY_PATH; passes libtorch's version to the
//! program; compiles what needs libtorch's C++; and embeds the experiments and recipes of `configs/`.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    link(&out)?;
    build_in(&out)
}

fn link(out: &Path) -> io::Result<()> {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    // Set by torch-sys's build script, which found the folder.
    let lib = env::var("DEP_TCH_LIBTORCH_LIB").unwrap_or_default();
    println!("cargo:rustc-env=TOPFIVE_LIBTORCH_VERSION={}", version(&lib).unwrap_or("of unknown version".to_string()));
    if lib.is_empty() {
        return Ok(());
    }
    let lib = fs::canonicalize(&lib).unwrap_or(lib.into());
    compile(&lib, out)?;
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
    if lib.join("libtorch_cuda.so").exists() {
        // Nothing refers to a symbol of the CUDA half; without this the linker would drop it and no GPU would be seen.
        println!("cargo:rustc-link-arg=-Wl,--no-as-needed,-ltorch");
    }
    Ok(())
}

/// The headers of Gloo that libtorch's own include.
const GLOO: [&str; 5] = ["algorithm.h", "common/error.h", "context.h", "rendezvous/store.h", "transport/device.h"];

/// Compiles the process groups and the convolution.
fn compile(lib: &Path, out: &Path) -> io::Result<()> {
    let sources = ["src/native/processes.cpp", "src/native/convolution.cpp"];
    for source in sources.iter().chain(&["src/native/gloo.h"]) {
        println!("cargo:rerun-if-changed={source}");
    }
    for header in GLOO {
        let header = out.join("include/gloo").join(header);
        fs::create_dir_all(header.parent().unwrap_or(out))?;
        fs::copy("src/native/gloo.h", header)?;
    }
    let include = lib.with_file_name("include");
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").warnings(false).files(sources);
    build.define("USE_C10D_GLOO", None).define("_GLIBCXX_USE_CXX11_ABI", "1");
    build.include(&include).include(include.join("torch/csrc/api/include")).include(out.join("include"));
    build.try_compile("topfive_native").map_err(io::Error::other)
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
fn build_in(out: &Path) -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let mut code = String::new();
    for (constant, folder) in [("EXPERIMENTS", "configs"), ("GANS", "configs/gans"), ("RECIPES", "configs/recipes")] {
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
    fs::write(out.join("builtin.rs"), code)
}
