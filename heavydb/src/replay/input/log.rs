//! The records of a HeavyDB server log.
//!
//! ```text
//! 2024-03-01T09:30:00.000123 I 4711 17 3 DBHandler.cpp:1555 stdlog sql_execute 20 131 heavyai admin 507-aBcD {"query_str","client"} {"SELECT 1","http:10.0.0.7"}
//! ```
//! A record is `time severity pid [request thread] file:line stdlog function match milliseconds database user session {names} {values}`.
//! A value may hold commas, braces and line ends, a quote in it is doubled; so the lists are read sign by sign. Where a record was cut
//! off in the middle of a text, the next record shows it: its `{"name"` closes the open quote and goes on with a letter, which no list
//! does. Then the lines behind the cut are read again as records of their own.
//!
//! Left out: the lines of other messages of the server, and its call stacks; they hold no statements.

use std::io;

use chrono::NaiveDateTime;

use super::source::{LONGEST, Line, Lines};

/// One call of a client, as the server logged it.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Line of the record in its file, from 1.
    pub line: u64,
    /// The server's local time at the end of the call.
    pub timestamp: NaiveDateTime,
    /// Process of the server.
    pub pid: u64,
    /// The record was written when the call began; it has no times.
    pub begin: bool,
    /// The server's function: `sql_execute`, `sql_execute_df`, `connect`, …
    pub function: String,
    /// The number that the begin and the end of a call share.
    pub match_id: u64,
    /// From begin to end, in milliseconds.
    pub duration_ms: f64,
    /// The database, empty without a session.
    pub database: String,
    /// The user, empty without a session.
    pub user: String,
    /// The public session id, empty without a session.
    pub session: String,
    /// The statement.
    pub query: Option<String>,
    /// The client's address.
    pub client: Option<String>,
    /// `execution_time_ms`: HeavyDB's time of the kernel.
    pub execution_ms: Option<f64>,
    /// `total_time_ms`: HeavyDB's time from text to result.
    pub total_ms: Option<f64>,
}

impl Call {
    /// Whether the call succeeded, as far as the log tells: a failed `sql_execute` has no times.
    pub fn is_ok(&self) -> bool {
        self.function != "sql_execute" || (self.execution_ms.is_some() && self.total_ms.is_some())
    }
}

/// What reading goes over: a call, or something that is not one.
#[derive(Debug)]
pub(super) enum Record {
    Call(Box<Call>),
    /// What cannot be read, at this line.
    Broken(u64, String),
}

/// Reads the records of one file.
pub(super) struct Records {
    lines: Lines,
    /// Lines that belong to a message of the server are passed over in silence, lines that belong to nothing are not.
    in_message: bool,
}

impl Records {
    pub(super) fn new(lines: Lines) -> Self {
        Self { lines, in_message: false }
    }

    /// The number of the line read last.
    pub(super) fn line(&self) -> u64 {
        self.lines.number()
    }

    /// The next call, `None` at the end of the file.
    pub(super) fn next(&mut self) -> io::Result<Option<Record>> {
        while let Some(line) = self.lines.next()? {
            if !starts_record(&line.bytes) {
                if self.in_message || line.bytes.trim_ascii().is_empty() {
                    continue;
                }
                self.in_message = true;
                return Ok(Some(Record::Broken(line.number, "the line belongs to no record".to_owned())));
            }
            self.in_message = true;
            match Head::parse(&line.bytes) {
                Some(head) => {
                    self.in_message = false;
                    return self.call(head, line).map(Some);
                }
                None if claims_call(&line.bytes) => {
                    return Ok(Some(Record::Broken(line.number, "the record's head cannot be read".to_owned())));
                }
                None => {}
            }
        }
        Ok(None)
    }

