//! A web server made of bytes on a socket, so that it can do what no server should: hang up, promise more than it sends, tag
//! what it likes.

use flate2::{Compression, write::GzEncoder};
use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

/// One request and what became of it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) status: u16,
    /// In small letters.
    pub(crate) head: String,
}

/// What is sent back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Lines, each with its end.
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
    /// So many bytes more are promised than come.
    pub(crate) held_back: usize,
}

impl Answer {
    pub(crate) fn new(status: u16, headers: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: headers.into(), body: body.into(), held_back: 0 }
    }

    /// A text under its tag, compressed; 304 for whoever has it already.
    pub(crate) fn tagged(head: &str, tag: &str, content: &[u8]) -> Self {
        let etag = format!("etag: \"{tag}\"\r\n");
        if head.contains(&format!("if-none-match: \"{tag}\"")) {
            return Self::new(304, etag, []);
        }
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed.write_all(content).unwrap();
        let kind = "content-type: text/plain\r\ncontent-encoding: gzip\r\n";
        Self::new(200, etag + kind, packed.finish().unwrap())
    }
}

/// See the module.
#[derive(Clone)]
pub(crate) struct RawServer {
    asked: Arc<Mutex<Vec<Asked>>>,
    pub(crate) port: u16,
}

impl RawServer {
    /// Serves until the process ends. `answer` is given the path and the head; without an answer the server hangs up, and the
    /// request does not count as asked.
    pub(crate) fn start(answer: impl Fn(&str, &str) -> Option<Answer> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self { port: listener.local_addr().unwrap().port(), asked: Arc::default() };
        let serving = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Who hangs up early is no reason to stop.
                let _ = serving.serve(stream, &answer);
            }
        });
        server
    }

    fn serve(
        &self,
        mut stream: TcpStream,
        answer: &impl Fn(&str, &str) -> Option<Answer>,
    ) -> std::io::Result<()> {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? == 1 {
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).to_lowercase();
        let path = head.split([' ', '?']).nth(1).unwrap_or_default().to_owned();
        let Some(Answer { status, headers, body, held_back }) = answer(&path, &head) else { return Ok(()) };
        self.asked.lock().unwrap().push(Asked { path, status, head });
        let length = body.len() + held_back;
        let top =
            format!("HTTP/1.1 {status} So\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n");
        stream.write_all(top.as_bytes())?;
        stream.write_all(&body)
    }

    /// All requests that were answered, in order.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}
