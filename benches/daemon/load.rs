//! The load generator: prebuilt requests over kept connections, as little work as possible on the shared cores.

use std::{
    cell::{Cell, RefCell},
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    rc::Rc,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// How a run went.
pub(crate) struct Measured {
    pub(crate) elapsed: Duration,
    /// From the first byte sent to the last byte of the 202, of each webhook.
    pub(crate) took: Vec<Duration>,
}

impl Measured {
    pub(crate) fn rate(&self) -> f64 {
        self.took.len() as f64 / self.elapsed.as_secs_f64()
    }
}

/// Sends everything as fast as it is answered, in the order of the ids.
pub(crate) fn burst(address: SocketAddr, requests: &[Vec<u8>], connections: usize) -> Measured {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
    runtime.block_on(tokio::task::LocalSet::new().run_until(async {
        let requests: Rc<[Vec<u8>]> = requests.into();
        let (next, took) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(Vec::with_capacity(requests.len()))));
        let mut streams = Vec::new();
        for _ in 0..connections {
            let stream = tokio::net::TcpStream::connect(address).await.expect("the daemon listens");
            stream.set_nodelay(true).expect("a TCP socket");
            streams.push(stream);
        }
        let started = Instant::now();
        let drivers = streams.into_iter().map(|stream| {
            tokio::task::spawn_local(drive(stream, requests.clone(), next.clone(), took.clone()))
        });
        for driver in drivers.collect::<Vec<_>>() {
            driver.await.expect("every webhook is answered 202");
        }
        Measured { elapsed: started.elapsed(), took: took.take() }
    }))
}

async fn drive(
    mut stream: tokio::net::TcpStream,
    requests: Rc<[Vec<u8>]>,
    next: Rc<Cell<usize>>,
    took: Rc<RefCell<Vec<Duration>>>,
) {
    let mut buffer = vec![0; 4096];
    while let Some(request) = requests.get(next.replace(next.get() + 1)) {
        let sent = Instant::now();
        stream.write_all(request).await.expect("the daemon reads");
        let mut filled = 0;
        while !is_whole(&buffer[..filled]) {
            let read = stream.read(&mut buffer[filled..]).await.expect("the daemon answers");
            assert!(read > 0, "the daemon hung up");
            filled += read;
        }
        assert!(buffer.starts_with(b"HTTP/1.1 202"), "{}", String::from_utf8_lossy(&buffer[..filled]));
        took.borrow_mut().push(sent.elapsed());
    }
}

/// Sends at a steady rate. What waits because its connection is still busy counts from when it was due.
pub(crate) fn paced(address: SocketAddr, requests: &[Vec<u8>], per_second: u32) -> Measured {
    const LINES: usize = 8;
    let next = AtomicUsize::new(0);
    let started = Instant::now() + Duration::from_millis(50);
    let drive = || {
        let mut line = Line::open(address);
        let mut took = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(request) = requests.get(number) else { return took };
            let due = started + Duration::from_secs(1) / per_second * number as u32;
            let early = due.saturating_duration_since(Instant::now());
            std::thread::sleep(early);
            // A late wake-up is the generator's fault, a busy line the daemon's.
            let from = if early.is_zero() { due } else { Instant::now() };
            line.send(request);
            line.receive();
            took.push(from.elapsed());
        }
    };
    let took = std::thread::scope(|scope| {
        let drivers: Vec<_> = (0..LINES).map(|_| scope.spawn(drive)).collect();
        drivers.into_iter().flat_map(|driver| driver.join().expect("every webhook is answered 202")).collect()
    });
    Measured { elapsed: started.elapsed(), took }
}

/// One kept connection.
pub(crate) struct Line(TcpStream);

impl Line {
    pub(crate) fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the daemon listens");
        stream.set_nodelay(true).expect("a TCP socket");
        Self(stream)
    }

    pub(crate) fn send(&mut self, request: &[u8]) {
        self.0.write_all(request).expect("the daemon reads");
    }

    /// The whole answer, which must be a 2xx.
    pub(crate) fn receive(&mut self) -> Vec<u8> {
        let mut answer = Vec::with_capacity(1024);
        let mut part = [0; 16 * 1024];
        while !is_whole(&answer) {
            let read = self.0.read(&mut part).expect("the daemon answers");
            assert!(read > 0, "the daemon hung up");
            answer.extend_from_slice(&part[..read]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 20"), "{}", String::from_utf8_lossy(&answer));
        answer
    }
}

/// Whether head and body of an answer are there; every answer says how long its body is.
fn is_whole(answer: &[u8]) -> bool {
    let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let name = b"content-length: ";
    let Some(at) = answer[..head].windows(name.len()).position(|window| window == name) else { return true };
    let digits = answer[at + name.len()..].iter().take_while(|byte| byte.is_ascii_digit());
    let length = digits.fold(0, |length, digit| length * 10 + usize::from(digit - b'0'));
    answer.len() >= head + 4 + length
}
