//! `ai-vm complete-words`: what a word that is being typed can become. For the completions of shells, which so know every
//! verb and option that there is.

use std::collections::BTreeSet;

use clap::{Arg, Command, CommandFactory};

use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::root::Cli;
use crate::guest::store;
use crate::ui::filter;

/// Verbs whose names are new ones.
const NEW_NAMES: [&str; 2] = ["create", "adopt"];

/// Print what a word that is being typed can become; for completions
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What has been typed after the program's name, the last of them the word that is being typed
    #[arg(allow_hyphen_values = true, trailing_var_arg = true)]
    words: Vec<String>,
}

/// Something that a word can become.
struct Candidate {
    word: String,
    /// What it is, on one line; may be empty.
    about: String,
}

/// Prints what the last word can become, each on a line, and what that is behind a tab. Nothing where it is a file, or
/// anything else.
pub fn run(ctx: &Context, args: &Args) -> Result<u8, Failure> {
    let Some((typed, before)) = args.words.split_last() else { return Ok(0) };
    let found = candidates(ctx, before, typed)?;
    let fitting = found.into_iter().filter(|found| found.word.starts_with(typed.as_str()));
    let mut lines = String::new();
    // A label can have any text in it: one that a shell or a terminal would act on has to be typed.
    for Candidate { word, about } in fitting.filter(|found| found.word.chars().all(is_plain)) {
        lines.push_str(&word);
        if !about.is_empty() {
            lines.push('\t');
            lines.push_str(&filter::one_line(&about));
        }
        lines.push('\n');
    }
    ctx.print(&lines).map(|()| 0)
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_./=:@%+,".contains(c)
}

fn candidates(ctx: &Context, before: &[String], typed: &str) -> Result<Vec<Candidate>, Failure> {
    // What comes after is a command line of the guest.
    if before.iter().any(|word| word == "--") {
        return Ok(Vec::new());
    }
    let mut command = Cli::command();
    let of_every_verb: Vec<Arg> =
        command.get_arguments().filter(|arg| arg.is_global_set()).cloned().collect();
    let mut verb = String::new();
    let mut rest = before;
    while let Some((word, further)) = rest.split_first() {
        let (name, has_value) = word.split_once('=').map_or((word.as_str(), false), |(name, _)| (name, true));
        if let Some(arg) = option(&command, name).filter(|arg| arg.is_global_set()) {
            // Its value can still be what is being typed.
            let Some(further) = further.get(usize::from(takes_value(arg) && !has_value)..) else { break };
            rest = further;
            continue;
        }
        let Some(found) = command.find_subcommand(word) else { break };
        // A verb has its options only when it has been built, and then so have those below it.
        let inherited = of_every_verb.iter().filter(|_| verb.is_empty());
        command = found.clone().disable_help_subcommand(true).args(inherited);
        verb = word.clone();
        command.build();
        rest = further;
    }
    if let Some(option) = rest.last().and_then(|word| option(&command, word)).filter(|arg| takes_value(arg)) {
        return values(ctx, option, true);
    }
    let below: Vec<&Command> = command.get_subcommands().filter(|verb| !verb.is_hide_set()).collect();
    let takes_names = command.get_positionals().next().is_some();
    if !below.is_empty() && !typed.starts_with('-') && (rest.is_empty() || !takes_names) {
        let mut found = Vec::new();
        if rest.is_empty() {
            found.extend(below.iter().map(|verb| candidate(verb.get_name(), verb.get_about())));
            if let Some(arg) = command.get_positionals().next() {
                found.extend(values(ctx, arg, false)?);
            }
        }
        return Ok(found);
    }
    if typed.starts_with('-') {
        let options = command.get_arguments().filter(|arg| !arg.is_hide_set());
        let one = |arg: &Arg| arg.get_long().map(|long| candidate(&format!("--{long}"), arg.get_help()));
        return Ok(options.filter_map(one).collect());
    }
    let given: Vec<&String> = positionals(&command, rest).collect();
    // One that can be given several times takes all that come.
    let mut all = command.get_positionals().enumerate();
    let arg = all.find(|(at, arg)| *at == given.len() || is_many(arg)).map(|(_, arg)| arg);
    let Some(arg) = arg.filter(|_| !NEW_NAMES.contains(&verb.as_str())) else { return Ok(Vec::new()) };
    let mut found = values(ctx, arg, false)?;
    found.retain(|found| !given.contains(&&found.word));
    Ok(found)
}

fn candidate(word: &str, about: Option<&clap::builder::StyledStr>) -> Candidate {
    let about = about.map(ToString::to_string).unwrap_or_default();
    Candidate { word: word.to_owned(), about }
}

/// Returns the words that belong to no option.
fn positionals<'a>(command: &'a Command, words: &'a [String]) -> impl Iterator<Item = &'a String> {
    let mut is_value = false;
    words.iter().filter(move |word| {
        let was_value = std::mem::take(&mut is_value);
        is_value = !was_value && option(command, word).is_some_and(takes_value);
        !was_value && !word.starts_with('-')
    })
}

/// Returns the option that a word is by itself: `--label` or `-l`, not `--label=x`.
fn option<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let mut options = command.get_arguments();
    match word.strip_prefix("--") {
        Some(long) => options.find(|arg| arg.get_long() == Some(long)),
        None => {
            let short = word.strip_prefix('-')?.chars().last();
            options.find(|arg| short.is_some() && arg.get_short() == short)
        }
    }
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

fn is_many(arg: &Arg) -> bool {
    arg.get_num_args().is_some_and(|count| count.max_values() > 1)
}

/// Returns what the value of an option, or a word that belongs to none, can be: as far as that is known here.
fn values(ctx: &Context, arg: &Arg, is_option: bool) -> Result<Vec<Candidate>, Failure> {
    let possible = arg.get_possible_values();
    if !possible.is_empty() {
        return Ok(possible.iter().map(|value| candidate(value.get_name(), value.get_help())).collect());
    }
    let name = arg.get_value_names().and_then(|names| names.first()).map(clap::builder::Str::as_str);
    let plain = |words: Vec<String>| words.into_iter().map(|word| candidate(&word, None)).collect();
    Ok(match (name, is_option) {
        // Without a look at any record: there may be a thousand.
        (Some("NAME"), false) => plain(ctx.registry().names()?.iter().map(ToString::to_string).collect()),
        (Some("IMAGE"), false) => plain(store::ids(ctx.registry().layout())?),
        (Some("KEY=VALUE"), _) => plain(labels(ctx)?),
        _ => Vec::new(),
    })
}

/// Returns the labels that VMs have, each once.
fn labels(ctx: &Context) -> Result<Vec<String>, Failure> {
    let records = ctx.registry().list()?.into_iter().filter_map(|entry| entry.record.ok());
    let all =
        records.flat_map(|record| record.labels.into_iter().map(|(key, value)| format!("{key}={value}")));
    Ok(all.collect::<BTreeSet<String>>().into_iter().collect())
}
