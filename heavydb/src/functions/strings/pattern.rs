//! POSIX extended regular expressions: those alone whose matches are surely HeavyDB's.
//!
//! HeavyDB takes the longest of the leftmost matches, over bytes, where `.` and `[^…]` match a line end too. What this reads: bytes of
//! ASCII, `.`, groups, `|`, `*` `+` `?` `{n}` `{n,}` `{n,m}`, sets with ranges and named classes, `\d \w \s \D \W \S`, `\` before
//! punctuation, `^` as the first and `$` as the last character. It leaves out what differs between dialects or is undefined in POSIX:
//! back references, collating symbols, `\` in a set, other escapes, anchors elsewhere, empty alternatives, a quantifier behind a
//! quantifier.

use std::fmt::Write;

use regex::bytes::{Regex, RegexBuilder};

/// Why a pattern is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Problem {
    /// No regular expression: HeavyDB finds a mistake too.
    Broken(String),
    /// It might be one, with a meaning that is not sure.
    Unsure(String),
}

/// A pattern that was read.
#[derive(Debug)]
pub(super) struct Pattern {
    /// Matches a whole text.
    pub(super) whole: Regex,
    /// Finds the leftmost match; its end is the greedy one.
    pub(super) search: Regex,
    pub(super) groups: usize,
    pub(super) alternation: bool,
    /// Begins with `^`.
    pub(super) at_start: bool,
    /// Ends with `$`.
    pub(super) at_end: bool,
    /// A group repeats: what it captured last depends on the dialect.
    pub(super) group_repeats: bool,
    /// The greedy match may be shorter than the longest.
    pub(super) greedy_may_be_short: bool,
    /// Something stands for a counted number of bytes.
    pub(super) counts_bytes: bool,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// See [`Problem`].
    pub(super) fn try_new(pattern: &str, insensitive: bool) -> Result<Self, Problem> {
        let mut reader = Reader::new(pattern)?;
        reader.alternatives(0)?;
        if reader.at < reader.bytes.len() {
            return reader.unsure("a ) without its (");
        }
        if insensitive && reader.cased_class {
            return reader.unsure("[:upper:] or [:lower:] without regard to case");
        }
        let compile = |text: String| {
            let built = RegexBuilder::new(&text).unicode(false).dot_matches_new_line(true).case_insensitive(insensitive).build();
            built.map_err(|error| Problem::Unsure(error.to_string()))
        };
        let body = &reader.rust;
        let start = if reader.at_start { r"\A" } else { "" };
        let end = if reader.at_end { r"\z" } else { "" };
        Ok(Self {
            whole: compile(format!(r"\A(?:{body})\z"))?,
            search: compile(format!("{start}(?:{body}){end}"))?,
            groups: reader.groups,
            alternation: reader.alternation,
            at_start: reader.at_start,
            at_end: reader.at_end,
            group_repeats: reader.group_repeats,
            greedy_may_be_short: reader.alternation || reader.group_repeats || reader.variable > 1,
            counts_bytes: reader.counts_bytes,
        })
    }
}

/// Groups in groups, at most.
const DEEPEST: usize = 50;

/// The largest count in braces.
const MOST_REPEATS: u32 = 255;

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The pattern in the syntax of the `regex` crate.
    rust: String,
    groups: usize,
    alternation: bool,
    at_start: bool,
    at_end: bool,
    group_repeats: bool,
    /// Quantified pieces of variable length.
    variable: usize,
    counts_bytes: bool,
    cased_class: bool,
}

/// What a quantifier stands behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Atom {
    /// A byte out of ASCII.
    Ascii,
    /// A byte that may be a part of a character.
    AnyByte,
    Group,
}

