//! Writes the text form of Prometheus, version 0.0.4: families with help and type, and their samples.

use std::fmt::Write as _;

use super::histogram::Histogram;

/// Value of `Content-Type`.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

pub(crate) type Label<'a> = (&'static str, &'a str);

#[derive(Debug, Default)]
pub(crate) struct MetricsText {
    text: String,
    /// The family that samples belong to.
    family: &'static str,
}

impl MetricsText {
    /// Opens a family; its samples follow. `help` is one line without a backslash.
    pub(crate) fn family(&mut self, name: &'static str, kind: Kind, help: &str) {
        self.family = name;
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {}", kind.as_str()));
    }

    pub(crate) fn sample(&mut self, labels: &[Label<'_>], value: f64) {
        self.suffixed("", labels, value);
    }

    pub(crate) fn histogram(&mut self, labels: &[Label<'_>], histogram: &Histogram) {
        for (bound, count) in histogram.cumulated() {
            let bound = bound.map_or_else(|| "+Inf".to_owned(), |bound| bound.to_string());
            let mut bucket = labels.to_vec();
            bucket.push(("le", &bound));
            self.suffixed("_bucket", &bucket, count as f64);
        }
        self.suffixed("_sum", labels, histogram.sum());
        self.suffixed("_count", labels, histogram.count() as f64);
    }

    pub(crate) fn into_string(self) -> String {
        self.text
    }

    fn suffixed(&mut self, suffix: &str, labels: &[Label<'_>], value: f64) {
        let family = self.family;
        let labels: Vec<String> =
            labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        self.line(format_args!("{family}{suffix}{labels} {value}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing into a text cannot fail.
        let _ = writeln!(self.text, "{line}");
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_and_histograms_have_the_form_of_prometheus() {
        let mut text = MetricsText::default();
        text.family("x_total", Kind::Counter, "Things");
        text.sample(&[], 20_000_000_000.0);
        text.sample(&[("door", "a\"b\\c\nd")], 0.5);
        let mut histogram = Histogram::new(&[0.5, 2.0]);
        [0.25, 0.5, 1.0, 9.0].into_iter().for_each(|value| histogram.observe(value));
        text.family("y_seconds", Kind::Histogram, "How long");
        text.histogram(&[("peer", "cert-ee")], &histogram);
        let wanted = "# HELP x_total Things\n# TYPE x_total counter\nx_total 20000000000\n\
                      x_total{door=\"a\\\"b\\\\c\\nd\"} 0.5\n\
                      # HELP y_seconds How long\n# TYPE y_seconds histogram\n\
                      y_seconds_bucket{peer=\"cert-ee\",le=\"0.5\"} 2\n\
                      y_seconds_bucket{peer=\"cert-ee\",le=\"2\"} 3\n\
                      y_seconds_bucket{peer=\"cert-ee\",le=\"+Inf\"} 4\n\
                      y_seconds_sum{peer=\"cert-ee\"} 10.75\ny_seconds_count{peer=\"cert-ee\"} 4\n";
        assert_eq!(text.into_string(), wanted);
    }
}
