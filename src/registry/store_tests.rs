//! Tests of the registry on a real directory.

use super::*;
use crate::host::data_dir;
use crate::registry::ports::Machine;
use crate::registry::record::SCHEMA;
use crate::vm::guest::Guest;
use crate::vm::login_mode::LoginMode;
use crate::vm::port::{HostPort, loopback};
use crate::vm::size::{CpuCount, DiskSize, MemorySize};
use crate::vm::spec::{AcceleratorChoice, Hardware};

fn registry() -> (tempfile::TempDir, Registry) {
    let dir = tempfile::tempdir().unwrap();
    let layout = data_dir::open(&dir.path().join("data")).unwrap();
    (dir, Registry::new(layout))
}

fn draft(name: &str) -> Record {
    Record {
        schema: SCHEMA,
        name: name.parse().unwrap(),
        uuid: "u".to_owned(),
        created: "2026-01-01T00:00:00Z".to_owned(),
        user: "dev".parse().unwrap(),
        hardware: Some(Hardware {
            memory: MemorySize::from_mib(1024).unwrap(),
            cpus: CpuCount::new(1).unwrap(),
            disk: DiskSize::from_gib(5).unwrap(),
        }),
        machine: Some("pc-q35-7.2".to_owned()),
        accel: AcceleratorChoice::Auto,
        base: None,
        systems: Vec::new(),
        guest: Guest::Debian,
        claude: LoginMode::None,
        labels: Default::default(),
        forwards: Vec::new(),
        overlay: false,
        audio: false,
        desktop: None,
        dir: None,
        shares: Vec::new(),
        unknown: toml::Table::new(),
    }
}

fn request() -> PortRequest {
    PortRequest { ssh: HostPort::Auto, forwards: Vec::new(), bind: loopback() }
}

fn create(registry: &Registry, name: &str) -> Result<Record, RegistryError> {
    registry.create(draft(name), Some(&request()), &Machine, |_| Ok(()))
}

#[test]
fn created_listed_changed_removed() {
    let (_dir, registry) = registry();
    let web = create(&registry, "web").unwrap();
    let db = create(&registry, "db").unwrap();
    assert_ne!(web.ssh().unwrap().host, db.ssh().unwrap().host);
    assert!(matches!(create(&registry, "web"), Err(RegistryError::Exists { .. })));
    let names: Vec<_> = registry.list().unwrap().into_iter().map(|entry| entry.name.to_string()).collect();
    assert_eq!(names, ["db", "web"]);
    let changed = registry
        .update::<RegistryError>(&web.name, |record, others| {
            assert!(others.contains_key(&db.ssh().unwrap().host));
            record.base = Some("debian-1".to_owned());
            Ok(())
        })
        .unwrap();
    assert_eq!(registry.get(&web.name).unwrap(), changed);
    registry.remove(&web.name).unwrap();
    assert!(matches!(registry.get(&web.name), Err(RegistryError::NotFound { .. })));
    assert_eq!(std::fs::read_dir(registry.layout().staging()).unwrap().count(), 0);
}

#[test]
fn a_failed_preparation_leaves_nothing() {
    let (_dir, registry) = registry();
    let full = |dir: &VmDir| Err(failed("write", dir.path())(io::ErrorKind::StorageFull.into()));
    let error = registry.create(draft("web"), Some(&request()), &Machine, full).unwrap_err();
    assert!(error.to_string().contains("cannot write"), "{error}");
    assert!(registry.list().unwrap().is_empty());
    assert_eq!(std::fs::read_dir(registry.layout().staging()).unwrap().count(), 0);
}

#[test]
fn one_broken_record_breaks_nothing_else() {
    let (_dir, registry) = registry();
    let good = create(&registry, "good").unwrap();
    let bad = create(&registry, "bad").unwrap();
    let file = registry.dir(&bad.name).file(VmDir::RECORD);
    std::fs::write(&file, "schema = 1\nname = [").unwrap();
    let entries = registry.list().unwrap();
    let problem = entries[0].record.as_ref().unwrap_err();
    assert_eq!(problem.line, Some(2));
    assert_eq!(entries[1].record.as_ref().unwrap(), &good);
    let change = |_: &mut Record, _: &Reserved| Ok::<_, RegistryError>(());
    assert!(matches!(registry.update(&bad.name, change), Err(RegistryError::Broken { .. })));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "schema = 1\nname = [");
}

#[test]
fn a_typo_is_recognised() {
    let (_dir, registry) = registry();
    create(&registry, "frontend").unwrap();
    let error = registry.get(&"fronted".parse().unwrap()).unwrap_err();
    assert!(matches!(error, RegistryError::NotFound { similar: Some(_), .. }));
    let error = registry.get(&"db".parse().unwrap()).unwrap_err();
    assert!(matches!(error, RegistryError::NotFound { similar: None, .. }));
}

#[test]
fn distances() {
    for (a, b, distance) in
        [("", "", 0), ("a", "", 1), ("", "ab", 2), ("web", "wbe", 2), ("kitten", "sitting", 3)]
    {
        assert_eq!(edit_distance(a, b), distance, "{a} {b}");
    }
}
