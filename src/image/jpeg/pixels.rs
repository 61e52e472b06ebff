//! The RGB pixels of a region: only the blocks that it takes are transformed.

use image::RgbImage;

use super::channel::Channel;
use super::colours::Colours;
use super::frame::Frame;
use crate::geometry::Rect;
use crate::image::twice::compiled_twice;

/// The pixels of `region`, which lies within the frame's image.
pub fn rgb(frame: &Frame, colours: Colours, region: Rect) -> RgbImage {
    let mut image = RgbImage::new(region.width, region.height);
    fill(frame, colours, region, &mut image);
    image
}

compiled_twice! {
    fn fill(frame: &Frame, colours: Colours, region: Rect, image: &mut [u8]) {
        let [left, top, width] = [region.x, region.y, region.width].map(|it| it as usize);
        let columns = left..left + width;
        let mut channels: Vec<Channel> =
            frame.components.iter().map(|component| Channel::new(frame, component, &columns)).collect();
        let mut planes = [(); 3].map(|()| vec![0; width]);
        for (y, pixels) in (top..).zip(image.chunks_exact_mut(3 * width)) {
            channels.iter_mut().for_each(|channel| channel.prepare(y));
            match channels.as_slice() {
                [a] => colours.convert(&[a.row(y)], &mut planes, pixels),
                [a, b, c] => colours.convert(&[a.row(y), b.row(y), c.row(y)], &mut planes, pixels),
                [a, b, c, d] => colours.convert(&[a.row(y), b.row(y), c.row(y), d.row(y)], &mut planes, pixels),
                _ => {}
            }
        }
    }
}
