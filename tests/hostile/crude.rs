//! Servers that do not get as far as a key: raw bytes on a TCP connection.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use ai_vm::ssh::keys::{KeyPair, generate};

use crate::server::{run, serve};
use crate::victim::Victim;

/// Serves every connection in a thread of its own.
fn listen(answer: impl Fn(TcpStream) + Clone + Send + 'static) -> Victim {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let answer = answer.clone();
            std::thread::spawn(move || answer(stream.unwrap()));
        }
    });
    Victim::of(port, &generate("host").unwrap())
}

/// Writes until the other side has had enough.
fn drip(mut stream: TcpStream, bytes: impl Iterator<Item = u8>) {
    for byte in bytes {
        if stream.write_all(&[byte]).is_err() {
            return;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Keeps a connection open until the other side closes it.
fn hold(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    while matches!(stream.read(&mut buffer), Ok(1..)) {}
}

const BANNER: &[u8] = b"SSH-2.0-hostile\r\n";

/// What a server proposes for the key exchange, in a packet without encryption.
fn kexinit() -> Vec<u8> {
    let lists = [
        "curve25519-sha256",
        "ssh-ed25519",
        "aes256-gcm@openssh.com",
        "aes256-gcm@openssh.com",
        "hmac-sha2-256",
        "hmac-sha2-256",
        "none",
        "none",
        "",
        "",
    ];
    let mut payload = vec![20];
    payload.extend([7; 16]);
    for list in lists {
        payload.extend(u32::try_from(list.len()).unwrap().to_be_bytes());
        payload.extend(list.bytes());
    }
    payload.extend([0; 5]);
    let padding = 8 - (payload.len() + 5) % 8 + 8;
    let length = u32::try_from(payload.len() + padding + 1).unwrap();
    [&length.to_be_bytes(), &[u8::try_from(padding).unwrap()][..], &payload, &vec![0; padding]].concat()
}

#[test]
fn silence() {
    listen(hold).is_turned_away("nothing answers", 5);
}

#[test]
fn one_that_hangs_up_at_once() {
    listen(drop).is_turned_away("nothing answers", 5);
}

#[test]
fn a_banner_that_never_ends_comes_slowly() {
    let endless = || b"SSH-2.0-".iter().copied().chain(std::iter::repeat(b'x'));
    listen(move |stream| drip(stream, endless())).is_turned_away("did not finish the login in time", 5);
}

#[test]
fn a_key_exchange_that_comes_slowly() {
    listen(|mut stream| {
        stream.write_all(BANNER).unwrap();
        drip(stream, kexinit().into_iter());
    })
    .is_turned_away("did not finish the login in time", 5);
}

#[test]
fn one_that_says_nothing_after_its_banner() {
    listen(|mut stream| {
        let _ = stream.write_all(BANNER);
        hold(stream);
    })
    .is_turned_away("did not finish the login in time", 5);
}

#[test]
fn one_that_says_nothing_after_its_proposal() {
    listen(|mut stream| {
        let _ = stream.write_all(&[BANNER, &kexinit()].concat());
        hold(stream);
    })
    .is_turned_away("did not finish the login in time", 5);
}

#[test]
fn garbage() {
    let garbages: [&[u8]; 6] = [
        b"\x00\x01\x02\xff\xfe\n",
        b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\n\r\n<html>\r\n",
        b"220 mail.example.org ESMTP\r\n",
        b"SSH-1.5-ancient\r\n",
        b"\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n",
        b"\x1b]0;owned\x07\x1b[2J\r\n",
    ];
    std::thread::scope(|scope| {
        for garbage in garbages {
            scope.spawn(move || {
                let victim = listen(move |mut stream| {
                    let _ = stream.write_all(garbage);
                    let _ = stream.shutdown(Shutdown::Write);
                    hold(stream);
                });
                let ran = victim.exec();
                assert_eq!(ran.code, 125, "{garbage:?}: {}", ran.err);
                assert!(ran.err.contains("broke during the login"), "{garbage:?}: {}", ran.err);
                assert!(!ran.err.contains('\u{1b}'), "{garbage:?}: {:?}", ran.err);
            });
        }
    });
}

#[test]
fn a_gibibyte_of_nothing_in_particular() {
    listen(|mut stream| {
        let chunk = vec![b'A'; 1 << 20];
        for _ in 0..1024 {
            if stream.write_all(&chunk).is_err() {
                return;
            }
        }
    })
    .is_turned_away("broke during the login", 5);
}

#[test]
fn a_packet_that_claims_to_be_huge() {
    for length in [0xffff_fff0u32, 0x7fff_fff8, 1 << 24, 0, 1] {
        let victim = listen(move |mut stream| {
            let _ = stream.write_all(&[BANNER, &length.to_be_bytes()].concat());
            let chunk = vec![0; 1 << 20];
            while stream.write_all(&chunk).is_ok() {}
        });
        let ran = victim.exec();
        assert_eq!(ran.code, 125, "{length:#x}: {}", ran.err);
    }
}

#[test]
fn hanging_up_after_each_of_the_first_words() {
    for words in [BANNER.to_vec(), [BANNER, &kexinit()].concat(), [BANNER, &kexinit()[..40]].concat()] {
        let victim = listen(move |mut stream| {
            let _ = stream.write_all(&words);
            let _ = stream.shutdown(Shutdown::Write);
            hold(stream);
        });
        victim.is_turned_away("broke during the login", 5);
    }
}

#[test]
fn another_key() {
    let server = serve(run(|_, _| async {}));
    Victim::of(server.port, &generate("other").unwrap()).is_turned_away("another host key", 4);
}

#[test]
fn a_key_of_another_kind() {
    let server = serve(run(|_, _| async {}));
    let file = tempfile::tempdir().unwrap();
    let file = file.path().join("key");
    let mut keygen = std::process::Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ecdsa", "-N", "", "-f"]).arg(&file);
    assert!(keygen.status().unwrap().success());
    let public = std::fs::read_to_string(file.with_extension("pub")).unwrap();
    // The server has none of this kind, so it cannot be the right one.
    Victim::of(server.port, &KeyPair { private: String::new(), public })
        .is_turned_away("another host key", 4);
}
