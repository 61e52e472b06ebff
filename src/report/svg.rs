//! The canvas of the pictures: an SVG document, and the texts on it.

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Whether something could be drawn.
pub type Drawn = Result<(), Box<dyn std::error::Error>>;

/// The document or a part of it, in pixels from its left upper corner.
pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The size of a title in pixels.
pub const TITLE: i32 = 16;
/// The size of names and numbers in pixels.
pub const LABEL: i32 = 11;

/// An SVG document of this width and height in pixels, painted on white.
///
/// # Errors
/// Returns an error if `paint` does.
pub fn document((width, height): (i32, i32), paint: impl FnOnce(&Area) -> Drawn) -> Result<Vec<u8>> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (width as u32, height as u32)).into_drawing_area();
        let drawn = area.fill(&WHITE).map_err(Into::into).and_then(|()| paint(&area));
        drawn
            .and_then(|()| area.present().map_err(Into::into))
            .map_err(|error| anyhow!("the picture cannot be drawn: {error}"))?;
    }
    Ok(svg.into_bytes())
}

/// The style of text of this size in pixels, which lies so beside the point that it is written at.
pub fn text(size: i32, horizontal: HPos, vertical: VPos) -> TextStyle<'static> {
    TextStyle::from(("sans-serif", size).into_font()).pos(Pos::new(horizontal, vertical))
}

/// Writes text in a style at a point.
///
/// # Errors
/// Returns an error if it cannot be drawn.
pub fn write(area: &Area, text: &str, at: (i32, i32), style: TextStyle) -> Drawn {
    Ok(area.draw(&Text::new(text.to_string(), at, style))?)
}
