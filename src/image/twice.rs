//! Functions that are compiled twice: for every processor, and for those that have AVX2 and BMI2 (x86-64 since 2013),
//! which run loops over bytes several times as fast.

/// Defines a function, of whose two forms the processor at hand runs the faster one that it can.
macro_rules! compiled_twice {
    ($(#[$attribute:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block) => {
        $(#[$attribute])*
        $visibility fn $name($($argument: $type),*) $(-> $result)? {
            #[inline(always)]
            fn plain($($argument: $type),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,bmi2")]
                fn fast($($argument: $type),*) $(-> $result)? {
                    plain($($argument),*)
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi2") {
                    // SAFETY: the line above checked that this processor has what the function is compiled for.
                    return unsafe { fast($($argument),*) };
                }
            }
            plain($($argument),*)
        }
    };
}

pub(crate) use compiled_twice;
