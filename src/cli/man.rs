//! Man pages from the one definition of the command line, and intelmesh.toml(5) from the file that `init` writes.

use std::path::Path;

use clap::CommandFactory as _;

use super::args::Cli;
use super::failure::CommandFailure;
use crate::config;
use crate::files;

const TOML_HEAD: &str = r#".TH intelmesh.toml 5
.SH NAME
intelmesh.toml \- a node of intelmesh(1)
.SH DESCRIPTION
The file lies in the node's directory: /etc/intelmesh if it was installed from a package. Below it is as
.B intelmesh init
writes it: each key with what it is for, and its default. Check it with
.BR "intelmesh check" .
.SH SETTINGS
.nf
"#;

/// # Errors
/// If a file cannot be written.
pub(crate) fn man(to: &Path) -> Result<(), CommandFailure> {
    let fault = |error| CommandFailure::of_file(to, &error);
    clap_mangen::generate_to(Cli::command(), to).map_err(fault)?;
    let settings: String = config::sample_node().lines().map(roff_line).collect();
    files::replace(&to.join("intelmesh.toml.5"), format!("{TOML_HEAD}{settings}.fi\n").as_bytes(), 0o644)
        .map_err(fault)
}

/// One line as it is: a dot or quote at its start is no request, and a dash can be copied.
fn roff_line(line: &str) -> String {
    let text = line.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}\n") } else { format!("{text}\n") }
}
