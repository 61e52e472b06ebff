//! What a network has learned, and where in an image it sees it: the evidence for a class (`evidence`, on the network's
//! `head`, or by `occlusion`) becomes a map over the image's own pixels (`heat`, put together by the `finder` from what a
//! `view` shows), which is drawn over it or over its `thumbnail` (`overlay`), or boxed (`region`); filters and feature maps
//! are pictures (`tiles`), and for a layer's channels the patches of images that excite them most are looked up (`patches`),
//! as large as the layer sees (`receptive`).

pub mod evidence;
pub mod finder;
pub mod head;
pub mod heat;
pub mod layers;
mod occlusion;
pub mod overlay;
pub mod patches;
pub mod receptive;
pub mod region;
pub mod thumbnail;
pub mod tiles;
pub mod view;
