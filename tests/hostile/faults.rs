//! A connection that ends, or lies, at any byte: the command fails, or it is as if nothing had been wrong.

use std::sync::atomic::Ordering;

use crate::server::{Fault, run, serve};
use crate::victim::Victim;

/// How many places of a connection are tried.
const PLACES: usize = 48;

#[test]
fn a_cut_and_a_flipped_bit_anywhere() {
    let out = "0123456789abcdef".repeat(64);
    let said = out.clone();
    let server = serve(run(move |handle, id| {
        let said = said.clone();
        async move {
            let _ = handle.data(id, said).await;
            let _ = handle.exit_status_request(id, 0).await;
            let _ = handle.eof(id).await;
            let _ = handle.close(id).await;
        }
    }));
    let victim = Victim::of(server.port, &server.host);
    let ran = victim.exec();
    assert_eq!((ran.code, &ran.out), (0, &out), "{}", ran.err);
    let all = server.sent.load(Ordering::Relaxed);
    assert!(all > 1000, "the connection was {all} bytes long");
    let (mut before, mut during) = (0, 0);
    for kind in [Fault::Cut, Fault::Flip] {
        for place in 0..PLACES {
            let fault = kind(all * place / PLACES);
            *server.fault.lock().unwrap() = Some(fault);
            let ran = victim.exec();
            match ran.code {
                // A banner may be another one, and what comes after the end does not matter.
                0 => assert_eq!(ran.out, out, "{fault:?}: {}", ran.err),
                125 | 4 => before += 1,
                255 => during += 1,
                code => panic!("{fault:?} ended with {code}: {}", ran.err),
            }
        }
    }
    assert!(
        before > PLACES / 2 && during > PLACES / 4,
        "{before} failed before the command and {during} during it"
    );
}
