//! The arguments of `convert`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::event::EventFormat;

#[derive(Debug, Args)]
pub(crate) struct ConvertArgs {
    /// JSON lines [default: stdin]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The format of the lines, or of their payloads: intelmq, idea, n6 or misp
    #[arg(long, value_name = "FORMAT", value_parser = format_name)]
    pub from: EventFormat,
    /// The format to write: intelmq, idea, n6 or misp
    #[arg(long, value_name = "FORMAT", value_parser = format_name)]
    pub to: EventFormat,
    /// The shape of a line
    #[arg(long, value_enum, default_value_t = ConvertForm::Plain)]
    pub form: ConvertForm,
}

/// The shape of a converted line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ConvertForm {
    /// The payload alone, with its label
    Plain,
    /// IEP04's draft: meta and payload
    Iep04,
}

fn format_name(text: &str) -> Result<EventFormat, String> {
    let known = ["intelmq", "idea", "n6", "misp"];
    EventFormat::parse(text)
        .filter(|_| known.contains(&text))
        .ok_or_else(|| "expected intelmq, idea, n6 or misp".to_owned())
}
