//! Bars as SVG: one picture for each question.
//!
//! No axes and no scale beyond the longest bar: each bar has its figure beside it.

use crate::report::{figure, number};
use std::fmt::Write;

/// One picture.
pub(crate) struct Plot {
    /// The file's name without its kind.
    pub(crate) name: &'static str,
    /// The question that it answers.
    pub(crate) title: String,
    pub(crate) unit: &'static str,
    pub(crate) bars: Vec<Bar>,
    /// Where a target stands, in the unit of the bars.
    pub(crate) target: Option<f64>,
}

pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) value: f64,
    /// Of gatepost, and drawn in the darker colour.
    pub(crate) own: bool,
}

/// In pixels: what a label takes at least, and a character of it at most; what a bar and its figure may take, and the height of a line.
const LABEL: f64 = 300.0;
const CHARACTER: f64 = 7.0;
const LENGTH: f64 = 420.0;
const FIGURE: f64 = 130.0;
const LINE: f64 = 26.0;
const HEAD: f64 = 40.0;

/// What is longer than this many times gatepost's longest bar is cut off, or nothing could be seen of the others.
const CUT: f64 = 3.0;

impl Plot {
    pub(crate) fn svg(&self) -> String {
        let longest = |bars: &mut dyn Iterator<Item = &Bar>| bars.map(|bar| bar.value).fold(0.0, f64::max);
        let most = longest(&mut self.bars.iter());
        let own = longest(&mut self.bars.iter().filter(|bar| bar.own)).max(self.target.unwrap_or_default());
        let end = if own > 0.0 { most.min(own * CUT).max(self.target.unwrap_or_default()) } else { most };
        let scale = if end > 0.0 { LENGTH / end } else { 0.0 };
        let characters = |bar: &Bar| number(bar.label.chars().count() as u64);
        let label = self.bars.iter().map(characters).fold(0.0, f64::max) * CHARACTER;
        let label = label.max(LABEL);
        let (width, mut y) = (label + LENGTH + FIGURE, HEAD);
        let mut body = String::new();
        for bar in &self.bars {
            let (long, cut) = ((bar.value * scale).min(LENGTH), bar.value > end);
            let colour = if bar.own { "#1f5fa8" } else { "#9db7d1" };
            let (middle, mark) = (y + LINE * 0.62, if cut { " (cut off)" } else { "" });
            // Writing to a string cannot fail.
            let _ = writeln!(
                body,
                "<text x=\"{:.0}\" y=\"{middle:.0}\" text-anchor=\"end\">{}</text>\n\
                 <rect x=\"{label:.0}\" y=\"{:.0}\" width=\"{:.1}\" height=\"{:.0}\" fill=\"{colour}\"/>\n\
                 <text x=\"{:.1}\" y=\"{middle:.0}\">{}{mark}</text>",
                label - 8.0,
                escaped(&bar.label),
                y + 4.0,
                long.max(1.0),
                LINE - 8.0,
                label + long.max(1.0) + 6.0,
                figure(bar.value)
            );
            y += LINE;
        }
        if let Some(target) = self.target {
            let x = label + target * scale;
            let _ = writeln!(
                body,
                "<line x1=\"{x:.1}\" y1=\"{HEAD:.0}\" x2=\"{x:.1}\" y2=\"{y:.0}\" stroke=\"#b3261e\" stroke-dasharray=\"4 3\"/>"
            );
        }
        let height = y + 10.0;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
             font-family=\"sans-serif\" font-size=\"13\" role=\"img\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
             <text x=\"10\" y=\"24\" font-size=\"15\" font-weight=\"bold\">{}, {}</text>\n{body}</svg>\n",
            escaped(&self.title),
            escaped(self.unit)
        )
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
