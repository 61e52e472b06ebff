//! Occlusion: what a network says when a part of its input is covered (Zeiler and Fergus, arXiv:1311.2901, section 4.2).

use anyhow::Result;
use tch::{Kind, Tensor};

use crate::network::{Mode, Network};

/// Places along each side of the input.
const PLACES: i64 = 14;
/// The side of the cover, as a share of the input's: about the paper's 50 of 224 pixels.
const COVER: f64 = 0.22;
/// Covered inputs that share a forward pass.
const BATCH: i64 = 14;

/// How far each class's probability falls when a square around each place is covered with zeros, the mean colour
/// if the experiment subtracts it: for each class (images, rows, columns).
pub fn occlusion(network: &Network, input: &Tensor, classes: &[usize]) -> Result<Vec<Tensor>> {
    let images = input.size()[0];
    let mut maps: Vec<Vec<Tensor>> = classes.iter().map(|_| Vec::new()).collect();
    for image in 0..images {
        let drops = of_image(network, &input.f_narrow(0, image, 1)?, classes)?;
        maps.iter_mut().zip(drops).for_each(|(maps, drop)| maps.push(drop));
    }
    maps.into_iter().map(|maps| Ok(Tensor::f_stack(&maps, 0)?)).collect()
}

fn of_image(network: &Network, input: &Tensor, classes: &[usize]) -> Result<Vec<Tensor>> {
    let probabilities = |input: &Tensor| -> Result<Tensor> {
        Ok(network.forward(input, Mode::Evaluation)?.values.f_softmax(-1, Kind::Float)?)
    };
    let (height, width) = (input.size()[2], input.size()[3]);
    let covers: Vec<[(i64, i64); 2]> =
        (0..PLACES * PLACES).map(|place| [cover(place / PLACES, height), cover(place % PLACES, width)]).collect();
    let whole = probabilities(input)?;
    let mut covered = Vec::new();
    for chunk in covers.chunks(BATCH as usize) {
        let copies = input.f_repeat([chunk.len() as i64, 1, 1, 1])?;
        for (copy, [(top, rows), (left, columns)]) in (0..).zip(chunk) {
            let _ = copies.f_select(0, copy)?.f_narrow(1, *top, *rows)?.f_narrow(2, *left, *columns)?.f_zero_()?;
        }
        covered.push(probabilities(&copies)?);
    }
    let drops = whole.f_sub(&Tensor::f_cat(&covered, 0)?)?;
    let of_class = |&class: &usize| Ok(drops.f_select(1, class as i64)?.f_view([PLACES, PLACES])?);
    classes.iter().map(of_class).collect()
}

/// The first covered pixel along a side of this many, and how many are covered, for the place of this number.
fn cover(place: i64, side: i64) -> (i64, i64) {
    let middle = (place as f64 + 0.5) * side as f64 / PLACES as f64;
    let half = COVER * side as f64 / 2.0;
    let (first, end) = ((middle - half).round().max(0.0), (middle + half).round().min(side as f64));
    (first as i64, ((end - first) as i64).max(1))
}
