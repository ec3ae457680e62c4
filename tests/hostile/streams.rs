//! Servers that run the command, or say so, and end it in odd ways or never.

use std::io::Read;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use russh::Limits;
use russh::server::Handle;

use crate::home::wait;
use crate::memory::Watch;
use crate::server::{Act, run, serve, serve_with};
use crate::victim::Victim;

const CHUNK: usize = 32 * 1024;

/// Runs a command on a server that does this, on a connection of its own and on a warm one.
fn expect(act: Act, code: i32, out: &str) {
    let server = serve(act);
    let victim = Victim::of(server.port, &server.host);
    for flags in [&["--no-mux"][..], &[]] {
        let ran = victim.run(&[&["exec"], flags, &["--timeout", "5", "vm", "--", "true"]].concat());
        assert_eq!((ran.code, ran.out.as_str()), (code, out), "{flags:?}: {}", ran.err);
    }
}

/// The same for a server that breaks off: the connection counts as lost.
fn expect_lost(act: Act, out: &str) {
    let server = serve(act);
    let victim = Victim::of(server.port, &server.host);
    for flags in [&["--no-mux"][..], &[]] {
        let ran = victim.run(&[&["exec"], flags, &["--timeout", "5", "vm", "--", "true"]].concat());
        assert_eq!((ran.code, ran.out.as_str()), (255, out), "{flags:?}: {}", ran.err);
        assert!(ran.err.contains("was lost"), "{flags:?}: {}", ran.err);
    }
}

/// Everything that a well-behaved server says at the end.
async fn end(handle: &Handle, id: russh::ChannelId, status: u32) {
    let _ = handle.exit_status_request(id, status).await;
    let _ = handle.eof(id).await;
    let _ = handle.close(id).await;
}

#[test]
fn a_status_and_no_end() {
    let act = run(|handle, id| async move {
        let _ = handle.data(id, "all").await;
        let _ = handle.exit_status_request(id, 7).await;
        std::future::pending::<()>().await;
    });
    expect(act, 7, "all");
}

#[test]
fn an_end_and_no_status() {
    let act = run(|handle, id| async move {
        let _ = handle.data(id, "some").await;
        let _ = handle.eof(id).await;
        let _ = handle.close(id).await;
    });
    expect_lost(act, "some");
}

#[test]
fn a_close_and_nothing_else() {
    let act = run(|handle, id| async move {
        let _ = handle.close(id).await;
    });
    expect_lost(act, "");
}

#[test]
fn a_status_and_a_lost_connection() {
    // What was still to come is missing, and nobody knows whether that was anything.
    let act = run(|handle, id| async move {
        let _ = handle.data(id, "half").await;
        let _ = handle.exit_status_request(id, 0).await;
        let _ = handle.disconnect(russh::Disconnect::ByApplication, String::new(), String::new()).await;
    });
    expect_lost(act, "half");
}

#[test]
fn data_after_the_status() {
    let act = run(|handle, id| async move {
        let _ = handle.exit_status_request(id, 0).await;
        for _ in 0..200 {
            let _ = handle.data(id, "0123456789").await;
        }
        let _ = handle.eof(id).await;
        let _ = handle.close(id).await;
    });
    expect(act, 0, &"0123456789".repeat(200));
}

#[test]
fn statuses_that_no_process_has() {
    for (status, code) in [(256, 255), (u32::MAX, 255), (0, 0), (42, 42)] {
        expect(run(move |handle, id| async move { end(&handle, id, status).await }), code, "");
    }
}

#[test]
fn output_that_never_ends_and_a_reader_that_goes_away() {
    for of_error in [false, true] {
        let server = serve(run(move |handle, id| async move {
            let chunk = bytes::Bytes::from(vec![b'y'; CHUNK]);
            // To stdout in the end, because a command is free to go on without anybody who reads its stderr.
            for number in 0u64.. {
                let sent = match of_error && number < 1000 {
                    true => handle.extended_data(id, 1, chunk.clone()).await.is_ok(),
                    false => handle.data(id, chunk.clone()).await.is_ok(),
                };
                if !sent {
                    return;
                }
            }
        }));
        let victim = Victim::of(server.port, &server.host);
        for flags in [&["--no-mux"][..], &[]] {
            let mut command = victim.home.command(&[&["exec"], flags, &["vm", "--", "yes"]].concat());
            let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
            let mut some = vec![0; 1 << 20];
            child.stdout.as_mut().unwrap().read_exact(&mut some).unwrap();
            drop(child.stdout.take());
            let memory = Watch::on(&child);
            assert_eq!(wait(child, Duration::from_secs(20), "yes").code, 141, "{flags:?}");
            memory.check("yes");
        }
    }
}

