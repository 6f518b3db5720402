//! The command line: from arguments to an exit code. One file for each noun. The shared files are `args` (every flag),
//! `place` (the directory, and asking the node in it), `answer` (stdout) and `failure` (stderr and exit code),
//! `asking`. No rule of the mesh lives here.

mod answer;
mod args;
mod aside;
mod asking;
mod backup;
mod check;
mod client;
mod clock;
mod colour;
mod consumer;
mod convert;
mod decide;
mod demo;
mod doctor;
mod envelope_file;
mod event;
mod event_open;
mod failure;
mod feed;
mod init;
mod invite;
mod key;
mod labels;
mod man;
mod peer;
mod place;
mod pretty;
mod reach;
mod reload;
mod run;
mod status;
mod stop;
mod submit;
mod submit_dry_run;
mod table;
mod tail;
mod trial;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use self::answer::CommandAnswer;
use self::args::{Cli, Verb};
use self::failure::CommandFailure;
use self::place::NodeDirectory;

/// Runs one command line, the program's name first. 0 done, 1 the answer is no, 2 could not.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let (verb, command) = verb_of(&arguments);
            return failure::usage(&error, &command, &verb);
        }
    };
    match carry_out(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// The verb that was meant, as far as it is one: `intelmesh peer add`, and its definition.
fn verb_of(arguments: &[OsString]) -> (String, clap::Command) {
    let mut command = Cli::command();
    let mut verb = command.get_name().to_owned();
    for word in arguments.iter().skip(1).filter_map(|word| word.to_str()) {
        let Some(found) = command.find_subcommand(word).cloned() else { continue };
        verb = format!("{verb} {word}");
        command = found;
    }
    (verb, command)
}

fn carry_out(cli: Cli) -> Result<(), CommandFailure> {
    let Cli { dir, json, verb } = cli;
    let here = |own| NodeDirectory::find(dir.clone(), own);
    match verb {
        Verb::Init(args) => init::init(dir, args),
        Verb::Run(args) => run::run(&here(args.node)),
        Verb::Demo => demo::demo(),
        Verb::Invite(args) => invite::invite(&here(args.dir.node.clone()), args, json),
        Verb::Peer(verb) => peer::peer(&here(None), verb, json),
        Verb::Submit(args) => submit::submit(&here(None), args, json),
        Verb::Tail(args) => tail::tail(&here(None), &args),
        Verb::Event(verb) => event::event(&here(None), verb, json),
        Verb::Clock(args::ClockVerb::Accept) => clock::accept(&here(None)),
        Verb::Key(verb) => key::key(&here(None), &verb, json),
        Verb::Reload(args) => reload::reload(&here(args.node), json),
        Verb::Status(args) => status::status(&here(args.dir.node.clone()), &args, json),
        Verb::Doctor(args) => doctor::doctor(&here(args.node)),
        Verb::Backup { to } => backup::backup(&here(None), &to),
        Verb::Restore { from, node } => restore(&from, node.or(dir)),
        Verb::Check(args) => check::check(&here(args.node), json),
        Verb::Consumer(verb) => consumer::consumer(&here(None), verb, json),
        Verb::Client(verb) => client::client(&here(None), verb, json),
        Verb::Feed(verb) => feed::feed(&here(None), verb, json),
        Verb::Aside(verb) => aside::aside(&here(None), &verb, json),
        Verb::Convert(args) => convert::convert(&args),
        Verb::Completions { shell } => completions(shell),
        Verb::Man { to } => man::man(&to),
    }
}

/// A directory is never guessed: a node is made in it.
fn restore(from: &Path, dir: Option<PathBuf>) -> Result<(), CommandFailure> {
    let no_dir =
        || CommandFailure::could_not("where? restore needs a directory").hint("intelmesh restore FILE DIR");
    backup::restore(from, &dir.ok_or_else(no_dir)?)
}

fn completions(shell: clap_complete::Shell) -> Result<(), CommandFailure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "intelmesh", &mut text);
    let mut answer = CommandAnswer::new();
    answer.bytes(&text)?;
    answer.flush()
}
