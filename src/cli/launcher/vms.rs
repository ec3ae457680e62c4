//! The first menu: the VMs that there are, and a new one.

use std::time::{Duration, SystemTime};

use crate::cli::commands::summary::{PortSummary, Summary};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::launcher::machine::Machine;
use crate::cli::launcher::{Decision, form};
use crate::lifecycle::present::Present;
use crate::ui::dialog::{Dialog, Left};
use crate::ui::menu::{Answer, Menu, Row};
use crate::ui::time;
use crate::vm::state::State;

/// Says what the VMs do: those that run come first.
pub fn seen(ctx: &Context) -> Result<Vec<Summary>, Failure> {
    let present = Present::of(ctx.registry().layout());
    let seen = ctx.observe(ctx.registry().list()?)?;
    let mut vms: Vec<Summary> = seen.iter().map(|vm| Summary::of(vm, &present)).collect();
    vms.sort_by_key(|vm| (vm.state != State::Running, !vm.state.is_alive()));
    Ok(vms)
}

/// Opens the menus until something is decided; `None` when they are left. Where there is no VM there is nothing to pick.
pub async fn menus(
    ctx: &Context,
    dialog: &mut Dialog,
    vms: &[Summary],
    machine: &Machine,
) -> Result<Option<Decision>, Left> {
    if vms.is_empty() {
        return form::form(ctx, dialog, machine, "leaves").await;
    }
    let widest = vms.iter().map(|vm| vm.state.to_string().len()).max().unwrap_or(0);
    let mut rows: Vec<Row> =
        vms.iter().map(|vm| Row::new(vm.name.as_str(), about(vm, widest, SystemTime::now()))).collect();
    rows.push(Row::new("new VM…", "make one"));
    let mut at = 0;
    loop {
        let menu = Menu::new("Open a shell in", rows.clone()).at(at).leaving("leaves");
        let Answer::Row(picked) = dialog.ask(menu).await? else { return Ok(None) };
        match vms.get(picked) {
            Some(vm) => {
                let start = (vm.state == State::Stopped).then_some("--start");
                let words = ["shell", vm.name.as_str()].into_iter().chain(start).map(Into::into);
                return Ok(Some(Decision::Run(words.collect())));
            }
            None => {
                if let Some(decision) = form::form(ctx, dialog, machine, "goes back").await? {
                    return Ok(Some(decision));
                }
                at = picked;
            }
        }
    }
}

/// Says on one line what a VM does, how old it is and which ports it has.
fn about(vm: &Summary, widest: usize, now: SystemTime) -> String {
    let created = vm.created.as_deref().and_then(|time| humantime::parse_rfc3339_weak(time).ok());
    let age =
        created.map(|created| time::short(now.duration_since(created).unwrap_or(Duration::ZERO).as_secs()));
    let ports: Vec<String> = vm.ports.iter().map(PortSummary::words).collect();
    let about = match (&vm.problem, &vm.address) {
        (Some(problem), _) => problem.clone(),
        (None, Some(address)) => address.clone(),
        (None, None) => ports.join(" "),
    };
    format!("{:widest$}  {:>6}  {about}", vm.state, age.unwrap_or_default())
}
