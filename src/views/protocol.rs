//! The test protocols of the papers, by name, and the views that each stands for.

use std::fmt;
use std::str::FromStr;

use super::{Average, Crop, Part, Sizes};
use crate::nearest::did_you_mean;

/// A test protocol of a paper. Sizes are its authors' for an input of 224 pixels, and follow the input elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The central crop: torchvision, Caffe.
    Center,
    /// The central crop and its mirror.
    Mirror,
    /// The crops at the four corners and the center, and their mirrors. AlexNet, section 4.1.
    TenCrop,
    /// Four scales, three squares of each, six crops of each, and their mirrors. Szegedy et al., arXiv:1409.4842,
    /// section 7.
    Googlenet144,
    /// The whole image and its mirror through the network as a convolution. Simonyan and Zisserman, arXiv:1409.1556,
    /// section 3.2; sides as in section 4.1.
    Dense,
    /// The same at three scales. Same paper, section 4.2.
    DenseMultiscale,
    /// A 5x5 grid of crops, and their mirrors. Same paper, section 3.2.
    MultiCrop50,
    /// The same at three scales. Same paper, section 4.3.
    MultiCrop150,
    /// The mean of both at three scales. Same paper, section 4.3.
    DenseMultiCrop,
    /// The whole image through the network as a convolution at five scales. He et al., arXiv:1512.03385, section 3.4.
    ResnetMultiscale,
    /// The same with mirrors: the paper does not say whether it had them.
    ResnetMultiscaleMirror,
}

const NAMES: [(Protocol, &str); 11] = [
    (Protocol::Center, "center"),
    (Protocol::Mirror, "mirror"),
    (Protocol::TenCrop, "ten-crop"),
    (Protocol::Googlenet144, "googlenet-144"),
    (Protocol::Dense, "dense"),
    (Protocol::DenseMultiscale, "dense-multiscale"),
    (Protocol::MultiCrop50, "multi-crop-50"),
    (Protocol::MultiCrop150, "multi-crop-150"),
    (Protocol::DenseMultiCrop, "dense+multi-crop"),
    (Protocol::ResnetMultiscale, "resnet-multiscale"),
    (Protocol::ResnetMultiscaleMirror, "resnet-multiscale-mirror"),
];

impl Protocol {
    /// All protocols, the simplest first.
    pub fn all() -> impl Iterator<Item = Protocol> {
        NAMES.iter().map(|&(protocol, _)| protocol)
    }

    /// Its name on the command line and in JSON.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|&&(protocol, _)| protocol == self).map_or("", |&(_, name)| name)
    }

    fn has_one_scale(self) -> bool {
        matches!(
            self,
            Protocol::Center | Protocol::Mirror | Protocol::TenCrop | Protocol::Dense | Protocol::MultiCrop50
        )
    }
}

/// A protocol, optionally with a custom shorter side: `dense:384`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// The protocol.
    pub protocol: Protocol,
    /// The shorter side in pixels, instead of the protocol's.
    pub side: Option<u32>,
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, side) = text.split_once(':').map_or((text, None), |(name, side)| (name, Some(side)));
        let known = || NAMES.iter().map(|&(_, name)| name);
        let protocol =
            NAMES.iter().find(|&&(_, known)| known == name).map(|&(protocol, _)| protocol).ok_or_else(|| {
                let near = did_you_mean(name, known());
                format!("unknown protocol '{name}'{near}. The protocols are {}", known().collect::<Vec<_>>().join(", "))
            })?;
        let Some(side) = side else { return Ok(Named { protocol, side: None }) };
        if !protocol.has_one_scale() {
            return Err(format!("'{text}': {name} has fixed scales; remove ':{side}'"));
        }
        match side.parse() {
            Ok(side) => Ok(Named { protocol, side: Some(side) }),
            Err(_) => Err(format!("'{text}': expected the shorter side in pixels after the colon, found '{side}'")),
        }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.protocol.name())?;
        self.side.map_or(Ok(()), |side| write!(f, ":{side}"))
    }
}

impl Named {
    /// The views that the protocol stands for, as parts that count equally.
    pub fn parts(&self, sizes: &Sizes) -> Vec<Part> {
        // From the papers' input of 224 pixels to the network's.
        let follow = |sides: &[u32]| -> Vec<u32> {
            let input = f64::from(sizes.input.shorter_side());
            sides.iter().map(|&side| (f64::from(side) * input / 224.0).round() as u32).collect()
        };
        let [least, most] = sizes.trained;
        let middle = (least + most) / 2;
        let one = vec![self.side.unwrap_or(sizes.shorter_side)];
        // A network trained at one scale S is tested at S and S +- 32, one trained at several at the least, middle and
        // greatest.
        let step = follow(&[32])[0];
        let input = sizes.input.shorter_side();
        let mut three = if least == most {
            vec![(least - step.min(least)).max(input), least, least + step]
        } else {
            vec![least, middle, most]
        };
        // The input may leave no room for a smaller side.
        three.dedup();
        let trained = vec![self.side.unwrap_or(middle)];
        let part = |scales: &[u32], crops: &[Crop]| Part {
            scales: scales.to_vec(),
            squares: false,
            crops: crops.to_vec(),
            mirrors: true,
            average: Average::Softmax,
        };
        match self.protocol {
            Protocol::Center => vec![Part { mirrors: false, ..part(&one, &[Crop::Center]) }],
            Protocol::Mirror => vec![part(&one, &[Crop::Center])],
            Protocol::TenCrop => vec![part(&one, &[Crop::Corners, Crop::Center])],
            Protocol::Googlenet144 => {
                let crops = [Crop::Corners, Crop::Center, Crop::Whole];
                vec![Part { squares: true, ..part(&follow(&[256, 288, 320, 352]), &crops) }]
            }
            Protocol::Dense => vec![part(&trained, &[Crop::Dense])],
            Protocol::DenseMultiscale => vec![part(&three, &[Crop::Dense])],
            Protocol::MultiCrop50 => vec![part(&trained, &[Crop::Grid(5)])],
            Protocol::MultiCrop150 => vec![part(&three, &[Crop::Grid(5)])],
            Protocol::DenseMultiCrop => vec![part(&three, &[Crop::Dense]), part(&three, &[Crop::Grid(5)])],
            Protocol::ResnetMultiscale => {
                vec![Part { mirrors: false, ..part(&follow(&[224, 256, 384, 480, 640]), &[Crop::Dense]) }]
            }
            Protocol::ResnetMultiscaleMirror => vec![part(&follow(&[224, 256, 384, 480, 640]), &[Crop::Dense])],
        }
    }
}
