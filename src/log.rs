//! The delete log: one line of JSON a delete, on standard output.
//!
//! Not `tracing`, which is for what is rare: a worker appends a line to a buffer of its own, and
//! one thread writes the buffers out. Nothing that serves ever waits for standard output; where it
//! is too slow, lines are dropped and counted.

mod readable;

pub use self::readable::Readable;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use time::OffsetDateTime;

/// The writing thread and the buffers it empties.
pub struct Log {
    shared: Arc<Shared>,
    writer: Option<Writer>,
}

struct Writer {
    thread: thread::Thread,
    /// Closed when the thread ends.
    ended: mpsc::Receiver<()>,
}

struct Shared {
    buffers: Mutex<Vec<Arc<Mutex<Vec<u8>>>>>,
    closing: AtomicBool,
}

/// Where one worker puts its lines. Without a log behind it, lines are not even made.
#[derive(Clone, Default)]
pub struct Lines(Option<Open>);

#[derive(Clone)]
struct Open {
    buffer: Arc<Mutex<Vec<u8>>>,
    writer: thread::Thread,
}

impl Log {
    /// Starts the thread that writes to `output`.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(mut output: impl Write + Send + 'static) -> std::io::Result<Self> {
        let shared =
            Arc::new(Shared { buffers: Mutex::default(), closing: AtomicBool::new(false) });
        let from = Arc::clone(&shared);
        let (running, ended) = mpsc::channel::<()>();
        let handle = thread::Builder::new().name("delete-log".into()).spawn(move || {
            let _running = running;
            let mut spare = Vec::with_capacity(ROOM_BYTES);
            loop {
                // Looked at before the buffers: what was put in before closing is written.
                let closing = from.closing.load(Ordering::Acquire);
                from.write_out(&mut spare, &mut output);
                if closing {
                    return;
                }
                thread::park_timeout(LATEST);
            }
        })?;
        let writer = Writer { thread: handle.thread().clone(), ended };
        Ok(Self { shared, writer: Some(writer) })
    }

    /// A log that nobody reads: lines are not even made.
    #[must_use]
    pub fn off() -> Self {
        let shared =
            Arc::new(Shared { buffers: Mutex::default(), closing: AtomicBool::new(false) });
        Self { shared, writer: None }
    }

    /// A buffer for one worker.
    #[must_use]
    pub fn lines(&self) -> Lines {
        Lines(self.writer.as_ref().map(|writer| {
            let buffer = Arc::new(Mutex::new(Vec::with_capacity(ROOM_BYTES)));
            self.shared.buffers.lock().push(Arc::clone(&buffer));
            Open { buffer, writer: writer.thread.clone() }
        }))
    }
}

impl Drop for Log {
    /// Writes what is left, if standard output takes it: a process must not be kept from ending by
    /// whoever does not read what it says.
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        if let Some(writer) = self.writer.take() {
            writer.thread.unpark();
            // Nothing is ever sent: this waits for the thread's end.
            let _ = writer.ended.recv_timeout(LAST_WORDS);
        }
    }
}

impl Shared {
    fn write_out(&self, spare: &mut Vec<u8>, output: &mut impl Write) {
        let buffers = self.buffers.lock().clone();
        for buffer in buffers {
            std::mem::swap(&mut *buffer.lock(), spare);
            if !spare.is_empty() {
                // A closed standard output is no reason to stop serving.
                let _ = output.write_all(spare).and_then(|()| output.flush());
                spare.clear();
            }
        }
    }
}

impl Lines {
    /// Appends one line, which `write` makes. Says whether there was room for it.
    pub fn append(&self, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let Some(Open { buffer, writer }) = &self.0 else { return true };
        let mut buffer = buffer.lock();
        if buffer.len() >= MOST_BYTES {
            return false;
        }
        write(&mut buffer);
        buffer.push(b'\n');
        if buffer.len() >= NUDGE_BYTES {
            writer.unpark();
        }
        true
    }
}

/// One JSON object, written field by field into a buffer.
pub struct JsonLine<'b> {
    buffer: &'b mut Vec<u8>,
    first: bool,
}

impl<'b> JsonLine<'b> {
    /// Opens the object.
    pub fn new(buffer: &'b mut Vec<u8>) -> Self {
        buffer.push(b'{');
        Self { buffer, first: true }
    }

    /// Fields of an object that somebody else opens and closes.
    pub fn inside(buffer: &'b mut Vec<u8>) -> Self {
        Self { buffer, first: true }
    }

    /// The time: RFC 3339 with microseconds, in UTC.
    pub fn now(&mut self) -> &mut Self {
        let now = OffsetDateTime::now_utc();
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        let fields = [
            (0, 4, u32::try_from(now.year()).unwrap_or(0)),
            (5, 2, u32::from(u8::from(now.month()))),
            (8, 2, u32::from(now.day())),
            (11, 2, u32::from(now.hour())),
            (14, 2, u32::from(now.minute())),
            (17, 2, u32::from(now.second())),
            (20, 6, now.microsecond()),
        ];
        for (from, width, mut number) in fields {
            for digit in text.iter_mut().skip(from).take(width).rev() {
                // A remainder of 10 is one digit.
                *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
                number /= 10;
            }
        }
        self.text("time", std::str::from_utf8(&text).unwrap_or_default())
    }

