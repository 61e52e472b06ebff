//! The region of an image where the evidence lies, as a box (Zhou et al., arXiv:1512.04150, section 3.2).

use std::collections::VecDeque;

use super::heat::Heat;
use crate::geometry::Rect;

/// The share of the greatest evidence from which a pixel belongs to the object.
const THRESHOLD: f32 = 0.2;

/// The box around the largest connected component of the pixels with more than a fifth of the greatest evidence; the whole
/// image if there is no evidence.
pub fn bounding_box(heat: &Heat) -> Rect {
    let size = heat.size();
    let (width, height) = (size.width as usize, size.height as usize);
    let mut is_left: Vec<bool> = heat.shares().iter().map(|share| *share > THRESHOLD).collect();
    let mut largest = (0, size.whole());
    for start in 0..is_left.len() {
        if is_left[start] {
            let component = take_component(&mut is_left, start, width, height);
            if component.0 > largest.0 {
                largest = component;
            }
        }
    }
    largest.1
}

/// Takes the pixels that hang together with this one, at corners too; returns their number and the box around them.
fn take_component(is_left: &mut [bool], start: usize, width: usize, height: usize) -> (usize, Rect) {
    let mut queue = VecDeque::from([start]);
    is_left[start] = false;
    let mut count = 0;
    let (mut first, mut last) = ([start % width, start / width], [start % width, start / width]);
    while let Some(pixel) = queue.pop_front() {
        count += 1;
        let at = [pixel % width, pixel / width];
        for axis in 0..2 {
            first[axis] = first[axis].min(at[axis]);
            last[axis] = last[axis].max(at[axis]);
        }
        for row in at[1].saturating_sub(1)..(at[1] + 2).min(height) {
            for column in at[0].saturating_sub(1)..(at[0] + 2).min(width) {
                let near = row * width + column;
                if std::mem::take(&mut is_left[near]) {
                    queue.push_back(near);
                }
            }
        }
    }
    let [x, y] = first.map(|side| side as u32);
    let [right, bottom] = last.map(|side| side as u32);
    (count, Rect { x, y, width: right - x + 1, height: bottom - y + 1 })
}
