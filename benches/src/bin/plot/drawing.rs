//! How it is drawn: as SVG, on white whatever is behind it.

use plotters::coord::Shift;
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::chart::{Chart, Curve, Mark, Panel};
use crate::figures::Point;

/// Pixels. So many because everything stands on whole ones: on fewer, dashes waver.
const WIDTH: u32 = 1920;
const HEIGHT: u32 = 1038;
/// Above the panels: title, notes and legend.
const HEAD: u32 = 248;
/// Around the head and each panel.
const MARGIN: i32 = 28;
/// For half of the last number below a panel.
const RIGHT_MARGIN: i32 = 48;
/// Where the notes are.
const NOTES_Y: [i32; 3] = [84, 122, 160];
/// Where the legend's lines are, and how long and how far apart they are.
const LEGEND_Y: i32 = 228;
const LEGEND_LINE: i32 = 76;
const LEGEND_STEP: i32 = 340;
/// Half of a mark.
const MARK: i32 = 10;
/// Half of the short line at each end of a bar.
const BAR_END: i32 = 7;
/// A dash and the gap behind it.
const DASH: i32 = 16;
const GAP: i32 = 9;
/// Widths of lines.
const THICK: u32 = 4;
const THIN: u32 = 2;
/// Sizes of letters, in the library's measure.
const TITLE: f64 = 48.0;
const CAPTION: f64 = 40.0;
const LABEL: f64 = 34.0;
const NOTE: f64 = 31.0;
/// How much more room than its figures a horizontal axis has on either side.
const ROOM: f64 = 1.35;

const FONT: &str = "sans-serif";
const GRID: RGBColor = RGBColor(221, 221, 221);
const INK: RGBColor = RGBColor(34, 34, 34);

type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Pixel = (i32, i32);

/// The whole file.
///
/// # Errors
///
/// None that is known of: what is drawn goes into memory.
pub(crate) fn svg(chart: &Chart) -> anyhow::Result<String> {
    let mut svg = String::new();
    {
        let canvas = SVGBackend::with_string(&mut svg, (WIDTH, HEIGHT)).into_drawing_area();
        canvas.fill(&WHITE)?;
        head(&canvas, chart)?;
        let (_, below) = canvas.split_vertically(HEAD);
        let axes = Axes::around(chart);
        let columns = below.split_evenly((1, chart.panels.len()));
        for (column, panel) in columns.iter().zip(&chart.panels) {
            draw_panel(&canvas, column, panel, &axes, chart.quantity)?;
        }
        canvas.present()?;
    }
    Ok(svg)
}

fn head(canvas: &Canvas<'_>, chart: &Chart) -> anyhow::Result<()> {
    canvas.draw(&Text::new(chart.title.as_str(), (MARGIN, 24), text(TITLE)))?;
    for (note, y) in chart.notes.iter().zip(NOTES_Y) {
        canvas.draw(&Text::new(note.as_str(), (MARGIN, y), text(NOTE)))?;
    }
    let middle = text(LABEL).pos(Pos::new(HPos::Left, VPos::Center));
    for (curve, index) in chart.legend().iter().zip(0..) {
        let x = MARGIN + index * LEGEND_STEP;
        line(canvas, vec![(x, LEGEND_Y), (x + LEGEND_LINE, LEGEND_Y)], curve)?;
        mark(canvas, (x + LEGEND_LINE / 2, LEGEND_Y), curve)?;
        let at = (x + LEGEND_LINE + MARK * 2, LEGEND_Y);
        canvas.draw(&Text::new(curve.name.as_str(), at, middle.clone()))?;
    }
    Ok(())
}

fn text(size: f64) -> TextStyle<'static> {
    (FONT, size).into_font().color(&INK)
}

fn draw_panel(
    canvas: &Canvas<'_>,
    column: &Canvas<'_>,
    panel: &Panel,
    axes: &Axes,
    quantity: &str,
) -> anyhow::Result<()> {
    let x = (axes.left..axes.right).log_scale().with_key_points(axes.clients.clone());
    let y = (axes.low..axes.high).log_scale().with_key_points(axes.steps.clone());
    let mut plot = ChartBuilder::on(column)
        .margin(MARGIN)
        .margin_right(RIGHT_MARGIN)
        .caption(panel.title, text(CAPTION))
        .x_label_area_size(96)
        .y_label_area_size(156)
        .build_cartesian_2d(x, y)?;
    plot.configure_mesh()
        .bold_line_style(GRID.stroke_width(THIN))
        .light_line_style(TRANSPARENT)
        .axis_style(INK.stroke_width(THIN))
        .label_style(text(NOTE))
        .axis_desc_style(text(LABEL))
        .x_desc("clients")
        .y_desc(quantity)
        .x_label_formatter(&|value| number(*value))
        .y_label_formatter(&|value| number(*value))
        .draw()?;
    let place = |clients: u32, value: f64| {
        plot.plotting_area().map_coordinate(&(f64::from(clients), value))
    };
    for curve in &panel.curves {
        let middle = |point: &Point| place(point.clients, point.median);
        line(canvas, curve.points.iter().map(middle).collect(), curve)?;
        for point in &curve.points {
            let [least, most] = [point.least, point.most].map(|end| place(point.clients, end));
            bar(canvas, least, most, curve)?;
            mark(canvas, middle(point), curve)?;
        }
    }
    Ok(())
}

/// What all panels of a chart have in common, so that they can be read side by side.
///
/// - `low < high` and `left < right`, all more than 0; every point lies between them.
#[derive(Clone, Debug, PartialEq)]
struct Axes {
    left: f64,
    right: f64,
    low: f64,
    high: f64,
    /// Ascending, each once.
    clients: Vec<f64>,
    /// 1, 2 and 5 times powers of ten, from `low` to `high`.
    steps: Vec<f64>,
}

