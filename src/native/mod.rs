//! libtorch beyond tch: oneDNN's layers with what follows them as one operation. libtorch exports them as C functions
//! (`torch/csrc/inductor/aoti_torch/c/shim_cpu.h`), whose handle of a tensor is the pointer that tch holds. They are
//! looked up in the running program, so that it also builds and runs with a libtorch that lacks them. Process groups and
//! gradients of our own have no C functions, so `processes` and `convolution` bring some C++.

pub mod convolution;
pub mod processes;
pub mod tf32;
pub mod threads;

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::LazyLock;

use tch::{TchError, Tensor};
use torch_sys::C_tensor;

type Result<T> = std::result::Result<T, TchError>;

type Handle = *mut C_tensor;

type Convolution = unsafe extern "C" fn(
    input: Handle,
    weight: Handle,
    bias: *const Handle,
    padding: *const i64,
    paddings: i64,
    stride: *const i64,
    strides: i64,
    dilation: *const i64,
    dilations: i64,
    groups: i64,
    then: *const c_char,
    scalars: *const *const f64,
    scalar_count: i64,
    algorithm: *const *const c_char,
    output: *mut Handle,
) -> c_int;

type ConvolutionAndSum = unsafe extern "C" fn(
    input: Handle,
    addend: Handle,
    weight: Handle,
    bias: *const Handle,
    padding: *const i64,
    paddings: i64,
    stride: *const i64,
    strides: i64,
    dilation: *const i64,
    dilations: i64,
    groups: i64,
    binary: *const c_char,
    alpha: *const f64,
    then: *const *const c_char,
    scalars: *const *const f64,
    scalar_count: i64,
    algorithm: *const *const c_char,
    output: *mut Handle,
) -> c_int;

type Linear = unsafe extern "C" fn(
    input: Handle,
    weight: Handle,
    bias: *const Handle,
    then: *const c_char,
    scalars: *const *const f64,
    scalar_count: i64,
    algorithm: *const *const c_char,
    output: *mut Handle,
) -> c_int;

struct Functions {
    convolution: Convolution,
    convolution_and_sum: ConvolutionAndSum,
    linear: Linear,
}

static FUNCTIONS: LazyLock<Option<Functions>> = LazyLock::new(|| {
    silence();
    // SAFETY: the types are those of the declarations in shim_cpu.h of libtorch 2.11.
    unsafe {
        Some(Functions {
            convolution: std::mem::transmute::<*mut c_void, Convolution>(find(
                c"aoti_torch_cpu_mkldnn__convolution_pointwise",
            )?),
            convolution_and_sum: std::mem::transmute::<*mut c_void, ConvolutionAndSum>(find(
                c"aoti_torch_cpu_mkldnn__convolution_pointwise_binary",
            )?),
            linear: std::mem::transmute::<*mut c_void, Linear>(find(c"aoti_torch_cpu__linear_pointwise")?),
        })
    }
});

/// Keeps libtorch from writing a failure with its stack trace to standard error: a failed function returns a status, too.
fn silence() {
    const FATAL: c_int = 3;
    if let Some(level) = find(c"FLAGS_caffe2_log_level") {
        // SAFETY: in c10/util/Logging.cpp this is an int, the least severity that is written.
        unsafe { level.cast::<c_int>().write(FATAL) };
    }
}

fn find(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: dlsym only reads the name.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!address.is_null()).then_some(address)
}

/// Whether libtorch has these functions.
pub fn is_present() -> bool {
    FUNCTIONS.is_some()
}

fn functions() -> Result<&'static Functions> {
    FUNCTIONS.as_ref().ok_or_else(|| TchError::Torch("this libtorch lacks oneDNN's fused layers".to_string()))
}

/// A convolution's tensors and numbers, [height, width] each.
#[derive(Clone, Copy, Debug)]
pub struct Conv<'a> {
    /// (outputs, inputs / groups, height, width), plain or as oneDNN packs it.
    pub weight: &'a Tensor,
    /// One value per output.
    pub bias: &'a Tensor,
    /// The pixels between two positions.
    pub stride: [i64; 2],
    /// The pixels around the map that it covers, on each side.
    pub padding: [i64; 2],
    /// Groups of channels that do not see each other.
    pub groups: i64,
    /// Whether a ReLU follows.
    pub relu: bool,
}

const DILATION: [i64; 2] = [1, 1];

/// A convolution. The output is in channels-last order if the weight is, or if it is packed.
///
/// # Errors
/// Returns an error if the sizes do not fit together, or memory does not suffice.
pub fn convolution(input: &Tensor, conv: Conv) -> Result<Tensor> {
    let convolution = functions()?.convolution;
    let mut output = ptr::null_mut();
    // SAFETY: every pointer is valid for the call, and no function keeps one.
    let status = unsafe {
        convolution(
            handle(input),
            handle(conv.weight),
            &handle(conv.bias),
            conv.padding.as_ptr(),
            2,
            conv.stride.as_ptr(),
            2,
            DILATION.as_ptr(),
            2,
            conv.groups,
            activation(conv.relu).as_ptr(),
            ptr::null(),
            0,
            ptr::null(),
            &raw mut output,
        )
    };
    owned(status, output, "convolution")
}

/// A convolution plus a map of its output's size, then the ReLU.
///
/// # Errors
/// See [`convolution()`].
pub fn convolution_and_sum(input: &Tensor, conv: Conv, addend: &Tensor) -> Result<Tensor> {
    let convolution = functions()?.convolution_and_sum;
    let relu = c"relu".as_ptr();
    let then = if conv.relu { &raw const relu } else { ptr::null() };
    let mut output = ptr::null_mut();
    // SAFETY: every pointer is valid for the call, and no function keeps one.
    let status = unsafe {
        convolution(
            handle(input),
            handle(addend),
            handle(conv.weight),
            &handle(conv.bias),
            conv.padding.as_ptr(),
            2,
            conv.stride.as_ptr(),
            2,
            DILATION.as_ptr(),
            2,
            conv.groups,
            c"add".as_ptr(),
            ptr::null(),
            then,
            ptr::null(),
            0,
            ptr::null(),
            &raw mut output,
        )
    };
    owned(status, output, "convolution and sum")
}

/// A fully connected layer, followed by the ReLU if `relu`.
///
/// # Errors
/// See [`convolution()`].
pub fn linear(input: &Tensor, weight: &Tensor, bias: &Tensor, relu: bool) -> Result<Tensor> {
    let linear = functions()?.linear;
    let mut output = ptr::null_mut();
    // SAFETY: every pointer is valid for the call, and the function keeps none.
    let status = unsafe {
        linear(
            handle(input),
            handle(weight),
            &handle(bias),
            activation(relu).as_ptr(),
            ptr::null(),
            0,
            ptr::null(),
            &raw mut output,
        )
    };
    owned(status, output, "linear layer")
}

fn handle(tensor: &Tensor) -> Handle {
    tensor.as_ptr().cast_mut()
}

/// oneDNN's name of what follows a layer.
fn activation(relu: bool) -> &'static CStr {
    if relu { c"relu" } else { c"none" }
}

/// The tensor that a function returned.
fn owned(status: c_int, output: Handle, what: &str) -> Result<Tensor> {
    if status != 0 || output.is_null() {
        // The functions return no reason. Sizes are proved, which leaves one.
        return Err(TchError::Torch(format!("a fused {what} failed: in practice, out of memory")));
    }
    // SAFETY: the function succeeded, and the new tensor is the caller's.
    Ok(unsafe { Tensor::from_ptr(output) })
}
