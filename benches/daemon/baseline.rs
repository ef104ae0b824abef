//! What the machine itself gives in the same minute: axum that stores nothing, a disk that only appends.

use axum::{Router, body::Bytes, http::StatusCode, routing::post};
use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Makes this binary serve as the baseline.
pub(crate) const ARGUMENT: &str = "bare-axum";

/// Serves until killed; tells its address on standard output.
pub(crate) fn serve() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let answer = async |_: Bytes| (StatusCode::ACCEPTED, r#"{"status":"stored"}"#);
        let app = Router::new().route("/webhooks/{session}", post(answer));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        println!("{}", listener.local_addr().expect("it is bound"));
        axum::serve(listener, app).await.expect("it serves");
    });
}

/// The bare axum as a process of its own, like the daemon.
pub(crate) struct Bare {
    pub(crate) address: SocketAddr,
    child: Child,
}

impl Bare {
    pub(crate) fn spawn() -> Self {
        let this = std::env::current_exe().expect("we run");
        let mut child =
            Command::new(this).arg(ARGUMENT).stdout(Stdio::piped()).spawn().expect("we can run twice");
        let mut address = String::new();
        let told = child.stdout.take().expect("it is piped");
        BufReader::new(told).read_line(&mut address).expect("it tells its address");
        Self { address: address.trim().parse().expect("an address"), child }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How long one append of a page with `fdatasync` takes, again and again.
pub(crate) fn appends(lasting: Duration) -> Vec<Duration> {
    let mut file = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).expect("a file under target/");
    let started = Instant::now();
    let mut took = Vec::new();
    while started.elapsed() < lasting {
        took.push(append(&mut file));
    }
    took
}

fn append(file: &mut File) -> Duration {
    let started = Instant::now();
    file.write_all(&[7; 4096]).and_then(|()| file.sync_data()).expect("the disk has room");
    started.elapsed()
}
