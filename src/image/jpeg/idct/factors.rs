//! The factors of the transform, in fixed point; each is called after its value.

/// Fractional bits of the constants below.
pub const CONSTANT_BITS: u32 = 13;
/// Fractional bits that the column pass keeps for the row pass.
pub const PASS_BITS: u32 = 2;

pub const F_0_298631336: i32 = 2446;
pub const F_0_390180644: i32 = 3196;
pub const F_0_541196100: i32 = 4433;
pub const F_0_765366865: i32 = 6270;
pub const F_0_899976223: i32 = 7373;
pub const F_1_175875602: i32 = 9633;
pub const F_1_501321110: i32 = 12299;
pub const F_1_847759065: i32 = 15137;
pub const F_1_961570560: i32 = 16069;
pub const F_2_053119869: i32 = 16819;
pub const F_2_562915447: i32 = 20995;
pub const F_3_072711026: i32 = 25172;
