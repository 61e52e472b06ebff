//! How exactly a GPU multiplies 32-bit floats in convolutions.

use std::ffi::c_void;
use std::sync::LazyLock;

use tch::TchError;

use super::find;

type Context = *mut c_void;
/// `at::globalContext()` and `at::Context::setAllowTF32CuDNN(bool)`, which libtorch exports under these names.
type GlobalContext = unsafe extern "C" fn() -> Context;
type SetAllowed = unsafe extern "C" fn(context: Context, is_allowed: bool);

static FUNCTIONS: LazyLock<Option<(GlobalContext, SetAllowed)>> = LazyLock::new(|| {
    let context = find(c"_ZN2at13globalContextEv")?;
    let set = find(c"_ZN2at7Context17setAllowTF32CuDNNEb")?;
    // SAFETY: the types are those of the declarations in ATen/Context.h, as the Itanium C++ ABI passes them.
    Some(unsafe {
        (
            std::mem::transmute::<*mut c_void, GlobalContext>(context),
            std::mem::transmute::<*mut c_void, SetAllowed>(set),
        )
    })
});

/// Whether convolutions on a GPU may round their factors to TF32's 10 bits, as PyTorch lets them: several times as fast, but
/// a thousandth off.
///
/// # Errors
/// Returns an error if this libtorch does not export the setting.
pub fn allow(is_allowed: bool) -> Result<(), TchError> {
    let Some((context, set)) = *FUNCTIONS else {
        return Err(TchError::Torch("this libtorch does not let TF32 be chosen; topfive needs 2.11.0".to_string()));
    };
    // SAFETY: libtorch's context lives as long as the program.
    unsafe { set(context(), is_allowed) };
    Ok(())
}
