//! `ai-vm doctor`: whether this machine has what ai-vm needs.

use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::doctor::{Level, examine};
use crate::ui::filter;

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print an array of objects
    #[arg(long)]
    json: bool,
}

/// Makes all checks; exit code 1 when something will fail.
pub fn run(ctx: &Context, args: &Args) -> Result<u8, Failure> {
    let findings = examine(&ctx.engine);
    let failed = findings.iter().any(|finding| finding.level == Level::Error);
    if args.json {
        ctx.print_json(&findings)?;
        return Ok(failed.into());
    }
    for finding in findings {
        let mark = match finding.level {
            Level::Ok => "ok   ",
            Level::Warning => "warn ",
            Level::Error => "ERROR",
        };
        let hint = finding.hint.map(|hint| format!("\n        hint: {hint}")).unwrap_or_default();
        ctx.print(&format!("{mark}  {}: {}{hint}\n", finding.subject, filter::one_line(&finding.detail)))?;
    }
    Ok(failed.into())
}
