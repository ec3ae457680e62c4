//! By what means guests run here: tried, each time.

use crate::doctor::finding::Finding;
use crate::lifecycle::Engine;
use crate::qemu::accel::{self, Accelerator};
use crate::vm::spec::AcceleratorChoice;

const SUBJECT: &str = "accelerator";

/// Makes the trial anew where the last one failed: why it did may be gone, and a start only tries once a boot.
pub fn check(engine: &Engine) -> Vec<Finding> {
    let slow = "guests are emulated, at a fifth of the speed and less";
    let Ok(qemu) = crate::qemu::binary(engine.qemu.as_ref()) else {
        return vec![Finding::error(SUBJECT, "not known without QEMU", "no VM can be started")];
    };
    let layout = engine.registry.layout();
    let verdict = accel::try_again(layout)
        .map_err(Into::into)
        .and_then(|()| accel::decide(layout, &qemu, AcceleratorChoice::Auto, || {}));
    vec![match verdict {
        Ok(verdict) if verdict.accel == Accelerator::Kvm => Finding::ok(SUBJECT, "KVM runs guests"),
        Ok(verdict) => {
            let reason = verdict.reason.unwrap_or_default();
            let finding = Finding::warning(SUBJECT, format!("KVM does not work: {reason}"), slow);
            let user = std::env::var("USER").ok().filter(|user| !user.is_empty());
            match user.filter(|_| reason.contains("Permission denied")) {
                Some(user) => finding
                    .hint(format!("`sudo usermod -aG kvm {user}`, then log in again"))
                    .root(&["usermod", "-aG", "kvm", &user]),
                None if reason.contains("no /dev/kvm") => finding.hint(
                    "switch virtualisation on in the firmware, or `sudo modprobe -a kvm_intel kvm_amd`",
                ),
                None => finding.hint("in a cloud, ask for a machine with nested virtualisation"),
            }
        }
        Err(error) => Finding::of(SUBJECT, &error, slow),
    }]
}