#[test]
fn a_flood_that_nobody_reads_takes_no_memory() {
    let server = serve(run(|handle, id| async move {
        let chunk = bytes::Bytes::from(vec![b'y'; CHUNK]);
        while handle.data(id, chunk.clone()).await.is_ok() {}
    }));
    let victim = Victim::of(server.port, &server.host);
    for flags in [&["--no-mux"][..], &[]] {
        let mut command = victim.home.command(&[&["exec"], flags, &["vm", "--", "yes"]].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        // One byte, so that it has begun; then nothing for long enough to fill what can be filled.
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        let kept = child.stdout.take().unwrap();
        std::thread::sleep(Duration::from_secs(1));
        // It can be told to end all the same: the second signal gives up.
        let kill = |name: &str| {
            let pid = child.id().to_string();
            assert!(std::process::Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
        };
        kill("INT");
        std::thread::sleep(Duration::from_millis(200));
        kill("INT");
        // What has been received is still for the reader.
        let reading = std::thread::spawn(move || std::io::copy(&mut { kept }, &mut std::io::sink()));
        let memory = Watch::on(&child);
        assert_eq!(wait(child, Duration::from_secs(20), "yes").code, 130, "{flags:?}");
        memory.check("yes");
        assert!(reading.join().unwrap().unwrap() < 64 << 20, "{flags:?}: that much had been kept");
    }
}

#[test]
fn a_flood_of_errors_passes() {
    let act = run(|handle, id| async move {
        let chunk = bytes::Bytes::from(vec![b'e'; CHUNK]);
        for _ in 0..1024 {
            let _ = handle.extended_data(id, 1, chunk.clone()).await;
        }
        end(&handle, id, 3).await;
    });
    let server = serve(act);
    let victim = Victim::of(server.port, &server.host);
    let mut command = victim.home.command(&["exec", "--no-mux", "vm", "--", "true"]);
    let file = victim.home.dir().join("err");
    let child = command.stderr(std::fs::File::create(&file).unwrap()).spawn().unwrap();
    let memory = Watch::on(&child);
    assert_eq!(wait(child, Duration::from_secs(60), "errors").code, 3);
    memory.check("errors");
    assert_eq!(std::fs::metadata(file).unwrap().len(), 32 << 20);
}

#[test]
fn channels_that_nobody_asked_for_are_refused() {
    let accepted = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&accepted);
    let act = run(move |handle, id| {
        let seen = Arc::clone(&seen);
        async move {
            let answers = [
                (
                    "forwarded",
                    handle.channel_open_forwarded_tcpip("127.0.0.1", 22, "127.0.0.1", 1).await.is_ok(),
                ),
                ("streamlocal", handle.channel_open_forwarded_streamlocal("/run/x").await.is_ok()),
                ("direct", handle.channel_open_direct_tcpip("127.0.0.1", 22, "127.0.0.1", 1).await.is_ok()),
                ("x11", handle.channel_open_x11("127.0.0.1", 1).await.is_ok()),
                ("agent", handle.channel_open_agent().await.is_ok()),
                ("session", handle.channel_open_session().await.is_ok()),
            ];
            *seen.lock().unwrap() = answers.to_vec();
            end(&handle, id, 0).await;
        }
    });
    expect(act, 0, "");
    let accepted = accepted.lock().unwrap();
    assert_eq!(accepted.len(), 6);
    assert!(accepted.iter().all(|(_, accepted)| !accepted), "{accepted:?}");
}

#[test]
fn keys_that_are_changed_all_the_time() {
    let act = run(|handle, id| async move {
        for number in 0..200 {
            let _ = handle.data(id, format!("{number:1000}\n")).await;
        }
        end(&handle, id, 0).await;
    });
    let server = serve_with(act, Limits::new(2_000, 2_000, Duration::from_secs(3600)));
    let victim = Victim::of(server.port, &server.host);
    let ran = victim.run(&["exec", "--no-mux", "--timeout", "10", "vm", "--", "true"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let expected: String = (0..200).map(|number| format!("{number:1000}\n")).collect();
    assert!(ran.out == expected, "{} bytes came", ran.out.len());
}
