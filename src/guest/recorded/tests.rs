//! Records as a guest writes them, and as a hostile one does.

use super::*;
use proptest::prelude::*;
use serde_json::json;
use std::path::PathBuf;

fn sum(content: &[u8]) -> serde_json::Value {
    let hex: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    json!({ "bytes": content.len(), "sha256": hex })
}

fn description(kernel: &[u8], initrd: &[u8]) -> serde_json::Value {
    json!({
        "schema": 1, "toplevel": "/nix/store/x", "cmdline": "console=ttyS0",
        "kernel": sum(kernel), "initrd": sum(initrd),
    })
}

fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o444);
        header.set_cksum();
        builder.append_data(&mut header, name, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

struct Place(tempfile::TempDir);

impl Place {
    fn new(record: &[u8]) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        ensure_disk(&place.disk()).unwrap();
        let mut file = File::options().write(true).open(place.disk()).unwrap();
        file.write_all(record).unwrap();
        std::fs::create_dir(place.taken()).unwrap();
        place
    }

    fn disk(&self) -> PathBuf {
        self.0.path().join("boot.img")
    }

    fn taken(&self) -> PathBuf {
        self.0.path().join("into")
    }

    fn take(&self) -> Result<Recorded, NotRecorded> {
        take(&self.disk(), &self.taken())
    }
}

fn good() -> Vec<u8> {
    let text = description(b"kernel", &[7; 1024]).to_string();
    archive(&[("boot.json", text.as_bytes()), ("kernel", b"kernel"), ("initrd", &[7; 1024])])
}

#[test]
fn what_was_recorded_is_taken_whole() {
    let place = Place::new(&good());
    let peeked = peek(&place.disk()).unwrap();
    let taken = place.take().unwrap();
    assert_eq!(peeked, taken);
    assert_eq!(open(&place.taken()), Some(taken));
    assert_eq!(std::fs::read(place.taken().join(INITRD)).unwrap(), [7; 1024]);
    forget(&place.disk()).unwrap();
    assert!(matches!(peek(&place.disk()), Err(NotRecorded::Nothing)));
}

#[test]
fn what_is_not_whole_is_not_taken() {
    let whole = good();
    for end in (0..whole.len()).step_by(97) {
        let mut torn = whole.clone();
        torn.get_mut(end..).unwrap().fill(0);
        // Only what fills blocks up may be missing.
        let expected = end >= 512 + 512 + 512 + 512 + 512 + 1024;
        assert_eq!(Place::new(&torn).take().is_ok(), expected, "cut at {end}");
    }
}

#[test]
fn lies_are_found_out() {
    let with = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut description = description(b"kernel", b"initrd");
        change(&mut description);
        let text = description.to_string();
        Place::new(&archive(&[("boot.json", text.as_bytes()), ("kernel", b"kernel"), ("initrd", b"initrd")]))
            .take()
    };
    assert!(with(&|_| {}).is_ok());
    type Change = &'static dyn Fn(&mut serde_json::Value);
    let lies: [Change; 6] = [
        &|json| json["schema"] = json!(2),
        &|json| json["kernel"]["bytes"] = json!(u64::MAX),
        &|json| json["kernel"]["bytes"] = json!(5),
        &|json| json["initrd"]["sha256"] = json!("0"),
        &|json| json["cmdline"] = json!("a\nb"),
        &|json| json["cmdline"] = json!(["a"]),
    ];
    for lie in lies {
        assert!(matches!(with(lie), Err(NotRecorded::Unusable(_))));
    }
    let text = description(b"kernel", b"initrd").to_string();
    for members in [
        [("boot.json", text.as_bytes()), ("../kernel", b"kernel".as_slice())],
        [("boot.json", text.as_bytes()), ("initrd", b"initrd".as_slice())],
        [("kernel", b"kernel".as_slice()), ("boot.json", text.as_bytes())],
        [("boot.json", &[b' '; 70_000]), ("kernel", b"kernel".as_slice())],
    ] {
        // `..` is nothing that this library would write; what matters is that nothing else is taken for a kernel.
        let members = members.map(|(name, content)| (name.trim_start_matches("../"), content));
        assert!(Place::new(&archive(&members)).take().is_err());
    }
    // More than fits, which is not tried.
    let large = |json: &mut serde_json::Value| json["kernel"]["bytes"] = json!(DISK_BYTES);
    assert!(with(&large).unwrap_err().to_string().contains("larger than the disk"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_bytes_are_an_answer(at in 0usize..4096, bytes in proptest::collection::vec(any::<u8>(), 1..64)) {
        let mut record = good();
        for (place, byte) in record.iter_mut().skip(at).zip(bytes) {
            *place = byte;
        }
        let place = Place::new(&record);
        if let Ok(taken) = place.take() {
            prop_assert_eq!(std::fs::read(place.taken().join(KERNEL)).unwrap(), b"kernel");
            prop_assert_eq!(open(&place.taken()), Some(taken));
        }
    }
}