impl Axes {
    fn around(chart: &Chart) -> Axes {
        let mut clients: Vec<u32> = chart.points().map(|point| point.clients).collect();
        clients.sort_unstable();
        clients.dedup();
        let clients: Vec<f64> = clients.into_iter().map(f64::from).collect();
        let least = chart.points().map(|point| point.least).fold(f64::INFINITY, f64::min);
        let most = chart.points().map(|point| point.most).fold(0.0, f64::max);
        let steps = steps(least, most);
        Axes {
            left: clients.first().map_or(1.0, |least| least / ROOM),
            right: clients.last().map_or(2.0, |most| most * ROOM),
            low: steps.first().copied().unwrap_or(1.0),
            high: steps.last().copied().unwrap_or(2.0),
            clients,
            steps,
        }
    }
}

/// The fewest of 1, 2 and 5 times powers of ten in a row that have both between them.
fn steps(least: f64, most: f64) -> Vec<f64> {
    let [below, above] = [least, most].map(|value| value.log10().floor() as i32);
    // One more at either end: a power of ten is not beyond itself, and logarithms are rounded.
    let powers = below - 1..=above + 1;
    let all: Vec<f64> = powers.flat_map(|power| [1.0, 2.0, 5.0].map(|n| n * ten(power))).collect();
    let start = all.iter().rposition(|step| *step < least).unwrap_or(0);
    let end = all.iter().position(|step| *step > most).map_or(all.len(), |last| last + 1);
    all[start..end].to_vec()
}

fn ten(power: i32) -> f64 {
    // A negative power of ten is no binary fraction: what people write is the nearest one.
    if power < 0 { 1.0 / 10f64.powi(-power) } else { 10f64.powi(power) }
}

fn line(canvas: &Canvas<'_>, pixels: Vec<Pixel>, curve: &Curve) -> anyhow::Result<()> {
    let style = colour(curve).stroke_width(THICK);
    if curve.dashed {
        canvas.draw(&DashedPathElement::new(pixels, DASH, GAP, style))?;
    } else {
        canvas.draw(&PathElement::new(pixels, style))?;
    }
    Ok(())
}

/// From the least to the most of the rounds.
fn bar(canvas: &Canvas<'_>, least: Pixel, most: Pixel, curve: &Curve) -> anyhow::Result<()> {
    let style = colour(curve).stroke_width(THIN);
    canvas.draw(&PathElement::new(vec![least, most], style))?;
    for (x, y) in [least, most] {
        let end = vec![(x - BAR_END, y), (x + BAR_END, y)];
        canvas.draw(&PathElement::new(end, style))?;
    }
    Ok(())
}

/// Hollow on a dashed line.
fn mark(canvas: &Canvas<'_>, at: Pixel, curve: &Curve) -> anyhow::Result<()> {
    fill(canvas, at, curve.mark, MARK, colour(curve))?;
    if curve.dashed {
        fill(canvas, at, curve.mark, MARK - THICK as i32, WHITE)?;
    }
    Ok(())
}

fn fill(
    canvas: &Canvas<'_>,
    (x, y): Pixel,
    mark: Mark,
    half: i32,
    colour: RGBColor,
) -> anyhow::Result<()> {
    let style = colour.filled();
    match mark {
        Mark::Circle => canvas.draw(&Circle::new((x, y), half, style))?,
        Mark::Square => {
            let corners = [(x - half, y - half), (x + half, y + half)];
            canvas.draw(&Rectangle::new(corners, style))?;
        }
    }
    Ok(())
}

/// Two that people who see fewer colours tell apart, one of them also darker than the other.
fn colour(curve: &Curve) -> RGBColor {
    match curve.mark {
        Mark::Square => RGBColor(213, 94, 0),
        Mark::Circle => RGBColor(0, 90, 160),
    }
}

/// With commas between thousands, and only the decimals that are needed.
fn number(value: f64) -> String {
    let text = value.to_string();
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut shown = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown + fraction
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::{Figures, example};

    #[test]
    fn a_drawing_is_whole_and_names_what_it_shows() {
        let figures = Figures::parse(&example().to_string()).unwrap();
        let charts = [Chart::throughput(&figures).unwrap(), Chart::latency(&figures).unwrap()];
        for chart in charts {
            let svg = svg(&chart).unwrap();
            assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"), "{svg}");
            let background = svg.lines().nth(1).unwrap();
            assert!(background.contains(r##"fill="#FFFFFF""##), "{background}");
            let opened = svg.matches("<text").count();
            assert_eq!(opened, svg.matches("</text>").count());
            for shown in ["etcd", "kv_service", "writes", "reads", "clients", chart.quantity] {
                assert!(svg.contains(shown), "{shown}");
            }
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }

    #[test]
    fn an_axis_reaches_beyond_its_figures_and_no_further() {
        assert_eq!(steps(0.46, 3.0), [0.2, 0.5, 1.0, 2.0, 5.0]);
        assert_eq!(steps(1.0, 1.0), [0.5, 1.0, 2.0]);
        assert_eq!(steps(490.0, 60_000.0).first(), Some(&200.0));
        assert_eq!(steps(490.0, 60_000.0).last(), Some(&100_000.0));
    }

    #[test]
    fn numbers_are_as_people_write_them() {
        let shown = [0.2, 1.0, 500.0, 1024.0, 100_000.0].map(number);
        assert_eq!(shown, ["0.2", "1", "500", "1,024", "100,000"]);
    }
}
