//! Which VMs a command is for: names, labels, or all.

use clap::Args;

use crate::cli::context::Context;
use crate::cli::failure::{Failure, UsageError};
use crate::cli::values::value;
use crate::registry::store::Entry;
use crate::vm::label::Label;
use crate::vm::name::VmName;

/// Names one or many VMs.
#[derive(Args, Clone, Debug)]
pub struct Targets {
    /// VMs by name
    #[arg(value_name = "NAME", value_parser = value::<VmName>, conflicts_with_all = ["all", "labels"])]
    pub names: Vec<VmName>,
    /// VMs by what they have in common
    #[command(flatten)]
    pub group: Group,
}

/// Names many VMs by what they have in common.
#[derive(Args, Clone, Debug, Default)]
pub struct Group {
    /// Every VM
    #[arg(long)]
    all: bool,
    /// VMs with this label; several must all match
    #[arg(short = 'l', long = "label", value_name = "KEY=VALUE", value_parser = value::<Label>, conflicts_with = "all")]
    labels: Vec<Label>,
}

impl Group {
    /// Tells whether it names any.
    pub const fn is_given(&self) -> bool {
        self.all || !self.labels.is_empty()
    }

    fn has(&self, entry: &Entry) -> bool {
        match &entry.record {
            Ok(record) => self.labels.iter().all(|label| label.matches(&record.labels)),
            Err(_) => self.labels.is_empty(),
        }
    }
}

impl Targets {
    /// Tells whether nothing was named.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && !self.group.is_given()
    }

    /// Returns the VMs in order; a name that does not exist is an error, labels that match nothing are not.
    pub fn resolve(&self, ctx: &Context) -> Result<Vec<Entry>, Failure> {
        if self.group.is_given() {
            return Ok(ctx.registry().list()?.into_iter().filter(|entry| self.group.has(entry)).collect());
        }
        let find =
            |name: VmName| ctx.registry().entry(name.clone()).ok_or_else(|| ctx.registry().not_found(&name));
        Ok(each_once(&self.names).into_iter().map(find).collect::<Result<_, _>>()?)
    }

    /// Like [`Targets::resolve`], but naming nothing is a mistake.
    pub fn require(&self, ctx: &Context, verb: &str) -> Result<Vec<Entry>, Failure> {
        if self.is_empty() {
            let error = UsageError {
                message: format!("`ai-vm {verb}` needs to know which VMs"),
                hint: format!("`ai-vm {verb} NAME`, `ai-vm {verb} --all` or `ai-vm {verb} -l KEY=VALUE`"),
            };
            return Err(error.into());
        }
        self.resolve(ctx)
    }

    /// Returns the VMs for a verb that has an end of its own for each: what was named, whether it exists or not, so that
    /// one slip in a name does not keep the others waiting.
    pub fn named(&self, ctx: &Context, verb: &str) -> Result<Vec<VmName>, Failure> {
        if !self.names.is_empty() {
            return Ok(each_once(&self.names));
        }
        Ok(self.require(ctx, verb)?.into_iter().map(|entry| entry.name).collect())
    }

    /// Like [`Targets::named`], for what ai-vm does only to VMs that it runs. Of the machines that something else runs
    /// only those are returned that were named: who says `--all` does not mean them.
    pub fn named_own(&self, ctx: &Context, verb: &str) -> Result<Vec<VmName>, Failure> {
        let mut names = self.named(ctx, verb)?;
        if self.names.is_empty() {
            names.retain(|name| !ctx.registry().get(name).is_ok_and(|record| record.guest.is_adopted()));
        }
        Ok(names)
    }

    /// Like [`Targets::require`], for verbs that need no records.
    pub fn require_names(&self, ctx: &Context, verb: &str) -> Result<Vec<VmName>, Failure> {
        Ok(self.require(ctx, verb)?.into_iter().map(|entry| entry.name).collect())
    }
}

/// Returns names in the order in which they were typed, none of them twice.
pub fn each_once(typed: &[VmName]) -> Vec<VmName> {
    let mut names: Vec<VmName> = Vec::new();
    for name in typed {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}