    /// Reads the lists behind the head, over as many lines as they take.
    fn call(&mut self, head: Head, first: Line) -> io::Result<Record> {
        let number = first.number;
        let mut scan = Scan::default();
        let mut state = scan.feed(&first.bytes[head.rest..]);
        let mut size = first.bytes.len();
        let mut lines = vec![first];
        let mut cut = lines[0].cut;
        while state == State::Open && size < LONGEST && !cut {
            let Some(line) = self.lines.next()? else { break };
            state = scan.feed(&line.bytes);
            size += line.bytes.len();
            cut = line.cut;
            lines.push(line);
        }
        // A server writes lists to nearly every record, and a line end to all.
        let whole = lines.len() > 1 || lines[0].bytes.ends_with(b"\n") || scan.lists == 2;
        if state == State::Closed && whole {
            return Ok(head.call(number, lines));
        }
        // What follows a cut may be records of their own.
        self.in_message = true;
        let next = lines.iter().skip(1).position(|line| starts_record(&line.bytes));
        if let Some(next) = next {
            self.lines.put_back(lines.split_off(next + 1));
        }
        let what = match state {
            State::Open if size >= LONGEST => format!("the record is longer than {} MiB", LONGEST >> 20),
            State::Open => "the record is cut off: a quoted text does not end".to_owned(),
            State::Closed => "the record is cut off".to_owned(),
            State::Broken => "the record's lists of names and values cannot be read".to_owned(),
        };
        Ok(Record::Broken(number, what))
    }
}

/// Whether a line starts with the time and the blank of a record.
pub(super) fn starts_record(line: &[u8]) -> bool {
    const SHAPE: &[u8] = b"dddd-dd-ddTdd:dd:dd.dddddd ";
    line.len() >= SHAPE.len()
        && SHAPE.iter().zip(line).all(|(shape, byte)| if *shape == b'd' { byte.is_ascii_digit() } else { shape == byte })
}

/// Whether the line names itself the record of a call.
fn claims_call(line: &[u8]) -> bool {
    let head = &line[..line.len().min(200)];
    head.windows(8).any(|window| window == b" stdlog " || window == b" stdlog_")
}

/// The part of a record before the lists.
struct Head {
    timestamp: NaiveDateTime,
    pid: u64,
    begin: bool,
    function: String,
    match_id: u64,
    duration_ms: f64,
    database: String,
    user: String,
    session: String,
    /// Where the lists start in the first line.
    rest: usize,
}

impl Head {
    /// `None` for a line that is no record of a call.
    fn parse(line: &[u8]) -> Option<Self> {
        let mut rest = line;
        let timestamp = NaiveDateTime::parse_from_str(&word(&mut rest)?, "%Y-%m-%dT%H:%M:%S%.f").ok()?;
        word(&mut rest)?;
        let pid = word(&mut rest)?.parse().ok()?;
        // Old releases have neither request nor thread here.
        (0..3).find(|_| word(&mut rest).is_none_or(|word| word.parse::<u64>().is_err()))?;
        let begin = match word(&mut rest)?.as_str() {
            "stdlog" => false,
            "stdlog_begin" => true,
            _ => return None,
        };
        let function = word(&mut rest)?;
        let match_id = word(&mut rest)?.parse().ok()?;
        let duration_ms = word(&mut rest)?.parse().ok()?;
        // Three blanks stand for three empty words, at the end of a line also for none at all.
        let mut session = || word(&mut rest).unwrap_or_default();
        let (database, user, session) = (session(), session(), session());
        let rest = line.len() - rest.len();
        Some(Self { timestamp, pid, begin, function, match_id, duration_ms, database, user, session, rest })
    }

    /// The call of a record whose lists are complete.
    fn call(self, line: u64, lines: Vec<Line>) -> Record {
        let mut bytes = Vec::new();
        for (at, next) in lines.into_iter().enumerate() {
            bytes.extend_from_slice(if at == 0 { &next.bytes[self.rest..] } else { &next.bytes });
        }
        let Ok(text) = String::from_utf8(bytes) else {
            return Record::Broken(line, "the record is not UTF-8".to_owned());
        };
        let Some((names, values)) = lists(&text) else {
            return Record::Broken(line, "the record has not as many values as names".to_owned());
        };
        let mut call = Call {
            line,
            timestamp: self.timestamp,
            pid: self.pid,
            begin: self.begin,
            function: self.function,
            match_id: self.match_id,
            duration_ms: self.duration_ms,
            database: self.database,
            user: self.user,
            session: self.session,
            query: None,
            client: None,
            execution_ms: None,
            total_ms: None,
        };
        for (name, value) in names.into_iter().zip(values) {
            match name.as_str() {
                "query_str" => call.query = Some(value),
                "client" => call.client = Some(value),
                "execution_time_ms" => call.execution_ms = value.parse().ok(),
                "total_time_ms" => call.total_ms = value.parse().ok(),
                _ => {}
            }
        }
        Record::Call(Box::new(call))
    }
}

