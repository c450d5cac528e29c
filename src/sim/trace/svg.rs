//! A trace as a drawing: what each partition got, over time.

use std::io::{self, Write};
use std::ops::{Range, RangeBounds};
use std::time::Duration;

use plotters::coord::types::RangedCoordf64;
use plotters::drawing::DrawingAreaErrorKind;
use plotters::prelude::*;

use super::Trace;

/// The size of the drawing, in pixels.
const SIZE: (u32, u32) = (960, 540);
/// Points of a curve: as many as there are pixels to tell them apart, or so.
const POINTS: u64 = 400;
/// Curves that a reader can tell apart. Of more, the least served are drawn as one.
const CURVES_MAX: usize = 10;
/// Letters of a name that fit into the legend.
const LETTERS_MAX: usize = 28;

/// One for each curve, far apart for eyes of any kind (after Okabe and Ito, and Tol).
const COLORS: [RGBColor; CURVES_MAX + 1] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(136, 34, 85),
    RGBColor(51, 34, 136),
    RGBColor(153, 153, 51),
    RGBColor(0, 0, 0),
    RGBColor(150, 150, 150),
];

/// A line of the drawing.
struct Curve {
    label: String,
    /// Times and service, in nanoseconds.
    points: Vec<(f64, f64)>,
}

/// A unit that keeps the numbers on an axis short.
#[derive(Clone, Copy)]
struct Unit {
    name: &'static str,
    nanos: f64,
}

impl Unit {
    fn fit(nanos: f64) -> Self {
        let units = [("s", 1e9), ("ms", 1e6), ("µs", 1e3)];
        let fits = units.into_iter().find(|(_, size)| nanos >= *size);
        let (name, nanos) = fits.unwrap_or(("ns", 1.0));
        Self { name, nanos }
    }
}

impl Trace {
    /// Draws what each partition got of the window over time, as SVG: a curve for each name that
    /// was served, steep where it had the thread and level where it had not. Of more than ten
    /// names the least served are drawn as one curve. Equal traces make equal drawings.
    /// O(handles), and a search for each name and each of 400 points.
    ///
    /// # Panics
    ///
    /// If the window ends before it begins.
    #[must_use]
    #[track_caller]
    pub fn to_svg(&self, window: impl RangeBounds<Duration>) -> String {
        let (from, to) = self.window(window);
        let mut svg = String::new();
        draw(&mut svg, &self.curves(from, to), (from as f64, to as f64))
            .expect("a string takes all that is drawn");
        svg
    }

    /// Writes what [`to_svg`](Self::to_svg) returns.
    ///
    /// # Errors
    ///
    /// What `out` fails with.
    ///
    /// # Panics
    ///
    /// If the window ends before it begins.
    #[track_caller]
    pub fn write_svg(
        &self,
        mut out: impl Write,
        window: impl RangeBounds<Duration>,
    ) -> io::Result<()> {
        let svg = self.to_svg(window);
        out.write_all(svg.as_bytes())?;
        out.flush()
    }

    fn curves(&self, from: u64, to: u64) -> Vec<Curve> {
        let nanos = Duration::from_nanos;
        let shares = self.shares(nanos(from)..nanos(to));
        let served = shares.iter().filter(|share| !share.service.is_zero());
        let names: Vec<&str> = served.map(|share| share.name).collect();
        let alone = if names.len() > CURVES_MAX + 1 { CURVES_MAX } else { names.len() };
        let mut curves: Vec<Curve> = names[..alone]
            .iter()
            .map(|name| Curve {
                label: label(name),
                points: points(from, to, |window| self.service(name, window)),
            })
            .collect();
        if alone < names.len() {
            let mut points = points(from, to, |window| self.busy_time(window));
            for curve in &curves {
                points.iter_mut().zip(&curve.points).for_each(|(rest, point)| rest.1 -= point.1);
            }
            curves.push(Curve { label: format!("{} others", names.len() - alone), points });
        }
        curves
    }
}

/// A curve from what was got in each of many windows.
fn points(from: u64, to: u64, got: impl Fn(Range<Duration>) -> Duration) -> Vec<(f64, f64)> {
    let nanos = Duration::from_nanos;
    let (mut since, mut sum) = (from, 0.0);
    let point = |n| {
        let at = from + (u128::from(to - from) * u128::from(n) / u128::from(POINTS)) as u64;
        sum += got(nanos(since)..nanos(at)).as_nanos() as f64;
        since = at;
        (at as f64, sum)
    };
    (0..=POINTS).map(point).collect()
}

/// A name as it fits into the legend.
fn label(name: &str) -> String {
    let letters = || name.chars().map(|c| if c.is_control() { ' ' } else { c });
    if letters().count() <= LETTERS_MAX {
        return letters().collect();
    }
    letters().take(LETTERS_MAX - 1).chain(['…']).collect()
}

type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

fn draw<'a>(svg: &'a mut String, curves: &[Curve], (from, to): (f64, f64)) -> Drawn<'a> {
    let highest = curves.iter().filter_map(|curve| curve.points.last());
    let highest = highest.map(|point| point.1).fold(0.0, f64::max);
    let (across, up) = (Unit::fit(to), Unit::fit(highest));
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    // An axis has some length, even if nothing happened.
    let right = if to > from { to / across.nanos } else { from / across.nanos + 1.0 };
    let top = if highest > 0.0 { highest / up.nanos * 1.05 } else { 1.0 };
    let mut chart = ChartBuilder::on(&root)
        .caption("Service received, by partition", ("sans-serif", 22))
        .margin(12)
        .x_label_area_size(48)
        .y_label_area_size(72)
        .build_cartesian_2d(from / across.nanos..right, 0.0..top)?;
    chart
        .configure_mesh()
        .max_light_lines(0)
        .x_desc(format!("time ({})", across.name))
        .y_desc(format!("service ({})", up.name))
        .label_style(("sans-serif", 14))
        .axis_desc_style(("sans-serif", 16))
        .draw()?;
    for (curve, color) in curves.iter().zip(COLORS) {
        add_curve(&mut chart, curve, color, (across, up))?;
    }
    if !curves.is_empty() {
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.3))
            .label_font(("sans-serif", 15))
            .draw()?;
    }
    root.present()
}

type Chart<'a, 'b> = ChartContext<'b, SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

fn add_curve<'a>(
    chart: &mut Chart<'a, '_>,
    curve: &Curve,
    color: RGBColor,
    (across, up): (Unit, Unit),
) -> Drawn<'a> {
    let style = color.stroke_width(2);
    let points = curve.points.iter().map(|(at, got)| (at / across.nanos, got / up.nanos));
    chart
        .draw_series(LineSeries::new(points, style))?
        .label(curve.label.as_str())
        .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    Ok(())
}
