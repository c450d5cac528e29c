//! Draws curves: costs on the left, memory on the right.

use std::error::Error;

use plotters::prelude::*;

use crate::points::Curve;

const SIZE: (u32, u32) = (960, 400);

/// For eyes of any kind (after Okabe and Ito).
const COLORS: [RGBColor; 2] = [RGBColor(0, 114, 178), RGBColor(213, 94, 0)];

/// What was measured of a line.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) nanos: Vec<(f64, f64)>,
    pub(crate) bytes: Vec<(f64, f64)>,
}

/// Draws `lines` as SVG.
pub(crate) fn svg(curve: &Curve, lines: &[Line]) -> Result<String, Box<dyn Error>> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let halves = area.split_evenly((1, 2));
        let nanos = |line: &Line| line.nanos.clone();
        panel(&halves[0], lines, curve.name, &format!("ns of {}", curve.of), nanos)?;
        let mebibytes =
            |line: &Line| line.bytes.iter().map(|(at, bytes)| (*at, bytes / 1048576.0)).collect();
        panel(&halves[1], lines, curve.name, "MiB resident", mebibytes)?;
        area.present()?;
    }
    Ok(svg)
}

fn panel(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    lines: &[Line],
    against: &str,
    of: &str,
    points: impl Fn(&Line) -> Vec<(f64, f64)>,
) -> Result<(), Box<dyn Error>> {
    let all: Vec<(f64, f64)> = lines.iter().flat_map(&points).collect();
    let most = |at: fn(&(f64, f64)) -> f64| all.iter().map(at).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(of, ("sans-serif", 14))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(
            (1.0..most(|point| point.0)).log_scale(),
            0.0..most(|point| point.1) * 1.1,
        )?;
    chart
        .configure_mesh()
        .x_desc(against)
        .x_label_formatter(&|count| format!("{count:.0}"))
        .light_line_style(WHITE)
        .draw()?;
    for (line, color) in lines.iter().zip(COLORS) {
        chart
            .draw_series(LineSeries::new(points(line), color.stroke_width(2)))?
            .label(line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .border_style(BLACK.mix(0.2))
        .background_style(WHITE.mix(0.8))
        .draw()?;
    Ok(())
}