impl<'a> Reader<'a> {
    fn new(pattern: &'a str) -> Result<Self, Problem> {
        if !pattern.is_ascii() {
            return Err(Problem::Unsure("characters outside ASCII".to_string()));
        }
        let whole = pattern.as_bytes();
        let body = whole.strip_prefix(b"^").unwrap_or(whole);
        let at_end = body.ends_with(b"$") && !ends_escaped(body);
        let bytes = if at_end { body.strip_suffix(b"$").unwrap_or(body) } else { body };
        if let Some(repeat @ (b'*' | b'+' | b'?')) = whole.first() {
            return Err(Problem::Broken(format!("{} repeats nothing", char::from(*repeat))));
        }
        Ok(Self {
            bytes,
            at: 0,
            rust: String::new(),
            groups: 0,
            alternation: false,
            at_start: body.len() < whole.len(),
            at_end,
            group_repeats: false,
            variable: 0,
            counts_bytes: false,
            cased_class: false,
        })
    }

    fn unsure<T>(&self, what: &str) -> Result<T, Problem> {
        Err(Problem::Unsure(what.to_string()))
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, wanted: &[u8]) -> bool {
        let found = self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(wanted));
        self.at += if found { wanted.len() } else { 0 };
        found
    }

    fn alternatives(&mut self, depth: usize) -> Result<(), Problem> {
        loop {
            self.sequence(depth)?;
            if !self.take(b"|") {
                return Ok(());
            }
            self.alternation = true;
            self.rust.push('|');
        }
    }

    fn sequence(&mut self, depth: usize) -> Result<(), Problem> {
        let from = self.at;
        while !matches!(self.peek(), None | Some(b'|' | b')')) {
            let atom = self.atom(depth)?;
            self.quantifier(atom)?;
        }
        if self.at == from {
            return self.unsure("an empty pattern, group or alternative");
        }
        Ok(())
    }

    fn atom(&mut self, depth: usize) -> Result<Atom, Problem> {
        let Some(byte) = self.peek() else { return self.unsure("an end where a character should be") };
        self.at += 1;
        match byte {
            b'(' => self.group(depth),
            b'[' => self.set(),
            b'\\' => self.escape(),
            b'.' => {
                self.rust.push('.');
                Ok(Atom::AnyByte)
            }
            b'^' | b'$' => self.unsure("an anchor inside the pattern"),
            b'*' | b'+' | b'?' => self.unsure("a quantifier behind a quantifier or nothing"),
            b'{' | b'}' | b']' => self.unsure("a bracket without its fellow"),
            byte => self.literal(byte),
        }
    }

    fn literal(&mut self, byte: u8) -> Result<Atom, Problem> {
        // Writing to a String cannot fail.
        let _ = write!(self.rust, r"\x{byte:02x}");
        Ok(Atom::Ascii)
    }

    fn group(&mut self, depth: usize) -> Result<Atom, Problem> {
        if depth >= DEEPEST {
            return self.unsure("groups nested too deep");
        }
        if self.peek() == Some(b'?') {
            return self.unsure("(?");
        }
        self.groups += 1;
        self.rust.push('(');
        self.alternatives(depth + 1)?;
        if !self.take(b")") {
            return Err(Problem::Broken("a ( without its )".to_string()));
        }
        self.rust.push(')');
        Ok(Atom::Group)
    }

    fn escape(&mut self) -> Result<Atom, Problem> {
        let Some(byte) = self.peek() else { return Err(Problem::Broken("a \\ at the end".to_string())) };
        self.at += 1;
        match byte {
            b'd' | b'w' | b's' => self.class(byte, Atom::Ascii),
            b'D' | b'W' | b'S' => self.class(byte, Atom::AnyByte),
            b'<' | b'>' | b'`' | b'\'' => self.unsure("\\ before a character that may be an anchor"),
            byte if byte.is_ascii_punctuation() => self.literal(byte),
            byte => self.unsure(&format!("\\{}", char::from(byte))),
        }
    }

    fn class(&mut self, letter: u8, atom: Atom) -> Result<Atom, Problem> {
        self.rust.push('\\');
        self.rust.push(char::from(letter));
        Ok(atom)
    }

    /// A set, from behind its bracket.
    fn set(&mut self) -> Result<Atom, Problem> {
        self.rust.push('[');
        let negated = self.take(b"^");
        if negated {
            self.rust.push('^');
        }
        let mut first = true;
        while first || !self.take(b"]") {
            self.member(first)?;
            first = false;
        }
        self.rust.push(']');
        Ok(if negated { Atom::AnyByte } else { Atom::Ascii })
    }

    /// A byte, a range or a class in a set.
    fn member(&mut self, first: bool) -> Result<(), Problem> {
        if self.take(b"[:") {
            return self.named_class();
        }
        let low = self.end_of_range(first)?;
        let range = self.peek() == Some(b'-') && self.bytes.get(self.at + 1) != Some(&b']');
        if low == b'-' && !first && self.peek() != Some(b']') {
            return self.unsure("a - inside a set");
        }
        let high = if range {
            self.at += 1;
            self.end_of_range(false)?
        } else {
            low
        };
        if range && (low == b'-' || high == b'-' || high < low) {
            return self.unsure("a range of a set that runs backwards or holds a -");
        }
        let _ = write!(self.rust, r"\x{low:02x}-\x{high:02x}");
        Ok(())
    }

    fn end_of_range(&mut self, first: bool) -> Result<u8, Problem> {
        match self.peek() {
            None => Err(Problem::Broken("a [ without its ]".to_string())),
            Some(b'[') if matches!(self.bytes.get(self.at + 1), Some(b'.' | b'=' | b':')) => self.unsure("[. or [= or [: in a set"),
            Some(b'\\') => self.unsure("a \\ in a set"),
            Some(b']') if !first => self.unsure("a range without end"),
            Some(byte) => {
                self.at += 1;
                Ok(byte)
            }
        }
    }

    fn named_class(&mut self) -> Result<(), Problem> {
        const NAMES: [&str; 12] =
            ["alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "xdigit"];
        let Some(name) = NAMES.into_iter().find(|name| self.take(format!("{name}:]").as_bytes())) else {
            return self.unsure("a class that is not of POSIX");
        };
        self.cased_class |= matches!(name, "lower" | "upper");
        let _ = write!(self.rust, "[:{name}:]");
        Ok(())
    }

    /// The quantifier behind an atom, if there is one.
    fn quantifier(&mut self, atom: Atom) -> Result<(), Problem> {
        let from = self.rust.len();
        let fixed = match self.peek() {
            Some(sign @ (b'*' | b'+' | b'?')) => {
                self.at += 1;
                self.rust.push(char::from(sign));
                false
            }
            Some(b'{') => self.braces()?,
            _ => true,
        };
        if matches!(self.peek(), Some(b'*' | b'+' | b'?' | b'{')) {
            return self.unsure("a quantifier behind a quantifier");
        }
        let quantifier = self.rust.get(from..).unwrap_or("");
        self.counts_bytes |= atom == Atom::AnyByte && !matches!(quantifier, "*" | "+");
        self.group_repeats |= atom == Atom::Group && !quantifier.is_empty();
        self.variable += usize::from(!fixed);
        Ok(())
    }

    /// A count in braces; true where it is one number.
    fn braces(&mut self) -> Result<bool, Problem> {
        self.at += 1;
        let least = self.number()?;
        let most = match self.take(b",") {
            false => Some(least),
            true if self.peek() == Some(b'}') => None,
            true => Some(self.number()?),
        };
        if !self.take(b"}") || most.is_some_and(|most| most < least || most == 0) {
            return self.unsure("braces that hold no count");
        }
        match most {
            None => self.rust.push_str(&format!("{{{least},}}")),
            Some(most) => self.rust.push_str(&format!("{{{least},{most}}}")),
        }
        Ok(most == Some(least))
    }

    fn number(&mut self) -> Result<u32, Problem> {
        let digits = self.bytes.get(self.at..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit()).count();
        let text = self.bytes.get(self.at..self.at + digits).and_then(|digits| std::str::from_utf8(digits).ok());
        self.at += digits;
        match text.and_then(|text| text.parse().ok()) {
            Some(number) if number <= MOST_REPEATS => Ok(number),
            _ => self.unsure("braces that hold no count, or a large one"),
        }
    }
}

