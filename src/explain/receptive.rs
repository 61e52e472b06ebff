//! Receptive fields: which pixels of the input a place in a layer's map sees.

use crate::geometry::{Rect, Size};
use crate::network::node::{Node, Op, Window};

/// What the place (0, 0) of a map sees along one axis, and how far that moves from place to place; in pixels of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The first pixel; negative if padding is seen.
    pub start: i64,
    /// The number of pixels.
    pub length: i64,
    /// The pixels from one place to the next.
    pub step: i64,
}

const OF_INPUT: Field = Field { start: 0, length: 1, step: 1 };

/// The fields of a layer's places along [height, width]; `None` if there is no layer of this name, or the network enlarges maps,
/// whose places then move by parts of pixels.
pub fn fields(nodes: &[Node], layer: &str) -> Option<[Field; 2]> {
    if enlarges(nodes) {
        return None;
    }
    let mut found = None;
    follow(nodes, [OF_INPUT; 2], layer, &mut found);
    found
}

fn enlarges(nodes: &[Node]) -> bool {
    let own = |node: &Node| matches!(node.op, Op::ConvTranspose { .. } | Op::Reshape);
    nodes.iter().any(|node| own(node) || node.inner().into_iter().any(enlarges))
}

/// The pixels of an input of this size that a place sees.
pub fn pixels(fields: [Field; 2], row: i64, column: i64, input: Size) -> Rect {
    let along = |field: Field, place: i64, side: u32| {
        let first = (field.start + place * field.step).clamp(0, i64::from(side) - 1);
        let end = (field.start + place * field.step + field.length).clamp(first + 1, side.into());
        (first as u32, (end - first) as u32)
    };
    let ((y, height), (x, width)) = (along(fields[0], row, input.height), along(fields[1], column, input.width));
    Rect { x, y, width, height }
}

/// The fields after these layers; `found` takes those of the layer that is looked for.
fn follow(nodes: &[Node], start: [Field; 2], layer: &str, found: &mut Option<[Field; 2]>) -> [Field; 2] {
    nodes.iter().fold(start, |before, node| {
        let after = through(node, before, layer, found);
        if node.name == layer {
            *found = Some(after);
        }
        after
    })
}

fn through(node: &Node, before: [Field; 2], layer: &str, found: &mut Option<[Field; 2]>) -> [Field; 2] {
    match &node.op {
        Op::Conv { window, .. } | Op::MaxPool(window) | Op::AveragePool(window) => slide(before, window),
        Op::Sequence(layers) => follow(layers, before, layer, found),
        Op::Residual { body, shortcut } => {
            let around = follow(shortcut, before, layer, found);
            union(follow(body, before, layer, found), around)
        }
        Op::Branches(branches) => branches
            .iter()
            .map(|branch| follow(std::slice::from_ref(branch), before, layer, found))
            .reduce(union)
            .unwrap_or(before),
        Op::ZeroPad { stride, .. } => {
            slide(before, &Window { kernel: [1, 1], stride: *stride, padding: [0, 0], ceil: false })
        }
        // Vectors see everything; nobody asks for their places.
        _ => before,
    }
}

fn slide(before: [Field; 2], window: &Window) -> [Field; 2] {
    let along = |axis: usize| {
        let Field { start, length, step } = before[axis];
        Field {
            start: start - window.padding[axis] * step,
            length: length + (window.kernel[axis] - 1) * step,
            step: step * window.stride[axis],
        }
    };
    [along(0), along(1)]
}

/// What two layers side by side see; both move by the same step.
fn union(one: [Field; 2], other: [Field; 2]) -> [Field; 2] {
    let along = |axis: usize| {
        let (one, other) = (one[axis], other[axis]);
        let start = one.start.min(other.start);
        let end = (one.start + one.length).max(other.start + other.length);
        Field { start, length: end - start, step: one.step.max(other.step) }
    };
    [along(0), along(1)]
}