/// Takes a word and the blank behind it; a word in quotes may hold blanks. `None` at the end of the line.
fn word(rest: &mut &[u8]) -> Option<String> {
    let line = rest.trim_ascii_end();
    if line.is_empty() && !rest.starts_with(b" ") {
        return None;
    }
    if rest.first() == Some(&b'"') {
        let (text, length) = quoted(rest)?;
        *rest = rest.get(length..)?;
        *rest = rest.strip_prefix(b" ").unwrap_or(rest);
        return Some(text);
    }
    let end = rest.iter().position(|byte| matches!(byte, b' ' | b'\r' | b'\n')).unwrap_or(rest.len());
    let text = std::str::from_utf8(&rest[..end]).ok()?.to_owned();
    *rest = &rest[end..];
    *rest = rest.strip_prefix(b" ").unwrap_or(rest);
    Some(text)
}

/// A quoted text at the start of the bytes, and how many bytes it takes.
fn quoted(bytes: &[u8]) -> Option<(String, usize)> {
    let mut text = Vec::new();
    let mut at = 1;
    loop {
        match (bytes.get(at)?, bytes.get(at + 1)) {
            (b'"', Some(b'"')) => {
                text.push(b'"');
                at += 2;
            }
            (b'"', _) => return Some((String::from_utf8(text).ok()?, at + 1)),
            (byte, _) => {
                text.push(*byte);
                at += 1;
            }
        }
    }
}

/// How far the lists have been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// A quoted text goes on in the next line.
    #[default]
    Open,
    /// Both lists are closed, or there are none.
    Closed,
    /// What is there is no list.
    Broken,
}

/// The place within `{"a","b"} {"1","2"}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    #[default]
    BeforeList,
    BeforeText,
    InText,
    BehindText,
    BehindList,
}

/// Reads lists line by line.
#[derive(Debug, Default)]
struct Scan {
    place: Place,
    lists: usize,
}

impl Scan {
    /// Reads one line.
    fn feed(&mut self, line: &[u8]) -> State {
        for byte in line {
            let next = match (self.place, byte) {
                (Place::BeforeList, b'{') => Place::BeforeText,
                (Place::BeforeList, b' ' | b'\r' | b'\n') if self.lists == 0 => Place::BeforeList,
                (Place::BeforeText | Place::BehindText, b'"') => Place::InText,
                (Place::InText, b'"') => Place::BehindText,
                (Place::InText, _) => Place::InText,
                (Place::BehindText, b',') => Place::BeforeText,
                (Place::BehindText | Place::BeforeText, b'}') => {
                    self.lists += 1;
                    Place::BehindList
                }
                (Place::BehindList, b' ') if self.lists == 1 => Place::BeforeList,
                (Place::BehindList, b' ' | b'\r' | b'\n') if self.lists == 2 => Place::BehindList,
                _ => return State::Broken,
            };
            self.place = next;
        }
        match self.place {
            Place::InText => State::Open,
            Place::BeforeList if self.lists == 0 => State::Closed,
            Place::BehindList if self.lists == 2 => State::Closed,
            _ => State::Broken,
        }
    }
}

/// The names and the values of closed lists; two empty ones where there are none. `None` when their counts differ.
fn lists(text: &str) -> Option<(Vec<String>, Vec<String>)> {
    let mut lists = [Vec::new(), Vec::new()];
    let mut filled = 0;
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                let (value, length) = quoted(&bytes[at..])?;
                lists.get_mut(filled)?.push(value);
                at += length;
            }
            b'}' => {
                filled += 1;
                at += 1;
            }
            _ => at += 1,
        }
    }
    let [names, values] = lists;
    (names.len() == values.len()).then_some((names, values))
}
