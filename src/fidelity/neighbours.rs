//! Precision and recall of made images by their nearest neighbours (Kynkäänniemi et al., arXiv:1904.06991): around every
//! image lies a ball that reaches its third nearest neighbour, and the balls of a set together are what it covers.

use anyhow::{Result, ensure};
use serde::Serialize;
use tch::{Kind, TchError, Tensor, no_grad};

/// Neighbours that a ball reaches; the paper's choice (section 3.1).
const NEIGHBOURS: i64 = 3;
/// Images whose distances to all others are in memory at once: 40 MB for 10,000 others.
const BLOCK: i64 = 512;

/// How much of each set the other one covers, as shares from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Coverage {
    /// The share of the made images that lie among the real ones: how many look right.
    pub precision: f64,
    /// The share of the real images that lie among the made ones: how much of the variety is made.
    pub recall: f64,
}

/// The coverage of two sets of features of shapes (images, features).
///
/// # Errors
/// Returns an error if a set has too few images to have that many neighbours, or there is no memory.
pub fn coverage(real: &Tensor, made: &Tensor) -> Result<Coverage> {
    for features in [real, made] {
        let images = features.size()[0];
        ensure!(
            images > NEIGHBOURS,
            "precision and recall need {} images or more of each kind, found {images}",
            NEIGHBOURS + 1
        );
    }
    Ok(no_grad(|| {
        let (real, made) = (real.f_to_kind(Kind::Double)?, made.f_to_kind(Kind::Double)?);
        Ok::<_, TchError>(Coverage { precision: share_within(&made, &real)?, recall: share_within(&real, &made)? })
    })?)
}

/// The share of some images that lie in a ball around one of the others: equation 1 and 2.
fn share_within(images: &Tensor, others: &Tensor) -> Result<f64, TchError> {
    let radii = radii(others)?;
    let mut within = 0;
    for block in images.f_split(BLOCK, 0)? {
        let is_within = distances(&block, others)?.f_le_tensor(&radii)?.f_any_dim(1, false)?;
        within += is_within.f_sum(Kind::Int64)?.f_int64_value(&[])?;
    }
    Ok(within as f64 / images.size()[0] as f64)
}

/// The distance from each image to its third nearest neighbour, (images).
fn radii(images: &Tensor) -> Result<Tensor, TchError> {
    let blocks = images.f_split(BLOCK, 0)?.into_iter().map(|block| {
        // The nearest one is the image itself.
        let (radii, _) = distances(&block, images)?.f_kthvalue(NEIGHBOURS + 1, 1, false)?;
        Ok(radii)
    });
    Tensor::f_cat(&blocks.collect::<Result<Vec<_>, TchError>>()?, 0)
}

/// From each of the first images to each of the second, (first, second).
fn distances(first: &Tensor, second: &Tensor) -> Result<Tensor, TchError> {
    Tensor::f_cdist(first, second, 2.0, None)
}
