//! Many processes change the registry at the same time.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::home::Home;

/// 32 workers create 200 VMs, one process each, while others list: no name and no port twice, no torn read.
#[test]
fn two_hundred_vms_by_thirty_two_workers() {
    let home = Home::new();
    home.ok(&["ls"]);
    let done = AtomicBool::new(false);
    let reads = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while !done.load(Ordering::Relaxed) {
                for vm in home.list() {
                    assert_eq!(vm["problem"], serde_json::Value::Null, "a torn read: {vm}");
                    assert_eq!(vm["ports"].as_array().unwrap().len(), 3, "half a VM: {vm}");
                }
                reads += 1;
            }
            reads
        });
        let workers: Vec<_> = (0..32)
            .map(|worker| {
                let home = &home;
                scope.spawn(move || {
                    for number in (worker..200).step_by(32) {
                        home.ok(&["create", &format!("vm{number}")]);
                    }
                })
            })
            .collect();
        let results: Vec<_> = workers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        let reads = reader.join().unwrap();
        assert!(results.iter().all(Result::is_ok));
        reads
    });
    assert!(reads > 0);
    let vms = home.list();
    let names: BTreeSet<&str> = vms.iter().map(|vm| vm["name"].as_str().unwrap()).collect();
    assert_eq!((vms.len(), names.len()), (200, 200));
    let ports: Vec<u64> = vms
        .iter()
        .flat_map(|vm| vm["ports"].as_array().unwrap())
        .map(|port| port["host"].as_u64().unwrap())
        .collect();
    assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), 600, "a port was given twice");
}

#[test]
fn of_sixty_four_creators_of_one_name_exactly_one_wins() {
    let home = Home::new();
    home.ok(&["ls"]);
    let codes: Vec<i32> = std::thread::scope(|scope| {
        let creators: Vec<_> = (0..64).map(|_| scope.spawn(|| home.run(&["create", "one"]).code)).collect();
        creators.into_iter().map(|creator| creator.join().unwrap()).collect()
    });
    let count = |code: i32| codes.iter().filter(|found| **found == code).count();
    assert_eq!((count(0), count(4)), (1, 63), "{codes:?}");
    assert_eq!(home.list().len(), 1);
    assert_eq!(std::fs::read_dir(home.data().join("staging")).unwrap().count(), 0);
}