    /// Fields as they stand, which are well-formed.
    pub fn raw(&mut self, fields: &[u8]) -> &mut Self {
        if !std::mem::replace(&mut self.first, false) {
            self.buffer.push(b',');
        }
        self.buffer.extend_from_slice(fields);
        self
    }

    /// A text, which may hold anything.
    pub fn text(&mut self, name: &str, value: &str) -> &mut Self {
        self.name(name);
        self.buffer.push(b'"');
        escape_into(self.buffer, value);
        self.buffer.push(b'"');
        self
    }

    /// A text, if there is one.
    pub fn text_if(&mut self, name: &str, value: Option<&str>) -> &mut Self {
        if let Some(value) = value {
            self.text(name, value);
        }
        self
    }

    /// A list of texts, if there are any.
    pub fn texts_if_any<'t>(
        &mut self,
        name: &str,
        values: impl Iterator<Item = &'t str>,
    ) -> &mut Self {
        let mut opened = false;
        for value in values {
            if opened {
                self.buffer.push(b',');
            } else {
                self.name(name);
                self.buffer.push(b'[');
                opened = true;
            }
            self.buffer.push(b'"');
            escape_into(self.buffer, value);
            self.buffer.push(b'"');
        }
        if opened {
            self.buffer.push(b']');
        }
        self
    }

    /// A whole number.
    pub fn number(&mut self, name: &str, value: u64) -> &mut Self {
        self.name(name);
        self.buffer.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        self
    }

    /// `true` or `false`.
    pub fn flag(&mut self, name: &str, value: bool) -> &mut Self {
        self.name(name);
        self.buffer.extend_from_slice(if value { b"true" } else { b"false" });
        self
    }

    /// Closes the object.
    pub fn end(&mut self) {
        self.buffer.push(b'}');
    }

    /// Names are our own: nothing in them needs escaping.
    fn name(&mut self, name: &str) {
        if !std::mem::replace(&mut self.first, false) {
            self.buffer.push(b',');
        }
        self.buffer.push(b'"');
        self.buffer.extend_from_slice(name.as_bytes());
        self.buffer.extend_from_slice(b"\":");
    }
}

/// RFC 8259, section 7, and DEL, which some terminals heed.
fn escape_into(buffer: &mut Vec<u8>, text: &str) {
    let runs = text.as_bytes().chunk_by(|&one, &next| is_plain(one) && is_plain(next));
    for run in runs {
        match run {
            &[byte @ (b'"' | b'\\')] => buffer.extend_from_slice(&[b'\\', byte]),
            &[byte] if !is_plain(byte) => {
                let mut digits = [0; 2];
                // Two digits for one byte: the lengths always agree.
                let _ = hex::encode_to_slice([byte], &mut digits);
                buffer.extend_from_slice(b"\\u00");
                buffer.extend_from_slice(&digits);
            }
            plain => buffer.extend_from_slice(plain),
        }
    }
}

const fn is_plain(byte: u8) -> bool {
    !matches!(byte, b'"' | b'\\' | 0x00..=0x1F | 0x7F)
}

/// A line is on standard output this long after the delete, at the latest.
const LATEST: Duration = Duration::from_millis(100);

/// How long the end may take to write what is left.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// From here on the writer is woken before [`LATEST`].
const NUDGE_BYTES: usize = 64 * 1024;

/// Room that a buffer has from the start, so that it seldom grows.
const ROOM_BYTES: usize = 96 * 1024;

/// More than this waits in no buffer: at some 300 bytes a line, 3,500 deletes.
const MOST_BYTES: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn object(text: &str) -> String {
        let mut buffer = Vec::new();
        let mut line = JsonLine::new(&mut buffer);
        line.text("text", text).number("number", 7).flag("flag", true).text_if("none", None);
        line.end();
        String::from_utf8(buffer).unwrap()
    }

    #[test]
    fn what_is_put_in_before_closing_is_written() {
        #[derive(Clone, Default)]
        struct Sink(Arc<Mutex<Vec<u8>>>);
        impl Write for Sink {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let sink = Sink::default();
        let log = Log::start(sink.clone()).unwrap();
        let (one, other) = (log.lines(), log.lines());
        assert!(one.append(|line| line.extend_from_slice(b"one")));
        assert!(other.append(|line| line.extend_from_slice(b"other")));
        drop(log);
        assert_eq!(*sink.0.lock(), b"one\nother\n");
    }

    #[test]
    fn a_standard_output_that_stands_still_drops_lines_and_holds_nobody_up() {
        struct Stuck(mpsc::Receiver<()>);
        impl Write for Stuck {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                let _ = self.0.recv();
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let (release, stuck) = mpsc::channel();
        let log = Log::start(Stuck(stuck)).unwrap();
        let lines = log.lines();
        let kept =
            (0..10_000).filter(|_| lines.append(|line| line.resize(line.len() + 1024, b'x')));
        let kept = kept.count();
        assert!(kept < 2_100, "two buffers at most: {kept}");
        let started = std::time::Instant::now();
        drop(log);
        assert!(started.elapsed() < LAST_WORDS * 5, "the end does not wait for ever");
        drop(release);
    }

    proptest! {
        #[test]
        fn every_line_is_json_on_one_line(text: String) {
            let line = object(&text);
            prop_assert!(!line.contains(|c: char| c.is_ascii_control()));
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(value, serde_json::json!({"text": text, "number": 7, "flag": true}));
        }
    }
}