/// True where the last character is escaped: an odd number of `\` stands before it.
fn ends_escaped(bytes: &[u8]) -> bool {
    bytes.iter().rev().skip(1).take_while(|byte| **byte == b'\\').count() % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(pattern: &str, text: &str) -> bool {
        Pattern::try_new(pattern, false).unwrap().whole.is_match(text.as_bytes())
    }

    #[test]
    fn extended_syntax_is_read() {
        for (pattern, text, wanted) in [
            (".*", "", true),
            (".*", "a\nb", true),
            ("ba.", "bar", true),
            ("ba.", "bard", false),
            ("fo.?", "fo", true),
            (".+.+.+", "ab", false),
            ("(foo|ba[rz])", "baz", true),
            ("^foo$", "foo", true),
            ("^a|b$", "b", true),
            ("[[:digit:]]{2,3}", "1234", false),
            ("[[:digit:]]{2,3}", "123", true),
            ("[]a]+", "]a", true),
            ("[^]a]", "b", true),
            ("[a-]+", "a-", true),
            ("[-a]+", "a-", true),
            ("[.]", "x", false),
            (r"\.\\\$", r".\$", true),
            (r"a\$", "a$", true),
            (r"\d+\s\w", "12 _", true),
            ("a{2}", "aa", true),
            ("a{1,}", "aaaa", true),
            ("a-b", "a-b", true),
        ] {
            assert_eq!(whole(pattern, text), wanted, "{text} REGEXP {pattern}");
        }
    }

    #[test]
    fn what_is_no_pattern_anywhere_is_broken() {
        for pattern in ["(a", "[a", "[^", "*a", "a\\", "[[:digit:]"] {
            assert!(matches!(Pattern::try_new(pattern, false), Err(Problem::Broken(_))), "{pattern}");
        }
    }

    #[test]
    fn what_differs_between_dialects_is_unsure() {
        for pattern in [
            "",
            "a)",
            "()",
            "a|",
            "|a",
            "a||b",
            "(?:a)",
            "a**",
            "a+?",
            "a{,2}",
            "a{2,1}",
            "a{x}",
            "a{999}",
            "{a",
            "a}",
            "a]",
            "a^b",
            "a$b",
            r"\1",
            r"(a)\1",
            r"\b",
            r"\<a",
            r"[\d]",
            "[[.a.]]",
            "[[=a=]]",
            "[[:word:]]",
            "[z-a]",
            "[a-c-e]",
            "[%--]",
            "é",
            "(^a)",
            "(*a)",
        ] {
            assert!(matches!(Pattern::try_new(pattern, false), Err(Problem::Unsure(_))), "{pattern}");
        }
        assert!(Pattern::try_new("[[:upper:]]", true).is_err());
        assert!(Pattern::try_new(&"(".repeat(100_000), false).is_err());
    }

    #[test]
    fn what_a_search_must_know_is_noted() {
        let read = |pattern| Pattern::try_new(pattern, false).unwrap();
        assert!(read("a?(ab)?").greedy_may_be_short && read("a?(ab)?").group_repeats);
        assert!(!read("a+b").greedy_may_be_short);
        assert!(read("a|b").alternation);
        assert!(read("a.b").counts_bytes && read("[^a]{2}").counts_bytes);
        assert!(!read("a.*b[^,]+").counts_bytes);
        assert_eq!(read("(a)(b(c))").groups, 3);
    }
}
