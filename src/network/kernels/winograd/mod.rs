//! Convolutions of 3x3 at stride 1 by Winograd's minimal filtering, F(2x2, 3x3): 16 products for each 2x2 pixels and pair of
//! channels, where the plain sum takes 36. Lavin and Gray, arXiv:1509.09308, section 4.1. The factors of its transforms are
//! 1 and 1/2, so it is as exact in 32 bits as the plain sum.

mod lanes;
mod layer;
mod product;
mod weights;

use tch::{Device, Kind, Tensor};

use super::{Map, Result, values, values_mut};
use crate::native::convolution::Direction;
use crate::network::node::{Node, Window};
pub use lanes::LANES;
use layer::{Layer, Level, Pixels};
use product::PANEL;
pub use weights::transform;

/// Pixels of the output, along each axis, that a tile computes.
const TILE: usize = 2;
/// Pixels of the input, along each axis, that a tile reads.
const PATCH: usize = TILE + 2;
/// Products for each tile and pair of channels.
const PRODUCTS: usize = PATCH * PATCH;
/// Pixels of a batch's output from which it is faster than the plain sum, by measurement on ResNet-34, VGG-16 and GoogLeNet.
const LEAST_PIXELS: i64 = 128;
/// Channels from which it is.
const LEAST_CHANNELS: i64 = 64;

/// Whether a convolution can be computed so, and is faster: each of its weights, nearly twice as many, must serve enough
/// pixels of the batch's output.
pub fn suits(node: &Node, window: Window, groups: i64, batch: i64) -> bool {
    let (inputs, outputs) = (node.input.channels(), node.output.channels());
    let pixels = batch * node.output.elements() / outputs;
    let fits = |channels: i64| channels % LANES as i64 == 0 && channels >= LEAST_CHANNELS;
    let is_such =
        window.kernel == [3, 3] && window.stride == [1, 1] && window.padding.iter().all(|pixels| *pixels <= 2);
    is_such && groups == 1 && fits(inputs) && fits(outputs) && pixels >= LEAST_PIXELS && Level::of_processor().is_some()
}

/// The shape of the transformed weights of a convolution: (panels of outputs, products, inputs, outputs of a panel); the last
/// panel may end in zeros.
pub fn weight_shape(inputs: i64, outputs: i64) -> [i64; 4] {
    let panels = (outputs as usize).div_ceil(PANEL);
    [panels as i64, PRODUCTS as i64, inputs, PANEL as i64]
}

/// A convolution with transformed weights and as many biases as outputs, plus a map of its output's size if there is one,
/// then the ReLU if `relu`. `padding` is the pixels around the map, [height, width]. Inputs and outputs are multiples of
/// [`LANES`].
///
/// # Errors
/// Returns libtorch's error: in practice, out of memory.
pub fn convolution(
    input: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    padding: [i64; 2],
    relu: bool,
    addend: Option<&Tensor>,
) -> Result<Tensor> {
    let (input, bias, weight) = (Map::of(input)?, values(bias)?, values(weight)?);
    let addend = addend.map(Map::of).transpose()?;
    let padding = padding.map(|pixels| pixels as usize);
    let (height, width) = (input.height + 2 * padding[0] - 2, input.width + 2 * padding[1] - 2);
    let mut output = Map::empty([input.images, height, width, bias.len()])?;
    let layer = Layer {
        tiles: [height.div_ceil(TILE), width.div_ceil(TILE)],
        size: [height, width],
        input: Pixels {
            values: values(&input.tensor)?,
            images: input.images,
            height: input.height,
            width: input.width,
        },
        zeros: &vec![0.0; input.channels],
        weight: weight.as_chunks().0,
        bias,
        addend: addend.as_ref().map(|map| values(&map.tensor)).transpose()?,
        padding,
        relu,
    };
    layer.fill(values_mut(&mut output.tensor)?);
    output.into_tensor()
}

/// The same for training, from weights as they are; also the gradient of the input from that of the output.
///
/// # Errors
/// Returns libtorch's error: in practice, out of memory.
pub fn algorithm(
    map: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    padding: [i64; 2],
    direction: Direction,
) -> Result<Tensor> {
    let transformed = transform(weight, direction)?;
    let (outputs, padding) = match direction {
        Direction::Forward => (weight.size()[0], padding),
        // The gradient's own border is as far outside as the input's is inside.
        Direction::Backward => (weight.size()[1], padding.map(|pixels| 2 - pixels)),
    };
    let none = Tensor::f_zeros([outputs], (Kind::Float, Device::Cpu))?;
    convolution(map, &transformed, bias.unwrap_or(&none), padding, false, None)
}
