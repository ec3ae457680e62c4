//! `ai-vm doctor`: whether this machine has what ai-vm needs.

use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::doctor::{Finding, Level, examine, mend};
use crate::ui::filter;

/// Check whether this machine has what ai-vm needs
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ai-vm doctor\n  \
    ai-vm doctor --fix\n  \
    ai-vm doctor --json | jq -r '.[] | select(.level != \"ok\") | .subject, .hint'")]
pub struct Args {
    /// Mend what can be mended without asking: what belongs to ai-vm, and packages and settings as root or with a `sudo`
    /// that needs no password. Nothing of yours is removed
    #[arg(long)]
    fix: bool,
    /// Print an array of objects
    #[arg(long)]
    json: bool,
}

/// Makes all checks; exit code 1 when something will fail.
pub fn run(ctx: &Context, args: &Args) -> Result<u8, Failure> {
    let mut findings = examine(&ctx.engine);
    if args.fix {
        let say = |command: &str| ctx.terminal.status(&format!("running as root: {command}"));
        findings = mend(&ctx.engine, findings, &mut { say });
    }
    let failed = findings.iter().any(|finding| finding.level == Level::Error);
    if args.json {
        ctx.print_json(&findings)?;
    } else {
        ctx.print(&findings.iter().map(text).collect::<String>())?;
    }
    Ok(failed.into())
}

fn text(finding: &Finding) -> String {
    let mark = match finding.level {
        _ if finding.fixed => "fixed",
        Level::Ok => "ok   ",
        Level::Warning => "warn ",
        Level::Error => "ERROR",
    };
    let mut text = format!("{mark}  {}: {}\n", finding.subject, filter::one_line(&finding.detail));
    let below = [("means", &finding.meaning), ("hint", &finding.hint)];
    for (what, said) in below.into_iter().filter(|_| !finding.fixed && finding.level != Level::Ok) {
        if let Some(said) = said {
            text.push_str(&format!("       {what}: {}\n", filter::one_line(said)));
        }
    }
    text
}
