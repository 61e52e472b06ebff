//! The rows of the papers' tables, expanded into layers.

use super::spec::{
    BasicConv, BatchNorm, Block, Branches, Conv, Inception, Layer, Pair, Pool, Residual, ResidualStage, Sequence,
    Shortcut, Shortcuts, VggStage, Width,
};

/// The layers of a row that expands into several entries of its own list; `None` for any other layer.
pub fn several(layer: &Layer) -> Option<Vec<Layer>> {
    match layer {
        Layer::VggStage(row) => Some(vgg_stage(row)),
        _ => None,
    }
}

/// A convolution, a batch norm if asked for, and a ReLU.
pub fn basic_conv(row: &BasicConv) -> Layer {
    let mut layers = vec![Layer::Conv(Conv {
        name: Some("conv".into()),
        channels: Width::Fixed(row.channels),
        kernel: row.kernel,
        stride: row.stride,
        padding: row.padding,
        groups: 1,
        bias: !row.batch_norm,
        start_bias: None,
    })];
    if row.batch_norm {
        layers.push(batch_norm(Some("bn")));
    }
    layers.push(Layer::Relu);
    Layer::Sequence(Sequence { name: row.name.clone(), layers })
}

/// Convolutions with their ReLUs, then a max pool.
pub fn vgg_stage(row: &VggStage) -> Vec<Layer> {
    let mut layers = Vec::new();
    for _ in 0..row.convs {
        layers.push(Layer::Conv(Conv { bias: true, ..conv3x3(None, row.channels, 1) }));
        if row.batch_norm {
            layers.push(batch_norm(None));
        }
        layers.push(Layer::Relu);
    }
    layers.push(Layer::MaxPool(Pool { kernel: Pair::square(2), stride: None, padding: Pair::default(), ceil: false }));
    layers
}

/// Four branches side by side.
pub fn inception(row: &Inception) -> Layer {
    let [direct, reduce3, out3, reduce5, out5, project] = row.channels;
    let conv = |name: Option<&str>, channels, kernel: Pair| {
        Layer::BasicConv(BasicConv {
            name: name.map(str::to_string),
            channels,
            kernel,
            stride: Pair::one(),
            padding: Pair(kernel.0.map(|side| side / 2)),
            batch_norm: row.batch_norm,
        })
    };
    let reduced = |reduce, channels, kernels: &[Pair]| {
        let spread = kernels.iter().map(|&kernel| conv(None, channels, kernel));
        [conv(None, reduce, Pair::one())].into_iter().chain(spread).collect()
    };
    let chain = |name: &str, layers| Layer::Sequence(Sequence { name: Some(name.into()), layers });
    let pool =
        Layer::MaxPool(Pool { kernel: Pair::square(3), stride: Some(Pair::one()), padding: Pair::one(), ceil: true });
    Layer::Branches(Branches {
        name: Some(row.name.clone()),
        branches: vec![
            conv(Some("branch1"), direct, Pair::one()),
            chain("branch2", reduced(reduce3, out3, &row.kernels_3x3)),
            chain("branch3", reduced(reduce5, out5, &row.kernels_5x5)),
            chain("branch4", vec![pool, conv(None, project, Pair::one())]),
        ],
    })
}

/// Residual blocks one after another, on an input of `channels` channels.
pub fn residual_stage(row: &ResidualStage, channels: i64) -> Layer {
    let outputs = match row.block {
        Block::Basic => row.channels,
        Block::Bottleneck => 4 * row.channels,
    };
    let layers = (0..row.blocks).map(|index| {
        let stride = if index == 0 { row.stride } else { 1 };
        let body = match row.block {
            Block::Basic => basic_body(row.channels, stride),
            Block::Bottleneck => bottleneck_body(row.channels, stride),
        };
        residual_block(body, index == 0 && (stride != 1 || channels != outputs), row.shortcuts)
    });
    Layer::Sequence(Sequence { name: Some(row.name.clone()), layers: layers.collect() })
}

fn basic_body(channels: i64, stride: i64) -> Vec<Layer> {
    vec![
        Layer::Conv(conv3x3(Some("conv1"), channels, stride)),
        batch_norm(Some("bn1")),
        Layer::Relu,
        Layer::Conv(conv3x3(Some("conv2"), channels, 1)),
        batch_norm(Some("bn2")),
    ]
}

fn bottleneck_body(channels: i64, stride: i64) -> Vec<Layer> {
    vec![
        Layer::Conv(conv1x1(Some("conv1"), channels, Pair::one())),
        batch_norm(Some("bn1")),
        Layer::Relu,
        Layer::Conv(conv3x3(Some("conv2"), channels, stride)),
        batch_norm(Some("bn2")),
        Layer::Relu,
        Layer::Conv(conv1x1(Some("conv3"), 4 * channels, Pair::one())),
        batch_norm(Some("bn3")),
    ]
}

/// A body with its shortcut; `resized` if the body's output differs in size from its input.
fn residual_block(body: Vec<Layer>, resized: bool, shortcuts: Shortcuts) -> Layer {
    let shortcut = match (shortcuts, resized) {
        (Shortcuts::None, _) => {
            let layers = body.into_iter().chain([Layer::Relu]).collect();
            return Layer::Sequence(Sequence { name: None, layers });
        }
        (Shortcuts::A | Shortcuts::ABothSides | Shortcuts::B, false) => Shortcut::Identity,
        (Shortcuts::A, true) => Shortcut::ZeroPadded,
        (Shortcuts::ABothSides, true) => Shortcut::ZeroPaddedBothSides,
        (Shortcuts::B, true) | (Shortcuts::C, _) => Shortcut::Projection,
    };
    Layer::Residual(Residual { name: None, body, shortcut })
}

/// The layers of a projection shortcut with `channels` output channels and this stride.
pub fn projection(channels: i64, stride: [i64; 2]) -> Vec<Layer> {
    vec![Layer::Conv(conv1x1(None, channels, Pair(stride))), batch_norm(None)]
}

fn conv1x1(name: Option<&str>, channels: i64, stride: Pair) -> Conv {
    Conv { kernel: Pair::one(), stride, padding: Pair::default(), ..conv3x3(name, channels, 1) }
}

/// A 3x3 convolution with padding 1 and no bias: a batch norm after it would cancel one.
fn conv3x3(name: Option<&str>, channels: i64, stride: i64) -> Conv {
    Conv {
        name: name.map(str::to_string),
        channels: Width::Fixed(channels),
        kernel: Pair::square(3),
        stride: Pair::square(stride),
        padding: Pair::one(),
        groups: 1,
        bias: false,
        start_bias: None,
    }
}

fn batch_norm(name: Option<&str>) -> Layer {
    Layer::BatchNorm(BatchNorm { name: name.map(str::to_string), momentum: BatchNorm::momentum() })
}
