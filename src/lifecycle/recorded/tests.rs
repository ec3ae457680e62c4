//! What is booted after what happened.

use super::*;
use crate::lifecycle::run::Run;
use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex};

struct Vm {
    _dir: tempfile::TempDir,
    layout: Layout,
    vm: VmDir,
}

impl Vm {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let layout = crate::host::data_dir::open(&dir.path().join("d")).unwrap();
        let vm = VmDir::at(layout.vms().join("web"));
        files::create_private_dir(vm.path()).unwrap();
        Self { _dir: dir, layout, vm }
    }

    /// What the guest does when it has been rebuilt.
    fn record(&self, kernel: &str) {
        let hex: String = Sha256::digest(kernel).iter().map(|byte| format!("{byte:02x}")).collect();
        let sum = format!("{{\"bytes\":{},\"sha256\":\"{hex}\"}}", kernel.len());
        let text = format!(
            "{{\"schema\":1,\"toplevel\":\"/t\",\"cmdline\":\"{kernel}\",\"kernel\":{sum},\"initrd\":{sum}}}"
        );
        let mut builder = tar::Builder::new(Vec::new());
        for (name, content) in [("boot.json", text.as_str()), ("kernel", kernel), ("initrd", kernel)] {
            let mut header = tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_cksum();
            builder.append_data(&mut header, name, content.as_bytes()).unwrap();
        }
        let disk = self.vm.file(VmDir::BOOT_DISK);
        recorded::ensure_disk(&disk).unwrap();
        use std::io::Write;
        let mut file = std::fs::File::options().write(true).open(disk).unwrap();
        file.write_all(&builder.into_inner().unwrap()).unwrap();
    }

    /// Starts it, and tells which system it booted and whether it was warned. Then the guest is seen ready, or not.
    fn start(&self, base: bool, comes_up: bool) -> (String, bool) {
        let warnings = Arc::new(Mutex::new(0));
        let counting = Arc::clone(&warnings);
        let listener: Listener = Arc::new(move |event| {
            if let Event::Warning(_) = event {
                *counting.lock().unwrap() += 1;
            }
        });
        let choice = choose(&self.layout, &self.vm, base, &listener).unwrap();
        let run = Run::now("b".into(), "tcg".into(), choice.as_ref().map(|choice| choice.id.clone()));
        run.write(&self.vm).unwrap();
        if comes_up {
            run.set_ready(&self.vm).unwrap();
        }
        // As a stop does.
        for file in [VmDir::READY, VmDir::RUN] {
            files::remove_if_there(&self.vm.file(file)).unwrap();
        }
        let booted = choice.map_or("image".to_owned(), |choice| {
            let kernel = std::fs::read_to_string(self.vm.file(&choice.boot.kernel)).unwrap();
            assert_eq!(kernel, choice.boot.cmdline);
            kernel
        });
        let warned = *warnings.lock().unwrap() > 0;
        (booted, warned)
    }
}

fn quietly(system: &str) -> (String, bool) {
    (system.to_owned(), false)
}

fn with_a_warning(system: &str) -> (String, bool) {
    (system.to_owned(), true)
}

#[test]
fn what_was_rebuilt_is_booted_from_then_on() {
    let vm = Vm::new();
    assert_eq!(vm.start(false, true), quietly("image"));
    vm.record("one");
    assert_eq!(vm.start(false, true), quietly("one"));
    assert_eq!(vm.start(false, true), quietly("one"));
    // The way back, and again.
    assert_eq!(vm.start(true, true), quietly("image"));
    assert_eq!(vm.start(false, true), quietly("one"));
    vm.record("two");
    assert_eq!(vm.start(false, true), quietly("two"));
    forget(&vm.layout, &vm.vm).unwrap();
    assert_eq!(vm.start(false, true), quietly("image"));
}

#[test]
fn what_does_not_come_up_is_tried_once() {
    let vm = Vm::new();
    vm.record("bad");
    assert_eq!(vm.start(false, false), quietly("bad"));
    assert_eq!(vm.start(false, true), with_a_warning("image"));
    vm.record("good");
    assert_eq!(vm.start(false, true), quietly("good"));
    vm.record("bad");
    assert_eq!(vm.start(false, false), quietly("bad"));
    // It stays so: that the one before came up says nothing about this one.
    assert_eq!(vm.start(false, true), with_a_warning("good"));
    assert_eq!(vm.start(false, true), with_a_warning("good"));
    // Rebuilt to what it was before.
    vm.record("good");
    assert_eq!(vm.start(false, true), quietly("good"));
    vm.record("better");
    assert_eq!(vm.start(false, true), quietly("better"));
}

#[test]
fn a_record_that_was_torn_changes_nothing() {
    let vm = Vm::new();
    vm.record("one");
    assert_eq!(vm.start(false, true), quietly("one"));
    vm.record("two");
    use std::os::unix::fs::FileExt;
    let disk = std::fs::File::options().write(true).open(vm.vm.file(VmDir::BOOT_DISK)).unwrap();
    disk.write_all_at(&[0; 8192], 1024).unwrap();
    assert_eq!(vm.start(false, true), with_a_warning("one"));
}
