//! Unix sockets by directory and name: the address of a socket may only have 107 bytes, the path of a directory 4095.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// Connects to a socket in a directory.
pub fn connect(dir: &Path, name: &str) -> io::Result<UnixStream> {
    let (_open, path) = short(dir, name)?;
    UnixStream::connect(path)
}

/// Connects to a socket in a directory without waiting for whoever listens there: an error of the kind
/// [`io::ErrorKind::ConnectionRefused`] says that nobody does, [`io::ErrorKind::WouldBlock`] that too many wait already.
pub fn connect_at_once(dir: &Path, name: &str) -> io::Result<UnixStream> {
    let (_open, path) = short(dir, name)?;
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// Makes a socket in a directory and listens on it.
pub fn listen(dir: &Path, name: &str) -> io::Result<UnixListener> {
    let (_open, path) = short(dir, name)?;
    UnixListener::bind(path)
}

/// Returns a short path of a socket, good as long as the file is open.
pub fn short(dir: &Path, name: &str) -> io::Result<(File, PathBuf)> {
    let opened = File::open(dir)?;
    let path = format!("/proc/self/fd/{}/{name}", opened.as_raw_fd());
    Ok((opened, path.into()))
}
