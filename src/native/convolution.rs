//! A convolution for training by an algorithm of our own: libtorch's autograd calls it, by the C interface of
//! `convolution.cpp`.

use std::ffi::c_void;
use std::{mem, ptr, slice};

use tch::Tensor;

use super::processes::{Failure, checked};
use super::{Handle, Result, handle};

/// What an algorithm is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The output, from the input.
    Forward,
    /// The gradient of the input, from that of the output.
    Backward,
}

/// Computes a map of (images, channels, height, width) from one, weights of (outputs, inputs, height, width), as many biases
/// as outputs if there are some, and the pixels of padding around the input, [height, width].
pub type Algorithm = fn(&Tensor, &Tensor, Option<&Tensor>, [i64; 2], Direction) -> Result<Tensor>;

type Compute = extern "C" fn(Handle, Handle, Handle, *const i64, bool, *const c_void) -> Handle;

unsafe extern "C" {
    fn topfive_convolution(
        map: Handle,
        weight: Handle,
        bias: Handle,
        padding: *const i64,
        compute: Compute,
        algorithm: *const c_void,
        output: *mut Handle,
    ) -> Failure;
}

/// A convolution at stride 1 that gradients pass through; libtorch computes those of the weights and biases.
///
/// # Errors
/// Returns an error if the sizes do not fit together, or memory does not suffice.
pub fn convolution(
    map: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    padding: [i64; 2],
    algorithm: Algorithm,
) -> Result<Tensor> {
    let bias = bias.map_or(ptr::null_mut(), handle);
    let mut output = ptr::null_mut();
    // SAFETY: every pointer is valid for the call; the graph keeps the tensors, and functions live forever.
    checked(unsafe {
        let algorithm = algorithm as *const c_void;
        topfive_convolution(handle(map), handle(weight), bias, padding.as_ptr(), compute, algorithm, &raw mut output)
    })?;
    // SAFETY: the function succeeded, and the new tensor is the caller's.
    Ok(unsafe { Tensor::from_ptr(output) })
}

/// What libtorch calls: null stands for a failure.
extern "C" fn compute(
    map: Handle,
    weight: Handle,
    bias: Handle,
    padding: *const i64,
    backward: bool,
    algorithm: *const c_void,
) -> Handle {
    let direction = if backward { Direction::Backward } else { Direction::Forward };
    // SAFETY: the C++ side passes tensors that live through the call, two numbers, and what `convolution` gave it.
    let (map, weight, bias, padding, algorithm) = unsafe {
        let bias = (!bias.is_null()).then(|| Tensor::clone_from_ptr(bias));
        let padding = slice::from_raw_parts(padding, 2);
        let algorithm = mem::transmute::<*const c_void, Algorithm>(algorithm);
        (Tensor::clone_from_ptr(map), Tensor::clone_from_ptr(weight), bias, [padding[0], padding[1]], algorithm)
    };
    let Ok(mut output) = algorithm(&map, &weight, bias.as_ref(), padding, direction) else { return ptr::null_mut() };
    let handle = output.as_mut_ptr();
    mem::forget(output);
    handle
}
